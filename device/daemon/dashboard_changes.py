"""Settings of the configuration that a dashboard may change over MQTT.

A change is written to the disk, so it is applied on a thread of its own, as if it had been made on the page.
"""

import queue
from collections.abc import Callable, Mapping

from device.errors import CommandError
from device.events import Inbox, InputRefused
from device.system.clock import Clock
from device.system.worker import Worker

STEP_S = 0.5
MAX_WAITING = 16

Change = Callable[[Mapping[str, float]], object]
"""Changes settings (dotted key → value), all or none. Raises CommandError."""


class DashboardChanges:
    """Only `put` may be called by other threads than the one of `run`."""

    def __init__(self, *, inbox: Inbox, clock: Clock) -> None:
        self._inbox = inbox
        self._clock = clock
        self._waiting: queue.Queue[tuple[str, str, float]] = queue.Queue(MAX_WAITING)

    def put(self, name: str, key: str, value: float) -> None:
        """Change `key`; `name` is how the dashboard calls it."""
        try:
            self._waiting.put_nowait((name, key, value))
        except queue.Full:
            self._refuse(name, "too many changes at once")

    def run(self, worker: Worker, change: Change) -> None:
        """Apply changes until stopped."""
        while not worker.stopping.is_set():
            worker.beat()
            try:
                name, key, value = self._waiting.get(timeout=STEP_S)
            except queue.Empty:
                continue
            try:
                change({key: value})
            except CommandError as error:
                self._refuse(name, str(error))

    def _refuse(self, name: str, reason: str) -> None:
        self._inbox(InputRefused(mono_us=self._clock.mono_us(), where=name, reason=reason))
