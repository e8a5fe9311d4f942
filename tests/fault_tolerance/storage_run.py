"""The real storage worker with time as a parameter, like in the power trials; it records its facts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.events import ClipDropped, ClockFlag, Fact, Fault
from device.store.index import Index
from device.store.reconcile import findings
from tests.support import storage

LIMIT_BYTES = 400_000
"""Room for some eight clips of these pictures."""


class Time(storage.Time):
    """A clock whose wall time can be set."""

    def __init__(self, mono_us: int = 100_000_000) -> None:
        super().__init__(mono_us)
        self.zero_us = storage.WALL_US
        self.state: ClockFlag = "synchronised"

    def set(self, *, by_us: int) -> None:
        """Step the wall clock."""
        self.zero_us += by_us

    def wall_us(self) -> int:
        return self.zero_us + self.now_us

    def flag(self) -> ClockFlag:
        return self.state


class StorageRun(storage.StorageRun):
    """From a start of the storage worker on; the pictures come from now on."""

    def __init__(self, state: Path, time: Time | None = None, event: int = 0, **limits: int) -> None:
        self.facts: list[Fact] = []
        self.state = state
        self.wall = time or Time()
        super().__init__(state, lambda **_: None, self.wall, event, **{"limit_bytes": LIMIT_BYTES, **limits})
        self.skip_to_now()

    def _hear(self, fact: Fact) -> None:
        self.facts.append(fact)
        super()._hear(fact)

    def faults(self) -> dict[str, str]:
        """Return the text of each current fault."""
        standing: dict[str, str] = {}
        for fact in self.facts:
            if isinstance(fact, Fault):
                standing.pop(fact.code, None)
                if fact.active:
                    standing[fact.code] = fact.text
        return standing

    def dropped(self) -> list[str]:
        """Return why something is missing."""
        return [fact.reason for fact in self.facts if isinstance(fact, ClipDropped)]

    def rows(self) -> list[Any]:
        """Return the index in order of recording."""
        return self._read(lambda index: index.oldest_first())

    def findings(self) -> list[str]:
        """Return what `doorbell check --deep` would say."""
        folder = self.state / "clips"
        return self._read(lambda index: list(findings(index, folder, running=False, deep=True)))

    def _read(self, question: Callable[[Index], list[Any]]) -> list[Any]:
        index = Index(self.state / "index.db", read_only=True)
        try:
            return question(index)
        finally:
            index.close()
