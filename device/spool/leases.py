"""Leases: permission to send parcels at this moment, which doorbelld renews while the owner's consent stands.

A grant (parcels.py) says what may go where. It is used only while a lease covers it. A lease ends after at most
half a minute, so a daemon that was stopped, crashed or hangs stops its uploads without doing anything. The file is
in a runtime folder (memory): renewing it writes nothing to the card, and a reboot ends every lease. Its times are
CLOCK_BOOTTIME's, which nobody can set back. Standard library alone, like the spool.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from device.spool.folders import Unreadable, read_small
from device.system.clock import boot_id
from device.system.durable_files import replace_file

MAX_LEASE_S = 30.0
SEND_BYTES = 65_536
"""A lease is checked before each so many bytes. With what the kernel holds (`send_guard.py`), less than
`CHUNK_BYTES` leave after it has ended."""
CHUNK_BYTES = 262_144
"""At most so many bytes of a transfer leave after its lease has ended."""
SEND_S = 5
"""If the owner limits the rate: no more than this many seconds' worth of bytes leave after a check."""
LEASES = "leases.json"


def boottime_s() -> float:
    """Return CLOCK_BOOTTIME in seconds: it counts suspension, and cannot be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def piece_bytes(bytes_a_second: int) -> int:
    """Return how much is sent after one check, at the owner's rate limit (0: none)."""
    return min(SEND_BYTES, SEND_S * bytes_a_second) if bytes_a_second else SEND_BYTES


def write_leases(folder: Path, ends_s: Mapping[str, float]) -> None:
    """Replace the leases: parcel's SHA-256 → end (CLOCK_BOOTTIME, seconds). Raises OSError."""
    content = json.dumps({"boot": boot_id(), "ends_s": dict(ends_s)}).encode()
    replace_file(folder / LEASES, content, mode=0o640)


class LeaseReader:
    """The courier's side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._boot = boot_id()

    def covers(self, sha256: str) -> bool:
        """Return whether a parcel may be sent at this moment; False for anything that is not a valid lease."""
        try:
            content = read_small(self._folder, LEASES)
            document = json.loads(content or b"{}")
            left_s = float(document["ends_s"][sha256]) - boottime_s()
            return document["boot"] == self._boot and 0 < left_s <= MAX_LEASE_S
        except (OSError, Unreadable, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return False
