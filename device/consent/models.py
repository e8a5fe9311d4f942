"""Models of the payloads: strict, without unknown members. Limits that need the time or a pin are in rules.py."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from device.consent.area import CornerArray, corners_of
from device.consent.envelope import JsonObject
from device.consent.names import check_contact, check_name, is_invisible
from device.consent.reasons import Reason, Refused
from device.system.host_patterns import HTTPS_ORIGIN

MAX_AREA_CORNERS = 64
MAX_JURISDICTION_CORNERS = 256

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ALLOWED = "\n\u200c\u200d\ufe0e\ufe0f"
"""Line ends, and what Persian, Hindi and emoji are written with: two joiners, two selectors of a variant."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _plain(text: str) -> str:
    """Refuse invisible characters, and characters that change the reading order."""
    for letter in text:
        hidden = unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cn", "Zl", "Zp") or is_invisible(letter)
        if hidden and letter not in _ALLOWED:
            raise ValueError(f"holds U+{ord(letter):04X}, which cannot be seen")
    if text != text.strip():
        raise ValueError("begins or ends with a space")
    return text


def _line(text: str) -> str:
    if "\n" in text:
        raise ValueError("has more than one line")
    return text


def _seconds(text: object) -> object:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise ValueError("is not a time like 2026-11-24T22:00:00Z")
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(seconds=1)


def time_text(seconds: int) -> str:
    """Return Unix seconds as an envelope has them: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(value: object) -> object:
    if isinstance(value, bool):  # which is an int, and equal to 1
        raise ValueError("is not a number")  # noqa: TRY004  (pydantic's form)
    return value


Version = Annotated[Literal[1], BeforeValidator(_whole)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_plain)]
Line = Annotated[Text, AfterValidator(_line)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$")]
Ulid = Annotated[str, Field(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
Kid = Annotated[str, Field(pattern=r"^[a-z2-7]{26}$")]
Seconds = Annotated[int, BeforeValidator(_seconds)]
"""RFC 3339 in UTC with whole seconds on the wire; Unix seconds here."""
Severity = Literal["extreme", "severe", "moderate", "minor", "unknown"]
Coordinate = Annotated[float, Field(allow_inf_nan=False)]
"""A coordinate may be a whole number."""


class Said(BaseModel):
    """Base of the payloads' models: strict, without unknown members."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Polygon(Said):
    """A GeoJSON Polygon of one ring; `corners_of` checks its shape."""

    type: Literal["Polygon"]
    coordinates: Annotated[
        list[
            Annotated[
                list[Annotated[list[Coordinate], Field(min_length=2, max_length=2)]], Field(max_length=257)
            ]
        ],
        Field(min_length=1, max_length=1),
    ]

    def corners(self, most: int) -> CornerArray:
        """Return its corners. Raises Refused unless it is simple and has at most so many."""
        return corners_of({"type": "Polygon", "coordinates": self.coordinates}, most)


class Window(Said):
    """The time span of the requested footage."""

    start: Seconds
    end: Seconds


class FootageRequest(Said):
    """A department's request for footage of an area and a time."""

    v: Version
    op: Literal["request"]
    id: Ulid
    agency: Slug
    case: Annotated[Line, Field(max_length=80)]
    purpose: Annotated[Text, Field(max_length=500)]
    area: Polygon
    window: Window
    iat: Seconds
    exp: Seconds
    upload: Slug
    recipient: Slug
    contact: Annotated[Line, Field(max_length=200)]


class RequestCancellation(Said):
    """A department cancels a request; published in the same cells."""

    v: Version
    op: Literal["cancel"]
    id: Ulid
    agency: Slug
    iat: Seconds


class Notice(Said):
    """An alert, an update or news from a source that the owner chose. Text alone: nothing in it is ever
    loaded.
    """

    v: Version
    op: Literal["issue"]
    id: Ulid
    source: Slug
    kind: Literal["alert", "update", "news"]
    severity: Severity
    headline: Annotated[Line, Field(max_length=120)]
    text: Annotated[Text, Field(max_length=2000)]
    area: Polygon
    iat: Seconds
    exp: Seconds
    supersedes: Annotated[list[Ulid], Field(max_length=8)]


class NoticeCancellation(Said):
    """A source cancels a notice."""

    v: Version
    op: Literal["cancel"]
    id: Ulid
    source: Slug
    iat: Seconds


class SigningKey(Said):
    """A key a sender signs with, named by its fingerprint, and when it is valid."""

    kid: Kid
    x: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    valid_from: Seconds
    valid_until: Seconds


class Recipient(Said):
    """An age X25519 recipient that parcels are encrypted for."""

    name: Slug
    age: Annotated[str, Field(pattern=r"^age1[02-9ac-hj-np-z]{58}$")]


class Upload(Said):
    """An upload target: its origin and its upload protocol."""

    name: Slug
    kind: Literal["tus", "s3"]
    origin: Annotated[str, Field(pattern=f"^{HTTPS_ORIGIN}$")]


class SenderRecord(Said):
    """A sender's identity, which the owner reviews once and pins."""

    v: Version
    serial: Annotated[int, Field(ge=1, le=2**31)]
    sender: Slug
    kind: Literal["police", "news", "neighbourhood"]
    name: Annotated[Line, Field(max_length=120), AfterValidator(check_name)]
    contact: Annotated[Line, Field(max_length=200), AfterValidator(check_contact)]
    keys: Annotated[list[SigningKey], Field(min_length=1, max_length=4)]
    recipients: Annotated[list[Recipient], Field(max_length=4)]
    uploads: Annotated[list[Upload], Field(max_length=4)]
    jurisdiction: Polygon
    iat: Seconds


Requests = FootageRequest | RequestCancellation
Notices = Notice | NoticeCancellation
M = TypeVar("M", bound=Said)


def request_of(payload: JsonObject) -> Requests:
    """Return a footage-request's payload. Raises Refused."""
    if payload.get("op") == "cancel":
        return _model(RequestCancellation, payload)
    request = _model(FootageRequest, payload)
    request.area.corners(MAX_AREA_CORNERS)
    return request


def notice_of(payload: JsonObject) -> Notices:
    """Return a region-notice's payload. Raises Refused."""
    if payload.get("op") == "cancel":
        return _model(NoticeCancellation, payload)
    notice = _model(Notice, payload)
    notice.area.corners(MAX_AREA_CORNERS)
    return notice


def record_of(payload: JsonObject) -> SenderRecord:
    """Return a sender-record's payload. Raises Refused."""
    record = _model(SenderRecord, payload)
    record.jurisdiction.corners(MAX_JURISDICTION_CORNERS)
    for names in (
        [key.kid for key in record.keys],
        [item.name for item in record.recipients],
        [item.name for item in record.uploads],
    ):
        if len(set(names)) != len(names):
            raise Refused(Reason.BAD_MEMBER, "two keys, recipients or uploads of one name")
    return record


def _model(model: type[M], payload: JsonObject) -> M:
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # The path has member names, which the sender chose: an unknown one may be anything.
        path = ".".join(str(part) for part in first["loc"])[:60]
        path = path if path.isprintable() else "?"
        raise Refused(Reason.BAD_MEMBER, f"{path}: {first['msg']}") from None
