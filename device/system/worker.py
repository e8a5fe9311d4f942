"""A named thread with a stop event and a heartbeat.

Threads are not restarted: an exception that reaches the top of one is a bug. It is reported to the controller and
ends the process, and the service manager starts it again.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from device.events import Inbox, WorkerDied

log = logging.getLogger(__name__)


def name_this_thread(name: str) -> None:
    """Let `top -H` show the running thread by this name; Python does it by itself from 3.14 on."""
    with suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name[:15])


class Worker:
    """Run `work(worker)` in a thread until it returns or `stopping` is set.

    `work` calls `beat()` at least every `patience_s` seconds, also while it waits.
    """

    def __init__(
        self, name: str, work: Callable[["Worker"], None], *, inbox: Inbox, patience_s: float
    ) -> None:
        self.name = name
        self.patience_s = patience_s
        self.stopping = threading.Event()
        self._work = work
        self._inbox = inbox
        self._last_beat_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """Report that the thread is alive."""
        self._last_beat_s = time.monotonic()

    def silent_s(self) -> float:
        """Return the seconds since the last beat."""
        return time.monotonic() - self._last_beat_s

    def is_healthy(self) -> bool:
        """Return whether the thread is alive and its last beat is recent enough."""
        return self._thread.is_alive() and self.silent_s() <= self.patience_s

    def stop(self, timeout_s: float) -> bool:
        """Ask the thread to end and wait; return whether it did."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("worker_slow_to_stop name=%s waited_s=%.1f", self.name, timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        name_this_thread(self.name)
        try:
            self._work(self)
        except BaseException as error:  # reported to the controller, which ends the process
            log.critical("worker_died name=%s error=%r", self.name, error, exc_info=error)
            self._inbox(WorkerDied(name=self.name, error=error))
