"""Cuts one clip to the offered part: frames are copied, or decoded, masked and re-encoded; metadata is removed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from device.media.encoder import configure_copy
from device.media.frame_selection import Picture, inside, pictures
from device.media.nal_filter import NotAllowed, Scrubber, in_annex_b, in_sample
from device.release.audio import SAMPLES, AudioTranscoder
from device.release.job import RelativePoints
from device.release.mp4_writer import Mp4Track, Mp4Writer, avc1, hvc1, mp4a

_US = 1_000_000
CRF = 23
"""x264's own default; the camera's picture has been through one encoder already."""

Cover = Callable[[Any], None]
"""Changes the planes of a picture in place."""
Tell = Callable[[float], None]
"""Told how much of the clip is done, 0 to 1, with every picture; it may wait, or raise to end it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The offered part of one clip; microseconds count from the clip's first picture."""

    first_us: int
    last_us: int
    frames: int
    exact: bool = False
    audio: bool = False
    masks: Sequence[RelativePoints] = ()
    blurs: Sequence[RelativePoints] = field(default=())

    @property
    def is_encoded(self) -> bool:
        """Whether the video is re-encoded; else it is copied."""
        return self.exact or bool(self.masks) or bool(self.blurs)


def cut(source: Path, target: Path, wanted: Wanted, tell: Tell) -> None:
    """Write what was offered of a clip to `target`. Raises NotAllowed, OSError, av.error.FFmpegError."""
    with av.open(str(source)) as file, target.open("xb") as out:  # egress: local
        video: Any = file.streams.video[0]
        coded = pictures(
            [(packet.pts, packet.duration or 0, packet.is_keyframe) for packet in _timed(file, video)],
            video.time_base,
        )
        places = inside(coded, wanted.first_us, wanted.last_us, exact=wanted.exact)
        if len(places) != wanted.frames:
            raise NotAllowed(f"it holds {len(places)} pictures where {wanted.frames} were offered")
        writer = Mp4Writer(out)
        work = _Work(file=file, video=video, coded=coded, indices=places, writer=writer, tell=tell)
        file.seek(0)
        if wanted.is_encoded:
            work.encode(_cover(wanted))
        else:
            work.copy()
        if wanted.audio and file.streams.audio:
            file.seek(0)
            work.add_sound(wanted.last_us - wanted.first_us)
        writer.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A clip that is open, which of its pictures are wanted, and where they go."""

    file: Any
    video: Any
    coded: Sequence[Picture]
    indices: Sequence[int]
    writer: Mp4Writer
    tell: Tell

    def copy(self) -> None:
        """Copy the pictures as they are coded."""
        context = self.video.codec_context
        scrubber = Scrubber(context.name)
        head = scrubber.header(bytes(context.extradata or b""))
        track = self._track(context.width, context.height)
        chosen = set(self.indices)
        # Decoded one after the other in the time of those that are shown: what was left out leaves no hole.
        times = sorted((self.coded[index].pts_ticks, self.coded[index].until_ticks) for index in self.indices)
        for index, packet in enumerate(_timed(self.file, self.video)):
            if index not in chosen:
                continue
            decoded, until = times[len(track.sizes)]
            self.writer.add(
                track,
                scrubber.picture(in_sample(bytes(packet))),
                duration=until - decoded,
                offset=packet.pts - decoded,
                key=packet.is_keyframe,
            )
            self.tell(len(track.sizes) / len(self.indices))
        sets = scrubber.sets
        track.entry = (
            avc1(context.width, context.height, sets)
            if scrubber.codec == "h264"
            else hvc1(context.width, context.height, sets, head)
        )

    def encode(self, cover: Cover) -> None:
        """Decode the frames, mask and blur them, and encode them again, one for one."""
        context = self.video.codec_context
        width_px, height_px = context.width & ~1, context.height & ~1
        encoder: Any = av.CodecContext.create("libx264", "w")
        configure_copy(
            encoder,
            width_px=width_px,
            height_px=height_px,
            time_base=self.video.time_base,
            rate=self.video.average_rate or Fraction(15),
            crf=CRF,
            in_band_headers=True,
        )
        encoder.thread_count = 1  # each thread needs pictures of its own
        ends = {self.coded[index].pts_ticks: self.coded[index].until_ticks for index in self.indices}
        track = self._track(width_px, height_px)
        scrubber = Scrubber("h264")

        def take(packets: Sequence[Any]) -> None:
            for packet in packets:
                data = scrubber.picture(in_annex_b(bytes(packet)))
                self.writer.add(track, data, duration=ends[packet.pts] - packet.pts, key=packet.is_keyframe)
                self.tell(len(track.sizes) / len(self.indices))

        for frame in self._decoded():
            if frame.pts not in ends:
                continue
            planes = frame.reformat(width_px, height_px, "yuv420p").to_ndarray()
            cover(planes)
            copy: Any = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            copy.pts, copy.time_base = frame.pts, self.video.time_base
            take(encoder.encode(copy))
        take(encoder.encode(None))
        track.entry = avc1(width_px, height_px, scrubber.sets)

    def add_sound(self, length_us: int) -> None:
        """Add what is heard while the pictures are shown."""
        begin_s = min(self.coded[index].pts_ticks for index in self.indices) * self.video.time_base
        sound = AudioTranscoder(self.file, begin_s, Fraction(length_us, _US))
        entry = mp4a(sound.channels, sound.rate_hz, sound.header)
        track = self.writer.add_track(Mp4Track(kind="sound", ticks=sound.rate_hz, entry=entry))
        for packet in sound.packets():
            self.writer.add(track, packet, duration=SAMPLES)

    def _track(self, width_px: int, height_px: int) -> Mp4Track:
        track = Mp4Track(
            kind="video", ticks=_ticks(self.video), entry=b"", width_px=width_px, height_px=height_px
        )
        return self.writer.add_track(track)

    def _decoded(self) -> Iterator[Any]:
        """Yield pictures from the last keyframe in front of the first that is wanted, to the last one."""
        first_pts = min(self.coded[index].pts_ticks for index in self.indices)
        keys = (
            index
            for index, picture in enumerate(self.coded)
            if picture.is_key and picture.pts_ticks <= first_pts
        )
        begin = max(keys, default=0)
        decoder: Any = av.CodecContext.create(self.video.codec_context.name, "r")
        decoder.extradata = self.video.codec_context.extradata
        decoder.thread_count = 1
        for index, packet in enumerate(_timed(self.file, self.video)):
            if index >= begin:
                yield from decoder.decode(packet)
            if index > max(self.indices) + _REORDER:
                return
        yield from decoder.decode(None)


def _cover(wanted: Wanted) -> Cover:
    if not wanted.masks and not wanted.blurs:
        return lambda _planes: None
    import cv2  # here: a small board has little memory, and an exact cut can do without it

    from device.media.masks import Masks
    from device.media.mosaic import Blur

    cv2.setNumThreads(1)
    masks, blur = Masks(wanted.masks), Blur(wanted.blurs)

    def cover(planes: Any) -> None:
        blur.burn_yuv420(planes)
        masks.burn_yuv420(planes)

    return cover


def _timed(file: Any, stream: Any) -> Iterator[Any]:
    return (packet for packet in file.demux(stream) if packet.pts is not None)


_REORDER = 32
"""A decoder hands on a picture at most so many packets late (H.264 allows 16)."""


def _ticks(stream: Any) -> int:
    with suppress(TypeError):
        if stream.time_base.numerator == 1:
            return int(stream.time_base.denominator)
    raise NotAllowed("the clip counts time in a way that cannot be copied")
