"""Logging to stderr: one line a fact, key=value, or JSON.

A thread that logs never waits for stderr: a stuck journal or terminal must not delay a press. Records
go into a bounded queue, which a thread writes out; records that do not fit are dropped and counted. Of a URL only
scheme, host and port are written: libraries repeat the whole in their errors, with its password.
"""

import json
import logging
import queue
import sys
import threading
from datetime import UTC, datetime

from device.system.urls import without_urls
from device.system.worker import name_this_thread

_MAX_QUEUE = 2000


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname.lower()} {_module(record)} {without_urls(record.getMessage())}"
        if record.exc_info:
            line += "\n" + without_urls(self.formatException(record.exc_info))
        return line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fact = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "module": _module(record),
            "message": without_urls(record.getMessage()),
        }
        if record.exc_info:
            fact["trace"] = without_urls(self.formatException(record.exc_info))
        return json.dumps(fact, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


def _module(record: logging.LogRecord) -> str:
    return record.name.removeprefix("device.")


class LogThread(logging.Handler):
    """The root handler: `handle` only enqueues, takes no lock and drops what does not fit."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self.formatter = _Json() if as_json else _Plain()
        self._records: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="logs", daemon=True)
        self._thread.start()

    def createLock(self) -> None:  # noqa: N802  (the name is logging's)
        """Use no lock: SimpleQueue.put needs none, and the press path takes none."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Enqueue one record."""
        if self._records.qsize() >= _MAX_QUEUE:
            self._dropped += 1
            return False
        self._records.put(record)
        return True

    def _write(self) -> None:
        name_this_thread("logs")
        while (record := self._records.get()) is not None:
            line = self.format(record)
            if self._dropped:
                line += f"\n(log_dropped lines={self._dropped}: stderr is too slow)"
                self._dropped = 0
            try:
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
            except (OSError, ValueError):
                return  # Nobody reads stderr any more; the daemon goes on.

    def close(self) -> None:
        """Write the queued records (for at most a second) and end the thread."""
        self._records.put(None)
        self._thread.join(1.0)
        super().close()


def start_logging(*, as_json: bool, level: int = logging.INFO) -> LogThread:
    """Send every record of the process to stderr through one thread; return it for `close()`."""
    handler = LogThread(as_json=as_json)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    return handler
