"""The main thread: hands each fact of the inbox to the controller, feeds the watchdog, ends the daemon in order."""

import logging
import queue

from device.daemon.controller import Controller
from device.events import Fact, Flushed, StopAsked, WorkerDied
from device.system.clock import Clock
from device.system.sd_notify import Notifier
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 0.25
WATCHDOG_EVERY_US = 2_000_000
FLUSH_US = 1_200_000
"""An orderly stop takes 3 s at most; this much of it is for the last clip."""


class MainLoop:
    """Waits for nothing but the inbox. `workers` are the threads that have to be healthy."""

    def __init__(
        self, controller: Controller, *, inbox: "queue.SimpleQueue[Fact]", clock: Clock, notifier: Notifier
    ) -> None:
        self.workers: list[Worker] = []
        self._controller = controller
        self._inbox = inbox
        self._clock = clock
        self._notifier = notifier
        self._fed_us = 0
        self._stop_by_us: int | None = None
        self._flushed = False

    def run(self) -> int:
        """Serve the inbox; return the exit status: 0 after StopAsked, 1 after WorkerDied."""
        while True:
            try:
                fact: Fact | None = self._inbox.get(timeout=STEP_S)
            except queue.Empty:
                fact = None
            match fact:
                case None:
                    pass
                case StopAsked():
                    log.info("stopping signal=%s", fact.signal_name)
                    self._stop_by_us = self._clock.mono_us() + FLUSH_US
                    self._controller.stop()
                case Flushed():
                    self._flushed = True
                case WorkerDied():
                    return 1
                case _:
                    self._controller.take(fact)
            if self._stop_by_us is not None and (self._flushed or self._clock.mono_us() > self._stop_by_us):
                self._controller.stopped()
                return 0
            self._feed_watchdog()
            self._controller.tick()

    def _feed_watchdog(self) -> None:
        now_us = self._clock.mono_us()
        if now_us - self._fed_us < WATCHDOG_EVERY_US:
            return
        self._fed_us = now_us
        hung = [worker.name for worker in self.workers if not worker.is_healthy()]
        if hung:
            log.error("watchdog_not_fed silent=%s", ",".join(hung))
        else:
            self._notifier.watchdog()
