"""How the doorbell was in the last day: a sample a minute, for the plot. Kept over a restart, mostly."""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.errors import CommandError

FILE = "health.json"
SAMPLES = 1440
KEEP_EVERY = 30
"""Samples between two writes: a power cut costs half an hour of a plot, and a card lives longer."""


class History:
    """The samples; fed by the page's thread."""

    def __init__(self, state_dir: Path, keep: Callable[[str, bytes], None]) -> None:
        self._keep = keep
        self._unkept = 0
        self._samples: deque[dict[str, Any]] = deque(_kept(state_dir / FILE), maxlen=SAMPLES)

    def samples(self) -> list[dict[str, Any]]:
        """Return the samples, oldest first."""
        return list(self._samples)

    def feed(self, wall_us: int, status: dict[str, Any]) -> None:
        """Take a sample of what `status` says; may block for some seconds."""
        self._samples.append(
            {
                "at_ms": wall_us // 1000,
                "temperature_c": status["temperature_c"],
                "fps": status["camera"]["fps"],
                "used_bytes": status["storage"]["used_bytes"],
                "faults": len(status["faults"]),
            }
        )
        self._unkept += 1
        if self._unkept >= KEEP_EVERY:
            self.save()

    def save(self) -> None:
        """Keep what there is; without a disk it is only for this run."""
        self._unkept = 0
        try:
            self._keep(FILE, json.dumps(list(self._samples)).encode())
        except CommandError:
            return  # the fault of the disk says so


def _kept(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    whole = isinstance(found, list) and all(isinstance(each, dict) and "at_ms" in each for each in found)
    return found if whole else []
