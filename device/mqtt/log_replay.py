"""The log on its way to the broker: asked for in pages, sent in order, remembered when acknowledged.

The link reads no disk: a card that takes seconds would hold up the press behind it. It asks, and whoever
keeps the log answers into a queue when it can.
"""

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LOG_WINDOW = 10
"""So many rows may be on their way at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """The answer to one question: rows (seq, JSON) behind `after_seq`, in order.

    `after_seq` None: nobody knew yet what is acknowledged, so the rows are those behind `acked_seq`.
    `acked_seq` None: the log cannot be read now.
    """

    after_seq: int | None
    acked_seq: int | None
    rows: Sequence[tuple[int, str]]


class LogReplay:
    """Keeps what was asked, sent and acknowledged; the link's thread, but for `grew` and `page`."""

    def __init__(
        self, *, ask: Callable[[int | None, int], None], sent: Callable[[int], None], wake: Callable[[], None]
    ) -> None:
        """`ask` takes (after_seq, how many rows at most); `sent` the last seq acknowledged in order."""
        self._ask = ask
        self._sent = sent
        self._wake = wake
        self._pages: queue.SimpleQueue[LogPage] = queue.SimpleQueue()
        self._grown = False  # there is no log until somebody says so
        self._asked = False
        self._acked_seq: int | None = None
        self._sent_seq: int | None = None
        self._in_flight: dict[int, bool] = {}  # seq → acknowledged, in order of sending

    def grew(self) -> None:
        """Say that the log has rows to send (any thread)."""
        self._grown = True
        self._wake()

    def page(self, page: LogPage) -> None:
        """Answer a question (any thread)."""
        self._pages.put(page)
        self._wake()

    def begin(self) -> None:
        """Begin a new connection: what was not acknowledged goes again."""
        self._grown = self._grown or self._acked_seq is not None
        self._sent_seq = self._acked_seq
        self._in_flight.clear()

    def pump(self, publish: Callable[[str, Callable[[], None]], None]) -> None:
        """Send what came, and ask for more if there is room."""
        while not self._pages.empty():
            page = self._pages.get_nowait()
            self._asked = False
            # Else a connection ended meanwhile, or the log has to grow first: then it is asked for again.
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
