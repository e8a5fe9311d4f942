"""The consent service's answers to the web API and the command line, as JSON.

Types alone. Times are Unix seconds unless they are text (RFC 3339).
"""

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

from device.consent.documents import EntryData, GeoJsonPolygon, Offer, Parcel, RevokedParcel
from device.spool.parcels import Receipt


class WindowView(TypedDict):
    """The time span of the requested footage."""

    start: int
    end: int


class ProgressView(TypedDict):
    """Progress of a release: `part` is 0 to 1 of its stage; `hot`: it waits for the board to cool."""

    stage: str
    part: float
    hot: bool


class ReleaseView(TypedDict):
    """The progress and the result of an approval."""

    offer: Offer
    progress: ProgressView | None
    parcel: Parcel | None
    receipt: Receipt | None
    left_bytes: int
    accounted: bool


PreviewState = Literal["none", "waiting", "making", "ready", "failed"]


class PreviewFile(TypedDict):
    """A file of a preview, which would be sealed as it is."""

    sha256: str
    bytes: int


class ErrorView(TypedDict):
    """An error as the API answers it (device/errors.py)."""

    error: str
    code: str
    params: dict[str, str | float]


class PreviewView(TypedDict):
    """How far a preview is; `files` are those of the offer's clips, in their order, once it is ready."""

    state: PreviewState
    offer_hash: str
    progress: ProgressView | None
    files: list[PreviewFile]
    error: ErrorView | None


class HistoryView(TypedDict):
    """One step that a request has taken."""

    state: str
    at: int
    why: str


class WithdrawalView(TypedDict):
    """What was stopped, and how much of it had left; at most."""

    requests: list[str]
    recorded_in: Literal["ledger", "revocations"]
    parcels: list[RevokedParcel]


Direction = Literal["north", "north_east", "east", "south_east", "south", "south_west", "west", "north_west"]


class PlaceView(TypedDict):
    """Where an area is, seen from home. Metres, to the middle of the area."""

    across_m: int
    distance_m: int
    direction: Direction
    home_is_inside: bool


EmptyOffer = Literal["left_out", "deleted", "no_picture"]
"""Why an offer has no clip: the owner left out every one; none is there any more; or no picture is whole in the
chosen times."""


class RequestView(TypedDict):
    """A request; the last five members are there if it was asked for by its id."""

    v: int
    op: str
    id: str
    handle: str
    """SENDER.ID, which names it also if another sender uses the same id."""
    agency: str
    case: str
    purpose: str
    area: GeoJsonPolygon
    place: PlaceView
    window: WindowView
    iat: int
    exp: int
    upload: str
    recipient: str
    contact: str
    agency_name: str
    agency_contact: str
    signed_by: list[str]
    state: str
    since: int
    heard_at: int
    why: str
    ends_at: int
    approved_hash: str
    history: NotRequired[list[HistoryView]]
    release: NotRequired[ReleaseView | None]
    offer: NotRequired[Offer]
    offer_hash: NotRequired[str]
    offer_empty: NotRequired[EmptyOffer | None]


class KeyView(TypedDict):
    """A signing key."""

    kid: str
    x: str
    valid_from: int
    valid_until: int


class RecipientView(TypedDict):
    """An age recipient."""

    name: str
    age: str


class UploadView(TypedDict):
    """Where parcels go."""

    name: str
    kind: str
    origin: str


class SenderDetails(TypedDict, total=False):
    """The first two of a pinned sender; the others of a record that is only looked at."""

    pinned_at: int
    record_sha256: str
    pinned: bool
    newer: bool
    signed_by_pinned_key: bool


class SenderView(SenderDetails):
    """A sender's record."""

    v: int
    serial: int
    sender: str
    kind: str
    name: str
    name_code_points: str
    """Of its letters that are not plain Latin: look-alikes differ in them."""
    contact: str
    contact_code_points: str
    keys: list[KeyView]
    recipients: list[RecipientView]
    uploads: list[UploadView]
    jurisdiction: GeoJsonPolygon
    iat: int


class NoticeView(TypedDict):
    """A notice and who sent it."""

    source: str
    id: str
    kind: str
    severity: str
    headline: str
    text: str
    sent: int
    expires: int
    heard_at: int
    signed_by: str
    sender_kind: str
    feed: str
    here: bool
    area: list[list[float]] | None
    area_text: str
    state: str


class DestinationView(TypedDict):
    """A backup target and its progress; no secret is in it."""

    name: str
    kind: str
    url: str
    user: str
    age: str
    outside: bool
    limit_bytes: int
    stored_bytes: int
    stored: int
    waiting: int
    added_at: int


ReaderScope = Literal["snapshot", "live", "rtsp", "sound", "press_picture"]
"""What a reader may read: still pictures; the live view as MJPEG or WebRTC; RTSP; and over RTSP the sound. The broker
alone: the picture of each press.
"""


class ReaderView(TypedDict):
    """A client that may read pictures; `used_at` and `peers` since the start of doorbelld."""

    name: str
    scopes: list[str]
    added_at: int
    used_at: int | None
    peers: list[str]


class AddedReaderView(TypedDict):
    """The token of a new reader, which nothing stores; None for the broker."""

    name: str
    token: str | None


class SubjectView(TypedDict, total=False):
    """What an entry is about, in words that a person knows, as far as the ledger still has them."""

    sender_name: str
    case: str
    headline: str


class EntryView(TypedDict):
    """An entry of the ledger; `subject` is there where the owner looks at it, and not in the export."""

    # The document of what another class holds.
    # pylint: disable=duplicate-code

    seq: int
    at: str
    clock: str
    kind: str
    body: str | None
    data: EntryData
    prev: str
    hash: str
    subject: NotRequired[SubjectView]


class RefusedCount(TypedDict):
    """How much was refused for one reason."""

    reason: str
    count: int
    first: str
    last: str


class RefusedBody(TypedDict):
    """One of the first messages that were refused, as it came."""

    reason: str
    detail: str
    at: str
    bytes: bytes


class RefusedView(RefusedCount):
    """The same, with the sentence for the owner."""

    sentence: str


class LedgerView(TypedDict):
    """The newest entries, the head, and what was refused."""

    head: str
    length: int
    entries: Sequence[EntryView]
    refused: Sequence[RefusedView]
