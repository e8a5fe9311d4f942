"""From bytes that were heard to entries of the ledger. Pure: told what is known, where the house is, and the
time.

Whatever is not an entry is a refusal with a reason. Nothing here can be seen from outside, and nothing
approves.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from device.consent import keys, rules
from device.consent.area import contains
from device.consent.cap import Alert, alerts_of
from device.consent.envelope import MAX_BYTES, NOTICE, RECORD, REQUEST, Envelope, read
from device.consent.ledger_state import Case, LedgerState, Sender, StoredNotice
from device.consent.models import (
    MAX_AREA_CORNERS,
    FootageRequest,
    NoticeCancellation,
    RequestCancellation,
    SenderRecord,
    SigningKey,
    notice_of,
    record_of,
    request_of,
)
from device.consent.reasons import Reason, Refused
from device.consent.states import State, Step, after

MAX_KEPT_BYTES = MAX_BYTES
"""Of the body of something refused; no envelope is larger, and of a feed's document the beginning tells
enough.
"""
MAX_DESTINATIONS = 4
MAX_REJECTIONS_PER_DAY = 50
"""Of one sender, in the ledger; further ones are counted like those of strangers."""
FEED = "feed:"
_FEED_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}[a-z0-9]")
_FEED_URL = re.compile(r"https://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[1-9][0-9]{0,4})?(/[!-~]{0,1000})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntryDraft:
    """An entry that shall be written."""

    kind: str
    data: dict[str, Any]
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePosition:
    """Where the house stands, degrees. It is compared with, and never told."""

    longitude: float
    latitude: float


def heard(
    source: str, content: bytes, *, ledger_state: LedgerState, place: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    """Return what an item of the spool adds to the ledger; nothing if it is known already. Raises
    Refused.
    """
    if source == "request":
        return _request(content, ledger_state, now)
    if source == "notice":
        return _notice(content, ledger_state, place, now)
    if source.startswith(FEED) and source.removeprefix(FEED) in ledger_state.feeds:
        return _fed(source.removeprefix(FEED), content, ledger_state, place, now)
    raise Refused(Reason.UNKNOWN_FEED, source)


# --- footage requests -------------------------------------------------------------------------------


def _request(content: bytes, ledger_state: LedgerState, now: int) -> list[LedgerEntryDraft]:
    envelope, sender, key = _believed(content, REQUEST, ledger_state)
    said = request_of(envelope.payload)
    _check_sender(said.agency, sender)
    rules.check_key(key, said.iat)
    if isinstance(said, RequestCancellation):
        case = ledger_state.cases.get(said.id)
        if case and case.request.agency != said.agency:
            raise Refused(Reason.WRONG_SENDER, said.id)
        if not _is_news(said.agency, said.id, said.iat, ledger_state, now):
            return []
        return [
            _cancellation(said.agency, said.id, content),
            *_taken_back(case, "the agency cancelled it"),
        ]
    known = ledger_state.cases.get(said.id)
    if known:
        if known.envelope_sha256 == envelope.sha256:
            return []
        raise Refused(Reason.ID_REUSED, said.id)
    received = LedgerEntryDraft(
        kind="request", data={"id": said.id, "from": None, "to": "received"}, body=content
    )
    try:
        rules.check_request(said, sender, ledger_state, now)
    except Refused as refused:
        if ledger_state.count_since("rejection", said.agency, now - rules.DAY_S) >= MAX_REJECTIONS_PER_DAY:
            raise
        return [received, step(said.id, State.RECEIVED, Step.REJECT, why=f"{refused}")]
    return [received]


def matched(request: FootageRequest, *, place: HomePosition | None, has_footage: bool) -> LedgerEntryDraft:
    """Return whether a request concerns this house; the one decision that is made without the owner."""
    if place is None or not contains(request.area.corners(MAX_AREA_CORNERS), place.longitude, place.latitude):
        return step(request.id, State.RECEIVED, Step.MATCH_NOT, why="this house is not in its area")
    if not has_footage:
        return step(request.id, State.RECEIVED, Step.MATCH_NOT, why="there is no clip of that time")
    return step(request.id, State.RECEIVED, Step.OFFER)


def step(request_id: str, state: State, taken: Step, **told: Any) -> LedgerEntryDraft:
    """Return the entry of one step of the table. Raises NoSuchStep."""
    return LedgerEntryDraft(
        kind="request", data={"id": request_id, "from": str(state), "to": str(after(state, taken)), **told}
    )


def left(case: Case, *, left_bytes: int, final: bool, why: str) -> LedgerEntryDraft:
    """Return what of a parcel had left when its approval ended before it was delivered."""
    return LedgerEntryDraft(
        kind="left",
        data={
            "id": case.request.id,
            "sha256": case.parcel["sha256"],
            "left_bytes": left_bytes,
            "of_bytes": case.parcel["bytes"],
            "final": final,
            "why": why,
        },
    )


def destination_added(said: Mapping[str, Any], ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return a place for backups that the owner consented to; no secret is in it. Raises Refused."""
    if not _FEED_NAME.fullmatch(said["name"]):
        raise Refused(Reason.MISTAKE, "a destination's name is 2 to 32 of a-z, 0-9 and hyphens")
    if said["name"] in ledger_state.destinations:
        raise Refused(Reason.MISTAKE, f"there is a destination {said['name']} already")
    if len(ledger_state.destinations) >= MAX_DESTINATIONS:
        raise Refused(Reason.MISTAKE, f"there are {MAX_DESTINATIONS} destinations already")
    return LedgerEntryDraft(kind="destination_added", data=dict(said))


def destination_removed(name: str, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the end of a destination. Raises Refused."""
    if name not in ledger_state.destinations:
        raise Refused(Reason.MISTAKE, f"there is no destination {name}")
    return LedgerEntryDraft(kind="destination_removed", data={"name": name})


def backup(destination: str, clip_id: str, sha256: str, size_bytes: int) -> LedgerEntryDraft:
    """Return that a clip is about to go to a destination, sealed."""
    data = {"destination": destination, "clip": clip_id, "sha256": sha256, "bytes": size_bytes}
    return LedgerEntryDraft(kind="backup", data=data)


def backed_up(destination: str, clip_id: str, sha256: str) -> LedgerEntryDraft:
    """Return that it is there."""
    return LedgerEntryDraft(
        kind="backed_up", data={"destination": destination, "clip": clip_id, "sha256": sha256}
    )


def _taken_back(case: Case | None, why: str) -> list[LedgerEntryDraft]:
    if case is None:
        return []
    if case.state is State.OFFERED:
        return [step(case.request.id, case.state, Step.CANCEL, why=why)]
    if case.state in (State.APPROVED, State.SEALED, State.HANDED_OVER):
        return [step(case.request.id, case.state, Step.FAIL, why=why)]
    return []


# --- notices ----------------------------------------------------------------------------------------


def _notice(
    content: bytes, ledger_state: LedgerState, place: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    envelope, sender, key = _believed(content, NOTICE, ledger_state)
    said = notice_of(envelope.payload)
    _check_sender(said.source, sender)
    rules.check_key(key, said.iat)
    if isinstance(said, NoticeCancellation):
        new = _is_news(said.source, said.id, said.iat, ledger_state, now)
        return [_cancellation(said.source, said.id, content)] if new else []
    known = ledger_state.notices.get((said.source, said.id))
    if known:
        if known.body == envelope.sha256:
            return []
        raise Refused(Reason.ID_REUSED, said.id)
    rules.check_notice(said, sender, ledger_state, now)
    inside = contains(said.area.corners(MAX_AREA_CORNERS), place.longitude, place.latitude)
    return [
        _kept(
            said.source,
            said.id,
            envelope.sha256,
            content,
            signed=True,
            here=inside,
            supersedes=said.supersedes,
        )
    ]


def _fed(
    feed: str, document: bytes, ledger_state: LedgerState, place: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    drafts: list[LedgerEntryDraft] = []
    room = rules.MAX_NOTICES_PER_DAY - ledger_state.count_since("notice", feed, now - rules.DAY_S)
    for alert in alerts_of(document):
        if len(drafts) >= room:
            break  # what is left out is in the feed again, tomorrow
        drafts.extend(_fed_one(feed, alert, ledger_state, place, now))
    return drafts


def _fed_one(
    feed: str, alert: Alert, ledger_state: LedgerState, place: HomePosition, now: int
) -> list[LedgerEntryDraft]:
    key = (feed, alert.id)
    if alert.op == "cancel":
        gone = [
            other
            for other in (*alert.replaces, *_series(feed, alert, ledger_state))
            if (feed, other) not in ledger_state.cancelled
        ]
        return [_cancellation(feed, other, alert.body) for other in gone]
    if (
        key in ledger_state.notices
        or key in ledger_state.cancelled
        or key in ledger_state.superseded
        or alert.expires <= now
    ):
        return []
    if alert.sent > now + rules.SKEW_S:
        return []
    here = alert.covers(place.longitude, place.latitude)
    old = [*alert.replaces, *_series(feed, alert, ledger_state)]
    newer = [
        other
        for other in old
        if (feed, other) in ledger_state.notices and ledger_state.notices[feed, other].iat > alert.sent
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
        if source == feed and name.startswith(start) and name != alert.id
    ]


def _kept(
    source: str, name: str, digest: str, body: bytes, *, signed: bool, here: bool, supersedes: Sequence[str]
) -> LedgerEntryDraft:
    data = {
        "source": source,
        "id": name,
        "sha256": digest,
        "signed": signed,
        "here": here,
        "supersedes": list(supersedes),
    }
    return LedgerEntryDraft(kind="notice", data=data, body=body)


def news(drafts: Sequence[LedgerEntryDraft], ledger_state: LedgerState) -> list[StoredNotice]:
    """Return the notices that some entries have just brought."""
    keys_of = [(draft.data["source"], draft.data["id"]) for draft in drafts if draft.kind == "notice"]
    return [ledger_state.notices[key] for key in keys_of if key in ledger_state.notices]


# --- what the owner pins ----------------------------------------------------------------------------


def record_in(content: bytes) -> tuple[Envelope, SenderRecord]:
    """Return the record in a sender's file, signed by one of its own keys. Raises Refused."""
    envelope = read(content.strip(), types=(RECORD,), kids=None)
    record = record_of(envelope.payload)
    for key in record.keys:
        raw = keys.public_key(key.x)
        if keys.fingerprint(raw) != key.kid:
            raise Refused(Reason.BAD_KEY, f"{key.kid} is not the fingerprint of its key")
    own = {key.kid: keys.public_key(key.x) for key in record.keys}
    if envelope.kid in own:
        keys.check(envelope, own[envelope.kid])
    return envelope, record


def pinned(content: bytes, typed: str, *, ledger_state: LedgerState, now: int) -> LedgerEntryDraft:
    """Return the pin of a new sender whose fingerprint the owner typed. Raises Refused."""
    envelope, record = record_in(content)
    signing = next((key for key in record.keys if key.kid == envelope.kid), None)
    if signing is None:
        raise Refused(Reason.BAD_KEY, "it is signed with a key that it does not name")
    if keys.typed(typed) != envelope.kid:
        raise Refused(Reason.MISTAKE, "that is not this file's fingerprint: do not pin it")
    if record.sender in ledger_state.senders or record.sender in ledger_state.feeds:
        raise Refused(Reason.MISTAKE, f"{record.sender} is pinned already; a newer record is a rotation")
    _check_keys_free(record, ledger_state)
    rules.check_key(signing, min(now, signing.valid_until - 1))
    data = {
        "sender": record.sender,
        "kind": record.kind,
        "fingerprint": envelope.kid,
        "serial": record.serial,
    }
    return LedgerEntryDraft(kind="sender_pinned", data=data, body=content.strip())


def rotated(content: bytes, *, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the rotation of a pinned sender: a newer record, signed with a key that is pinned. Raises
    Refused.
    """
    envelope, record = record_in(content)
    if envelope.kid not in ledger_state.keys:
        raise Refused(Reason.UNKNOWN_KEY)
    sender, _ = ledger_state.keys[envelope.kid]
    keys.check(envelope, sender.keys[envelope.kid])
    rules.check_rotation(record, sender.record)
    _check_keys_free(record, ledger_state)
    data = {
        "sender": record.sender,
        "kind": record.kind,
        "fingerprint": envelope.kid,
        "serial": record.serial,
    }
    return LedgerEntryDraft(kind="sender_rotated", data=data, body=content.strip())


def _check_keys_free(record: SenderRecord, ledger_state: LedgerState) -> None:
    """Refuse a record that names another's key: what that one signs would count as this one's."""
    for key in record.keys:
        if key.kid in ledger_state.keys and ledger_state.keys[key.kid][0].record.sender != record.sender:
            owner = ledger_state.keys[key.kid][0].record.sender
            raise Refused(Reason.BAD_KEY, f"{key.kid} is the key of {owner}")


def unpinned(sender: str, ledger_state: LedgerState) -> list[LedgerEntryDraft]:
    """Return the end of a pin, and of every offer that hung on it. Raises Refused."""
    if sender not in ledger_state.senders:
        raise Refused(Reason.MISTAKE, f"{sender} is not pinned")
    ended = [
        draft
        for case in ledger_state.cases.values()
        if case.request.agency == sender
        for draft in _taken_back(case, "you unpinned the agency")
    ]
    return [LedgerEntryDraft(kind="sender_unpinned", data={"sender": sender}), *ended]


def feed_added(name: str, url: str, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return a feed that the owner chose. Raises Refused."""
    if not _FEED_NAME.fullmatch(name):
        raise Refused(Reason.MISTAKE, "a feed's name is 2 to 32 of a-z, 0-9 and hyphens")
    if not _FEED_URL.fullmatch(url):
        raise Refused(
            Reason.MISTAKE, "a feed's address begins with https:// and has no user, password or fragment"
        )
    if name in ledger_state.feeds or name in ledger_state.senders:
        raise Refused(Reason.MISTAKE, f"there is a {name} already")
    return LedgerEntryDraft(kind="feed_added", data={"name": name, "url": url})


def feed_removed(name: str, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the end of a feed. Raises Refused."""
    if name not in ledger_state.feeds:
        raise Refused(Reason.MISTAKE, f"there is no feed {name}")
    return LedgerEntryDraft(kind="feed_removed", data={"name": name})


# --- both -------------------------------------------------------------------------------------------


def _believed(content: bytes, typ: str, ledger_state: LedgerState) -> tuple[Envelope, Sender, SigningKey]:
    envelope = read(content, types=(typ,), kids=ledger_state.keys)
    sender, key = ledger_state.keys[envelope.kid]
    keys.check(envelope, sender.keys[envelope.kid])
    return envelope, sender, key


def _check_sender(said: str, sender: Sender) -> None:
    if said != sender.record.sender:
        raise Refused(Reason.WRONG_SENDER, f"it says {said}, the key is {sender.record.sender}'s")


def _is_news(sender: str, name: str, iat: int, ledger_state: LedgerState, now: int) -> bool:
    """Return whether a cancellation is news. Raises Refused."""
    if (sender, name) in ledger_state.cancelled:
        return False
    if iat > now + rules.SKEW_S:
        raise Refused(Reason.FROM_THE_FUTURE)
    if ledger_state.count_since("cancellation", sender, now - rules.DAY_S) >= rules.MAX_NOTICES_PER_DAY:
        raise Refused(Reason.TOO_MANY_TODAY)
    return True


def _cancellation(sender: str, name: str, content: bytes) -> LedgerEntryDraft:
    return LedgerEntryDraft(kind="cancellation", data={"sender": sender, "id": name}, body=content)
