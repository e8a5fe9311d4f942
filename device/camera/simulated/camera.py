"""The drawn porch as a camera: real H.264 packets, so that all other code works as with a real camera."""

import threading
from collections.abc import Callable

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from device.camera.interface import next_epoch
from device.camera.luma import shrink
from device.camera.simulated.porch import Porch
from device.config import SceneCameraConfig
from device.events import CameraSink, LumaFrame, VideoFormat
from device.media.encoder import SoftwareEncoder
from device.media.masks import Masks
from device.motion.frame_sampler import FrameSampler
from device.system.clock import Clock, wall_at_us

TIME_CODE_BITS = 32


class SceneCamera:
    """Draws in real time; its visitor can press the simulated button."""

    kind = "scene"

    def __init__(
        self,
        config: SceneCameraConfig,
        *,
        clock: Clock,
        masks: Masks,
        press: Callable[[int], None] | None,
    ) -> None:
        self._masks = masks
        self._config = config
        self._clock = clock
        self._press = press if config.visitor_presses else None
        self._porch: Porch | None = None

    def run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Draw, encode and deliver until stopped."""
        config = self._config
        if self._porch is None:
            self._porch = Porch(
                width_px=config.width_px,
                height_px=config.height_px,
                light=config.light,
                visit_every_s=config.visit_every_s,
                first_visit_s=config.first_visit_s,
                visitors=config.visitors,
            )
        video = VideoFormat(
            codec="h264",
            width_px=config.width_px,
            height_px=config.height_px,
            epoch=next_epoch(),
            masked=True,
        )
        encoder = SoftwareEncoder(
            video,
            fps=config.fps,
            bitrate_kbps=config.bitrate_kbps,
            keyframe_every_s=config.keyframe_every_s,
            masks=self._masks,
        )
        start_us, step_us = self._clock.mono_us(), int(1e6 / config.fps)
        before_s, due_us, pace = 0.0, start_us, FrameSampler()
        while not stop.is_set():
            beat()
            picture = self._porch.draw((due_us - start_us) / 1e6)
            if config.time_code:
                draw_time_code(picture, wall_at_us(self._clock, due_us) // 1000)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
            for packet in encoder.encode(frame, due_us):
                sink.packet(packet)
            if pace.takes(due_us):
                grey = shrink(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))  # type: ignore[arg-type]
                sink.luma(LumaFrame(mono_us=due_us, luma=grey))
            now_s = (due_us - start_us) / 1e6
            if self._press and self._porch.press_due(before_s, now_s):
                self._press(due_us)
            before_s = now_s
            late_us = self._clock.mono_us() - due_us
            # A machine too slow to draw in time leaves frames out instead of falling behind.
            due_us += step_us * max(1, late_us // step_us)
            stop.wait(max(0.0, (due_us - self._clock.mono_us()) / 1e6))


def draw_time_code(picture: NDArray[np.uint8], wall_ms: int) -> None:
    """Draw a moment into the foot of a picture (H x W x 3) as fields, white for 1, the highest bit first."""
    height_px, width_px = picture.shape[:2]
    for bit in range(TIME_CODE_BITS):
        left, right = (width_px * column // TIME_CODE_BITS for column in (bit, bit + 1))
        picture[height_px * 15 // 16 :, left:right] = 255 * (wall_ms >> (TIME_CODE_BITS - 1 - bit) & 1)
