"""The registrar: the one thread that hears the letterbox, and the one writer of the ledger.

What it hears goes through the gate (`consent/intake.py`), becomes an entry, and only then is told to anybody.
It cannot approve: that comes from a person, through `approve`, with the hash of exactly what he was shown.
Nothing that it does can be seen outside the house: it writes its settings for the courier when the owner
changes them, and how far it has read, which does not depend on what it read.
"""

import base64
import hashlib
import json
import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from device.clock import Clock, parse_rfc3339
from device.config import NeighbourhoodConfig
from device.consent import intake, rules
from device.consent.book import Book, Case
from device.consent.geohash import around, geohash
from device.consent.intake import Draft, Place
from device.consent.offer import Choice, Cut, offer, offer_hash
from device.consent.reasons import Reason, Refused
from device.consent.states import NoSuchStep, State, Step
from device.errors import CommandError
from device.events import ConsentStep, Fault, Inbox, LedgerReport, NoticeHeard
from device.letterbox import SETTINGS, Item, Unreadable, items_of, write_small
from device.letterbox import Inbox as Letters
from device.registrar.ledger import Entry, Ledger, LedgerBroken
from device.worker import Worker

log = logging.getLogger(__name__)

TURN_S = 0.25
SLICE_ITEMS = 20
BREATH_S = 0.002
"""Between slices of a bundle, so that a flood leaves the processor to the bell."""
MOST_REFUSED_BODIES = 100
LARGEST_UNKNOWN_BYTES = 2_000_000
EARLIEST_US = 1_767_225_600_000_000
"""2026: a clock that says less was never set, and would take everything for signed in the future."""
LAG_US = 300_000_000
CELL_LETTERS = 4


class Footage(Protocol):
    """What the registrar asks of the clips. Every method may block, and raises CommandError if it cannot
    tell.
    """

    def has(self, start_us: int, end_us: int) -> bool:
        """Return whether a clip overlaps a span of Unix microseconds."""

    def cuts(self, spans: Callable[[str], tuple[int, int] | None], start_us: int, end_us: int) -> list[Cut]:
        """Return the inward cuts of the clips that overlap a span; `spans` says what of each clip."""

    def masks(self) -> Sequence[Sequence[tuple[float, float]]]:
        """Return the privacy masks."""


class Registrar:
    """Pins, requests, notices and the ledger. Its methods may be called from any thread but the desk's."""

    def __init__(
        self, *, path: Path, config: NeighbourhoodConfig, clock: Clock, inbox: Inbox, footage: Footage
    ) -> None:
        self._path = path
        self._config = config
        self._clock = clock
        self._inbox = inbox
        self._footage = footage
        self._lock = threading.RLock()
        self._ledger: Ledger | None = None
        self._book = Book()
        self._last_us = 0
        self._clock_was_good = True
        self._settings_due = True
        self._letters: Letters | None = None
        self._strangers: set[str] = set()
        self._unknown: OrderedDict[bytes, Item] = OrderedDict()
        self._unknown_bytes = 0
        self._bodies_kept = 0
        self._told: tuple[int, str] | None = None

    # --- the thread --------------------------------------------------------------------------------

    def run(self, worker: Worker) -> None:
        """Turn until told to stop."""
        self._open()
        while not worker.stopping.is_set():
            worker.beat()
            if not self._turn(worker):
                worker.stopping.wait(TURN_S)
        with self._lock:
            if self._ledger:
                self._ledger.close()

    def configure(self, config: NeighbourhoodConfig) -> None:
        """Take other settings."""
        with self._lock:
            self._config = config
            self._settings_due = True
            self._letters = None

    def _open(self) -> None:
        """Read the ledger from its first entry: nothing else says what is pinned and open."""
        with self._lock:
            try:
                ledger = Ledger(self._path)
                ledger.prove()
                for entry in ledger.entries():
                    self._take(entry, ledger.body(entry.body) if entry.body else None)
                self._ledger = ledger
                self._bodies_kept = len(ledger.refused_bodies())
                if not ledger.length:
                    self._write([Draft(kind="opened", data={})])
            except LedgerBroken as error:
                self._ledger = None
                self._break(error)
                return
            self._inbox(Fault(code="ledger_broken", active=False))
            self._report()

    def _break(self, error: LedgerBroken) -> None:
        log.error("ledger_broken %s", error)
        remedy = "`doorbell ledger verify` says more; until it is mended nothing is heard or approved"
        self._inbox(Fault(code="ledger_broken", active=True, text=str(error), remedy=remedy))

    def _turn(self, worker: Worker) -> bool:
        """Do what is due; return whether there may be more to do at once."""
        with self._lock:
            if self._ledger is None or not self._clock_is_good():
                return False
            try:
                if self._settings_due:
                    self._write_settings()
                self._expire()
                self._match()
                if not self._config.enabled:
                    return False
            except LedgerBroken as error:
                self._break(error)
                return False
        return self._read_letters(worker)

    def _clock_is_good(self) -> bool:
        """Return whether the wall clock may be believed: set at all, and not behind the ledger."""
        wall_us = self._clock.wall_us()
        good = wall_us >= EARLIEST_US and wall_us >= self._last_us - LAG_US
        if good is self._clock_was_good:
            return good
        self._clock_was_good = good
        text = "the clock is behind what the ledger has seen: requests and notices wait until it is set"
        remedy = "see that the doorbell reaches a time server"
        self._inbox(Fault(code="clock_behind", active=not good, text=text, remedy=remedy))
        return good

    def _write_settings(self) -> None:
        config = self._config
        content = courier_settings(config, self._book.feeds)
        try:
            if config.letterbox_dir.is_dir():
                write_small(config.letterbox_dir / "out", SETTINGS, content)
            elif config.enabled:
                raise FileNotFoundError(2, "no such folder", str(config.letterbox_dir))
        except OSError as error:
            text = f"{error.filename or config.letterbox_dir}: {error.strerror}; the courier is told nothing"
            remedy = "see systemd/README.md, 'The letterbox'"
            self._inbox(Fault(code="letterbox", active=True, text=text, remedy=remedy))
            return
        self._settings_due = False
        self._inbox(Fault(code="letterbox", active=False))

    # --- what comes in -----------------------------------------------------------------------------

    def _read_letters(self, worker: Worker) -> bool:
        with self._lock:
            if self._letters is None:
                folder = self._config.letterbox_dir
                self._letters = Letters(folder / "in", folder / "out")
            letters = self._letters
        try:
            waiting = letters.waiting()
            strange = set(letters.strangers()) - self._strangers
        except OSError:
            return False  # there is no letterbox (yet); told when the settings were written
        self._strangers |= set(sorted(strange)[:MOST_REFUSED_BODIES])
        refused: Counter[str] = Counter({Reason.NOT_A_FILE: len(strange)} if strange else {})
        for number in waiting:
            if worker.stopping.is_set():
                return False
            worker.beat()
            if not self._read_bundle(letters, number, refused, worker):
                return False
            refused = Counter()
        if refused:
            self._count(refused, [])
        return bool(waiting)

    def _read_bundle(self, letters: Letters, number: int, refused: Counter[str], worker: Worker) -> bool:
        """Take a bundle in; return False if it has to be read again later."""
        bodies: list[tuple[str, str, bytes]] = []
        try:
            content = letters.open(number)
            items = items_of(content, str(number))
        except Unreadable as error:
            refused[error.word] += 1
            bodies.append((error.word, error.name, b""))
            items = []
        except OSError as error:
            log.warning("letterbox %s: %s", error.filename, error.strerror)
            return False
        for start in range(0, len(items), SLICE_ITEMS):
            if not self._take_slice(items[start : start + SLICE_ITEMS], refused, bodies):
                return False
            worker.stopping.wait(BREATH_S)
        if not self._count(refused, bodies):
            return False
        try:
            letters.done(number)
        except OSError as error:
            log.warning("letterbox %s: %s", error.filename, error.strerror)
            return False
        return True

    def _take_slice(
        self, items: Sequence[Item], refused: Counter[str], bodies: list[tuple[str, str, bytes]]
    ) -> bool:
        with self._lock:
            for item in items:
                try:
                    drafts = intake.heard(
                        item.source, item.content, book=self._book, place=self._place(), now=self._now()
                    )
                    if drafts:
                        self._write(drafts)
                        self._tell_news(drafts)
                except Refused as error:
                    refused[error.reason] += 1
                    if error.reason is Reason.UNKNOWN_KEY:
                        self._remember(item)
                    if self._bodies_kept + len(bodies) < MOST_REFUSED_BODIES:
                        bodies.append((error.reason, error.detail, item.content[: intake.LARGEST_KEPT_BYTES]))
                except LedgerBroken as error:
                    self._break(error)
                    return False
        return True

    def _remember(self, item: Item) -> None:
        """Keep for a while what an unknown key signed: its sender may be pinned in a moment, and the town
        will not say it again for hours.
        """
        digest = hashlib.sha256(item.content).digest()
        if digest not in self._unknown:
            self._unknown[digest] = item
            self._unknown_bytes += len(item.content)
        while self._unknown_bytes > LARGEST_UNKNOWN_BYTES:
            _, oldest = self._unknown.popitem(last=False)
            self._unknown_bytes -= len(oldest.content)

    def _hear_again(self) -> None:
        """Hear once more what was refused for its key."""
        items = list(self._unknown.values())
        self._unknown.clear()
        self._unknown_bytes = 0
        self._take_slice(items, Counter(), [])

    def _count(self, refused: Counter[str], bodies: list[tuple[str, str, bytes]]) -> bool:
        if not refused:
            return True
        with self._lock:
            if self._ledger is None:
                return False
            try:
                self._ledger.count_refused(dict(refused), bodies, self._clock.wall_us())
            except LedgerBroken as error:
                self._break(error)
                return False
            self._bodies_kept += len(bodies)
        for reason, number in refused.items():
            log.info("refused reason=%s count=%d", reason, number)
        return True

    def _tell_news(self, drafts: Sequence[Draft]) -> None:
        for kept in intake.news(drafts, self._book):
            if kept.here:
                self._inbox(NoticeHeard(mono_us=self._clock.mono_us(), notice=self._notice(kept)))
        gone = [draft for draft in drafts if draft.kind == "cancellation"]
        for draft in gone:
            found = self._book.notices.get((draft.data["sender"], draft.data["id"]))
            if found and found.here:
                self._inbox(NoticeHeard(mono_us=self._clock.mono_us(), notice=self._notice(found)))

    def _match(self) -> None:
        for case in list(self._book.open_cases()):
            if case.state is not State.RECEIVED:
                continue
            window = case.request.window
            try:
                found = self._footage.has(window.start * 1_000_000, window.end * 1_000_000)
            except CommandError as error:
                log.info("match_waits %s", error)
                return  # the index is not there yet: the request stays received
            self._write([intake.matched(case.request, place=self._place_or_none(), has_footage=found)])

    def _expire(self) -> None:
        now = self._now()
        for case in self._book.open_cases():
            end = case.ends_at or case.request.exp
            if case.state is not State.RECEIVED and end <= now:
                self._write([intake.step(case.request.id, case.state, Step.EXPIRE)])
        for digest in self._book.forget(now):
            self._need().erase_body(digest)

    # --- what the owner asks and decides -------------------------------------------------------------

    def requests(self) -> list[dict[str, Any]]:
        """Return every request that was admitted or rejected, newest first, without its offer."""
        with self._asked():
            cases = sorted(self._book.cases.values(), key=lambda case: case.heard_at, reverse=True)
            return [self._case(case) for case in cases]

    def request(self, request_id: str, choice: Choice = Choice()) -> dict[str, Any]:  # noqa: B008  (frozen)
        """Return one request with exactly what would leave, and the hash to approve it with."""
        with self._asked():
            case = self._find(request_id)
            told = self._case(case)
            told["history"] = case.history
            if case.state is State.OFFERED:
                what = self._offer(case, choice)
                told["offer"] = what
                told["offer_hash"] = offer_hash(what)
            return told

    def approve(self, request_id: str, shown_hash: str, choice: Choice = Choice()) -> dict[str, Any]:  # noqa: B008
        """Approve what the owner was shown, and nothing else. Raises CommandError."""
        with self._asked():
            case = self._find(request_id)
            what = self._offer(case, choice) if case.state is State.OFFERED else {}
            if case.state is State.OFFERED and offer_hash(what) != shown_hash:
                raise CommandError(
                    "this is not what you were shown: something changed since; look at it again"
                )
            if case.state is State.OFFERED and not what["clips"]:
                raise CommandError("there is nothing to share: every clip was left out")
            now = self._now()
            ends_at = min(case.request.exp, now + rules.LONGEST_APPROVAL_S)
            if ends_at <= now:
                raise CommandError("the request has expired")
            self._write(
                [
                    intake.step(
                        request_id,
                        case.state,
                        Step.APPROVE,
                        offer=what,
                        offer_hash=shown_hash,
                        ends_at=ends_at,
                        destination=what.get("upload", {}),
                    )
                ]
            )
            return self._case(case)

    def decline(self, request_id: str) -> dict[str, Any]:
        """Decline; nobody outside learns it. Raises CommandError."""
        with self._asked():
            case = self._find(request_id)
            self._write([intake.step(request_id, case.state, Step.DECLINE)])
            return self._case(case)

    def withdraw(self, request_id: str) -> dict[str, Any]:
        """Take an approval back. Raises CommandError."""
        with self._asked():
            case = self._find(request_id)
            self._write([intake.step(request_id, case.state, Step.WITHDRAW)])
            return self._case(case)

    def senders(self) -> list[dict[str, Any]]:
        """Return the pinned senders."""
        with self._asked():
            return [
                {
                    **sender.record.model_dump(mode="json"),
                    "pinned_at": sender.pinned_at,
                    "record_sha256": sender.envelope_sha256,
                }
                for sender in self._book.senders.values()
            ]

    def look_at(self, record: bytes) -> dict[str, Any]:
        """Return what a sender's file says, before it is pinned. Raises CommandError."""
        with self._asked():
            envelope, said = intake.record_in(record)
            known = self._book.senders.get(said.sender)
            return {
                **said.model_dump(mode="json"),
                "pinned": known is not None,
                "newer": known is not None and said.serial > known.record.serial,
                "signed_by_pinned_key": known is not None and envelope.kid in known.keys,
            }

    def pin(self, record: bytes, typed: str) -> None:
        """Pin a sender whose fingerprint the owner typed. Raises CommandError."""
        with self._asked():
            self._try_recipients(record)
            self._write([intake.pinned(record, typed, book=self._book, now=self._now())])
            self._hear_again()

    def rotate(self, record: bytes) -> None:
        """Take a newer record of a pinned sender. Raises CommandError."""
        with self._asked():
            self._try_recipients(record)
            self._write([intake.rotated(record, book=self._book)])
            self._hear_again()

    def unpin(self, sender: str) -> None:
        """End a pin, and every offer that hung on it. Raises CommandError."""
        with self._asked():
            self._write(intake.unpinned(sender, self._book))

    def feeds(self) -> dict[str, str]:
        """Return the feeds the owner chose: name → address."""
        with self._asked():
            return dict(self._book.feeds)

    def add_feed(self, name: str, url: str) -> None:
        """Listen to a feed. Raises CommandError."""
        with self._asked():
            self._write([intake.feed_added(name, url, self._book)])
            self._settings_due = True

    def remove_feed(self, name: str) -> None:
        """Listen to a feed no longer. Raises CommandError."""
        with self._asked():
            self._write([intake.feed_removed(name, self._book)])
            self._settings_due = True

    def notices(self) -> list[dict[str, Any]]:
        """Return the notices that can be read, newest first."""
        with self._asked():
            kept = sorted(self._book.notices.values(), key=lambda each: each.iat, reverse=True)
            return [self._notice(each) for each in kept]

    def ledger(self, newest: int) -> dict[str, Any]:
        """Return the ledger's newest entries, its head, and what was refused."""
        with self._asked() as ledger:
            entries = [_public(entry) for entry in ledger.entries(newest=newest)]
            return {
                "head": ledger.head,
                "length": ledger.length,
                "entries": entries,
                "refused": [
                    {**each, "sentence": Reason(each["reason"]).sentence} for each in ledger.refused()
                ],
            }

    def export(self) -> Iterator[str]:
        """Yield the whole ledger as JSON lines, as it is now. Raises CommandError."""
        with self._asked():
            pass
        ledger = Ledger(self._path, read_only=True)
        try:
            yield from export_text(ledger)
        finally:
            ledger.close()

    # --- inside ------------------------------------------------------------------------------------

    @contextmanager
    def _asked(self) -> Iterator[Ledger]:
        """Hold the lock and turn what went wrong into a sentence for whoever asked."""
        with self._lock:
            try:
                yield self._need()
            except Refused as error:
                raise CommandError(
                    f"{error.reason.sentence}{f': {error.detail}' if error.detail else ''}"
                ) from error
            except NoSuchStep as error:
                raise CommandError(str(error)) from error
            except LedgerBroken as error:
                self._break(error)
                raise CommandError(str(error)) from error

    def _need(self) -> Ledger:
        if self._ledger is None:
            raise CommandError(
                "the ledger cannot be read (yet): nothing can be decided; see `doorbell ledger verify`"
            )
        return self._ledger

    def _write(self, drafts: Sequence[Draft]) -> None:
        """Write entries, durably, and only then let them count."""
        wanted = [(draft.kind, draft.data, draft.body) for draft in drafts]
        entries = self._need().append_all(wanted, wall_us=self._clock.wall_us(), clock=self._clock.flag())
        self._inbox(Fault(code="ledger_broken", active=False))  # a disk that was full has room again
        for entry, draft in zip(entries, drafts, strict=True):
            self._take(entry, draft.body)
            if entry.kind == "request":
                fields = {"request": entry.data["id"], "state": entry.data["to"]}
                self._inbox(ConsentStep(mono_us=self._clock.mono_us(), fields=fields))
        self._report()

    def _take(self, entry: Entry, body: bytes | None) -> None:
        at_us = parse_rfc3339(entry.at)
        self._last_us = max(self._last_us, at_us)
        try:
            self._book.take(entry.kind, entry.data, body, at_us // 1_000_000)
        except (Refused, KeyError) as error:
            # Of an older version, which was less strict: what cannot be understood counts for nothing.
            log.warning("ledger_entry_ignored seq=%d kind=%s %r", entry.seq, entry.kind, error)

    def _report(self) -> None:
        ledger = self._need()
        pending = sum(case.state is State.OFFERED for case in self._book.cases.values())
        if self._told != (pending, ledger.head):
            self._told = (pending, ledger.head)
            self._inbox(LedgerReport(head=ledger.head, length=ledger.length, pending=pending))

    def _now(self) -> int:
        return self._clock.wall_us() // 1_000_000

    def _place(self) -> Place:
        return Place(longitude=self._config.longitude, latitude=self._config.latitude)

    def _place_or_none(self) -> Place | None:
        return self._place() if self._config.enabled else None

    def _find(self, request_id: str) -> Case:
        case = self._book.cases.get(request_id)
        if case is None:
            raise CommandError(f"there is no request {request_id}; `doorbell requests list` shows them")
        return case

    def _offer(self, case: Case, choice: Choice) -> dict[str, Any]:
        window = case.request.window
        span = window.start * 1_000_000, window.end * 1_000_000
        cuts = self._footage.cuts(lambda clip_id: choice.span(clip_id, span), *span)
        sender = self._book.senders.get(case.request.agency)
        if sender is None:
            raise CommandError("its agency is not pinned any more")
        try:
            return offer(case.request, case.envelope_sha256, sender, cuts, self._footage.masks())
        except StopIteration:
            raise CommandError(
                "the agency has since taken away the recipient, or the place to send to, of this request"
            ) from None

    def _case(self, case: Case) -> dict[str, Any]:
        sender = self._book.senders.get(case.request.agency)
        return {
            **case.request.model_dump(mode="json"),
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

    def _notice(self, kept: Any) -> dict[str, Any]:
        sender = self._book.senders.get(kept.source)
        state = "expired" if kept.state == "current" and kept.exp <= self._now() else kept.state
        signed_by = sender.record.name if sender and kept.signed else ""
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
            "feed": "" if kept.signed else self._book.feeds.get(kept.source, ""),
            "here": kept.here,
            "area": kept.area,
            "area_text": kept.area_text,
            "state": state,
        }

    def _try_recipients(self, record: bytes) -> None:
        from device.registrar.recipients import check_recipient  # loads pyrage

        _, said = intake.record_in(record)
        for recipient in said.recipients:
            check_recipient(recipient.age)


def courier_settings(config: NeighbourhoodConfig, feeds: Mapping[str, str]) -> bytes:
    """Return what the courier is told: the broker, nine whole cells, the feeds. No position, no key."""
    told: dict[str, Any] = {"v": 1, "broker": None, "cells": [], "feeds": {}}
    if config.enabled:
        ca_pem = Path(config.broker_ca_file).read_text() if config.broker_ca_file else ""
        told["broker"] = {"host": config.broker_host, "port": config.broker_port, "ca_pem": ca_pem}
        told["cells"] = around(geohash(config.longitude, config.latitude, CELL_LETTERS))
        told["feeds"] = dict(feeds)
    return json.dumps(told, indent=1).encode()


def export_text(ledger: Ledger) -> Iterator[str]:
    """Yield the whole ledger as JSON lines: entries with their bodies (base64), then what was refused."""
    for entry in ledger.entries():
        body = ledger.body(entry.body) if entry.body else None
        coded = None if body is None else base64.b64encode(body).decode()
        yield json.dumps({"entry": _public(entry), "body_base64": coded}, ensure_ascii=False)
    for counted in ledger.refused():
        yield json.dumps({"refused": counted})
    for kept in ledger.refused_bodies():
        coded = base64.b64encode(kept.pop("bytes")).decode()
        yield json.dumps({"refused_body": kept, "body_base64": coded}, ensure_ascii=False)


def _public(entry: Entry) -> dict[str, Any]:
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
