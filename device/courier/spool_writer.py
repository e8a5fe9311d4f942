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
"""Of the server's messages, and as much of all feeds' documents."""
MAX_REMEMBERED = 20_000
BURST_BYTES, REFILL_BYTES_A_SECOND = 134_217_728, 10_000
"""Of the server: a minute of flood at once, under 0.9 GB a day; what is left out comes with the next connection."""
FEED_BURST_BYTES, FEED_REFILL_BYTES_A_SECOND = 16_777_216, 1_000
"""Of each feed: 90 MB a day. One source that floods uses up no other's allowance."""


class Writer:
    """`put` is called by those who hear; `run` writes, on a thread of its own."""

    def __init__(self, outbox: SpoolWriter) -> None:
        self._outbox = outbox
        self._waiting: deque[Item] = deque()
        self._waiting_bytes = {"server": 0, "feeds": 0}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self.dropped = 0
        self.obstacle = ""
        """Why something in the spool could not be removed."""
        self._allowances: dict[str, tuple[float, float]] = {}
        """Of each source: how many bytes it might write at which time."""

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
            full = self._waiting_bytes[_lane(source)] + size > MAX_WAITING_BYTES
            if full or not self._may_write(source, size):
                self.dropped += 1
                return
            self._seen[digest] = None
            if len(self._seen) > MAX_REMEMBERED:
                self._seen.popitem(last=False)
            self._waiting.append(item)
            self._waiting_bytes[_lane(source)] += size
        self._some.set()

    def _may_write(self, source: str, size: int) -> bool:
        """Return whether so much may be written now: a flood that goes on for days must not wear the card
        out.
        """
        is_feed = _lane(source) == "feeds"
        name = source if is_feed else "server"
        burst = FEED_BURST_BYTES if is_feed else BURST_BYTES
        refill = FEED_REFILL_BYTES_A_SECOND if is_feed else REFILL_BYTES_A_SECOND
        now_s = time.monotonic()
        allowance, allowed_s = self._allowances.get(name, (float(burst), now_s))
        allowance = min(float(burst), allowance + (now_s - allowed_s) * refill)
        enough = allowance >= size
        self._allowances[name] = (allowance - size if enough else allowance, now_s)
        return enough

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
                item = self._waiting.popleft()
                self._waiting_bytes[_lane(item.source)] -= size_in_bundle(item)
        return True


def _lane(source: str) -> str:
    return "feeds" if source.startswith("feed:") else "server"
