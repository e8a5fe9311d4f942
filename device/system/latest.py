"""A slot for the latest value: a newer one replaces it, and replaced values are counted."""

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
        """Put an item; one that was not taken yet is dropped and counted."""
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
        """The number of items that a newer one replaced."""
        return self._dropped
