"""Cuts one clip to the offered part: its pictures are decoded, masked, blurred and encoded; nothing is copied."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from device.media.encoder import configure_release
from device.media.frame_selection import Picture, inside, pictures
from device.release.audio import RATE_HZ, pcm
from device.release.errors import NotAllowed
from device.release.job import RelativePoints
from device.release.mp4_writer import VIDEO_TICKS, Mp4Writer

_US = 1_000_000
MACROBLOCK_PX = 16
_BLACK, _NO_COLOUR = 16, 128
MAX_MACROBLOCKS = 36_864
"""Of a picture, in level 5.1 (H.264 table A-1): 4,096 x 2,304 pixels."""
MIN_STEP_TICKS, MAX_STEP_TICKS = 90, 900_000
_SLICES, _IDR, _SEI, _SPS, _PPS = (1, 5), 5, 6, 7, 8
"""NAL unit types (H.264 table 7-1)."""

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
    audio: bool = False
    masks: Sequence[RelativePoints] = ()
    blurs: Sequence[RelativePoints] = field(default=())


def cut(source: Path, target: Path, wanted: Wanted, tell: Tell) -> str:
    """Write what was offered of a clip to `target`; return the SHA-256 of its pictures and sound as they were
    encoded. Raises NotAllowed, OSError, av.error.FFmpegError.
    """
    with av.open(str(source)) as file, target.open("xb") as out:  # egress: local
        video: Any = file.streams.video[0]
        coded = pictures(
            [(packet.pts, packet.duration or 0, packet.is_keyframe) for packet in _timed(file, video)],
            video.time_base,
        )
        indices = inside(coded, wanted.first_us, wanted.last_us)
        if len(indices) != wanted.frames or not indices:
            raise NotAllowed(f"it holds {len(indices)} pictures where {wanted.frames} were offered")
        step_ticks = (wanted.last_us - wanted.first_us) * VIDEO_TICKS // _US // len(indices)
        step_ticks = max(MIN_STEP_TICKS, min(MAX_STEP_TICKS, step_ticks))
        writer = Mp4Writer(out)
        encoder = _Encoder(video.codec_context.width & ~1, video.codec_context.height & ~1, writer)
        cover, done = _cover(wanted), 0
        shown = {coded[index].pts_ticks for index in indices}
        file.seek(0)
        for frame in _decoded(file, video, coded, indices):
            if frame.pts not in shown:
                continue
            shown.remove(frame.pts)
            encoder.add(frame, cover)
            done += 1
            tell(done / len(indices))
        encoder.finish()
        if shown:
            raise NotAllowed(f"{len(shown)} of its {wanted.frames} pictures cannot be decoded")
        if wanted.audio and file.streams.audio:
            file.seek(0)
            begin_s = min(coded[index].pts_ticks for index in indices) * video.time_base
            samples = len(indices) * step_ticks * RATE_HZ // VIDEO_TICKS
            for heard in pcm(file, Fraction(begin_s), samples):
                writer.add_sound(heard)
        return writer.close(
            shape_px=encoder.shape_px, sets=encoder.sets, step_ticks=step_ticks, rate_hz=RATE_HZ
        )


class _Encoder:
    """Encodes pictures of one size, and hands the coded slices to the writer.

    The picture is extended with black to whole macroblocks, which are all shown: cropping would hide up to 15 rows
    and columns of coded picture.
    """

    def __init__(self, width_px: int, height_px: int, writer: Mp4Writer) -> None:
        self._width_px, self._height_px = width_px, height_px
        self.shape_px = _whole(width_px), _whole(height_px)
        if self.shape_px[0] * self.shape_px[1] > MAX_MACROBLOCKS * MACROBLOCK_PX**2:
            raise NotAllowed(f"a picture of {width_px} x {height_px} pixels is too large to be sent")
        self._writer = writer
        self._context: Any = av.CodecContext.create("libx264", "w")
        configure_release(self._context, *self.shape_px)
        self._sets: dict[int, bytes] = {}
        self._count = 0
        width, height = self.shape_px
        self._planes = np.full((height * 3 // 2, width), _NO_COLOUR, np.uint8)
        self._planes[:height] = _BLACK

    @property
    def sets(self) -> tuple[bytes, bytes]:
        """The parameter sets: SPS and PPS. There is at least one picture by then."""
        return self._sets[_SPS], self._sets[_PPS]

    def add(self, frame: Any, cover: Cover) -> None:
        """Encode an av.VideoFrame, covered."""
        width, height = self._width_px, self._height_px
        planes = frame.reformat(width, height, "yuv420p").to_ndarray()
        cover(planes)
        rows = self.shape_px[1]
        self._planes[:height, :width] = planes[:height]
        chroma = self._planes[rows:].reshape(2, rows // 2, self.shape_px[0] // 2)
        chroma[:, : height // 2, : width // 2] = planes[height:].reshape(2, height // 2, width // 2)
        picture: Any = av.VideoFrame.from_ndarray(self._planes, format="yuv420p")
        picture.pts, picture.time_base = self._count, Fraction(1, VIDEO_TICKS)
        self._count += 1
        self._take(self._context.encode(picture))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self._take(self._context.encode(None))

    def _take(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            for unit in _units(bytes(packet)):
                kind = unit[0] & 31
                if kind in _SLICES:
                    self._writer.add_picture(unit, key=kind == _IDR)
                elif kind in (_SPS, _PPS):
                    if self._sets.setdefault(kind, unit) != unit:
                        raise NotAllowed("the encoder changed its parameter sets")
                elif kind != _SEI:  # the encoder's name and settings, which stay here
                    raise NotAllowed(f"the encoder made a NAL unit of type {kind}")


def _whole(length_px: int) -> int:
    """Return a length that is extended to whole macroblocks."""
    return -(-length_px // MACROBLOCK_PX) * MACROBLOCK_PX


def _units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a byte stream: between start codes (H.264 annex B)."""
    for part in data.split(b"\0\0\1")[1:]:
        yield part.rstrip(b"\0")


def _decoded(file: Any, video: Any, coded: Sequence[Picture], indices: Sequence[int]) -> Iterator[Any]:
    """Yield pictures from the last keyframe in front of the first that is wanted, to the last one."""
    first_pts = min(coded[index].pts_ticks for index in indices)
    keys = (index for index, picture in enumerate(coded) if picture.is_key and picture.pts_ticks <= first_pts)
    begin = max(keys, default=0)
    decoder: Any = av.CodecContext.create(video.codec_context.name, "r")
    decoder.extradata = video.codec_context.extradata
    decoder.thread_count = 1
    for index, packet in enumerate(_timed(file, video)):
        if index >= begin:
            yield from decoder.decode(packet)
        if index > max(indices) + _REORDER:
            return
    yield from decoder.decode(None)


_REORDER = 32
"""A decoder hands on a picture at most so many packets late (H.264 allows 16)."""


def _cover(wanted: Wanted) -> Cover:
    if not wanted.masks and not wanted.blurs:
        return lambda _planes: None
    import cv2  # here: a small board has little memory, and a cut without masks and blur does not need it

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
