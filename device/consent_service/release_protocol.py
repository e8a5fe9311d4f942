"""The interface of the release process, as the consent service uses it (device/daemon/release_runner.py has it)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from device.consent.documents import Offer, Parcel, ParcelClip


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
class Previewed:
    """The cut and audited files of a preview, in the order of the offer's clips."""

    files: Sequence[ParcelClip]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Nothing was made; `why` is for a person."""

    why: str


class ReleaseRun(Protocol):
    """One parcel or preview that is being made."""

    def poll(self) -> Progress | Made | Previewed | Failed:
        """Return its state, without waiting."""

    def stop(self) -> None:
        """End it at once."""


class ReleaseBackend(Protocol):
    """Makes parcels, one at a time."""

    def begin(
        self, folder: Path, offer: Offer, offer_hash: str, /, *, files: Sequence[str] = (), seal: bool = True
    ) -> ReleaseRun:
        """Begin, in a folder that is this parcel's alone. Raises CommandError, OSError.

        `files`: SHA-256 of the files that the owner played, which may be in the folder: the parcel is made of these,
        or not at all. Not `seal`: a preview; the files stay in the folder (`clip_file`), and nothing is encrypted.
        """

    def sealed(self, folder: Path) -> Path:
        """Return the path of a parcel that was made in a folder."""
