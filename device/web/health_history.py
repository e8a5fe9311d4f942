"""The samples of the last day, one a minute, for the plot. Most of them survive a restart."""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from device.errors import CommandError
from device.web.models import HealthSample, StatusResponse

FILE = "health.json"
SAMPLES = 1440
KEEP_EVERY = 30
"""Samples between two writes: a power cut loses half an hour of the plot, and the card lasts longer."""


class History:
    """The samples; fed by the page's thread."""

    def __init__(self, state_dir: Path, keep: Callable[[str, bytes], None]) -> None:
        self._keep = keep
        self._unkept = 0
        self._samples: deque[HealthSample] = deque(_read(state_dir / FILE), maxlen=SAMPLES)

    def samples(self) -> list[HealthSample]:
        """Return the samples, oldest first."""
        return list(self._samples)

    def feed(self, wall_us: int, status: StatusResponse) -> None:
        """Add a sample; may block for some seconds."""
        self._samples.append(
            HealthSample(
                at_ms=wall_us // 1000,
                temperature_c=status.temperature_c,
                fps=status.camera.fps,
                used_bytes=status.storage.used_bytes,
                faults=len(status.faults),
            )
        )
        self._unkept += 1
        if self._unkept >= KEEP_EVERY:
            self.save()

    def save(self) -> None:
        """Write the samples to the disk; if that fails they last for this run only."""
        self._unkept = 0
        try:
            self._keep(FILE, json.dumps([sample.model_dump() for sample in self._samples]).encode())
        except CommandError:
            return  # the disk's own fault says so


def _read(path: Path) -> list[HealthSample]:
    try:
        return TypeAdapter(list[HealthSample]).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return []
