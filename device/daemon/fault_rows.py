"""Which changes of faults get a row in the event log: a fault that comes and goes gets one row with a count.

The page and the `state` topic show each change at once. Pure: it is handed the time.
"""

from dataclasses import dataclass

from device.events import Fault

AGAIN_US = 300_000_000
"""A fault that returns sooner than this after its last change comes and goes."""
SETTLED_US = 60_000_000
"""After this time without a change the row is written."""


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A row to write; `count`: how often the fault was raised since the last row, 0 if that is all."""

    fault: Fault
    count: int = 0


@dataclass(slots=True)
class _Seen:
    fault: Fault
    changed_us: int
    count: int = 0


class FaultRows:
    """Takes each raise and each end of a fault."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}

    def take(self, fault: Fault, now_us: int) -> FaultRow | None:
        """Return the row to write now, if any."""
        key = (fault.code, fault.subject)
        seen = self._seen.get(key)
        returns = fault.active and seen is not None and now_us - seen.changed_us < AGAIN_US
        count = seen.count if seen else 0
        if returns or count:
            self._seen[key] = _Seen(fault, now_us, count + fault.active)
            return None
        self._seen[key] = _Seen(fault, now_us)
        return FaultRow(fault)

    def tick(self, now_us: int) -> list[FaultRow]:
        """Return the rows of faults that have come and gone, and have not changed for a minute."""
        due = [seen for seen in self._seen.values() if seen.count and now_us - seen.changed_us >= SETTLED_US]
        rows = [FaultRow(seen.fault, seen.count) for seen in due]
        for seen in due:
            seen.count = 0
        return rows
