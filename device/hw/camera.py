"""What a camera is, which kinds there are, and the thread that keeps one alive."""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from device.clock import Clock
from device.config import CameraConfig
from device.errors import CameraError
from device.events import CameraReport, CameraSink, CameraState, Inbox, LumaFrame, Packet
from device.worker import Worker

log = logging.getLogger(__name__)

LONGEST_DELAY_S = 30.0
REPORT_EVERY_US = 1_000_000
STEADY_FRAMES = 150
"""A camera that gave so many is not blamed for the failures before: the delay starts at 1 s again."""
FPS_OVER = 75
"""Frames over which the frame rate is measured."""

_epochs = itertools.count(1)


def next_epoch() -> int:
    """Number an opening of a camera: packets of two openings never share a clip."""
    return next(_epochs)


class Camera(Protocol):
    """A source of encoded packets and small grey pictures."""

    kind: str

    def run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Deliver to `sink` until `stop` is set. Raises CameraError when the world fails."""


def open_camera(config: CameraConfig, *, clock: Clock, press: Callable[[int], None] | None = None) -> Camera:
    """Return the camera of the configured kind; `press` is told when the drawn visitor presses.

    The Pi's own camera runs in a process of its own, since its drivers may hang.
    """
    if config.kind == "pi":
        from device.hw.capture_child import ChildCamera  # only what is used

        return ChildCamera(config, clock=clock)
    return open_here(config, clock=clock, press=press)


def open_here(config: CameraConfig, *, clock: Clock, press: Callable[[int], None] | None) -> Camera:
    """Return the camera of the configured kind, to run in this very process."""
    match config.kind:
        case "scene":
            from device.hw.scene_camera import SceneCamera

            return SceneCamera(config.scene, clock=clock, press=press)
        case "stream":
            from device.hw.stream_camera import StreamCamera

            return StreamCamera(config.stream, clock=clock)
        case "pi":
            from device.hw.pi_camera import PiCamera

            return PiCamera(config.pi)


class _Counting:
    """Passes everything on and reports about once a second."""

    def __init__(self, sink: CameraSink, kind: str, inbox: Inbox, clock: Clock) -> None:
        self._sink = sink
        self._kind = kind
        self._inbox = inbox
        self._clock = clock
        self._arrivals: deque[int] = deque(maxlen=FPS_OVER)
        self._reported_us = 0
        self.seen = 0

    def packet(self, packet: Packet) -> None:
        now_us = self._clock.mono_us()
        self._sink.packet(packet)
        self.seen += 1
        self._arrivals.append(now_us)
        if now_us - self._reported_us >= REPORT_EVERY_US:
            self._reported_us = now_us
            span_us = self._arrivals[-1] - self._arrivals[0]
            fps = (len(self._arrivals) - 1) * 1e6 / span_us if span_us else 0.0
            self._inbox(
                CameraReport(mono_us=now_us, kind=self._kind, state="live", fps=fps, last_frame_us=now_us)
            )

    def luma(self, frame: LumaFrame) -> None:
        self._sink.luma(frame)

    def note(self, text: str) -> None:
        self._sink.note(text)


class _EitherStop(threading.Event):
    """Set when the worker stops or the owner wants privacy."""

    def __init__(self, worker: Worker, privacy: Callable[[], bool]) -> None:
        super().__init__()
        self._worker = worker
        self._privacy = privacy

    def is_set(self) -> bool:
        return self._worker.stopping.is_set() or self._privacy()

    def wait(self, timeout: float | None = None) -> bool:
        return self._worker.stopping.wait(timeout) or self.is_set()


def capture(
    worker: Worker,
    *,
    camera: Camera,
    sink: CameraSink,
    inbox: Inbox,
    clock: Clock,
    privacy: Callable[[], bool],
) -> None:
    """Keep the camera running: on CameraError wait 1, 2, 4 … 30 s and open it again."""
    stop = _EitherStop(worker, privacy)
    delay_s = 1.0

    def report(state: CameraState, text: str = "") -> None:
        inbox(CameraReport(mono_us=clock.mono_us(), kind=camera.kind, state=state, text=text))

    while not worker.stopping.is_set():
        worker.beat()
        if privacy():
            report("private")
            while privacy() and not worker.stopping.wait(0.5):
                worker.beat()
            continue
        report("opening")
        counting = _Counting(sink, camera.kind, inbox, clock)
        try:
            camera.run(counting, stop, worker.beat)
        except CameraError as error:
            report("down", str(error))
            until_us = clock.mono_us() + int(delay_s * 1e6)
            while clock.mono_us() < until_us and not stop.wait(0.25):
                worker.beat()
            delay_s = 1.0 if counting.seen > STEADY_FRAMES else min(delay_s * 2, LONGEST_DELAY_S)
