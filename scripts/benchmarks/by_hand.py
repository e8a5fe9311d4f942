"""The real store with time handed in: a clock that is moved, and a storage worker that nobody waits for."""

import queue
from pathlib import Path
from typing import Any

from device.config import StorageConfig
from device.store.layout import Layout
from device.store.messages import StorageMessage
from device.store.ring import RingBuffer
from device.store.storage_worker import StorageWorker
from device.system.clock import Clock, ClockFlag

WALL_US = 1_764_000_000_000_000
"""Unix time of the clock's zero."""


class Time:
    """A clock that is moved."""

    def __init__(self, mono_us: int = 100_000_000) -> None:
        self.now_us = mono_us

    def mono_us(self) -> int:
        """Return the time it was moved to."""
        return self.now_us

    def wall_us(self) -> int:
        """Return it as Unix microseconds."""
        return WALL_US + self.now_us

    def flag(self) -> ClockFlag:
        """Not trusted, so that age deletes nothing."""
        return "unsynchronised"


def storage_worker(
    state: Path, time: Clock, orders: "queue.SimpleQueue[StorageMessage]", *, inbox: Any,
    ring: RingBuffer | None = None, limit_bytes: int = 1 << 50, reserve_bytes: int = 0, log_rows: int = 100_000,
) -> StorageWorker:  # fmt: skip
    """Return a storage worker of `state`, not opened yet."""
    return StorageWorker(
        layout=Layout(state),
        ring=ring or RingBuffer(keep_us=1_000_000, limit_bytes=1_000_000),
        inbox=inbox,
        clock=time,
        storage=StorageConfig.model_construct(
            limit_bytes=limit_bytes, longest_age_days=3650, reserve_bytes=reserve_bytes, log_rows=log_rows
        ),
        messages=orders,
        log_grew=lambda: None,
    )
