"""Decoding where it is unavoidable: as cheap as possible, measured, and not stopped by a damaged picture."""

import time
from fractions import Fraction
from typing import Any

import av

from device.camera.luma import luma_of
from device.events import CameraSink, LumaFrame
from device.media.ffmpeg_input import FAILURES
from device.motion.frame_sampler import FrameSampler

MOTION_DECODER = {"skip_loop_filter": "all"}
"""The loop filter makes no difference for motion."""
MEASURE_FRAMES = 150
_US = Fraction(1, 1_000_000)


class Cost:
    """Measures the time of a step and reports it once."""

    def __init__(self, what: str, sink: CameraSink) -> None:
        self._what = what
        self._sink = sink
        self._frames = 0
        self._spent_s = 0.0
        self._from_s = 0.0

    def __enter__(self) -> None:
        self._from_s = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._spent_s += time.thread_time() - self._from_s
        self._frames += 1
        if self._frames == MEASURE_FRAMES:
            self._sink.note(f"{self._what}: {self._spent_s / self._frames * 1e3:.1f} ms a frame")


class MotionDecoder:
    """Decodes the main stream for motion if there is no substream. Recording has priority."""

    def __init__(self, video: Any, sink: CameraSink) -> None:
        context: Any = av.CodecContext.create(video.codec_context.name, "r")
        context.thread_count = 1
        context.options = MOTION_DECODER
        self._context = context
        self._sink = sink
        self._skipping = True
        self._pace = FrameSampler()
        self._cost = Cost("motion decodes the main stream (camera.stream.substream_url would save it)", sink)

    def look(self, packet: Any, pts_us: int, *, behind: bool) -> None:
        """Take one packet; hand its picture to motion if one is due. `behind`: wait for a keyframe."""
        self._skipping = (self._skipping and not packet.is_keyframe) or behind
        if self._skipping:
            return
        copy = av.Packet(packet)
        copy.pts = copy.dts = pts_us
        copy.time_base = _US
        with self._cost:
            try:
                frames = self._context.decode(copy)
            except FAILURES:
                self._skipping = True  # a damaged picture: go on at the next keyframe
                return
            for frame in frames:
                if frame.pts is not None and self._pace.takes(frame.pts):
                    self._sink.luma(LumaFrame(mono_us=frame.pts, luma=luma_of(frame)))
