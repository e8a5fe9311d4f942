"""The camera thread: opens the camera again when it fails, and reports its state."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from device.camera.factory import open_here
from device.camera.interface import Camera
from device.config import CameraConfig
from device.errors import CameraError
from device.events import CameraReport, CameraSink, CameraState, Inbox, LumaFrame, Packet, SoundPacket
from device.media.masks import Masks
from device.system.clock import Clock
from device.system.worker import Worker

FIRST_DELAY_S, MAX_DELAY_S = 1.0, 30.0
REPORT_EVERY_US = 1_000_000
STEADY_US = 10_000_000
"""After running this long the delay before the next opening starts at 1 s again."""
FPS_OVER = 75
"""Frames over which the frame rate is measured."""


def open_camera(
    config: CameraConfig, *, clock: Clock, masks: Masks, press: Callable[[int], None] | None = None
) -> Camera:
    """Return the camera of the configured kind; `press` is called when the simulated visitor presses.

    The Pi's own camera runs in a process of its own, since its drivers may hang.
    """
    if config.kind == "pi":
        from device.camera.capture_process import ChildCamera  # loaded only if it is used

        return ChildCamera(config, clock=clock)
    return open_here(config, clock=clock, masks=masks, press=press)


class OpeningSink(CameraSink, Protocol):
    """Takes what one opening of the camera delivers, until privacy begins."""

    @property
    def closed(self) -> bool:
        """Whether privacy has begun since: nothing more is taken, also when it has ended again."""


class _Counting:
    """Forwards everything, with small pictures masked, and reports about once a second."""

    def __init__(self, sink: CameraSink, kind: str, inbox: Inbox, clock: Clock, masks: Masks) -> None:
        self._sink = sink
        self._masks = masks
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

    def sound(self, packet: SoundPacket) -> None:
        self._sink.sound(packet)  # not counted: sound alone does not make a camera live

    def luma(self, frame: LumaFrame) -> None:
        self._masks.burn(frame.luma)  # the small pictures of every camera pass here
        self._sink.luma(frame)

    def note(self, text: str) -> None:
        self._sink.note(text)


class _EitherStop(threading.Event):
    """Set when the worker stops or privacy has begun."""

    def __init__(self, worker: Worker, sink: OpeningSink) -> None:
        super().__init__()
        self._worker = worker
        self._sink = sink

    def is_set(self) -> bool:
        return self._worker.stopping.is_set() or self._sink.closed

    def wait(self, timeout: float | None = None) -> bool:
        return self._worker.stopping.wait(timeout) or self.is_set()


def capture(
    worker: Worker,
    *,
    camera: Camera,
    make_sink: Callable[[], OpeningSink],
    inbox: Inbox,
    clock: Clock,
    masks: Masks,
) -> None:
    """Keep the camera running: on CameraError wait 1, 2, 4 … 30 s and open it again.

    `make_sink` is called for each opening. While it returns closed ones (privacy), the camera stays closed; when
    privacy begins, the camera is closed, however short privacy is: what it has coded by then goes nowhere.
    """
    delay_s = FIRST_DELAY_S

    def report(state: CameraState, error: CameraError | None = None) -> None:
        inbox(
            CameraReport(
                mono_us=clock.mono_us(),
                kind=camera.kind,
                state=state,
                text=str(error or ""),
                reason=error.reason if error else "",
                params=error.params if error else {},
            )
        )

    while not worker.stopping.is_set():
        worker.beat()
        sink = make_sink()
        if sink.closed:
            report("private")
            while make_sink().closed and not worker.stopping.wait(0.5):
                worker.beat()
            continue
        stop = _EitherStop(worker, sink)
        report("opening")
        opened_us = clock.mono_us()
        counting = _Counting(sink, camera.kind, inbox, clock, masks)
        try:
            camera.run(counting, stop, worker.beat)
        except CameraError as error:
            report("down", error)
            if counting.seen and clock.mono_us() - opened_us > STEADY_US:
                delay_s = FIRST_DELAY_S
            until_us = clock.mono_us() + int(delay_s * 1e6)
            while clock.mono_us() < until_us and not stop.wait(0.25):
                worker.beat()
            delay_s = min(delay_s * 2, MAX_DELAY_S)
