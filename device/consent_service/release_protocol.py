"""The interface of the release process, as the consent service uses it (device/daemon/release_runner.py has it)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from device.consent.documents import Offer, Parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a release: `part` is 0 to 1 of its stage; `hot`: it waits for the board to cool."""

    stage: str
    part: float = 0.0
    hot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A sealed parcel."""

    parcel: Parcel
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No parcel was made; `why` is for a person."""

    why: str


class ReleaseRun(Protocol):
    """One parcel that is being made."""

    def poll(self) -> Progress | Made | Failed:
        """Return its state, without waiting."""

    def stop(self) -> None:
        """End it at once."""


class ReleaseBackend(Protocol):
    """Makes parcels, one at a time."""

    def begin(self, folder: Path, offer: Offer, offer_hash: str) -> ReleaseRun:
        """Begin, in an empty folder that is this parcel's alone. Raises CommandError, OSError."""

    def sealed(self, folder: Path) -> Path:
        """Return the path of a parcel that was made in a folder."""
