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
from device.consent.documents import Offer
from device.consent.ledger_state import Case, LedgerState
from device.consent.offer import Choice, Cut, make_offer, offer_hash
from device.consent.reasons import Refused, sentence_of
from device.consent.states import State, Step, after
from device.consent.views import (
    DestinationView,
    LedgerView,
    NoticeView,
    RequestView,
    SenderView,
    WithdrawalView,
)
from device.consent_service import backup_worker
from device.consent_service.backup_worker import BackupWorker, Clips
from device.consent_service.clip_source import ClipSource
from device.consent_service.inbox_worker import InboxWorker
from device.consent_service.lease_keeper import LeaseKeeper
from device.consent_service.ledger import Ledger, LedgerBroken
from device.consent_service.ledger_store import LedgerStore, LockedLedger
from device.consent_service.release_protocol import ReleaseBackend
from device.consent_service.release_worker import UNDER_WAY, ReleaseWorker
from device.consent_service.revocations import (
    EVERY_REQUEST,
    Revocation,
    RevocationKind,
    Revocations,
    SentParcel,
)
from device.consent_service.serializers import (
    destination_view,
    entry_view,
    export_text,
    notice_view,
    release_view,
    request_view,
    sender_view,
)
from device.errors import CommandError, DoorbellError
from device.events import Inbox
from device.spool.leases import boottime_s
from device.system.clock import Clock, boot_id, rfc3339

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
        self.release_worker = ReleaseWorker(
            self.ledger_store,
            config,
            working,
            release_backend,
            leases=self.lease_keeper,
            revocations=self.revocations,
        )
        self._state_dir = path.parent
        self._footage = footage

    def configure(self, config: NeighbourhoodConfig) -> None:
        """Take new settings; may be called from any thread."""
        self.inbox_worker.configure(config)
        self.release_worker.configure(config)
        self.backup_worker.configure(config)

    def requests(self) -> list[RequestView]:
        """Return every request that was admitted or rejected, newest first, without its offer."""
        with self.ledger_store.locked_for_owner() as ledger:
            cases = sorted(ledger.state.cases.values(), key=lambda case: case.heard_at, reverse=True)
            return [request_view(case, ledger.state) for case in cases]

    def request(self, request_id: str, choice: Choice = ALL) -> RequestView:
        """Return one request with its offer and the offer's hash, which an approval needs."""
        with self.ledger_store.locked_for_owner() as ledger:
            case = _find(ledger, request_id)
            view = request_view(case, ledger.state)
            view["history"] = case.history
            view["release"] = release_view(case, self.release_worker.progress(case))
        if case.state is State.OFFERED:
            cuts = self._cuts(case, choice)
            with self.ledger_store.locked_for_owner() as ledger:
                view["offer"] = self._offer(ledger, case, cuts, choice)
            view["offer_hash"] = offer_hash(view["offer"])
        return view

    def approve(self, request_id: str, shown_hash: str, choice: Choice = ALL) -> RequestView:
        """Approve exactly the offer that the owner was shown. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            if not self.ledger_store.clock_is_good():
                raise CommandError("the clock is not set, so the approval could not expire")
            if not self.ledger_store.clock_was_set():
                raise CommandError(
                    "no time server has set the clock since the boot, so the approval could end too late: check that "
                    "the doorbell reaches a time server, or see device.trust_clock"
                )
            case = _find(ledger, request_id)
            if self.revocations.is_revoked("request", case.handle):
                raise CommandError(
                    self.revocations.unreadable
                    or "you withdrew this request's approval; it cannot be approved again"
                )
        cuts = self._cuts(case, choice) if case.state is State.OFFERED else []
        with self.ledger_store.locked_for_owner() as ledger:
            now = self.ledger_store.now()
            ends_at = min(case.request.exp, now + rules.MAX_APPROVAL_S)
            after(case.state, Step.APPROVE)  # as it is now: somebody else may have decided meanwhile
            offer = self._offer(ledger, case, cuts, choice)
            if offer_hash(offer) != shown_hash:
                raise CommandError(
                    "this is not what you were shown: something changed since; look at it again"
                )
            if not offer["clips"]:
                raise CommandError("there is nothing to share: every clip was left out")
            if ends_at <= now:
                raise CommandError("the request has expired")
            approval = entries.step(
                case.key,
                case.state,
                Step.APPROVE,
                offer=offer,
                offer_hash=shown_hash,
                ends_at=ends_at,
                ends_boottime={"boot": boot_id(), "s": int(boottime_s()) + ends_at - now},
                destination=offer["upload"],
            )
            ledger.write([approval])
            return request_view(case, ledger.state)

    def decline(self, request_id: str) -> RequestView:
        """Decline; nothing is sent to anybody. Raises CommandError."""
        with self.ledger_store.locked_for_owner() as ledger:
            case = _find(ledger, request_id)
            ledger.write([entries.step(case.key, case.state, Step.DECLINE)])
            return request_view(case, ledger.state)

    def withdraw(self, request_id: str) -> WithdrawalView:
        """Withdraw an approval: nothing more is sent, whether or not there is a ledger. Raises CommandError."""
        self.lease_keeper.stop("request", request_id)
        with self.ledger_store.locked() as ledger:
            state = ledger.state if ledger else self.ledger_store.last_state
            try:
                case = _case_of(state, request_id) if state else None
                step = entries.step(case.key, case.state, Step.WITHDRAW) if case else None
            except DoorbellError as error:
                self.revocations.release("request", request_id)
                raise CommandError(str(error)) from error
            if case:  # its id alone may be another sender's too
                self.revocations.hold("request", case.handle)
                if request_id != case.handle:
                    self.revocations.release("request", request_id)
                request_id = case.handle
            parcels = self.release_worker.sent_parcels(case) if case else ()
            trouble = []
            try:
                if case:
                    self.release_worker.revoke(case)  # first: it makes room on a full disk
            except OSError as error:
                trouble.append(f"{error.filename}: {error.strerror}")
            is_in_ledger = False
            try:
                if ledger and step:
                    ledger.write([step])
                    is_in_ledger = True
            except LedgerBroken as error:
                self.ledger_store.report_broken(error)
            trouble += self._revoke("request", request_id, parcels, is_in_ledger=is_in_ledger)
            if trouble and not is_in_ledger:
                raise CommandError(_not_written(trouble))
            return _withdrawal([request_id], parcels, is_in_ledger=is_in_ledger)

    def withdraw_all(self) -> WithdrawalView:
        """Stop every release, whether or not there is a ledger. Raises CommandError."""
        with self.ledger_store.locked() as ledger:
            state = ledger.state if ledger else self.ledger_store.last_state
            known = [case.handle for case in state.cases.values() if case.state in UNDER_WAY] if state else []
            if ledger is None:
                parcels = self.release_worker.sent_parcels(None)
                for request_id in known:
                    self.lease_keeper.stop("request", request_id)
                trouble = []
                try:
                    self.release_worker.revoke(None)
                except OSError as error:
                    trouble.append(f"{error.filename}: {error.strerror}")
                for request_id in known or [EVERY_REQUEST]:
                    trouble += self._revoke("request", request_id, parcels, is_in_ledger=False)
                if trouble:
                    raise CommandError(_not_written(trouble))
                return _withdrawal(known, parcels, is_in_ledger=False)
        stopped = [self.withdraw(request_id) for request_id in known]
        return {
            "requests": known,
            "recorded_in": "ledger"
            if all(each["recorded_in"] == "ledger" for each in stopped)
            else "revocations",
            "parcels": [parcel for each in stopped for parcel in each["parcels"]],
        }

    def _revoke(
        self, kind: RevocationKind, name: str, parcels: tuple[SentParcel, ...], *, is_in_ledger: bool
    ) -> list[str]:
        """Write a revocation down; return what went wrong."""
        at = rfc3339(self.ledger_store.clock.wall_us())
        revocation = Revocation(kind=kind, name=name, at=at, parcels=parcels, in_ledger=is_in_ledger)
        try:
            self.revocations.add(revocation)
        except OSError as error:
            return [f"{error.filename}: {error.strerror}"]
        return []

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
                raise CommandError(f"{error.filename}: {error.strerror}") from error
            ledger.write([draft])
            return destination_view(ledger.state.destinations[found["name"]])

    def remove_destination(self, name: str) -> None:
        """Stop backups to a target, whether or not there is a ledger; the owner deletes the existing ones.

        Raises CommandError.
        """
        self.lease_keeper.stop("destination", name)
        with self.ledger_store.locked() as ledger:
            state = ledger.state if ledger else self.ledger_store.last_state
            try:
                draft = owner_actions.destination_removed(name, state) if state else None
            except Refused as error:
                self.revocations.release("destination", name)
                raise CommandError(error.detail) from error
            is_in_ledger = False
            try:
                if ledger and draft:
                    ledger.write([draft])
                    is_in_ledger = True
            except LedgerBroken as error:
                self.ledger_store.report_broken(error)
            trouble = []
            try:
                if ledger and is_in_ledger:
                    self.release_worker.revoke_unneeded(ledger)
                elif state and name in state.destinations:
                    self.release_worker.revoke_parcels(
                        backup.sha256
                        for backup in state.destinations[name].backups.values()
                        if not backup.done
                    )
                backup_worker.keep_secret(self._state_dir, name, None)
            except (OSError, CommandError) as error:
                trouble.append(str(error))
            if not is_in_ledger:
                trouble += self._revoke("destination", name, (), is_in_ledger=False)
                if trouble:
                    raise CommandError(_not_written(trouble))

    def _check_age(self, age: str) -> None:
        from device.consent_service.age_recipients import check_recipient  # loads pyrage

        try:
            check_recipient(age)
        except Refused as error:
            raise CommandError(f"{age[:20]}… is not a usable age recipient: {error.detail}") from error

    def notices(self) -> list[NoticeView]:
        """Return the notices that can be read, newest first."""
        with self.ledger_store.locked_for_owner() as ledger:
            kept = sorted(ledger.state.notices.values(), key=lambda each: each.iat, reverse=True)
            return [notice_view(notice, ledger.state, self.ledger_store.now()) for notice in kept]

    def ledger(self, newest: int) -> LedgerView:
        """Return the ledger's newest entries, its head, and what was refused."""
        with self.ledger_store.locked_for_owner() as ledger:
            entries = [entry_view(entry) for entry in ledger.entries(newest=newest)]
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

    def _offer(self, ledger: LockedLedger, case: Case, cuts: Sequence[Cut], choice: Choice) -> Offer:
        sender = ledger.state.senders.get(case.request.agency)
        if sender is None:
            raise CommandError("its agency is not pinned any more")
        masks = self._footage.masks(cut.clip_id for cut in cuts)
        try:
            return make_offer(case.request, case.envelope_sha256, sender, cuts, masks, choice)
        except StopIteration:
            raise CommandError(
                "the agency's record no longer has this request's recipient or upload origin"
            ) from None

    def _try_recipients(self, record: bytes) -> None:
        from device.consent_service.age_recipients import check_recipient  # loads pyrage

        _, parsed = sender_records.record_in(record)
        for recipient in parsed.recipients:
            check_recipient(recipient.age)


def _not_written(trouble: list[str]) -> str:
    return (
        f"it is stopped while doorbelld runs, but could not be written down ({'; '.join(trouble)}): make room on the "
        "disk or repair it, and do it again"
    )


def _withdrawal(
    requests: list[str], parcels: tuple[SentParcel, ...], *, is_in_ledger: bool
) -> WithdrawalView:
    return {
        "requests": requests,
        "recorded_in": "ledger" if is_in_ledger else "revocations",
        "parcels": [
            {"sha256": parcel.sha256, "left_bytes": parcel.left_bytes, "of_bytes": parcel.of_bytes}
            for parcel in parcels
        ],
    }


def _find(ledger: LockedLedger, request_id: str) -> Case:
    """Return the request of a handle (SENDER.ID), or of an id that one sender alone has used for an admitted one."""
    return _case_of(ledger.state, request_id)


def _case_of(state: LedgerState, request_id: str) -> Case:
    named = [case for case in state.cases.values() if request_id in (case.handle, case.request.id)]
    found = named if len(named) == 1 else [case for case in named if case.admitted]
    if len(found) == 1:
        return found[0]
    if not named:
        raise CommandError(f"there is no request {request_id}; `doorbell requests list` shows them")
    handles = " or ".join(sorted(case.handle for case in found or named))
    raise CommandError(f"several senders have used the id {request_id}: write {handles}")
