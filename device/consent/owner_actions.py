"""The owner's actions as entries of the ledger: pins, feeds, backup targets, readers. Pure: time and state are given.

An approval is a step of a request (entries.py).
"""

import re
from collections.abc import Collection, Sequence
from typing import Literal

from device.consent import keys, rules
from device.consent.documents import (
    AddedDestination,
    AddedFeed,
    AddedReader,
    PinnedRecord,
    RemovedName,
    UnpinnedSender,
)
from device.consent.entries import LedgerEntryDraft, end_case
from device.consent.envelope import Envelope
from device.consent.ledger_state import LedgerState
from device.consent.models import SenderRecord
from device.consent.reasons import Reason, Refused
from device.consent.sender_records import record_in
from device.consent.views import ReaderScope
from device.system.host_patterns import HTTPS_URL

MAX_DESTINATIONS = 4
MAX_READERS = 12
BROKER = "mqtt"
"""The reader that stands for the MQTT broker; it has no token."""
_FEED_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}[a-z0-9]")


def pinned(content: bytes, typed: str, *, ledger_state: LedgerState, now: int) -> LedgerEntryDraft:
    """Return the pin of a new sender whose fingerprint the owner typed. Raises Refused."""
    envelope, record = record_in(content)
    signing = next((key for key in record.keys if key.kid == envelope.kid), None)
    if signing is None:
        raise Refused(Reason.BAD_KEY, "it is signed with a key that it does not name")
    if keys.typed(typed) != envelope.kid:
        raise Refused(
            Reason.MISTAKE, "that is not this file's fingerprint: do not pin it", code="wrong_fingerprint"
        )
    if record.sender in ledger_state.senders or record.sender in ledger_state.feeds:
        raise Refused(
            Reason.MISTAKE,
            f"{record.sender} is pinned already; a newer record is a rotation",
            code="pinned_already",
            name=record.sender,
        )
    _check_keys_free(record, ledger_state)
    rules.check_key(signing, min(now, signing.valid_until - 1))
    data = _pinned_record(envelope, record)
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
    data = _pinned_record(envelope, record)
    return LedgerEntryDraft(kind="sender_rotated", data=data, body=content.strip())


def _pinned_record(envelope: Envelope, record: SenderRecord) -> PinnedRecord:
    return {
        "sender": record.sender,
        "kind": record.kind,
        "fingerprint": envelope.kid,
        "serial": record.serial,
    }


def _check_keys_free(record: SenderRecord, ledger_state: LedgerState) -> None:
    """Refuse a record that names another sender's key: messages of that sender would count as this one's."""
    for key in record.keys:
        if key.kid in ledger_state.keys and ledger_state.keys[key.kid][0].record.sender != record.sender:
            owner = ledger_state.keys[key.kid][0].record.sender
            raise Refused(Reason.BAD_KEY, f"{key.kid} is the key of {owner}")


def unpinned(sender: str, ledger_state: LedgerState) -> list[LedgerEntryDraft]:
    """Return the entries that unpin a sender and end its offers. Raises Refused."""
    if sender not in ledger_state.senders:
        raise Refused(Reason.MISTAKE, f"{sender} is not pinned", code="not_pinned")
    ended = [
        draft
        for case in ledger_state.cases.values()
        if case.request.agency == sender
        for draft in end_case(case, "you unpinned the agency")
    ]
    data: UnpinnedSender = {"sender": sender}
    return [LedgerEntryDraft(kind="sender_unpinned", data=data), *ended]


def feed_added(name: str, url: str, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the entry of a feed that the owner chose. Raises Refused."""
    if not _FEED_NAME.fullmatch(name):
        raise Refused(Reason.MISTAKE, "a feed's name is 2 to 32 of a-z, 0-9 and hyphens", code="bad_name")
    if not re.fullmatch(HTTPS_URL, url):
        raise Refused(
            Reason.MISTAKE,
            "a feed's address begins with https:// and has no user, password or fragment",
            code="feed_url",
        )
    if name in ledger_state.feeds or name in ledger_state.senders:
        raise Refused(Reason.MISTAKE, f"there is a {name} already", code="name_taken", name=name)
    data: AddedFeed = {"name": name, "url": url}
    return LedgerEntryDraft(kind="feed_added", data=data)


def feed_removed(name: str, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the entry that removes a feed. Raises Refused."""
    return _removed("feed", name, ledger_state.feeds)


def destination_added(destination: AddedDestination, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the entry of a backup target that the owner added; it has no secret. Raises Refused."""
    if not _FEED_NAME.fullmatch(destination["name"]):
        raise Refused(
            Reason.MISTAKE, "a destination's name is 2 to 32 of a-z, 0-9 and hyphens", code="bad_name"
        )
    if destination["name"] in ledger_state.destinations:
        raise Refused(
            Reason.MISTAKE,
            f"there is a destination {destination['name']} already",
            code="name_taken",
            name=destination["name"],
        )
    if len(ledger_state.destinations) >= MAX_DESTINATIONS:
        raise Refused(
            Reason.MISTAKE,
            f"there are {MAX_DESTINATIONS} destinations already",
            code="backups_many",
            most=MAX_DESTINATIONS,
        )
    return LedgerEntryDraft(kind="destination_added", data=destination)


def destination_removed(name: str, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the entry that removes a backup target. Raises Refused."""
    return _removed("destination", name, ledger_state.destinations)


def reader_added(name: str, scopes: Sequence[ReaderScope], ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the entry of a client that may read pictures; it has no token. Raises Refused."""
    if not _FEED_NAME.fullmatch(name):
        raise Refused(Reason.MISTAKE, "a reader's name is 2 to 32 of a-z, 0-9 and hyphens", code="bad_name")
    if not scopes:
        raise Refused(Reason.MISTAKE, "choose at least one thing that it may read", code="reader_no_scope")
    has_picture = "press_picture" in scopes
    if (name == BROKER) != has_picture or (has_picture and len(set(scopes)) > 1):
        text = f"the broker's name is {BROKER}: it gets press_picture, and nothing else"
        raise Refused(Reason.MISTAKE, text, code="reader_broker", name=BROKER)
    if "sound" in scopes and "rtsp" not in scopes:
        raise Refused(
            Reason.MISTAKE, "sound goes with rtsp: choose both, or no sound", code="reader_only_sound"
        )
    if name in ledger_state.readers:
        raise Refused(
            Reason.MISTAKE, f"there is a reader {name} already; revoke it first", code="name_taken", name=name
        )
    if len(ledger_state.readers) >= MAX_READERS:
        raise Refused(
            Reason.MISTAKE, f"there are {MAX_READERS} readers already", code="readers_many", most=MAX_READERS
        )
    data: AddedReader = {"name": name, "scopes": sorted(set(scopes))}
    return LedgerEntryDraft(kind="reader_added", data=data)


def reader_removed(name: str, ledger_state: LedgerState) -> LedgerEntryDraft:
    """Return the entry that ends a reader's access. Raises Refused."""
    return _removed("reader", name, ledger_state.readers)


def _removed(
    what: Literal["feed", "destination", "reader"], name: str, known: Collection[str]
) -> LedgerEntryDraft:
    if name not in known:
        raise Refused(Reason.MISTAKE, f"there is no {what} {name}", code="no_such_name", name=name)
    data: RemovedName = {"name": name}
    return LedgerEntryDraft(kind=f"{what}_removed", data=data)
