"""The input and output of the release process: one JSON document in, JSON lines out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from device.consent.documents import Offer, OfferedClip

RelativePoints = Sequence[Sequence[float]]
"""Corners of a polygon, relative to the picture."""
PARCEL = "parcel.age"
"""The sealed parcel, in the job's folder: all that is left there of a release that went well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One release. `offer` is what was approved, word for word (device/consent/offer.py)."""

    folder: Path
    """Belongs to this release alone, below the state directory; holds links to the clips, `<id>.mp4`."""
    offer: Offer
    offer_hash: str
    seed: bytes
    """Of the key that signs the manifest."""
    version: str
    canaries: Sequence[str]
    home: tuple[float, float] | None
    """Latitude and longitude, which are looked for like the canaries."""
    later_masks: Sequence[RelativePoints] = ()
    """Privacy masks that the owner has added since the offer, in relative coordinates."""
    seal: bool = True
    """False: a preview. It ends with the cut and audited files, and encrypts nothing."""
    files: Sequence[str] = ()
    """SHA-256 of each clip's file, if the owner approved files that he had played: these are sealed, or nothing is."""

    @property
    def masks(self) -> list[RelativePoints]:
        """The privacy masks in relative coordinates: what was offered, and nothing that is masked by now."""
        offered = [_points(mask) for mask in self.offer["masks"]]
        return [*offered, *(mask for mask in self.later_masks if mask not in offered)]

    @property
    def is_masked_further(self) -> bool:
        """Whether the owner has added a privacy mask since the offer."""
        return len(self.masks) > len(self.offer["masks"])

    def source(self, clip: OfferedClip) -> Path:
        """Return the clip's path."""
        return self.folder / f"{clip['id']}.mp4"

    def text(self) -> str:
        """Return it as it is handed over."""
        return json.dumps(
            {
                "folder": str(self.folder),
                "offer": self.offer,
                "offer_hash": self.offer_hash,
                "seed": self.seed.hex(),
                "version": self.version,
                "canaries": list(self.canaries),
                "home": self.home,
                "later_masks": self.later_masks,
                "seal": self.seal,
                "files": list(self.files),
            }
        )

    @classmethod
    def read(cls, text: str) -> "Job":
        """Return a job that was handed over."""
        values = json.loads(text)
        return cls(
            folder=Path(values["folder"]),
            offer=values["offer"],
            offer_hash=values["offer_hash"],
            seed=bytes.fromhex(values["seed"]),
            version=values["version"],
            canaries=values["canaries"],
            home=tuple(values["home"]) if values["home"] else None,
            later_masks=[[(x, y) for x, y in mask] for mask in values["later_masks"]],
            seal=values["seal"],
            files=values["files"],
        )


def blurs_of(clip: OfferedClip) -> list[RelativePoints]:
    """Return what the owner blurs in a clip, in relative coordinates."""
    return [_points(shape) for shape in clip["blur"]]


def _points(corners: Sequence[Sequence[int]]) -> RelativePoints:
    return [(x / 1e6, y / 1e6) for x, y in corners]
