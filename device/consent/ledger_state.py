"""The current state, read from the ledger's first entry to its last. Only the ledger decides what is pinned or open.

`take` is called with each entry when the daemon starts, and with each new one once it is durable.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from device.consent import keys
from device.consent.area import CornerArray
from device.consent.cap import Alert, alerts_of
from device.consent.documents import (
    AddedDestination,
    AddedFeed,
    AddedReader,
    Boottime,
    Cancellation,
    EntryData,
    NoticeReceived,
    Offer,
    Parcel,
    RemovedName,
    RequestStep,
    SentBytes,
    StartedBackup,
    StoppedBackup,
    StoredBackup,
    UnpinnedSender,
)
from device.consent.envelope import NOTICE, RECORD, REQUEST, read
from device.consent.models import (
    MAX_JURISDICTION_CORNERS,
    FootageRequest,
    Notice,
    SenderRecord,
    SigningKey,
    notice_of,
    record_of,
    request_of,
)
from device.consent.reasons import Reason, Refused
from device.consent.states import OPEN, State
from device.consent.views import HistoryView
from device.errors import CommandError
from device.spool.parcels import Receipt

RequestKey = tuple[str, str]
"""A request's sender and id. An id alone is the choice of whoever sends it, and may be another sender's too."""
NoticeKey = tuple[str, str]
"""A notice's origin (see `origin_of`) and id."""
Channel = Literal["request", "notice"]

KEPT_S = 30 * 86_400
"""How long a notice can still be read after it has ended."""


@dataclass(slots=True, kw_only=True)
class Sender:
    """A pinned record, ready to be asked."""

    record: SenderRecord
    envelope_sha256: str
    pinned_at: int
    jurisdiction: CornerArray
    keys: dict[str, bytes]


def handle_of(sender: str, request_id: str) -> str:
    """Return a request's name as one word: SENDER.ID."""
    return f"{sender}.{request_id}"


@dataclass(slots=True, kw_only=True)
class Case:
    """One footage request and its state."""

    request: FootageRequest
    envelope_sha256: str
    heard_at: int
    state: State = State.RECEIVED
    since: int = 0
    why: str = ""
    history: list[HistoryView] = field(default_factory=list)
    offer_hash: str = ""
    ends_at: int = 0
    """When an approval ends, Unix seconds; 0 before an approval."""
    ends_boottime: Boottime | None = None
    """The same by the clock that cannot be set; it counts in the boot of the approval alone."""
    offer: Offer | None = None
    """The approved offer, unchanged."""
    files: Sequence[str] = ()
    """SHA-256 of the files that the owner played and approved; empty if he did not play them."""
    parcel: Parcel | None = None
    """The sealed parcel: sha256, bytes, key, clips."""
    receipt: Receipt | None = None
    left_bytes: int = 0
    """Upper bound of the parcel's bytes that have been sent."""
    accounted: bool = False
    """Whether that number is final."""

    @property
    def key(self) -> RequestKey:
        """What names it in the ledger."""
        return self.request.agency, self.request.id

    @property
    def handle(self) -> str:
        """The same as one word, for folders, addresses of the page and the command line: SENDER.ID."""
        return handle_of(*self.key)

    @property
    def admitted(self) -> bool:
        """Whether it passed the rules."""
        return self.state is not State.REJECTED

    def approved_offer(self) -> Offer:
        """Return what was approved. Raises LookupError before an approval."""
        if self.offer is None:
            raise LookupError(f"request {self.request.id} was never approved")
        return self.offer

    def sealed_parcel(self) -> Parcel:
        """Return what was sealed. Raises LookupError before that."""
        if self.parcel is None:
            raise LookupError(f"request {self.request.id} was never sealed")
        return self.parcel

    def is_open(self, now: int) -> bool:
        """Return whether it counts against its sender's limit. The owner's decision does not matter: the
        sender must not learn it.
        """
        return self.admitted and self.state is not State.CANCELLED and self.request.exp > now


@dataclass(slots=True, kw_only=True)
class Destination:
    """A backup target of the owner's own: a permanent grant."""

    name: str
    kind: str
    url: str
    user: str
    age: str
    """The owner's own key, which backups are encrypted for."""
    host_key: str
    limit_bytes: int
    """Maximum bytes stored there; 0: no limit."""
    outside: bool
    """The courier sends to it; otherwise doorbelld does."""
    added_at: int
    stored_bytes: int = 0
    backups: dict[str, "Backup"] = field(default_factory=dict)
    """By clip."""


@dataclass(slots=True, kw_only=True)
class Backup:
    """One clip, sealed, on its way or there."""

    clip_id: str
    sha256: str
    size_bytes: int
    done: bool = False


@dataclass(slots=True, kw_only=True)
class StoredNotice:
    """One notice, of a pinned source or of a feed."""

    source: str
    id: str
    kind: str
    severity: str
    headline: str
    text: str
    heard_at: int
    iat: int
    exp: int
    signed: bool
    here: bool
    """Whether the home is in its area (or it names none)."""
    area: list[list[float]] | None = None
    area_text: str = ""
    state: str = "current"
    """current, superseded or cancelled; `exp` shows whether it has expired."""
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderGrant:
    """What a client of the home network may read, and since when (Unix seconds)."""

    name: str
    scopes: tuple[str, ...]
    added_at: int


def origin_of(source: str, *, signed: bool) -> str:
    """Return who a notice is from: a sender's name; for a feed, which proves nothing, a name that no sender has."""
    return source if signed else f"feed:{source}"


class LedgerState:
    """Requests, notices, pins, backups and readers, computed from the ledger's entries alone."""

    def __init__(self) -> None:
        self.senders: dict[str, Sender] = {}
        self.keys: dict[str, tuple[Sender, SigningKey]] = {}
        self.feeds: dict[str, str] = {}
        self.cases: dict[RequestKey, Case] = {}
        self.destinations: dict[str, Destination] = {}
        self.readers: dict[str, ReaderGrant] = {}
        self.stopped_backups: dict[str, tuple[str, Backup]] = {}
        """Copies that were on their way when their target was removed, until it is known how much had left."""
        self.notices: dict[NoticeKey, StoredNotice] = {}
        self.superseded: set[NoticeKey] = set()
        self.cancelled: set[tuple[Channel, str, str]] = set()
        """Channel, origin and id."""
        self._times: dict[tuple[str, str], deque[int]] = {}

    def take(self, kind: str, data: EntryData, body: bytes | None, at: int) -> None:
        """Apply one entry. Raises Refused if its body is invalid; then nothing changes."""
        match kind:
            case "sender_pinned" | "sender_rotated":
                self._pin(body or b"", at)
            case "sender_unpinned":
                del self.senders[cast("UnpinnedSender", data)["sender"]]
                self._name_keys()
            case "feed_added":
                feed = cast("AddedFeed", data)
                self.feeds[feed["name"]] = feed["url"]
            case "feed_removed":
                self._remove_feed(cast("RemovedName", data)["name"])
            case "request":
                self._request(cast("RequestStep", data), body, at)
            case "destination_added":
                added = cast("AddedDestination", data)
                self.destinations[added["name"]] = Destination(**added, added_at=at)
            case "destination_removed":
                removed = self.destinations.pop(cast("RemovedName", data)["name"])
                self.stopped_backups |= {
                    backup.sha256: (removed.name, backup)
                    for backup in removed.backups.values()
                    if not backup.done
                }
            case "reader_added":
                reader = cast("AddedReader", data)
                self.readers[reader["name"]] = ReaderGrant(
                    name=reader["name"], scopes=tuple(reader["scopes"]), added_at=at
                )
            case "reader_removed":
                del self.readers[cast("RemovedName", data)["name"]]
            case "backup_stopped":
                del self.stopped_backups[cast("StoppedBackup", data)["sha256"]]
            case "backup":
                started = cast("StartedBackup", data)
                backup = Backup(
                    clip_id=started["clip"], sha256=started["sha256"], size_bytes=started["bytes"]
                )
                self.destinations[started["destination"]].backups[backup.clip_id] = backup
            case "backed_up":
                stored = cast("StoredBackup", data)
                if destination := self.destinations.get(stored["destination"]):
                    destination.backups[stored["clip"]].done = True
                    destination.stored_bytes += destination.backups[stored["clip"]].size_bytes
            case "left":
                sent = cast("SentBytes", data)
                case = self.cases[sent["sender"], sent["id"]]
                case.left_bytes, case.accounted = sent["left_bytes"], sent["final"]
            case "notice":
                self._notice(cast("NoticeReceived", data), body, at)
            case "cancellation":
                self._cancel(cast("Cancellation", data), at)

    def _cancel(self, data: Cancellation, at: int) -> None:
        channel: Channel = "request" if data["of"] == "request" else "notice"
        origin = origin_of(data["sender"], signed=data["of"] != "feed")
        if not self._is_known(channel, origin, data["id"]):
            self._times.setdefault((f"early {channel} cancellation", origin), deque()).append(at)
        self.cancelled.add((channel, origin, data["id"]))
        if channel == "notice" and (notice := self.notices.get((origin, data["id"]))):
            notice.state = "cancelled"

    def _is_known(self, channel: Channel, origin: str, name: str) -> bool:
        return (origin, name) in (self.cases if channel == "request" else self.notices)

    def _remove_feed(self, name: str) -> None:
        """Forget what a feed cancelled and replaced: another may be added with its name."""
        del self.feeds[name]
        origin = origin_of(name, signed=False)
        self.superseded = {key for key in self.superseded if key[0] != origin}
        self.cancelled = {key for key in self.cancelled if key[1] != origin}
        for key in [key for key in self._times if key[1] == origin]:
            del self._times[key]

    def count_since(
        self,
        what: Literal["notice", "rejection", "early request cancellation", "early notice cancellation"],
        origin: str,
        since: int,
    ) -> int:
        """Return how many entries of a kind an origin has after a time; for limits over one period.

        An early cancellation is one that arrived before what it cancels.
        """
        times = self._times.get((what, origin), deque())
        while times and times[0] <= since:
            times.popleft()
        return len(times)

    def forget(self, now: int) -> list[str]:
        """Forget notices that ended long ago; return the hashes of their bodies."""
        old = [key for key, kept in self.notices.items() if kept.exp + KEPT_S < now]
        return [self.notices.pop(key).body for key in old]

    def _pin(self, body: bytes, at: int) -> None:
        envelope = read(body, types=(RECORD,), kids=None)
        record = record_of(envelope.payload)
        self.senders[record.sender] = Sender(
            record=record,
            envelope_sha256=envelope.sha256,
            pinned_at=at,
            jurisdiction=record.jurisdiction.corners(MAX_JURISDICTION_CORNERS),
            keys={key.kid: keys.public_key(key.x) for key in record.keys},
        )
        self._name_keys()

    def _name_keys(self) -> None:
        self.keys = {key.kid: (sender, key) for sender in self.senders.values() for key in sender.record.keys}

    def _request(self, data: RequestStep, body: bytes | None, at: int) -> None:
        state = State(data["to"])
        if data["from"] is None:
            envelope = read(body or b"", types=(REQUEST,), kids=None)
            request = request_of(envelope.payload)
            if not isinstance(request, FootageRequest):
                raise Refused(Reason.BAD_MEMBER, "op")
            case = Case(request=request, envelope_sha256=envelope.sha256, heard_at=at)
            self.cases[case.key] = case
        case = self.cases[data["sender"], data["id"]]
        if state is State.REJECTED:
            self._times.setdefault(("rejection", case.request.agency), deque()).append(at)
        case.state, case.since, case.why = state, at, data.get("why", "")
        case.history.append({"state": str(state), "at": at, "why": case.why})
        case.offer_hash = data.get("offer_hash", case.offer_hash)
        case.ends_at = data.get("ends_at", case.ends_at)
        case.ends_boottime = data.get("ends_boottime", case.ends_boottime)
        case.offer = data.get("offer", case.offer)
        case.files = data.get("files", case.files)
        case.parcel = data.get("parcel", case.parcel)
        case.receipt = data.get("receipt", case.receipt)
        if state is State.DELIVERED:
            case.left_bytes, case.accounted = case.sealed_parcel()["bytes"], True

    def _notice(self, data: NoticeReceived, body: bytes | None, at: int) -> None:
        source, name, digest = data["source"], data["id"], data["sha256"]
        origin = origin_of(source, signed=data["signed"])
        self._times.setdefault(("notice", origin), deque()).append(at)
        for other in data["supersedes"]:
            self.superseded.add((origin, other))
            if kept := self.notices.get((origin, other)):
                kept.state = "superseded"
        if body is None:
            return  # erased long after its end
        if data["signed"]:
            self.notices[origin, name] = _signed(body, digest, at, here=data["here"])
        else:
            alerts = {alert.id: alert for alert in alerts_of(body)}
            if name in alerts:
                self.notices[origin, name] = _fetched(alerts[name], source, digest, at, here=data["here"])

    def case_named(self, name: str) -> Case:
        """Return the request of a handle (SENDER.ID), or of an id that one sender alone has used for an admitted one.

        Raises CommandError.
        """
        named = [case for case in self.cases.values() if name in (case.handle, case.request.id)]
        found = named if len(named) == 1 else [case for case in named if case.admitted]
        if len(found) == 1:
            return found[0]
        if not named:
            text = f"there is no request {name}; `doorbell requests list` shows them"
            raise CommandError(text, code="no_request", name=name)
        handles = " or ".join(sorted(case.handle for case in found or named))
        raise CommandError(
            f"several senders have used the id {name}: write {handles}", code="ambiguous_request", id=name
        )

    def parcels_in_flight(self) -> set[str]:
        """Return the SHA-256 of each parcel that the courier may have now."""
        released = {
            case.sealed_parcel()["sha256"] for case in self.cases.values() if case.state is State.HANDED_OVER
        }
        backups = {
            backup.sha256
            for destination in self.destinations.values()
            for backup in destination.backups.values()
            if destination.outside and not backup.done
        }
        return released | backups

    def open_cases(self) -> list[Case]:
        """Return the cases that can still change."""
        return [case for case in self.cases.values() if case.state in OPEN]


def _signed(body: bytes, digest: str, at: int, *, here: bool) -> StoredNotice:
    notice = notice_of(read(body, types=(NOTICE,), kids=None).payload)
    if not isinstance(notice, Notice):
        raise Refused(Reason.BAD_MEMBER, "op")
    return StoredNotice(
        source=notice.source,
        id=notice.id,
        kind=notice.kind,
        severity=notice.severity,
        headline=notice.headline,
        text=notice.text,
        heard_at=at,
        iat=notice.iat,
        exp=notice.exp,
        signed=True,
        here=here,
        area=notice.area.coordinates[0],
        body=digest,
    )


def _fetched(alert: Alert, source: str, digest: str, at: int, *, here: bool) -> StoredNotice:
    return StoredNotice(
        source=source,
        id=alert.id,
        kind=alert.kind,
        severity=alert.severity,
        headline=alert.headline,
        text=alert.text,
        heard_at=at,
        iat=alert.sent,
        exp=alert.expires,
        signed=False,
        here=here,
        area=alert.polygons[0] if alert.polygons else None,
        area_text=alert.area_text,
        body=digest,
    )
