"""Builds the owner's views of requests, notices, backup targets and entries (device/consent/views.py)."""

import base64
import json
from collections.abc import Iterator
from typing import Unpack, cast

from device.consent.area import place_of
from device.consent.ledger_state import (
    Case,
    Destination,
    LedgerState,
    StoredNotice,
    origin_of,
)
from device.consent.models import MAX_AREA_CORNERS, SenderRecord
from device.consent.names import code_points
from device.consent.views import (
    DestinationView,
    EntryView,
    NoticeView,
    ProgressView,
    ReleaseView,
    RequestView,
    SenderDetails,
    SenderView,
    SubjectView,
)
from device.consent_service.ledger import Entry, Ledger


def request_view(case: Case, ledger_state: LedgerState, home: tuple[float, float]) -> RequestView:
    """Return a request without its offer; `home`: longitude and latitude."""
    sender = ledger_state.senders.get(case.request.agency)
    shown = {
        **case.request.model_dump(mode="json"),
        "handle": case.handle,
        "place": place_of(case.request.area.corners(MAX_AREA_CORNERS), home),
        "agency_name": sender.record.name if sender else case.request.agency,
        "agency_contact": sender.record.contact if sender else "",
        "signed_by": sorted(sender.keys) if sender else [],
        "state": str(case.state),
        "since": case.since,
        "heard_at": case.heard_at,
        "why": case.why,
        "ends_at": case.ends_at,
        "approved_hash": case.offer_hash,
    }
    return cast("RequestView", shown)


def sender_view(record: SenderRecord, **more: Unpack[SenderDetails]) -> SenderView:
    """Return a sender's record and its state."""
    shown = {"name_code_points": code_points(record.name), "contact_code_points": code_points(record.contact)}
    return cast("SenderView", {**record.model_dump(mode="json"), **shown, **more})


def release_view(case: Case, progress: ProgressView | None) -> ReleaseView | None:
    """Return an approval's progress, parcel and sent bytes; None before an approval."""
    if not case.offer:
        return None
    return {
        "offer": case.offer,
        "progress": progress,
        "parcel": case.parcel,
        "receipt": case.receipt,
        "left_bytes": case.left_bytes if case.parcel else 0,
        "accounted": case.accounted or not case.parcel,
    }


def destination_view(destination: Destination) -> DestinationView:
    """Return a backup target and its progress."""
    backups = destination.backups.values()
    return {
        "name": destination.name,
        "kind": destination.kind,
        "url": destination.url,
        "user": destination.user,
        "age": destination.age,
        "outside": destination.outside,
        "limit_bytes": destination.limit_bytes,
        "stored_bytes": destination.stored_bytes,
        "stored": sum(backup.done for backup in backups),
        "waiting": sum(not backup.done for backup in backups),
        "added_at": destination.added_at,
    }


def notice_view(kept: StoredNotice, ledger_state: LedgerState, now: int) -> NoticeView:
    """Return a notice and its sender."""
    sender = ledger_state.senders.get(kept.source)
    state = "expired" if kept.state == "current" and kept.exp <= now else kept.state
    # Who signed it, also if the owner has unpinned him since.
    signed_by = (sender.record.name if sender else kept.source) if kept.signed else ""
    return {
        "source": kept.source,
        "id": kept.id,
        "kind": kept.kind,
        "severity": kept.severity,
        "headline": kept.headline,
        "text": kept.text,
        "sent": kept.iat,
        "expires": kept.exp,
        "heard_at": kept.heard_at,
        "signed_by": signed_by,
        "sender_kind": sender.record.kind if sender else "feed",
        "feed": "" if kept.signed else ledger_state.feeds.get(kept.source, ""),
        "here": kept.here,
        "area": kept.area,
        "area_text": kept.area_text,
        "state": state,
    }


def entry_view(entry: Entry) -> EntryView:
    """Return an entry of the ledger."""
    return {
        "seq": entry.seq,
        "at": entry.at,
        "clock": entry.clock,
        "kind": entry.kind,
        "body": entry.body,
        "data": entry.data,
        "prev": entry.prev,
        "hash": entry.hash,
    }


def subject_of(entry: Entry, ledger_state: LedgerState) -> SubjectView:
    """Return names for the ids of an entry, as far as they are known."""
    data, kind, of = entry.data, entry.kind, entry.data.get("of")
    subject: SubjectView = {}
    sender, case = data.get("sender", ""), None
    if kind in ("request", "left") or (kind == "cancellation" and of == "request"):
        case = ledger_state.cases.get((data["sender"], data["id"]))
    elif kind == "revocation" and of == "request":
        case = next((each for each in ledger_state.cases.values() if each.handle == data["name"]), None)
    elif kind in ("notice", "cancellation"):
        signed = data["signed"] if kind == "notice" else of != "feed"
        source = data["source"] if kind == "notice" else data["sender"]
        sender = source if signed else ""
        if notice := ledger_state.notices.get((origin_of(source, signed=signed), data["id"])):
            subject["headline"] = notice.headline
    if case:
        sender = case.request.agency
        subject["case"] = case.request.case
    if known := ledger_state.senders.get(sender):
        subject["sender_name"] = known.record.name
    return subject


def export_text(ledger: Ledger) -> Iterator[str]:
    """Yield the whole ledger as JSON lines: entries with their bodies (base64), then what was refused."""
    for entry in ledger.entries():
        body = ledger.body(entry.body) if entry.body else None
        coded = None if body is None else base64.b64encode(body).decode()
        yield json.dumps({"entry": entry_view(entry), "body_base64": coded}, ensure_ascii=False)
    for counted in ledger.refused():
        yield json.dumps({"refused": counted})
    for kept in ledger.refused_bodies():
        coded = base64.b64encode(kept["bytes"]).decode()
        shown = {"reason": kept["reason"], "detail": kept["detail"], "at": kept["at"]}
        yield json.dumps({"refused_body": shown, "body_base64": coded}, ensure_ascii=False)
