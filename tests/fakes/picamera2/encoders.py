"""A FAKE: see the package's own words. The packets are real H.264 all the same."""

import queue
import threading
from fractions import Fraction
from typing import Any

import av
import numpy as np

from .outputs import Output


class H264Encoder:
    def __init__(self, bitrate: int, repeat: bool, iperiod: int, framerate: float) -> None:
        assert repeat
        assert bitrate > 0
        self.firsttimestamp: int | None = None
        self._gop = iperiod
        self._todo: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._fps = framerate

    def open(self, size: tuple[int, int], output: Output) -> None:
        context: Any = av.CodecContext.create("libx264", "w")
        context.width, context.height = size
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 1_000_000)
        context.framerate, context.gop_size = Fraction(self._fps).limit_denominator(100), self._gop
        context.options = {"preset": "ultrafast", "tune": "zerolatency"}
        threading.Thread(target=self._work, args=(context, size, output), daemon=True).start()

    def encode(self, number: int, stamp_us: int) -> None:
        if self.firsttimestamp is None:
            self.firsttimestamp = stamp_us
        self._todo.put((number, stamp_us - self.firsttimestamp))

    def _work(self, context: Any, size: tuple[int, int], output: Output) -> None:
        while True:
            number, pts = self._todo.get()
            grey = np.full((size[1] * 3 // 2, size[0]), number % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
            frame.pts = pts
            for packet in context.encode(frame):
                output.outputframe(bytes(packet), packet.is_keyframe, packet.pts)
