"""The two clocks, in one object that is handed down.

Every decision and every packet lives on the monotonic clock (`mono_us`). Wall time is for people,
file names and expiry only: a Pi has no battery clock, boots in the past and jumps when NTP answers.
"""

import ctypes
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from device.events import ClockFlag, Stamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MINUTES = 1440
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class Clock(Protocol):
    """The daemon's clocks; tests pass one that they move themselves."""

    def mono_us(self) -> int:
        """CLOCK_MONOTONIC in microseconds; never goes back."""

    def wall_us(self) -> int:
        """Unix time in microseconds; may jump."""

    def flag(self) -> ClockFlag:
        """Whether the kernel believes that its wall clock is disciplined (NTP, PTP, GPS)."""


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._adjtimex = libc.adjtimex
        self._timex = ctypes.create_string_buffer(512)  # struct timex is 208 bytes; modes = 0 reads

    def mono_us(self) -> int:
        """Read CLOCK_MONOTONIC."""
        return time.monotonic_ns() // 1000

    def wall_us(self) -> int:
        """Read CLOCK_REALTIME."""
        return time.time_ns() // 1000

    def flag(self) -> ClockFlag:
        """Ask the kernel (adjtimex), so that chrony, ntpd and timesyncd count alike."""
        ctypes.memset(self._timex, 0, 512)
        return "unsynchronised" if self._adjtimex(self._timex) == _TIME_ERROR else "synchronised"


def wall_at_us(clock: Clock, mono_us: int) -> int:
    """Return the wall time, in Unix microseconds, of a past or near moment on the monotonic clock."""
    return clock.wall_us() - (clock.mono_us() - mono_us)


def stamp(clock: Clock, mono_us: int | None = None) -> Stamp:
    """Return the stamp of a past or near moment on the monotonic clock; None: of this moment."""
    mono_us = clock.mono_us() if mono_us is None else mono_us
    return Stamp(mono_us=mono_us, wall_us=wall_at_us(clock, mono_us), flag=clock.flag())


def minute_of_day(wall_us: int) -> int:
    """Return the minute of the day, 0 to 1439, in this machine's time zone."""
    moment = time.localtime(wall_us / 1e6)
    return moment.tm_hour * 60 + moment.tm_min


def within(hours: str, minute: int) -> bool:
    """Return whether a minute of the day is in `hours`: "22:00-07:00", perhaps over midnight; "": never.

    The last minute does not count; two equal times are a whole day.
    """
    if not hours:
        return False
    first, last = (int(time_[:2]) * 60 + int(time_[3:]) for time_ in hours.split("-"))
    return (minute - first) % DAY_MINUTES < ((last - first) % DAY_MINUTES or DAY_MINUTES)


def rfc3339(wall_us: int) -> str:
    """Format Unix microseconds as RFC 3339 in UTC with milliseconds."""
    moment = _EPOCH + timedelta(microseconds=wall_us)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def rfc3339_us(wall_us: int) -> str:
    """Format Unix microseconds as RFC 3339 in UTC, every one of them."""
    moment = _EPOCH + timedelta(microseconds=wall_us)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"


def parse_rfc3339(text: str) -> int:
    """Read an RFC 3339 time with an offset; return Unix microseconds. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"{text!r} has no offset: write 2026-11-24T22:00:00Z"
        raise ValueError(message)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def boot_id() -> str:
    """Return the kernel's id of this boot: monotonic times compare only within one boot."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else f"pid-{os.getpid()}"
