"""Writes received messages to the spool: many in one bundle, so that a flood costs a few syncs a second.

The receiving threads never wait for it. Messages that do not fit are dropped and counted, the newest first; a
message that was received a moment ago is not written again.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from device.spool.folders import MAX_BUNDLE_BYTES, Item, SpoolWriter, bundle, size_in_bundle

log = logging.getLogger(__name__)

EVERY_S = 0.1
"""Maximum time that a message waits for its bundle, if the disk is fast."""
MAX_WAITING_BYTES = 8_388_608
MAX_REMEMBERED = 20_000
BURST_BYTES, REFILL_BYTES_A_SECOND = 134_217_728, 10_000
"""A minute of flood at once, and under 0.9 GB a day; what is left out comes with the next connection."""


class Writer:
    """`put` is called by those who hear; `run` writes, on a thread of its own."""

    def __init__(self, outbox: SpoolWriter) -> None:
        self._outbox = outbox
        self._waiting: deque[Item] = deque()
        self._waiting_bytes = 0
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self.dropped = 0
        self.obstacle = ""
        """Why something in the spool could not be removed."""
        self._allowance = float(BURST_BYTES)
        self._allowed_s = time.monotonic()

    def forget(self) -> None:
        """Take what comes from now on for news: a new connection begins with everything that still holds."""
        with self._lock:
            self._seen.clear()

    def put(self, source: str, content: bytes) -> None:
        """Take something that was heard."""
        digest = hashlib.sha256(source.encode() + b" " + content).digest()[:16]
        item = Item(source=source, content=content)
        with self._lock:
            if digest in self._seen:
                return
            size = size_in_bundle(item)
            if self._waiting_bytes + size > MAX_WAITING_BYTES or not self._may_write(size):
                self.dropped += 1
                return
            self._seen[digest] = None
            if len(self._seen) > MAX_REMEMBERED:
                self._seen.popitem(last=False)
            self._waiting.append(item)
            self._waiting_bytes += size
        self._some.set()

    def _may_write(self, size: int) -> bool:
        """Return whether so much may be written now: a flood that goes on for days must not wear the card
        out.
        """
        now_s = time.monotonic()
        gained = (now_s - self._allowed_s) * REFILL_BYTES_A_SECOND
        self._allowance, self._allowed_s = min(BURST_BYTES, self._allowance + gained), now_s
        if self._allowance < size:
            return False
        self._allowance -= size
        return True

    def run(self, stopping: threading.Event, beat: Callable[[], None]) -> None:
        """Write bundles until stopped; pending messages are written before it returns."""
        reported = 0
        while True:
            beat()
            stopped = stopping.wait(EVERY_S)
            try:
                self._outbox.prune()
                if self._outbox.obstacle != self.obstacle:
                    self.obstacle = self._outbox.obstacle
                    log.warning("spool obstacle: %s", self.obstacle or "gone")
                while self._write_one():
                    beat()
            except OSError as error:
                log.warning("spool %s: %s", error.filename or "", error.strerror)
                stopping.wait(5.0)
            if self.dropped != reported:
                log.warning(
                    "dropped count=%d: doorbelld reads too slowly or is not running", self.dropped - reported
                )
                reported = self.dropped
            if stopped:
                return
            if not self._waiting:
                self._some.wait(1.0)
                self._some.clear()

    def _write_one(self) -> bool:
        """Write a bundle of what waits; return whether there was room and something to write."""
        items: list[Item] = []
        size = 0
        with self._lock:
            for item in self._waiting:
                if items and size + size_in_bundle(item) > MAX_BUNDLE_BYTES:
                    break
                items.append(item)
                size += size_in_bundle(item)
        if not items or not self._outbox.has_room(size):
            return False
        self._outbox.put(bundle(items))
        with self._lock:
            for _ in items:
                self._waiting_bytes -= size_in_bundle(self._waiting.popleft())
        return True
