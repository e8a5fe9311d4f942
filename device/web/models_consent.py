"""Requests and responses of the consent API. Times are Unix seconds where they are whole numbers."""

from typing import Annotated, Literal

from pydantic import Field

from device.consent.states import State
from device.consent.views import Direction, EmptyOffer
from device.web.models import ClockSource, RequestBody, ResponseBody, Rfc3339

MAX_RECORD_CHARS = 40_000

UnixSeconds = Annotated[int, Field(description="Unix seconds")]
RelativeCorner = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]
RelativePolygon = Annotated[list[RelativeCorner], Field(min_length=3, max_length=32)]
MillionthsPolygon = Annotated[list[tuple[int, int]], Field(description="corners, millionths of the picture")]
Degrees = tuple[float, float]
"""Longitude and latitude."""


class GeoPolygon(ResponseBody):
    """A GeoJSON Polygon of one ring."""

    type: Literal["Polygon"]
    coordinates: list[list[Degrees]]


# --- requests -------------------------------------------------------------------------------------------


class Piece(RequestBody):
    """The part of a clip that may leave: RFC 3339 times (null: as far as the window goes), and blurred areas.

    A shape's corners are relative to the picture, (0, 0) top left. A blur encodes the clip again.
    """

    start: str | None = Field(None, max_length=40)
    end: str | None = Field(None, max_length=40)
    blur: list[RelativePolygon] = Field([], max_length=8)


class Selection(RequestBody):
    """The clips that may leave, whole or in pieces (null: as far as the window goes); without any: all.

    `audio`: with the sound, if there is some.
    """

    clips: dict[str, Piece | None] | None = Field(None, max_length=1000)
    audio: bool = False


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PreviewBody(Selection):
    """The offer to make the files of; its hash is the one that was shown."""

    offer_hash: Sha256


class Approval(Selection):
    """Approval of exactly what was shown; the password is asked for again, however recently it was given.

    `files`: SHA-256 of the preview's files, if they were played: exactly these are sealed, or nothing is.
    """

    offer_hash: Sha256
    files: list[Sha256] = Field([], max_length=1000)
    password: str | None = Field(None, max_length=1024)


class Place(ResponseBody):
    """Where an area is, seen from home; metres, to the middle of the area."""

    across_m: int
    distance_m: int
    direction: Direction
    home_is_inside: bool


class TimeWindow(ResponseBody):
    """From when until when."""

    start: UnixSeconds
    end: UnixSeconds


class RequestSummary(ResponseBody):
    """A footage request, and its state."""

    v: int
    op: Literal["request"]
    id: str
    handle: str = Field(description="SENDER.ID: names it also if another sender uses the same id")
    agency: str
    case: str
    purpose: str
    area: GeoPolygon
    place: Place
    window: TimeWindow
    iat: UnixSeconds
    exp: UnixSeconds
    upload: str
    recipient: str
    contact: str
    agency_name: str
    agency_contact: str
    signed_by: list[str] = Field(description="fingerprints of the agency's keys")
    state: State
    since: UnixSeconds
    heard_at: UnixSeconds
    why: str
    ends_at: UnixSeconds = Field(description="end of the approval; 0 before there is one")
    approved_hash: str


class WithdrawnParcel(ResponseBody):
    """A parcel that was on its way."""

    sha256: str
    left_bytes: int = Field(description="at most so many of its bytes had left")
    of_bytes: int


class Withdrawal(ResponseBody):
    """What was stopped."""

    requests: list[str] = Field(description="the requests; empty if the ledger cannot tell which there were")
    recorded_in: Literal["ledger", "revocations"] = Field(
        description="revocations: the ledger is broken or full, and gets it once it is repaired"
    )
    parcels: list[WithdrawnParcel]


class RequestStepBody(ResponseBody):
    """One step of a request."""

    state: State
    at: UnixSeconds
    why: str


class OfferWindowBody(ResponseBody):
    """The window of an offer."""

    start: Rfc3339
    end: Rfc3339


class OfferRecipientBody(ResponseBody):
    """Whose key the parcel is encrypted to."""

    name: str
    age: str


class OfferUploadBody(ResponseBody):
    """Where the parcel goes."""

    name: str
    kind: str
    origin: str


class OfferClip(ResponseBody):
    """One clip of an offer, as it would leave."""

    id: str
    sha256: str
    clock: ClockSource
    start: Rfc3339
    end: Rfc3339
    first_us: int
    last_us: int
    frames: int
    blur: list[MillionthsPolygon]


class OfferBody(ResponseBody):
    """Exactly what would leave; its hash is of this object's canonical JSON (RFC 8785)."""

    v: int
    request: str
    request_sha256: str
    agency: str
    record_sha256: str
    case: str
    window: OfferWindowBody
    recipient: OfferRecipientBody
    upload: OfferUploadBody
    audio: bool
    masks: list[MillionthsPolygon]
    clips: list[OfferClip]


class ReleaseProgress(ResponseBody):
    """How far a release is."""

    stage: str
    part: float = Field(description="0 to 1, of the stage")
    hot: bool = Field(description="whether it waits for the board to cool")


class ReleaseBody(ResponseBody):
    """The progress and the result of an approval."""

    offer: OfferBody
    progress: ReleaseProgress | None
    parcel: dict[str, object] | None = Field(description="sha256, bytes, key and clips of the sealed parcel")
    receipt: dict[str, object] | None
    left_bytes: int
    accounted: bool = Field(description="whether `left_bytes` is final")


class PreviewFileBody(ResponseBody):
    """A file that would be sealed as it is."""

    sha256: str
    bytes: int


class PreviewProblem(ResponseBody):
    """Why there are no files; like the body of an error."""

    error: str
    code: str
    params: dict[str, str | float]


class PreviewResponse(ResponseBody):
    """How far a preview is."""

    state: Literal["none", "waiting", "making", "ready", "failed"] = Field(
        description="waiting: a release is being made first"
    )
    offer_hash: str = Field(description="of the offer that it is of; empty if there is none")
    progress: ReleaseProgress | None
    files: list[PreviewFileBody] = Field(description="of the offer's clips, in their order, once it is ready")
    error: PreviewProblem | None


class RequestResponse(RequestSummary):
    """A request; while it is open, with exactly what would leave and the hash to approve it by."""

    history: list[RequestStepBody]
    release: ReleaseBody | None
    offer: OfferBody | None = None
    offer_hash: str | None = None
    offer_empty: EmptyOffer | None = Field(
        None,
        description="why the offer has no clip: every one was left out; none is there any more; or no picture is "
        "whole in the chosen times",
    )


# --- notices --------------------------------------------------------------------------------------------


class NoticeBody(ResponseBody):
    """A notice, and who signed it."""

    source: str
    id: str
    kind: str
    severity: str
    headline: str
    text: str
    sent: UnixSeconds
    expires: UnixSeconds
    heard_at: UnixSeconds
    signed_by: str = Field(description="empty for a feed, which nobody signs")
    sender_kind: str
    feed: str = Field(description="the feed's address")
    here: bool = Field(description="whether the home is in its area")
    area: list[Degrees] | None
    area_text: str
    state: str = Field(description="current, expired, superseded, or cancelled")


class NoticesResponse(ResponseBody):
    """The notices."""

    reminder: str
    notices: list[NoticeBody]


# --- senders and feeds ----------------------------------------------------------------------------------


class SenderFile(RequestBody):
    """A sender's file."""

    record: str = Field(max_length=MAX_RECORD_CHARS)


class PinBody(SenderFile):
    """A sender's file, and its fingerprint as the owner typed it."""

    fingerprint: str = Field(max_length=100)


class FeedBody(RequestBody):
    """A feed: CAP or Atom."""

    name: str = Field(max_length=40)
    url: str = Field(max_length=1400)


class SenderKey(ResponseBody):
    """A key that a sender signs with."""

    kid: str = Field(description="its fingerprint")
    x: str
    valid_from: UnixSeconds
    valid_until: UnixSeconds


class SenderBody(ResponseBody):
    """The contents of a sender's file."""

    v: int
    serial: int
    sender: str
    kind: str
    name: str
    name_code_points: str = Field(description="of its letters that are not plain Latin, such as look-alikes")
    contact: str
    contact_code_points: str
    keys: list[SenderKey]
    recipients: list[OfferRecipientBody]
    uploads: list[OfferUploadBody]
    jurisdiction: GeoPolygon
    iat: UnixSeconds


class PinnedSender(SenderBody):
    """A pinned sender."""

    pinned_at: UnixSeconds
    record_sha256: str


class SenderPreview(SenderBody):
    """A sender's file before it is pinned."""

    pinned: bool
    newer: bool = Field(description="whether it is newer than the pinned one")
    signed_by_pinned_key: bool


class SendersResponse(ResponseBody):
    """Pinned senders, and feeds."""

    senders: list[PinnedSender]
    feeds: dict[str, str] = Field(description="name to address")


# --- backups --------------------------------------------------------------------------------------------


class DestinationBody(RequestBody):
    """A destination of the owner's own for encrypted backups."""

    name: str = Field(max_length=32)
    kind: Literal["s3", "webdav", "sftp"]
    url: str = Field(max_length=400)
    user: str = Field("", max_length=200)
    secret: str = Field("", max_length=20_000)
    age: str = Field(max_length=100, pattern=r"^age1[a-z0-9]{58}$")
    host_key: str = Field("", max_length=100)
    limit_bytes: int = Field(0, ge=0, le=1 << 50)


class DestinationResponse(ResponseBody):
    """A destination, and how far its backups are. The secret is not in it."""

    name: str
    kind: str
    url: str
    user: str
    age: str
    outside: bool = Field(description="whether it is outside the home network")
    limit_bytes: int
    stored_bytes: int
    stored: int
    waiting: int
    added_at: UnixSeconds


# --- the ledger -----------------------------------------------------------------------------------------


class EntrySubject(ResponseBody):
    """What an entry is about, as far as the ledger still knows names for it."""

    sender_name: str | None = None
    case: str | None = None
    headline: str | None = None


class LedgerEntry(ResponseBody):
    """An entry of the ledger; docs/consent-protocol.md lists the `data` of each kind."""

    seq: int
    at: Rfc3339
    clock: ClockSource
    kind: str
    body: str | None = Field(description="SHA-256 of the bytes that the entry is about")
    data: dict[str, object]
    prev: str = Field(description="hash of the previous entry")
    hash: str
    subject: EntrySubject


class RefusalCount(ResponseBody):
    """How many messages were refused for one reason."""

    reason: str
    count: int
    first: Rfc3339
    last: Rfc3339
    sentence: str


class LedgerResponse(ResponseBody):
    """The newest entries of the ledger, oldest first."""

    head: str = Field(description="hash of the newest entry")
    length: int
    entries: list[LedgerEntry]
    refused: list[RefusalCount]
