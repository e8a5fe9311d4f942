"""Sends the event log to the broker: reads it in pages, in order, and reports what is acknowledged.

The publisher reads no disk: a card that takes seconds would delay a press. It requests a page, and the storage
worker puts the page into a queue.
"""

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LOG_WINDOW = 10
"""Maximum number of rows without a PUBACK."""
REFUSED_US = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """One page of the log: the rows (seq, JSON) after `after_seq`, in order.

    `after_seq` None: the last acknowledged row was not known, so the rows follow `acked_seq`.
    `acked_seq` None: the log cannot be read now.
    """

    after_seq: int | None
    acked_seq: int | None
    rows: Sequence[tuple[int, str]]


class LogReplay:
    """Tracks what was requested, sent and acknowledged. Only `grew` and `page` may be called by other threads."""

    def __init__(
        self, *, ask: Callable[[int | None, int], None], sent: Callable[[int], None], wake: Callable[[], None]
    ) -> None:
        """`ask` takes (after_seq, maximum number of rows); `sent` the last seq that was acknowledged in order."""
        self._ask = ask
        self._sent = sent
        self._wake = wake
        self._pages: queue.SimpleQueue[LogPage] = queue.SimpleQueue()
        self._grown = False  # the log may not be open yet
        self._asked = False
        self._acked_seq: int | None = None
        self._sent_seq: int | None = None
        self._paused_until_us: int | None = None
        self._in_flight: dict[int, bool] = {}  # seq → acknowledged, in order of sending

    def grew(self) -> None:
        """Report that the log has rows to send (any thread)."""
        self._grown = True
        self._wake()

    def page(self, page: LogPage) -> None:
        """Hand over a requested page (any thread)."""
        self._pages.put(page)
        self._wake()

    def begin(self) -> None:
        """Begin a new connection: rows without a PUBACK are sent again."""
        self._paused_until_us = None
        self._grown = self._grown or self._acked_seq is not None
        self._sent_seq = self._acked_seq
        self._in_flight.clear()

    def refused(self, now_us: int) -> None:
        """Take that the broker refuses the topic: try again in a minute, from the first row without a PUBACK."""
        self._paused_until_us = now_us + REFUSED_US

    def pump(self, publish: Callable[[str, Callable[[], None]], None], now_us: int) -> None:
        """Send the pages that have arrived, and request the next if the window has room."""
        if self._paused_until_us is not None:
            if now_us < self._paused_until_us:
                return
            self.begin()
        while not self._pages.empty():
            page = self._pages.get_nowait()
            self._asked = False
            # Otherwise a connection ended meanwhile or the log cannot be read: it is requested again.
            if page.after_seq == self._sent_seq and page.acked_seq is not None:
                self._send(page, publish)
        room = LOG_WINDOW - len(self._in_flight)
        if self._grown and not self._asked and room > 0:
            self._grown, self._asked = False, True
            self._ask(self._sent_seq, room)

    def _send(self, page: LogPage, publish: Callable[[str, Callable[[], None]], None]) -> None:
        if page.after_seq is None:
            self._acked_seq = self._sent_seq = page.acked_seq
        for seq, text in page.rows:
            self._sent_seq, self._in_flight[seq] = seq, False
            publish(text, self._acknowledged(seq))
        self._grown = self._grown or bool(page.rows)

    def _acknowledged(self, seq: int) -> Callable[[], None]:
        def done() -> None:
            self._in_flight[seq] = True
            for first, acked in list(self._in_flight.items()):
                if not acked:
                    break
                del self._in_flight[first]
                self._acked_seq = first
                self._sent(first)

        return done
