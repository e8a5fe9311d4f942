"""A camera that FFmpeg can open: RTSP, HTTP, a V4L2 device, or a file played in real time.

H.264 and H.265 are copied and never decoded for recording; other codecs are decoded and encoded once, and a note
reports the cost. Motion uses the substream if one is configured, otherwise the decoded main stream.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal, cast

import av

from device.camera.audio import AudioStream, sound_of
from device.camera.decoder import MOTION_DECODER, Cost, MotionDecoder
from device.camera.interface import next_epoch
from device.camera.luma import luma_of
from device.config import StreamCameraConfig
from device.errors import CameraError
from device.events import CameraSink, LumaFrame, Packet, VideoFormat
from device.media.annex_b import AnnexB, parameter_sets
from device.media.decoder import decoded
from device.media.encoder import SoftwareEncoder
from device.media.ffmpeg_input import FAILURES, Microseconds, camera_error, failure, is_file, open_source
from device.media.masks import Masks
from device.motion.frame_sampler import FrameSampler
from device.policy.timeline import Timeline
from device.system.clock import Clock
from device.system.worker import name_this_thread

log = logging.getLogger(__name__)

BEHIND_US = 700_000
"""If decoding for motion is this late, it waits for the next keyframe: recording has priority."""
MAX_SLEEP_US = 250_000
JUMPED_US = 5_000_000
"""A file's picture that is due this far ahead is not waited for: the file's time has jumped."""
FEWEST_PICTURES = 2
MIN_PX = 16
NO_KEYFRAME_US = 20_000_000
"""Without one nothing can be recorded."""
AHEAD_US = 1_000_000
"""Sound this far ahead of a file's last picture is dropped: it would overlap the next loop."""


class _PlaybackClock:
    """Delays a file's packets until their time."""

    def __init__(self, clock: Clock, stop: threading.Event, beat: Callable[[], None]) -> None:
        self._clock = clock
        self._stop = stop
        self._beat = beat
        self._zero_us: int | None = None

    def wait(self, source_us: int) -> None:
        now_us = self._clock.mono_us()
        if self._zero_us is None or abs(self._zero_us + source_us - now_us) > JUMPED_US:
            self._zero_us = now_us - source_us
        due_us = self._zero_us + source_us
        while (left_us := due_us - self._clock.mono_us()) > 0 and not self._stop.is_set():
            self._beat()
            time.sleep(min(left_us, MAX_SLEEP_US) / 1e6)  # cheaper than waiting for the event


def _changed(form: VideoFormat, keyframe: Any) -> VideoFormat:
    """Return the format that begins with a keyframe; its size is found by decoding that picture."""
    context: Any = av.CodecContext.create(form.codec, "r")
    try:
        pictures = [*context.decode(av.Packet(keyframe)), *context.decode(None)]
    except FAILURES:
        pictures = []
    size = (pictures[0].width, pictures[0].height) if pictures else (form.width_px, form.height_px)
    return replace(form, width_px=size[0], height_px=size[1], epoch=next_epoch())


class StreamCamera:
    """A camera at a URL, perhaps with a second URL of a smaller stream for motion."""

    kind = "stream"

    def __init__(self, config: StreamCameraConfig, *, clock: Clock, masks: Masks) -> None:
        self._config = config
        self._masks = masks
        self._clock = clock

    def run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Deliver until stopped. Raises CameraError when the source ends, fails or falls silent."""
        try:
            self._run(sink, stop, beat)
        except av.error.FFmpegError as error:  # a filter or an encoder that cannot begin with this source
            url = self._config.url
            raise failure(error, url) from error

    def _run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        config = self._config
        with closing(
            open_source(config.url, timeout_s=config.timeout_s, fps=config.fps, audio=config.audio)
        ) as source:
            video = source.streams.video[0]
            width_px, height_px = video.codec_context.width, video.codec_context.height
            if min(width_px, height_px) < MIN_PX:
                text = f"its pictures have {width_px} x {height_px} pixels, too few"
                raise camera_error(config.url, "too_small", text, width=width_px, height=height_px)
            codec = video.codec_context.name
            if codec not in ("h264", "hevc"):
                self._transcode(source, video, sink, stop, beat)
                return
            done = threading.Event()
            side = None
            if config.substream_url:
                side = threading.Thread(
                    target=self._look_at_substream, args=(sink, done), name="substream", daemon=True
                )
                side.start()
            try:
                decode = None if side else MotionDecoder(video, sink)
                self._copy(source, video, decode, sink, stop, beat)
            finally:
                done.set()
                if side:
                    side.join(0.5)  # a stalled substream ends at its own time-out

    # --- packets ----------------------------------------------------------------------------------

    def _sound(self, source: Any, timeline: Timeline, sink: CameraSink) -> AudioStream | None:
        return sound_of(source, timeline=timeline, sink=sink) if self._config.audio else None

    def _packets(
        self,
        source: Any,
        video: Any,
        url: str,
        stop: threading.Event,
        beat: Callable[[], None],
        sound: AudioStream | None = None,
    ) -> Iterator[tuple[Any, int]]:
        """Yield (packet, arrival in monotonic microseconds) of each picture.

        A file is paced, and looped if so configured; its times go on growing then. `sound` gets its packets in
        between. The times of a stream without a clock of its own are removed (MJPEG over HTTP, for which FFmpeg
        assumes 25 pictures a second).
        """
        in_us = Microseconds(video.time_base)
        streams = [video, sound.stream] if sound else [video]
        # A source with a length is a file, also over HTTP: it arrives as fast as the network allows.
        pace = _PlaybackClock(self._clock, stop, beat) if is_file(url) or source.duration else None
        clockless = pace is None and source.format.name in ("mpjpeg", "mjpeg")
        turn = end = 0  # in the file's own time base
        first: int | None = None
        seen_us = self._clock.mono_us()
        while True:
            pictures = 0
            try:
                for packet in source.demux(streams):
                    if packet.size == 0 or packet.is_corrupt:
                        continue
                    if sound and packet.stream_index != video.index:
                        heard_us = self._clock.mono_us()
                        if stop.is_set():
                            return
                        if heard_us - seen_us > self._config.timeout_s * 1e6:
                            what = "sound comes, but no picture; switch it off and on"
                            raise camera_error(url, "only_sound", what)
                        source_us = sound.time_us(packet)
                        if pace and source_us is not None:
                            source_us += in_us(turn) or 0
                            if source_us > (in_us(end) or 0) + AHEAD_US:
                                continue
                        sound.take(packet, source_us, heard_us)
                        continue
                    pictures += 1
                    if clockless:
                        packet.pts = packet.dts = None
                    if pace and packet.dts is not None:
                        first = packet.dts if first is None else first
                        packet.dts += turn
                        packet.pts = packet.dts if packet.pts is None else packet.pts + turn
                        end = max(end, packet.dts + (packet.duration or 0))
                        pace.wait(in_us(packet.dts) or 0)
                    if stop.is_set():
                        return
                    seen_us = self._clock.mono_us()
                    yield packet, seen_us
                if not (pace and self._config.loop):
                    raise camera_error(url, "ended", "the stream ended")
                if pictures < FEWEST_PICTURES:
                    raise camera_error(url, "no_video", f"holds {pictures} picture, no video")
                source.seek(0)
                turn = end - (first or 0)  # with B-frames the first decoding time is below 0
            except FAILURES as error:
                raise failure(error, url) from error

    def _copy(
        self,
        source: Any,
        video: Any,
        decoder: MotionDecoder | None,
        sink: CameraSink,
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        codec = cast("Literal['h264', 'hevc']", video.codec_context.name)
        context = video.codec_context
        annex_b, sets = AnnexB(codec, video), b""
        timeline, in_us = Timeline(), Microseconds(video.time_base)
        sound = self._sound(source, timeline, sink)
        form = VideoFormat(
            codec=codec,
            width_px=context.width,
            height_px=context.height,
            epoch=next_epoch(),
            sound=sound.format if sound else None,
        )
        usual_us = int(1e6 / float(video.average_rate or self._config.fps))
        started, opened_us = False, self._clock.mono_us()
        packets = self._packets(source, video, self._config.url, stop, beat, sound)
        for raw, arrived_us in packets:
            beat()
            for packet in annex_b.filter(raw):
                started = started or packet.is_keyframe
                if not started:
                    if arrived_us - opened_us > NO_KEYFRAME_US:
                        seconds = NO_KEYFRAME_US // 1_000_000
                        text = f"no keyframe in {seconds} s; set its keyframe interval (GOP) to 1 to 4 s"
                        raise camera_error(self._config.url, "no_keyframe", text, seconds=seconds)
                    continue
                if packet.is_keyframe:
                    new_sets = parameter_sets(bytes(packet), codec)
                    if sets and new_sets and new_sets != sets:
                        form = _changed(form, packet)  # a clip holds one format: a new one begins here
                    sets = new_sets or sets
                    if sound and sound.format != form.sound:
                        form = replace(form, sound=sound.format, epoch=next_epoch())
                pts_us, dts_us = timeline.place(
                    pts_us=in_us(packet.pts),
                    dts_us=in_us(packet.dts),
                    arrived_us=arrived_us,
                )
                sink.packet(
                    Packet(
                        data=packet,
                        size_bytes=packet.size,
                        pts_us=pts_us,
                        dts_us=dts_us,
                        duration_us=in_us(packet.duration) or usual_us,
                        is_keyframe=packet.is_keyframe,
                        format=form,
                    )
                )
                if decoder:
                    decoder.look(packet, pts_us, behind=timeline.lag_us > BEHIND_US)

    def _transcode(
        self,
        source: Any,
        video: Any,
        sink: CameraSink,
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        config, context = self._config, video.codec_context
        timeline, in_us, luma_pace = Timeline(), Microseconds(video.time_base), FrameSampler()
        sound = self._sound(source, timeline, sink)
        form = VideoFormat(
            codec="h264",
            width_px=context.width & ~1,
            height_px=context.height & ~1,
            epoch=next_epoch(),
            sound=sound.format if sound else None,
            masked=True,
        )
        fps = float(video.average_rate or config.fps)
        encoder = SoftwareEncoder(
            form,
            fps=fps,
            bitrate_kbps=config.bitrate_kbps,
            keyframe_every_s=config.keyframe_every_s,
            masks=self._masks,
        )
        cost = Cost(f"{context.name} is decoded and encoded again", sink)
        for raw, arrived_us in self._packets(source, video, config.url, stop, beat, sound):
            beat()
            pts_us, _ = timeline.place(pts_us=in_us(raw.pts), dts_us=in_us(raw.dts), arrived_us=arrived_us)
            with cost:
                for frame in decoded(video.codec_context, raw):
                    small = frame.reformat(form.width_px, form.height_px, "yuv420p")
                    for packet in encoder.encode(small, pts_us):
                        sink.packet(packet)
                    if luma_pace.takes(pts_us):
                        sink.luma(LumaFrame(mono_us=pts_us, luma=luma_of(small)))

    def _look_at_substream(self, sink: CameraSink, done: threading.Event) -> None:
        """Decode the small stream for motion; its failures never affect the recording."""
        name_this_thread("substream")
        url, config = self._config.substream_url, self._config
        delay_s = 1.0
        while not done.is_set():
            try:
                with closing(open_source(url, timeout_s=config.timeout_s, fps=config.fps)) as source:
                    video = source.streams.video[0]
                    video.codec_context.thread_count = 1
                    video.codec_context.options = MOTION_DECODER
                    timeline, in_us, luma_pace = Timeline(), Microseconds(video.time_base), FrameSampler()
                    packets = self._packets(source, video, url, done, lambda: None)
                    for raw, arrived_us in packets:
                        pts_us, _ = timeline.place(
                            pts_us=in_us(raw.pts),
                            dts_us=in_us(raw.dts),
                            arrived_us=arrived_us,
                        )
                        for frame in decoded(video.codec_context, raw):
                            if luma_pace.takes(pts_us):
                                sink.luma(LumaFrame(mono_us=pts_us, luma=luma_of(frame)))
                        delay_s = 1.0
            except (CameraError, *FAILURES) as error:
                sink.note(f"substream: {error}; again in {delay_s:.0f} s")
                done.wait(delay_s)
                delay_s = min(delay_s * 2, 30.0)
