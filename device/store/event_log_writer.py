"""Writes the event log: rows wait while it cannot be written, and a damaged log is replaced."""

import json
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path

from device.store.corruption import is_damaged, put_aside
from device.store.event_log import EventLog, last_seq
from device.store.messages import LogMessage, MarkSent, NewFact, ReadLog, SettlePress
from device.system.clock import Clock
from device.system.fault_latch import FaultLatch

log = logging.getLogger(__name__)

MAX_UNWRITTEN = 10_000
"""Maximum number of facts in memory while the log cannot be written; the oldest are dropped first."""
REPLACE_AGAIN_US = 60_000_000


class EventLogWriter:
    """Owns the event log. Belongs to the storage worker's thread."""

    def __init__(
        self,
        path: Path,
        *,
        boot_id: str,
        keep_rows: int,
        clock: Clock,
        faults: FaultLatch,
        grew: Callable[[], None],
    ) -> None:
        """`grew` is called when there are rows to send."""
        self._path = path
        self._boot_id = boot_id
        self._keep_rows = keep_rows
        self._clock = clock
        self._faults = faults
        self._grew = grew
        self._event_log: EventLog | None = None
        self._unwritten: deque[NewFact] = deque(maxlen=MAX_UNWRITTEN)
        self._settled: deque[tuple[int, bool]] = deque(maxlen=MAX_UNWRITTEN)
        self._acked_seq: int | None = None
        self._replace_us = 0

    def keep(self, rows: int) -> None:
        """Keep so many of the newest rows from now on."""
        self._keep_rows = rows
        if self._event_log is not None:
            self._event_log.keep_rows = rows

    def open(self) -> None:
        """Open if it is closed; a damaged log is put aside and replaced. Raises sqlite3.Error, OSError."""
        if self._event_log is None:
            try:
                self._event_log = self._opened()
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise
                self._event_log = self._replaced(error)
        self._grew()

    def _opened(self) -> EventLog:
        return EventLog(self._path, boot_id=self._boot_id, keep_rows=self._keep_rows)

    def _replaced(self, error: sqlite3.Error) -> EventLog:
        seq = last_seq(self._path)
        aside = put_aside(self._path, self._clock.wall_us())
        log.error("log_corrupt error=%r put_aside=%s last_seq=%s", error, aside, seq)
        event_log = self._opened()
        if seq is None:
            numbers = "its numbers could not be read, so they begin at 1 again"
        else:
            event_log.go_on_above(seq)
            numbers = f"a new one goes on at {seq + 1}"
        text = f"the log was damaged ({error}) and is put aside as {aside.name}; {numbers}"
        remedy = "keep that file if you need it; check the card's health (dmesg)"
        self._faults.begin("log_damaged", text, remedy, file=aside.name)
        return event_log

    def handle(self, message: LogMessage) -> None:
        """Queue what the next `write` has to write; answer requests for rows at once."""
        match message:
            case NewFact():
                self._unwritten.append(message)
            case SettlePress():
                self._settled.append((message.press_id, message.late))
            case MarkSent():
                self._acked_seq = message.acked_seq
            case ReadLog():
                self._read(message)

    def _read(self, message: ReadLog) -> None:
        if self._event_log is None:
            return message.reply(None, [])
        try:
            acked_seq = self._event_log.acked_seq()
            after_seq = acked_seq if message.after_seq is None else message.after_seq
            rows = self._event_log.pending(after_seq, message.limit)
        except sqlite3.Error as error:
            log.error(
                "log_unreadable error=%r", error
            )  # one line a request; requested again when the log grows
            return message.reply(None, [])
        return message.reply(
            acked_seq, [(row.seq, json.dumps(row.payload, ensure_ascii=False)) for row in rows]
        )

    def write(self) -> bool:
        """Write what is queued; return whether there are new rows to send."""
        if self._event_log is None or not (self._unwritten or self._settled or self._acked_seq is not None):
            return False
        try:
            self._event_log.write(self._unwritten, self._settled, self._acked_seq)
        except sqlite3.Error as error:
            text = f"the log cannot be written: {error}"
            self._faults.begin("log_failed", text, "check the free space", detail=str(error))
            if is_damaged(error):
                self._replace(error)
            return False  # The queue is kept and written again in the next step.
        self._faults.end("log_failed")
        grew = bool(self._unwritten or self._settled)
        self._unwritten.clear()
        self._settled.clear()
        self._acked_seq = None
        if grew:
            self._grew()
        return grew

    def _replace(self, error: sqlite3.Error) -> None:
        """Replace the log, but at most once a minute: the card may damage each."""
        now_us = self._clock.mono_us()
        if self._event_log is None or now_us < self._replace_us:
            return
        self._replace_us = now_us + REPLACE_AGAIN_US
        self._event_log.close()
        self._event_log = None
        try:
            self._event_log = self._replaced(error)
        except (OSError, sqlite3.Error) as failure:
            log.error("log_not_replaced error=%r", failure)  # the fault log_failed stays active

    def pending_count(self) -> int:
        """Return how many rows wait for their PUBACK; 0 if that cannot be read."""
        try:
            return self._event_log.pending_count() if self._event_log else 0
        except sqlite3.Error:
            return 0  # the next write reports what is wrong with the log

    def last_press_wall_us(self) -> int | None:
        """Return the time of the newest press in the log; None if there is none, or it cannot be read."""
        try:
            return self._event_log.last_press_wall_us() if self._event_log else None
        except sqlite3.Error:
            return None

    def close(self) -> None:
        """Close the log."""
        if self._event_log:
            self._event_log.close()
            self._event_log = None
