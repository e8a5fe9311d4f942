"""What the owner stops: an approval, every approval, or the backups to a target. None of it needs a ledger.

Each stop takes effect in this order: in memory and in the lease file; grant and copies are deleted, which makes
room on a full disk; then it is written to the ledger if there is one that can be written, and to the revocations.
"""

from collections.abc import Callable
from pathlib import Path

from device.consent import entries, owner_actions
from device.consent.documents import RevokedParcel
from device.consent.ledger_state import LedgerState
from device.consent.reasons import Refused
from device.consent.states import Step
from device.consent.views import WithdrawalView
from device.consent_service.backup_worker import keep_secret
from device.consent_service.lease_keeper import LeaseKeeper
from device.consent_service.ledger_store import LedgerStore, LockedLedger, as_command_error
from device.consent_service.release_worker import UNDER_WAY, ReleaseWorker
from device.consent_service.revocations import (
    EVERY_REQUEST,
    Revocation,
    RevocationKind,
    Revocations,
    SentParcel,
)
from device.errors import CommandError, DoorbellError
from device.system.clock import rfc3339


class Withdrawals:
    """Its methods may be called from any thread but the controller's."""

    def __init__(
        self,
        ledger_store: LedgerStore,
        revocations: Revocations,
        leases: LeaseKeeper,
        release_worker: ReleaseWorker,
        state_dir: Path,
    ) -> None:
        """`state_dir` holds the targets' passwords."""
        self._ledger_store = ledger_store
        self._revocations = revocations
        self._leases = leases
        self._release_worker = release_worker
        self._state_dir = state_dir

    def withdraw(self, request_id: str) -> WithdrawalView:
        """Withdraw an approval. Raises CommandError if there is none, or if it could not be written down."""
        with self._revocations.being_written("request", request_id):
            return self._withdraw(request_id)

    def _withdraw(self, request_id: str) -> WithdrawalView:
        self._leases.stop("request", request_id)
        with self._ledger_store.locked() as ledger:
            state = self._state(ledger)
            try:
                case = state.case_named(request_id) if state else None
                draft = entries.step(case.key, case.state, Step.WITHDRAW) if case else None
            except DoorbellError as error:
                self._revocations.release("request", request_id)
                code = error.code if isinstance(error, CommandError) else "request_over"
                raise CommandError(str(error), code=code) from error
            if case:  # its id alone may be another sender's too
                self._revocations.hold("request", case.handle)
                if request_id != case.handle:
                    self._revocations.release("request", request_id)
                request_id = case.handle
            parcels = self._release_worker.sent_parcels(case) if case else ()
            trouble = _trouble(lambda: self._release_worker.revoke(case) if case else None)
            is_in_ledger = self._ledger_store.write_or_report(ledger, draft)
            trouble += self._note("request", request_id, parcels, is_in_ledger=is_in_ledger)
            if trouble and not is_in_ledger:
                raise _not_written(trouble)
            return _view([request_id], parcels, is_in_ledger=is_in_ledger)

    def withdraw_all(self) -> WithdrawalView:
        """Withdraw every approval, also if nobody can tell which there are. Raises CommandError."""
        with self._ledger_store.locked() as ledger:
            state = self._state(ledger)
            known = [case.handle for case in state.cases.values() if case.state in UNDER_WAY] if state else []
            if ledger is None:
                return self._stop_everything(known)
        stopped = [self.withdraw(handle) for handle in known]
        is_in_ledger = all(each["recorded_in"] == "ledger" for each in stopped)
        view = _view(known, (), is_in_ledger=is_in_ledger)
        view["parcels"] = [parcel for each in stopped for parcel in each["parcels"]]
        return view

    def remove_destination(self, name: str) -> None:
        """End the backups to a target. Raises CommandError if there is none, or if it could not be written down."""
        with self._revocations.being_written("destination", name):
            self._remove_destination(name)

    def _remove_destination(self, name: str) -> None:
        self._leases.stop("destination", name)
        with self._ledger_store.locked() as ledger:
            state = self._state(ledger)
            try:
                draft = owner_actions.destination_removed(name, state) if state else None
            except Refused as error:
                self._revocations.release("destination", name)
                raise as_command_error(error) from error
            copies = [
                backup.sha256
                for destination in (state.destinations.values() if state else ())
                for backup in destination.backups.values()
                if destination.name == name and not backup.done
            ]
            trouble = _trouble(lambda: self._release_worker.revoke_parcels(copies))
            trouble += _trouble(lambda: keep_secret(self._state_dir, name, None))
            if not self._ledger_store.write_or_report(ledger, draft):
                trouble += self._note("destination", name, (), is_in_ledger=False)
                if trouble:
                    raise _not_written(trouble)

    def _stop_everything(self, known: list[str]) -> WithdrawalView:
        """Stop every release without a ledger; `known` are those that were under way when it broke."""
        for handle in known:
            self._leases.stop("request", handle)
        parcels = self._release_worker.all_sent_parcels()
        trouble = _trouble(self._release_worker.revoke_all)
        for handle in known or [EVERY_REQUEST]:
            trouble += self._note("request", handle, parcels, is_in_ledger=False)
        if trouble:
            raise _not_written(trouble)
        return _view(known, parcels, is_in_ledger=False)

    def _state(self, ledger: LockedLedger | None) -> LedgerState | None:
        return ledger.state if ledger else self._ledger_store.last_state

    def _note(
        self, kind: RevocationKind, name: str, parcels: tuple[SentParcel, ...], *, is_in_ledger: bool
    ) -> list[str]:
        """Write a revocation down; return what went wrong."""
        at = rfc3339(self._ledger_store.clock.wall_us())
        revocation = Revocation(kind=kind, name=name, at=at, parcels=parcels, in_ledger=is_in_ledger)
        return _trouble(lambda: self._revocations.add(revocation))


def _trouble(act: Callable[[], None]) -> list[str]:
    """Do something, and return what went wrong: the other steps of a stop do not depend on it."""
    try:
        act()
    except OSError as error:
        return [f"{error.filename}: {error.strerror}"]
    except CommandError as error:
        return [str(error)]
    return []


def _not_written(trouble: list[str]) -> CommandError:
    why = "; ".join(trouble)
    return CommandError(
        f"it is stopped while doorbelld runs, but could not be written down ({why}): make room on the disk or repair "
        "it, and do it again",
        code="stop_not_written",
        why=why,
    )


def _view(requests: list[str], parcels: tuple[SentParcel, ...], *, is_in_ledger: bool) -> WithdrawalView:
    rows: list[RevokedParcel] = [
        {"sha256": parcel.sha256, "left_bytes": parcel.left_bytes, "of_bytes": parcel.of_bytes}
        for parcel in parcels
    ]
    return {"requests": requests, "recorded_in": "ledger" if is_in_ledger else "revocations", "parcels": rows}
