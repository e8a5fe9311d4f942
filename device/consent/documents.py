"""The JSON documents of consent: offer, parcel, and the data of each kind of ledger entry.

Their canonical JSON (RFC 8785) is hashed, so a member that is added, left out or renamed makes another document.
The release process and the command line import this, and load no library for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

from device.spool.parcels import Receipt


class GeoJsonPolygon(TypedDict):
    """A Polygon of RFC 7946, of one ring of [longitude, latitude] in degrees."""

    type: Literal["Polygon"]
    coordinates: list[list[list[float]]]


# --- the offer ------------------------------------------------------------------------------------

PolygonMillionths = Sequence[Sequence[int]]
"""Corners (x, y) in millionths of the picture."""


class OfferWindow(TypedDict):
    """RFC 3339, UTC, whole seconds."""

    start: str
    end: str


class OfferRecipient(TypedDict):
    """The age recipient that the parcel is encrypted for."""

    name: str
    age: str


class UploadOrigin(TypedDict):
    """Where a parcel may be sent."""

    kind: Literal["tus", "s3"]
    origin: str


class OfferUpload(UploadOrigin):
    """The same, with the name that the agency's record gives it."""

    name: str


class OfferedClip(TypedDict):
    """One clip: `first_us` and `last_us` count from its first picture."""

    id: str
    sha256: str
    clock: str
    start: str
    end: str
    first_us: int
    last_us: int
    frames: int
    blur: Sequence[PolygonMillionths]


class Offer(TypedDict):
    """Exactly what would be sent (offer.py makes it). An approval names its hash."""

    v: int
    request: str
    request_sha256: str
    agency: str
    record_sha256: str
    case: str
    window: OfferWindow
    recipient: OfferRecipient
    upload: OfferUpload
    audio: bool
    masks: Sequence[PolygonMillionths]
    clips: Sequence[OfferedClip]


# --- the parcel -----------------------------------------------------------------------------------


class ParcelClip(TypedDict):
    """One file in a parcel."""

    file: str
    sha256: str
    bytes: int


def clip_file(number: int) -> str:
    """Return the name of a clip's file in the parcel, and before that in the release's folder; the first is 1."""
    return f"clip-{number}.mp4"


class Parcel(TypedDict):
    """A sealed parcel; `key` is the public half of the key that signed its manifest, base64url."""

    sha256: str
    bytes: int
    key: str
    clips: Sequence[ParcelClip]


class ManifestClip(ParcelClip):
    """The same file as the manifest describes it."""

    start: str
    end: str
    clock: str
    frames: int
    length_us: int
    sound: bool
    masks: int
    blurs: int


class Manifest(TypedDict):
    """The payload of a parcel's manifest, before its key is added."""

    v: int
    request: str
    request_sha256: str
    window: OfferWindow
    recipient: str
    offer_hash: str
    software: str
    clips: Sequence[ManifestClip]


# --- the entries of the ledger --------------------------------------------------------------------


class Boottime(TypedDict):
    """A time of CLOCK_BOOTTIME in whole seconds, and the boot that it belongs to."""

    boot: str
    s: int


class StepDetails(TypedDict, total=False):
    """The members that a step of a request adds to its entry."""

    why: str
    offer: Offer
    offer_hash: str
    files: Sequence[str]
    ends_at: int
    ends_boottime: Boottime
    destination: UploadOrigin
    sha256: str
    parcel: Parcel
    receipt: Receipt


RequestStep = TypedDict(
    "RequestStep",
    {
        "sender": str,
        "id": str,
        "from": str | None,
        "to": str,
        "why": NotRequired[str],
        "offer": NotRequired[Offer],
        "offer_hash": NotRequired[str],
        "files": NotRequired[Sequence[str]],
        "ends_at": NotRequired[int],
        "ends_boottime": NotRequired[Boottime],
        "destination": NotRequired[UploadOrigin],
        "sha256": NotRequired[str],
        "parcel": NotRequired[Parcel],
        "receipt": NotRequired[Receipt],
    },
)
"""`request`: from one state (None: it has just been received) to the next."""


class SentBytes(TypedDict):
    """`left`: how much of a parcel had been sent when its approval ended before delivery."""

    sender: str
    id: str
    sha256: str
    left_bytes: int
    of_bytes: int
    final: bool
    why: str


class NoticeReceived(TypedDict):
    """`notice`."""

    source: str
    id: str
    sha256: str
    signed: bool
    here: bool
    supersedes: Sequence[str]


class Cancellation(TypedDict):
    """`cancellation` of a request, of a signed notice, or of a feed's notice (`sender` is then the feed's name)."""

    of: Literal["request", "notice", "feed"]
    sender: str
    id: str


class PinnedRecord(TypedDict):
    """`sender_pinned` and `sender_rotated`."""

    sender: str
    kind: str
    fingerprint: str
    serial: int


class UnpinnedSender(TypedDict):
    """`sender_unpinned`."""

    sender: str


class AddedFeed(TypedDict):
    """`feed_added`."""

    name: str
    url: str


class RemovedName(TypedDict):
    """`feed_removed`, `destination_removed` and `reader_removed`."""

    name: str


class AddedDestination(TypedDict):
    """`destination_added`; no secret is in it."""

    # The same members as in another class, as a document.
    # pylint: disable=duplicate-code

    name: str
    kind: str
    url: str
    user: str
    age: str
    host_key: str
    limit_bytes: int
    outside: bool


class AddedReader(TypedDict):
    """`reader_added`: a client of the home network may read pictures; `scopes` are those of views.ReaderScope."""

    name: str
    scopes: list[str]


class StoredBackup(TypedDict):
    """`backed_up`."""

    destination: str
    clip: str
    sha256: str


class StartedBackup(StoredBackup):
    """`backup`."""

    bytes: int


class StoppedBackup(StoredBackup):
    """`backup_stopped`: how much of a copy had left when its target was removed; at most."""

    left_bytes: int
    of_bytes: int
    why: str


class RevokedParcel(TypedDict):
    """One parcel that was on its way; at most `left_bytes` of it had left."""

    sha256: str
    left_bytes: int
    of_bytes: int


class RevokedWithoutLedger(TypedDict):
    """`revocation`: what the owner stopped while the ledger could not be read or written."""

    of: Literal["request", "destination", "reader"]
    name: str
    at: str
    parcels: Sequence[RevokedParcel]


EntryData = Mapping[str, Any]
"""Any of the above, as the ledger stores and returns it."""
