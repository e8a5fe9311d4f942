"""The registrar: what an owner asks and decides about requests, notices, pins and the ledger.

It approves nothing by itself: an approval comes from a person, through `approve`, with the hash of exactly
what he was shown. Its thread is `hearing.py`, what both write is `registry.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from device.clock import Clock
from device.config import NeighbourhoodConfig
from device.consent import intake, rules
from device.consent.book import Case
from device.consent.offer import Choice, Cut, offer, offer_hash
from device.consent.reasons import Refused, sentence_of
from device.consent.states import State, Step
from device.errors import CommandError
from device.events import Inbox
from device.registrar import backing_up
from device.registrar.backing_up import BackingUp, Clips
from device.registrar.footage import Footage
from device.registrar.hearing import Hearing
from device.registrar.ledger import Ledger
from device.registrar.making import Maker
from device.registrar.registry import Registry
from device.registrar.releasing import Releasing
from device.registrar.told import (
    case_told,
    destination_told,
    entry_told,
    export_text,
    notice_told,
    release_told,
)

ALL = Choice()


class Registrar:
    """Pins, requests, notices and the ledger. Its methods may be called from any thread but the desk's."""

    def __init__(
        self,
        *,
        path: Path,
        working: Path,
        config: NeighbourhoodConfig,
        clock: Clock,
        inbox: Inbox,
        footage: Footage,
        maker: Maker,
        clips: Clips,
    ) -> None:
        """`path` is the ledger's, `working` the folder in which parcels are made."""
        self.registry = Registry(path, clock, inbox)
        self.hearing = Hearing(self.registry, config, footage)
        self.backing_up = BackingUp(self.registry, config, path.parent, path.parent / "backups", clips)
        self.releasing = Releasing(self.registry, config, working, maker, self.backing_up.in_flight)
        self._state_dir = path.parent
        self._footage = footage

    def requests(self) -> list[dict[str, Any]]:
        """Return every request that was admitted or rejected, newest first, without its offer."""
        with self.registry.asked():
            cases = sorted(self.registry.book.cases.values(), key=lambda case: case.heard_at, reverse=True)
            return [case_told(case, self.registry.book) for case in cases]

    def request(self, request_id: str, choice: Choice = ALL) -> dict[str, Any]:
        """Return one request with exactly what would leave, and the hash to approve it with."""
        with self.registry.asked():
            case = self._find(request_id)
            told = case_told(case, self.registry.book)
            told["history"] = case.history
            told["release"] = release_told(case, self.releasing.progress(case))
        if case.state is State.OFFERED:
            cuts = self._cuts(case, choice)
            with self.registry.asked():
                told["offer"] = self._offer(case, cuts, choice)
            told["offer_hash"] = offer_hash(told["offer"])
        return told

    def approve(self, request_id: str, shown_hash: str, choice: Choice = ALL) -> dict[str, Any]:
        """Approve what the owner was shown, and nothing else. Raises CommandError."""
        with self.registry.asked():
            if not self.registry.clock_is_good():
                raise CommandError("the clock is not set: nobody can say until when this would hold")
            case = self._find(request_id)
        cuts = self._cuts(case, choice) if case.state is State.OFFERED else []
        with self.registry.asked():
            now = self.registry.now()
            ends_at = min(case.request.exp, now + rules.LONGEST_APPROVAL_S)
            what = self._offer(case, cuts, choice) if case.state is State.OFFERED else {}
            yes = intake.step(
                request_id,
                case.state,  # as it is now: whoever was quicker has decided
                Step.APPROVE,
                offer=what,
                offer_hash=shown_hash,
                ends_at=ends_at,
                destination=what.get("upload", {}),
            )
            if offer_hash(what) != shown_hash:
                raise CommandError(
                    "this is not what you were shown: something changed since; look at it again"
                )
            if not what["clips"]:
                raise CommandError("there is nothing to share: every clip was left out")
            if ends_at <= now:
                raise CommandError("the request has expired")
            self.registry.write([yes])
            return case_told(case, self.registry.book)

    def decline(self, request_id: str) -> dict[str, Any]:
        """Decline; nobody outside learns it. Raises CommandError."""
        with self.registry.asked():
            case = self._find(request_id)
            self.registry.write([intake.step(request_id, case.state, Step.DECLINE)])
            return case_told(case, self.registry.book)

    def withdraw(self, request_id: str) -> dict[str, Any]:
        """Take an approval back: nothing leaves any more. Raises CommandError."""
        with self.registry.asked():
            case = self._find(request_id)
            self.registry.write([intake.step(request_id, case.state, Step.WITHDRAW)])
            self.releasing.revoke(case)
            return case_told(case, self.registry.book)

    def senders(self) -> list[dict[str, Any]]:
        """Return the pinned senders."""
        with self.registry.asked():
            return [
                {
                    **sender.record.model_dump(mode="json"),
                    "pinned_at": sender.pinned_at,
                    "record_sha256": sender.envelope_sha256,
                }
                for sender in self.registry.book.senders.values()
            ]

    def look_at(self, record: bytes) -> dict[str, Any]:
        """Return what a sender's file says, before it is pinned. Raises CommandError."""
        with self.registry.asked():
            envelope, said = intake.record_in(record)
            known = self.registry.book.senders.get(said.sender)
            return {
                **said.model_dump(mode="json"),
                "pinned": known is not None,
                "newer": known is not None and said.serial > known.record.serial,
                "signed_by_pinned_key": known is not None and envelope.kid in known.keys,
            }

    def pin(self, record: bytes, typed: str) -> None:
        """Pin a sender whose fingerprint the owner typed. Raises CommandError."""
        with self.registry.asked():
            self._try_recipients(record)
            self.registry.write(
                [intake.pinned(record, typed, book=self.registry.book, now=self.registry.now())]
            )
            self.hearing.hear_again()

    def rotate(self, record: bytes) -> None:
        """Take a newer record of a pinned sender. Raises CommandError."""
        with self.registry.asked():
            self._try_recipients(record)
            self.registry.write([intake.rotated(record, book=self.registry.book)])
            self.hearing.hear_again()

    def unpin(self, sender: str) -> None:
        """End a pin, and every offer that hung on it. Raises CommandError."""
        with self.registry.asked():
            self.registry.write(intake.unpinned(sender, self.registry.book))

    def feeds(self) -> dict[str, str]:
        """Return the feeds the owner chose: name → address."""
        with self.registry.asked():
            return dict(self.registry.book.feeds)

    def add_feed(self, name: str, url: str) -> None:
        """Listen to a feed. Raises CommandError."""
        with self.registry.asked():
            self.registry.write([intake.feed_added(name, url, self.registry.book)])
            self.hearing.tell_courier()

    def remove_feed(self, name: str) -> None:
        """Listen to a feed no longer. Raises CommandError."""
        with self.registry.asked():
            self.registry.write([intake.feed_removed(name, self.registry.book)])
            self.hearing.tell_courier()

    def destinations(self) -> list[dict[str, Any]]:
        """Return the owner's own places for backups, and how far each is. No secret is in it."""
        with self.registry.asked():
            return [destination_told(each) for each in self.registry.book.destinations.values()]

    def add_destination(self, said: Mapping[str, Any], secret: str) -> dict[str, Any]:
        """Consent to backups to a place of one's own. Raises CommandError."""
        found = backing_up.looked_at(said, secret)
        self._check_age(found["age"])
        with self.registry.asked():
            draft = intake.destination_added(found, self.registry.book)
            backing_up.keep_secret(self._state_dir, found["name"], secret)
            self.registry.write([draft])
            return destination_told(self.registry.book.destinations[found["name"]])

    def remove_destination(self, name: str) -> None:
        """Send nothing to it any more; what lies there is the owner's to delete. Raises CommandError."""
        with self.registry.asked():
            self.registry.write([intake.destination_removed(name, self.registry.book)])
            backing_up.keep_secret(self._state_dir, name, None)
            self.releasing.take_away()

    def _check_age(self, age: str) -> None:
        from device.registrar.recipients import check_recipient  # loads pyrage

        try:
            check_recipient(age)
        except Refused as error:
            raise CommandError(f"{age[:20]}… is no age recipient to seal for: {error.detail}") from error

    def notices(self) -> list[dict[str, Any]]:
        """Return the notices that can be read, newest first."""
        with self.registry.asked():
            kept = sorted(self.registry.book.notices.values(), key=lambda each: each.iat, reverse=True)
            return [notice_told(each, self.registry.book, self.registry.now()) for each in kept]

    def ledger(self, newest: int) -> dict[str, Any]:
        """Return the ledger's newest entries, its head, and what was refused."""
        with self.registry.asked() as ledger:
            entries = [entry_told(entry) for entry in ledger.entries(newest=newest)]
            return {
                "head": ledger.head,
                "length": ledger.length,
                "entries": entries,
                "refused": [{**each, "sentence": sentence_of(each["reason"])} for each in ledger.refused()],
            }

    def export(self) -> Iterator[str]:
        """Yield the whole ledger as JSON lines, as it is now. Raises CommandError."""
        with self.registry.asked():
            pass
        ledger = Ledger(self.registry.path, read_only=True)
        try:
            yield from export_text(ledger)
        finally:
            ledger.close()

    def _find(self, request_id: str) -> Case:
        case = self.registry.book.cases.get(request_id)
        if case is None:
            raise CommandError(f"there is no request {request_id}; `doorbell requests list` shows them")
        return case

    def _cuts(self, case: Case, choice: Choice) -> list[Cut]:
        """Look at the clips, which may take a while: without the lock."""
        window = case.request.window
        span = window.start * 1_000_000, window.end * 1_000_000
        return self._footage.cuts(lambda clip_id: choice.span(clip_id, span), *span, exact=choice.exact)

    def _offer(self, case: Case, cuts: Sequence[Cut], choice: Choice) -> dict[str, Any]:
        sender = self.registry.book.senders.get(case.request.agency)
        if sender is None:
            raise CommandError("its agency is not pinned any more")
        try:
            return offer(case.request, case.envelope_sha256, sender, cuts, self._footage.masks(), choice)
        except StopIteration:
            raise CommandError(
                "the agency has since taken away the recipient, or the place to send to, of this request"
            ) from None

    def _try_recipients(self, record: bytes) -> None:
        from device.registrar.recipients import check_recipient  # loads pyrage

        _, said = intake.record_in(record)
        for recipient in said.recipients:
            check_recipient(recipient.age)
