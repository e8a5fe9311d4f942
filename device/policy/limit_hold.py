"""Decides which storage limits hold: one that would delete more waits for an hour, so that a slip can be undone.

Whatever a limit comes from (page, command, configuration file), the one in force stays until the other has been
configured for `HOLD_US` of running time, on the monotonic clock. Time without the daemon does not count: nobody
could undo in it, and no wrong clock can shorten the wait. A limit that keeps more holds at once.
"""

from collections.abc import Mapping
from typing import Any

from device.config import effect_of
from device.events import WaitingLimit

HOLD_US = 3_600_000_000
Limits = Mapping[str, int]
"""Field of StorageConfig → value; all of them limit what is kept."""


class LimitHold:
    """The limits in force, and those that wait. The time is `now_us`, on the monotonic clock."""

    def __init__(self, in_force: Limits) -> None:
        self._in_force = dict(in_force)
        self._waiting: dict[str, WaitingLimit] = {}

    @property
    def in_force(self) -> Limits:
        """The limits that hold."""
        return self._in_force

    @property
    def waiting(self) -> tuple[WaitingLimit, ...]:
        """The limits that do not hold yet."""
        return tuple(self._waiting.values())

    def configure(self, configured: Limits, now_us: int) -> None:
        """Use other limits. A limit that keeps less waits; if it keeps less than a waiting one, it waits anew."""
        for name, value in configured.items():
            held = self._waiting.pop(name, None)
            if not _keeps_less(name, self._in_force[name], value):
                self._in_force[name] = value
                continue
            again = held is None or _keeps_less(name, held.coming, value)
            until_us = now_us + HOLD_US if held is None or again else held.until_us
            self._waiting[name] = WaitingLimit(
                name=name, in_force=self._in_force[name], coming=value, until_us=until_us
            )

    def tick(self, now_us: int) -> bool:
        """Put the limits into force that have waited; return whether there was one."""
        due = [limit for limit in self._waiting.values() if now_us >= limit.until_us]
        for limit in due:
            self._in_force[limit.name] = limit.coming
            del self._waiting[limit.name]
        return bool(due)

    def record(self, now_us: int) -> dict[str, Any]:
        """Return what `restored` needs after a restart."""
        waiting = {
            limit.name: {"coming": limit.coming, "left_us": max(0, limit.until_us - now_us)}
            for limit in self._waiting.values()
        }
        return {"version": 1, "in_force": dict(self._in_force), "waiting": waiting}


def restored(record: Any, configured: Limits, now_us: int) -> LimitHold:
    """Return what `record` described; a limit that it lacks is as configured. Raises ValueError if it is no record."""
    try:
        in_force, waiting = record["in_force"], record["waiting"]
        if record["version"] != 1 or not set(waiting) <= set(in_force) <= set(configured):
            raise ValueError("is not a record of these limits")
        hold = LimitHold({**configured, **{name: _count(value) for name, value in in_force.items()}})
        for name, limit in waiting.items():
            since_us = now_us + min(HOLD_US, _count(limit["left_us"])) - HOLD_US
            hold.configure({name: _count(limit["coming"])}, since_us)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is not a record of limits ({error!r})") from error
    return hold


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a number of anything")
    return value


def _keeps_less(name: str, before: int, after: int) -> bool:
    return effect_of(f"storage.{name}", before, after) == "destroys"
