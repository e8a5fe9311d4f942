"""Turns received bytes into entries of the ledger. Pure: state, home position and time are parameters.

The result is either entries or a refusal with a reason. None of it is visible from outside, and none of it approves.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from device.consent import keys, rules
from device.consent.area import contains
from device.consent.cap import Alert, alerts_of
from device.consent.documents import NoticeReceived
from device.consent.entries import LedgerEntryDraft, cancellation, end_case, step
from device.consent.envelope import MAX_BYTES, NOTICE, REQUEST, Envelope, read
from device.consent.ledger_state import Channel, LedgerState, Sender, StoredNotice, origin_of
from device.consent.models import (
    MAX_AREA_CORNERS,
    FootageRequest,
    NoticeCancellation,
    RequestCancellation,
    SigningKey,
    notice_of,
    request_of,
)
from device.consent.reasons import Reason, Refused
from device.consent.states import State, Step

MAX_KEPT_BYTES = MAX_BYTES
"""Maximum bytes stored of a refused message; no envelope is larger, and of a feed's document the beginning is enough.
"""
MAX_REJECTIONS_PER_DAY = 50
"""Maximum rejections of one sender in the ledger; further ones are only counted, like those of strangers."""
FEED = "feed:"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePosition:
    """The home's position in degrees, for comparison with areas. It is never sent."""

    longitude: float
    latitude: float


def heard(
    source: str, content: bytes, *, ledger_state: LedgerState, home: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    """Return the entries that an item of the spool adds; none if it is already known. Raises Refused."""
    if source == "request":
        return _request(content, ledger_state, now)
    if source == "notice":
        return _notice(content, ledger_state, home, now)
    if source.startswith(FEED) and source.removeprefix(FEED) in ledger_state.feeds:
        return _fed(source.removeprefix(FEED), content, ledger_state, home, now)
    raise Refused(Reason.UNKNOWN_FEED, source)


# --- footage requests -------------------------------------------------------------------------------


def _request(content: bytes, ledger_state: LedgerState, now: int) -> list[LedgerEntryDraft]:
    envelope, sender, key = _believed(content, REQUEST, ledger_state)
    message = request_of(envelope.payload)
    _check_sender(message.agency, sender)
    rules.check_key(key, message.iat)
    if isinstance(message, RequestCancellation):
        case = ledger_state.cases.get((message.agency, message.id))
        known = case is not None
        if not _is_news("request", message.agency, message.id, message.iat, ledger_state, now, known=known):
            return []
        return [
            cancellation("request", message.agency, message.id, content),
            *end_case(case, "the agency cancelled it"),
        ]
    request_key = message.agency, message.id
    known_case = ledger_state.cases.get(request_key)
    if known_case:
        if known_case.envelope_sha256 == envelope.sha256:
            return []
        raise Refused(Reason.ID_REUSED, message.id)
    received = LedgerEntryDraft(
        kind="request",
        data={"sender": message.agency, "id": message.id, "from": None, "to": "received"},
        body=content,
    )
    try:
        rules.check_request(message, sender, ledger_state, now)
    except Refused as refused:
        if ledger_state.count_since("rejection", message.agency, now - rules.DAY_S) >= MAX_REJECTIONS_PER_DAY:
            raise
        return [received, step(request_key, State.RECEIVED, Step.REJECT, why=f"{refused}")]
    return [received]


def matched(request: FootageRequest, *, home: HomePosition | None, has_footage: bool) -> LedgerEntryDraft:
    """Return whether a request concerns this home; the only decision that is made without the owner."""
    key = request.agency, request.id
    if home is None or not contains(request.area.corners(MAX_AREA_CORNERS), home.longitude, home.latitude):
        return step(
            (request.agency, request.id), State.RECEIVED, Step.MATCH_NOT, why="your home is not in its area"
        )
    if not has_footage:
        return step(
            (request.agency, request.id),
            State.RECEIVED,
            Step.MATCH_NOT,
            why="there is no clip from that time",
        )
    return step(key, State.RECEIVED, Step.OFFER)


# --- notices ----------------------------------------------------------------------------------------


def _notice(
    content: bytes, ledger_state: LedgerState, home: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    envelope, sender, key = _believed(content, NOTICE, ledger_state)
    message = notice_of(envelope.payload)
    _check_sender(message.source, sender)
    rules.check_key(key, message.iat)
    if isinstance(message, NoticeCancellation):
        source, name = message.source, message.id
        is_known = (source, name) in ledger_state.notices
        new = _is_news("notice", source, name, message.iat, ledger_state, now, known=is_known)
        return [cancellation("notice", source, name, content)] if new else []
    known = ledger_state.notices.get((message.source, message.id))
    if known:
        if known.body == envelope.sha256:
            return []
        raise Refused(Reason.ID_REUSED, message.id)
    rules.check_notice(message, sender, ledger_state, now)
    inside = contains(message.area.corners(MAX_AREA_CORNERS), home.longitude, home.latitude)
    return [
        _kept(
            message.source,
            message.id,
            envelope.sha256,
            content,
            signed=True,
            here=inside,
            supersedes=message.supersedes,
        )
    ]


def _fed(
    feed: str, document: bytes, ledger_state: LedgerState, home: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    drafts: list[LedgerEntryDraft] = []
    room = rules.MAX_NOTICES_PER_DAY - ledger_state.count_since(
        "notice", origin_of(feed, signed=False), now - rules.DAY_S
    )
    for alert in alerts_of(document):
        if len(drafts) >= room:
            break  # what is left out is in the feed again, tomorrow
        drafts.extend(_fed_one(feed, alert, ledger_state, home, now))
    return drafts


def _fed_one(
    feed: str, alert: Alert, ledger_state: LedgerState, home: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    origin = origin_of(feed, signed=False)
    key = (origin, alert.id)
    if alert.op == "cancel":
        gone = [
            other
            for other in (*alert.replaces, *_series(feed, alert, ledger_state))
            if ("notice", origin, other) not in ledger_state.cancelled
        ]
        return [cancellation("feed", feed, other, alert.body) for other in gone]
    if (
        key in ledger_state.notices
        or ("notice", *key) in ledger_state.cancelled
        or key in ledger_state.superseded
        or alert.expires <= now
    ):
        return []
    if alert.sent > now + rules.SKEW_S:
        return []
    here = alert.covers(home.longitude, home.latitude)
    old = [*alert.replaces, *_series(feed, alert, ledger_state)]
    newer = [
        other
        for other in old
        if (origin, other) in ledger_state.notices and ledger_state.notices[origin, other].iat > alert.sent
    ]
    if newer:
        return []
    digest = hashlib.sha256(alert.body).hexdigest()
    return [_kept(feed, alert.id, digest, alert.body, signed=False, here=here, supersedes=old)]


def _series(feed: str, alert: Alert, ledger_state: LedgerState) -> list[str]:
    if not alert.series:
        return []
    start = f"{alert.series} "
    return [
        name
        for source, name in ledger_state.notices
        if source == origin_of(feed, signed=False) and name.startswith(start) and name != alert.id
    ]


def _kept(
    source: str, name: str, digest: str, body: bytes, *, signed: bool, here: bool, supersedes: Sequence[str]
) -> LedgerEntryDraft:
    data: NoticeReceived = {
        "source": source,
        "id": name,
        "sha256": digest,
        "signed": signed,
        "here": here,
        "supersedes": list(supersedes),
    }
    return LedgerEntryDraft(kind="notice", data=data, body=body)


def news(drafts: Sequence[LedgerEntryDraft], ledger_state: LedgerState) -> list[StoredNotice]:
    """Return the notices that some entries have just brought or cancelled, each once."""
    keys_of = [
        (origin_of(draft.data["source"], signed=draft.data["signed"]), draft.data["id"])
        if draft.kind == "notice"
        else (origin_of(draft.data["sender"], signed=draft.data["of"] != "feed"), draft.data["id"])
        for draft in drafts
        if draft.kind == "notice" or (draft.kind == "cancellation" and draft.data["of"] != "request")
    ]
    return [ledger_state.notices[key] for key in dict.fromkeys(keys_of) if key in ledger_state.notices]


# --- both -------------------------------------------------------------------------------------------


def _believed(content: bytes, typ: str, ledger_state: LedgerState) -> tuple[Envelope, Sender, SigningKey]:
    envelope = read(content, types=(typ,), kids=ledger_state.keys)
    sender, key = ledger_state.keys[envelope.kid]
    keys.check(envelope, sender.keys[envelope.kid])
    return envelope, sender, key


def _check_sender(claimed: str, sender: Sender) -> None:
    if claimed != sender.record.sender:
        raise Refused(Reason.WRONG_SENDER, f"it says {claimed}, the key is {sender.record.sender}'s")


def _is_news(
    channel: Channel, sender: str, name: str, iat: int, ledger_state: LedgerState, now: int, *, known: bool
) -> bool:
    """Return whether a cancellation is news. Raises Refused.

    There is one for each known request or notice, and those have limits. So only early cancellations are counted.
    """
    if (channel, sender, name) in ledger_state.cancelled:
        return False
    if iat > now + rules.SKEW_S:
        raise Refused(Reason.FROM_THE_FUTURE)
    since = now - rules.DAY_S
    limit = rules.MAX_EARLY_CANCELLATIONS_PER_DAY
    early: Literal["early request cancellation", "early notice cancellation"] = (
        "early request cancellation" if channel == "request" else "early notice cancellation"
    )
    if not known and ledger_state.count_since(early, sender, since) >= limit:
        raise Refused(Reason.TOO_MANY_TODAY)
    return True
