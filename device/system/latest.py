"""One slot for the latest value: the newest wins, and what it replaced is counted."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestValue(Generic[T]):
    """Between a producer that must not wait and a consumer that may be slow."""

    def __init__(self) -> None:
        self._filled = threading.Condition()
        self._item: T | None = None
        self._dropped = 0

    def put(self, item: T) -> None:
        """Leave an item; if the last one was not taken yet, it is dropped and counted."""
        with self._filled:
            if self._item is not None:
                self._dropped += 1
            self._item = item
            self._filled.notify()

    def take(self, timeout_s: float) -> T | None:
        """Wait for an item and take it; None after `timeout_s` seconds."""
        with self._filled:
            if self._item is None:
                self._filled.wait(timeout_s)
            item, self._item = self._item, None
            return item

    @property
    def dropped(self) -> int:
        """How many items were pushed out by a newer one."""
        return self._dropped
