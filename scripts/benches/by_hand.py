"""The real store with time handed in: a clock that is moved, and a keeper that nobody waits for."""

import queue
from pathlib import Path
from typing import Any

from device.clock import Clock, ClockFlag
from device.config import StorageConfig
from device.store.keeper import Keeper
from device.store.layout import Layout
from device.store.orders import KeeperOrder
from device.store.ring import Ring

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


def keeper(
    state: Path, time: Clock, orders: "queue.SimpleQueue[KeeperOrder]", *, inbox: Any,
    ring: Ring | None = None, limit_bytes: int = 1 << 50, reserve_bytes: int = 0, log_rows: int = 100_000,
) -> Keeper:  # fmt: skip
    """Return a keeper of `state`, not opened yet."""
    return Keeper(
        layout=Layout(state),
        ring=ring or Ring(keep_us=1_000_000, limit_bytes=1_000_000),
        inbox=inbox,
        clock=time,
        storage=StorageConfig.model_construct(
            limit_bytes=limit_bytes, longest_age_days=3650, reserve_bytes=reserve_bytes, log_rows=log_rows
        ),
        orders=orders,
        log_grew=lambda: None,
    )
