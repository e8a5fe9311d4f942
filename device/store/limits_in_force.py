"""Keeps the storage limits in force over restarts, in a small file of the state directory.

The file always has the limits in force, so that a start with a changed configuration file holds them. It is written
when something changes, and each minute while a limit waits: a crash makes a wait a minute longer, never shorter.
"""

import json
import logging
from pathlib import Path

from device.config import EFFECTS, StorageConfig
from device.events import Fault, Inbox, WaitingLimit
from device.policy.limit_hold import LimitHold, restored
from device.system.clock import Clock
from device.system.durable_files import write_durably

log = logging.getLogger(__name__)

LIMITS_FILE = "storage-limits.json"
SAVE_EVERY_US = 60_000_000
NAMES = [name for name in StorageConfig.model_fields if EFFECTS[f"storage.{name}"].effect == "destroys"]
KEEP_ALL = {"limit_bytes": 100_000_000_000_000, "longest_age_days": 3650, "log_rows": 10_000_000}
"""The model's maxima, assumed to have been in force if the file cannot be read: the configured limits wait then."""


class LimitsInForce:
    """Belongs to the storage worker's thread."""

    def __init__(self, path: Path, storage: StorageConfig, *, clock: Clock, inbox: Inbox) -> None:
        self._path = path
        self._configured = storage
        self._clock = clock
        self._inbox = inbox
        self._hold: LimitHold | None = None
        self._save_us: int | None = None

    @property
    def storage(self) -> StorageConfig:
        """The limits in force; before `open`, when nothing is deleted, the configured ones."""
        return self._configured.model_copy(update=dict(self._hold.in_force) if self._hold else {})

    @property
    def waiting(self) -> tuple[WaitingLimit, ...]:
        """The limits that do not hold yet."""
        return self._hold.waiting if self._hold else ()

    def open(self) -> None:
        """Compare the configured limits with those that were in force before this start."""
        now_us = self._clock.mono_us()
        try:
            self._hold = restored(json.loads(self._path.read_bytes()), _limits(self._configured), now_us)
        except FileNotFoundError:
            self._hold = LimitHold(_limits(self._configured))  # the first start: nothing was in force before
        except (OSError, ValueError) as error:
            self._hold = LimitHold({**_limits(self._configured), **KEEP_ALL})
            self._unreadable(str(error))
        self.configure(self._configured)

    def _unreadable(self, reason: str) -> None:
        self._inbox(
            Fault(
                code="settings_unreadable",
                active=True,
                subject=LIMITS_FILE,
                text=f"{self._path}: {reason}; the configured limits wait for an hour",
                remedy="check the storage limits in the settings",
            )
        )

    def configure(self, storage: StorageConfig) -> None:
        """Take other limits; those that keep less wait. Before `open` they are only noted."""
        before = self.waiting
        self._configured = storage
        if self._hold is None:
            return
        self._hold.configure(_limits(storage), self._clock.mono_us())
        for limit in self.waiting:
            if limit not in before:
                log.warning(
                    "limit_waits name=%s in_force=%d coming=%d", limit.name, limit.in_force, limit.coming
                )
        self._save()

    def step(self) -> bool:
        """Put into force what has waited; return whether the limits in force changed."""
        if self._hold is None:
            return False
        now_us = self._clock.mono_us()
        changed = self._hold.tick(now_us)
        if changed:
            log.warning("limits_in_force %s", " ".join(f"{k}={v}" for k, v in self._hold.in_force.items()))
        if changed or (self._save_us is not None and now_us >= self._save_us):
            self._save()
        return changed

    def close(self) -> None:
        """Save how long a waiting limit still has to wait."""
        if self.waiting:
            self._save()

    def _save(self) -> None:
        """Write the file. If that fails it is tried again; until then a restart waits longer, never shorter."""
        assert self._hold  # noqa: S101  (only called after open)
        now_us = self._clock.mono_us()
        content = json.dumps(self._hold.record(now_us), indent=1).encode()
        self._save_us = now_us + SAVE_EVERY_US if self.waiting else None
        try:
            write_durably(self._path, content)
        except OSError as error:
            self._save_us = now_us + SAVE_EVERY_US
            log.warning("limits_not_saved error=%r", error.strerror)


def _limits(storage: StorageConfig) -> dict[str, int]:
    return {name: getattr(storage, name) for name in NAMES}
