"""The consent service: the owner's questions and decisions about requests, notices, pins and the ledger.

It approves nothing by itself: an approval comes from a person, through `approve`, with the hash of exactly the offer
that was shown. Its threads are `inbox_worker.py`, `release_worker.py` and `backup_worker.py`; all of them write
through `ledger_store.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from device.config import NeighbourhoodConfig
from device.consent import entries, owner_actions, rules, sender_records
from device.consent.documents import Offer, StepDetails
from device.consent.ledger_state import Case
from device.consent.offer import Choice, Cut, make_offer, offer_hash
from device.consent.reasons import Refused, sentence_of
from device.consent.states import State, Step, after
from device.consent.views import (
    DestinationView,
    EmptyOffer,
    EntryView,
    LedgerView,
    NoticeView,
    PreviewView,
    RequestView,
    SenderView,
    WithdrawalView,
)
from device.consent_service import backup_worker
from device.consent_service.backup_worker import BackupWorker, Clips
from device.consent_service.clip_source import ClipSource
from device.consent_service.inbox_worker import InboxWorker
from device.consent_service.lease_keeper import LeaseKeeper
from device.consent_service.ledger import Ledger
from device.consent_service.ledger_store import LedgerStore, LockedLedger
from device.consent_service.preview import Previews
from device.consent_service.readers import Readers
from device.consent_service.release_protocol import ReleaseBackend
from device.consent_service.release_worker import ReleaseWorker
from device.consent_service.revocations import Revocations
from device.consent_service.serializers import (
    destination_view,
    entry_view,
    export_text,
    notice_view,
    release_view,
    request_view,
    sender_view,
    subject_of,
)
from device.consent_service.withdrawals import Withdrawals
from device.errors import CommandError
from device.events import Inbox
from device.spool.leases import boottime_s
from device.system.clock import Clock, boot_id

ALL = Choice()


class ConsentService:
    """Pins, requests, notices and the ledger. Its methods may be called from any thread but the controller's."""

    def __init__(
        self,
        *,
        path: Path,
        working: Path,
        config: NeighbourhoodConfig,
        clock: Clock,
        inbox: Inbox,
        footage: ClipSource,
        release_backend: ReleaseBackend,
        clips: Clips,
        trust_clock: bool = False,
    ) -> None:
        """`path` is the ledger's, `working` the folder in which parcels are made."""
        self.ledger_store = LedgerStore(path, clock, inbox, trust_clock=trust_clock)
        self.revocations = Revocations(path.parent / "revocations.json")
        self.lease_keeper = LeaseKeeper(
            self.ledger_store, self.revocations, config.lease_dir, lease_s=config.lease_s
        )
        self.inbox_worker = InboxWorker(self.ledger_store, config, footage)
        self.backup_worker = BackupWorker(
            self.ledger_store, config, path.parent, path.parent / "backups", clips, leases=self.lease_keeper
        )
        self.previews = Previews(working, release_backend, footage, clock)
        self.release_worker = ReleaseWorker(
            self.ledger_store,
            config,
            working,
            release_backend,
            leases=self.lease_keeper,
            revocations=self.revocations,
            previews=self.previews,
        )
        self._withdrawals = Withdrawals(
            self.ledger_store, self.revocations, self.lease_keeper, self.release_worker, path.parent
        )
        self.readers = Readers(self.ledger_store, self.revocations, path.parent)
        self._state_dir = path.parent
        self._footage = footage
        self._config = config

    def configure(self, config: NeighbourhoodConfig) -> None:
        """Take new settings; may be called from any thread."""
        self._config = config
        self.inbox_worker.configure(config)
        self.release_worker.configure(config)
        self.backup_worker.configure(config)

    def requests(self) -> list[RequestView]:
        """Return every request that was admitted or rejected, newest first, without its offer."""
        with self.ledger_store.locked_for_owner() as ledger:
            cases = sorted(ledger.state.cases.values(), key=lambda case: case.heard_at, reverse=True)
            return [request_view(case, ledger.state, self._home()) for case in cases]

    def request(self, request_id: str, choice: Choice = ALL) -> RequestView:
        """Return one request with its offer and the offer's hash, which an approval needs."""
        with self.ledger_store.locked_for_owner() as ledger:
            case = ledger.state.case_named(request_id)
            view = request_view(case, ledger.state, self._home())
            view["history"] = case.history
            view["release"] = release_view(case, self.release_worker.progress(case))
        if case.state is State.OFFERED:
            cuts = self._cuts(case, choice)
            with self.ledger_store.locked_for_owner() as ledger:
                view["offer"] = self._offer(ledger, case, cuts, choice)
            view["offer_hash"] = offer_hash(view["offer"])
            view["offer_empty"] = None if cuts else self._why_empty(case, choice)
        return view

    def preview(self, request_id: str, shown_hash: str, choice: Choice = ALL) -> PreviewView:
        """Let the files be made that an approval of this offer would seal. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            case = ledger.state.case_named(request_id)
            after(case.state, Step.APPROVE)  # only what can be approved
        cuts = self._cuts(case, choice)
        with self.ledger_store.locked_for_owner() as ledger:
            after(case.state, Step.APPROVE)
            offer = self._offer(ledger, case, cuts, choice)
            _check_shown(offer, shown_hash)
            return self.previews.ask(case.handle, offer, shown_hash)

    def preview_state(self, request_id: str) -> PreviewView:
        """Return how far the preview of a request is. Raises CommandError."""
        return self.previews.view(self._handle(request_id))

    def preview_file(self, request_id: str, number: int, sha256: str) -> Path:
        """Return a file of the preview; the first is number 1. Raises CommandError."""
        return self.previews.path(self._handle(request_id), number, sha256)

    def close_preview(self, request_id: str) -> None:
        """Delete the preview: the owner does not look at it any more. Raises CommandError."""
        self.previews.close(self._handle(request_id))

    def approve(
        self, request_id: str, shown_hash: str, choice: Choice = ALL, files: Sequence[str] = ()
    ) -> RequestView:
        """Approve exactly the offer that the owner was shown. Raises CommandError.

        `files`: SHA-256 of the preview's files, if the owner played them; exactly these are sealed, or nothing is.
        """
        with self.ledger_store.locked_for_owner() as ledger:
            if not self.ledger_store.clock_is_good():
                raise CommandError(
                    "the clock is not set, so the approval could not expire", code="clock_not_set"
                )
            if not self.ledger_store.clock_was_set():
                raise CommandError(
                    "no time server has set the clock since the boot, so the approval could end too late: check that "
                    "the doorbell reaches a time server, or see device.trust_clock",
                    code="clock_not_synchronised",
                )
            case = ledger.state.case_named(request_id)
            if self.revocations.is_revoked("request", case.handle):
                if why := self.revocations.unreadable:
                    raise CommandError(why, code="revocations_unreadable", why=why)
                text = "you withdrew this request's approval; it cannot be approved again"
                raise CommandError(text, code="approval_withdrawn")
        if files:
            self.previews.check(case.handle, shown_hash, files)
        cuts = self._cuts(case, choice) if case.state is State.OFFERED else []
        with self.ledger_store.locked_for_owner() as ledger:
            now = self.ledger_store.now()
            ends_at = min(case.request.exp, now + rules.MAX_APPROVAL_S)
            after(case.state, Step.APPROVE)  # as it is now: somebody else may have decided meanwhile
            offer = self._offer(ledger, case, cuts, choice)
            _check_shown(offer, shown_hash)
            if not offer["clips"]:
                raise CommandError("there is nothing to share: the offer has no clip", code="offer_empty")
            if ends_at <= now:
                raise CommandError("the request has expired", code="request_expired")
            details: StepDetails = {
                "offer": offer,
                "offer_hash": shown_hash,
                "ends_at": ends_at,
                "ends_boottime": {"boot": boot_id(), "s": int(boottime_s()) + ends_at - now},
                "destination": offer["upload"],
            }
            if files:
                details["files"] = list(files)
                self.previews.hand_over(case.handle)
            else:
                self.previews.close(case.handle)
            ledger.write([entries.step(case.key, case.state, Step.APPROVE, **details)])
            return request_view(case, ledger.state, self._home())

    def decline(self, request_id: str) -> RequestView:
        """Decline; nothing is sent to anybody. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            case = ledger.state.case_named(request_id)
            ledger.write([entries.step(case.key, case.state, Step.DECLINE)])
            self.previews.close(case.handle)
            return request_view(case, ledger.state, self._home())

    def withdraw(self, request_id: str) -> WithdrawalView:
        """Withdraw an approval: nothing more is sent, whether or not there is a ledger. Raises CommandError."""
        return self._withdrawals.withdraw(request_id)

    def withdraw_all(self) -> WithdrawalView:
        """Withdraw every approval, whether or not there is a ledger. Raises CommandError."""
        return self._withdrawals.withdraw_all()

    def senders(self) -> list[SenderView]:
        """Return the pinned senders."""
        with self.ledger_store.locked_for_owner() as ledger:
            return [
                sender_view(sender.record, pinned_at=sender.pinned_at, record_sha256=sender.envelope_sha256)
                for sender in ledger.state.senders.values()
            ]

    def look_at(self, record: bytes) -> SenderView:
        """Return the contents of a sender's file, before it is pinned. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            envelope, found = sender_records.record_in(record)
            known = ledger.state.senders.get(found.sender)
            return sender_view(
                found,
                pinned=known is not None,
                newer=known is not None and found.serial > known.record.serial,
                signed_by_pinned_key=known is not None and envelope.kid in known.keys,
            )

    def pin(self, record: bytes, typed: str) -> None:
        """Pin a sender whose fingerprint the owner typed. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            self._try_recipients(record)
            ledger.write(
                [
                    owner_actions.pinned(
                        record,
                        typed,
                        ledger_state=ledger.state,
                        now=self.ledger_store.now(),
                    )
                ]
            )
            self.inbox_worker.hear_again(ledger)

    def rotate(self, record: bytes) -> None:
        """Take a newer record of a pinned sender. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            self._try_recipients(record)
            ledger.write([owner_actions.rotated(record, ledger_state=ledger.state)])
            self.inbox_worker.hear_again(ledger)

    def unpin(self, sender: str) -> None:
        """Unpin a sender and end its offers. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            ledger.write(owner_actions.unpinned(sender, ledger.state))

    def feeds(self) -> dict[str, str]:
        """Return the feeds the owner chose: name → address."""
        with self.ledger_store.locked_for_owner() as ledger:
            return dict(ledger.state.feeds)

    def add_feed(self, name: str, url: str) -> None:
        """Add a feed. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            ledger.write([owner_actions.feed_added(name, url, ledger.state)])
            self.inbox_worker.settings_changed()

    def remove_feed(self, name: str) -> None:
        """Remove a feed. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            ledger.write([owner_actions.feed_removed(name, ledger.state)])
            self.inbox_worker.settings_changed()

    def destinations(self) -> list[DestinationView]:
        """Return the owner's backup targets and their progress, without secrets."""
        with self.ledger_store.locked_for_owner() as ledger:
            return [destination_view(destination) for destination in ledger.state.destinations.values()]

    def add_destination(self, wanted: Mapping[str, Any], secret: str) -> DestinationView:
        """Add a backup target of the owner's own. Raises CommandError."""
        found = backup_worker.checked_destination(wanted, secret)
        self._check_age(found["age"])
        with self.ledger_store.locked_for_owner() as ledger:
            draft = owner_actions.destination_added(found, ledger.state)
            backup_worker.keep_secret(self._state_dir, found["name"], secret)
            try:
                self.revocations.forget("destination", found["name"])
            except OSError as error:
                raise CommandError(
                    f"{error.filename}: {error.strerror}", code="not_saved", detail=str(error.strerror)
                ) from error
            ledger.write([draft])
            return destination_view(ledger.state.destinations[found["name"]])

    def remove_destination(self, name: str) -> None:
        """Stop backups to a target, whether or not there is a ledger; the owner deletes the existing ones.

        Raises CommandError.
        """
        self._withdrawals.remove_destination(name)

    def _check_age(self, age: str) -> None:
        from device.consent_service.age_recipients import check_recipient  # loads pyrage

        try:
            check_recipient(age)
        except Refused as error:
            raise CommandError(
                f"{age[:20]}… is not a usable age recipient: {error.detail}",
                code="backup_key",
                age=f"{age[:20]}…",
            ) from error

    def notices(self) -> list[NoticeView]:
        """Return the notices that can be read, newest first."""
        with self.ledger_store.locked_for_owner() as ledger:
            kept = sorted(ledger.state.notices.values(), key=lambda each: each.iat, reverse=True)
            return [notice_view(notice, ledger.state, self.ledger_store.now()) for notice in kept]

    def ledger(self, newest: int) -> LedgerView:
        """Return the ledger's newest entries, its head, and what was refused."""
        with self.ledger_store.locked_for_owner() as ledger:
            entries: list[EntryView] = [
                {**entry_view(entry), "subject": subject_of(entry, ledger.state)}
                for entry in ledger.entries(newest=newest)
            ]
            return {
                "head": ledger.head,
                "length": ledger.length,
                "entries": entries,
                "refused": [{**row, "sentence": sentence_of(row["reason"])} for row in ledger.refused()],
            }

    def export(self) -> Iterator[str]:
        """Yield the whole ledger as JSON lines, as it is now. Raises CommandError."""
        with self.ledger_store.locked_for_owner():
            pass  # there is a valid one
        ledger = Ledger(self.ledger_store.path, read_only=True)
        try:
            yield from export_text(ledger)
        finally:
            ledger.close()

    def _cuts(self, case: Case, choice: Choice) -> list[Cut]:
        """Read the clips without the lock, because it may take a while."""
        window = case.request.window
        span = window.start * 1_000_000, window.end * 1_000_000
        return self._footage.cuts(lambda clip_id: choice.span(clip_id, span), *span)

    def _why_empty(self, case: Case, choice: Choice) -> EmptyOffer:
        """Return why an offer has no clip."""
        if choice.spans is not None and not choice.spans:
            return "left_out"
        if choice.spans is None:
            window = case.request.window
            is_there = self._footage.has(window.start * 1_000_000, window.end * 1_000_000)
        else:
            is_there = any(cut.clip_id in choice.spans for cut in self._cuts(case, ALL))
        return "no_picture" if is_there else "deleted"

    def _handle(self, request_id: str) -> str:
        with self.ledger_store.locked_for_owner() as ledger:
            return ledger.state.case_named(request_id).handle

    def _home(self) -> tuple[float, float]:
        return self._config.longitude, self._config.latitude

    def _offer(self, ledger: LockedLedger, case: Case, cuts: Sequence[Cut], choice: Choice) -> Offer:
        sender = ledger.state.senders.get(case.request.agency)
        if sender is None:
            raise CommandError("its agency is not pinned any more", code="sender_not_pinned")
        masks = self._footage.masks(cut.clip_id for cut in cuts)
        try:
            return make_offer(case.request, case.envelope_sha256, sender, cuts, masks, choice)
        except StopIteration:
            raise CommandError(
                "the agency's record no longer has this request's recipient or upload origin",
                code="recipient_gone",
            ) from None

    def _try_recipients(self, record: bytes) -> None:
        from device.consent_service.age_recipients import check_recipient  # loads pyrage

        _, parsed = sender_records.record_in(record)
        for recipient in parsed.recipients:
            check_recipient(recipient.age)


def _check_shown(offer: Offer, shown_hash: str) -> None:
    if offer_hash(offer) != shown_hash:
        text = "this is not what you were shown: something changed since; look at it again"
        raise CommandError(text, code="offer_changed")
