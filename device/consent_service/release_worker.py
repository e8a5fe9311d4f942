"""From an approval to its receipt: starts the release process, hands the parcel over, follows it, cleans up.

A thread of its own. It decides nothing: only an approval in the ledger starts it, and it reads the ledger again
before each step. Every entry is durable before its effect. After a crash it continues with a sealed parcel and
deletes everything else, according to the files and the ledger.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Unpack

from device.config import NeighbourhoodConfig
from device.consent import entries, owner_actions
from device.consent.documents import RevokedWithoutLedger, StepDetails, clip_file
from device.consent.ledger_state import Case
from device.consent.states import TABLE, State, Step
from device.consent.views import ProgressView
from device.consent_service.lease_keeper import LeaseKeeper
from device.consent_service.ledger import LedgerBroken
from device.consent_service.ledger_store import LedgerStore, LockedLedger
from device.consent_service.preview import Previews
from device.consent_service.release_protocol import Failed, Made, Progress, ReleaseBackend, ReleaseRun
from device.consent_service.revocations import Revocation, Revocations, SentParcel
from device.consent_service.working_folder import erase, erase_except
from device.errors import CommandError
from device.events import ConsentStep, Fault
from device.spool.folders import Unreadable
from device.spool.parcels import (
    Grant,
    Receipt,
    UploadReport,
    is_granted,
    names_in,
    report_in,
    revoke,
    stage_parcel,
    write_grant,
)
from device.system.durable_files import sync_folder
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S, IDLE_S = 0.25, 0.75
"""Intervals between steps while a release is under way, and otherwise."""
SILENCE_S = 60.0
"""Timeout after which a silent courier is assumed to have sent nothing."""
TELL_PERCENT = 10
UNDER_WAY = (State.APPROVED, State.SEALED, State.HANDED_OVER)


class ReleaseWorker:
    """`run` is the thread; `progress` may be called from any other."""

    def __init__(
        self,
        ledger_store: LedgerStore,
        config: NeighbourhoodConfig,
        folder: Path,
        release_backend: ReleaseBackend,
        *,
        leases: LeaseKeeper,
        revocations: Revocations,
        previews: Previews,
    ) -> None:
        """`folder` holds working copies, one folder a request, and nothing else."""
        self._ledger_store = ledger_store
        self._spool = config.spool_dir
        self._folder = folder
        self._release_backend = release_backend
        self._leases = leases
        self._revocations = revocations
        self._previews = previews
        self._run: tuple[str, ReleaseRun] | None = None
        self._progress: dict[str, Progress] = {}
        self._reported: dict[str, tuple[str, int]] = {}
        self._gone_s: dict[str, float] = {}

    def run(self, worker: Worker) -> None:
        """Work until `worker.stopping` is set."""
        while not worker.stopping.is_set():
            worker.beat()
            busy = False
            try:
                busy = self.step()
            except LedgerBroken as error:
                self._ledger_store.report_broken(error)
            worker.stopping.wait(STEP_S if busy else IDLE_S)
        self._stop_run()
        self._previews.drop()

    def configure(self, config: NeighbourhoodConfig) -> None:
        """Take other settings."""
        self._spool = config.spool_dir

    def progress(self, case: Case) -> ProgressView | None:
        """Return a release's progress; None if none is under way."""
        progress = self._progress.get(case.handle)
        if progress is None or case.state not in UNDER_WAY:
            return None
        return {"stage": progress.stage, "part": progress.part, "hot": progress.hot}

    def step(self) -> bool:
        """Do what is due; return whether something is under way. Raises LedgerBroken."""
        with self._ledger_store.locked() as ledger:
            if ledger is None:
                self._previews.drop()
                return False
            self._copy_revocations(ledger)
            cases = list(ledger.state.cases.values())
        clock_is_good = self._ledger_store.clock_is_good()
        self._continue_run(cases)
        for case in cases:
            if clock_is_good:
                match case.state:
                    case State.APPROVED:
                        self._make(case)
                    case State.SEALED:
                        self._hand_over(case)
                    case State.HANDED_OVER:
                        self._follow(case)
            if case.state not in UNDER_WAY and case.parcel and not case.accounted:
                self._account(case)
        offered = {case.handle for case in cases if case.state is State.OFFERED}
        is_previewing = self._previews.step(offered, is_free=self._run is None)
        self._sweep(cases)
        return is_previewing or any(case.state in UNDER_WAY for case in cases)

    # --- approved → sealed ------------------------------------------------------------------------

    def _continue_run(self, cases: list[Case]) -> None:
        """Stop the release process of a request that is no longer approved."""
        if self._run is None:
            return
        standing = {case.handle for case in cases if case.state is State.APPROVED}
        if self._run[0] not in standing:
            self._stop_run()

    def _stop_run(self) -> None:
        if self._run:
            self._run[1].stop()
            erase(self._folder / self._run[0])
            self._run = None

    def _make(self, case: Case) -> None:
        request = case.handle
        folder = self._folder / request
        if self._run is None:
            self._previews.pause()
            try:
                self._clear(folder, case)
                run = self._release_backend.begin(
                    folder, case.approved_offer(), case.offer_hash, files=case.files
                )
                self._run = request, run
            except (CommandError, OSError) as error:
                self._step(case, Step.FAIL, why=f"the parcel could not be made: {error}")
            return
        if self._run[0] != request:
            return
        found = self._run[1].poll()
        match found:
            case Progress():
                self._tell(case, found)
            case Made():
                self._run = None
                for path in (folder, folder.parent, folder.parent.parent):
                    sync_folder(path)  # the entry names it, so it must survive a power cut
                self._step(case, Step.SEAL, parcel=found.parcel)
            case Failed():
                self._run = None
                erase(folder)
                self._step(case, Step.FAIL, why=found.why)
            case _:
                raise AssertionError("a release is no preview")

    def _clear(self, folder: Path, case: Case) -> None:
        """Make a release's folder; of what is in it, only the files stay that the owner played. Raises OSError."""
        if not case.files:
            erase(folder)
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        erase_except(folder, [folder / clip_file(number) for number in range(1, len(case.files) + 1)])

    # --- sealed → handed over → delivered ---------------------------------------------------------

    def _hand_over(self, case: Case) -> None:
        if not self._sealed(case).exists():
            self._step(case, Step.FAIL, why="the encrypted parcel is missing from the disk")
            return
        if not self._spool_is_there():
            return
        upload = case.approved_offer()["upload"]
        if self._step(
            case,
            Step.HAND_OVER,
            offer_hash=case.offer_hash,
            sha256=case.sealed_parcel()["sha256"],
            destination={"kind": upload["kind"], "origin": upload["origin"]},
        ):
            self._stage_parcel(case)

    def _stage_parcel(self, case: Case) -> None:
        """Put parcel and grant into the spool; once they are there, the working copy goes."""
        upload = case.approved_offer()["upload"]
        grant = Grant(
            sha256=case.sealed_parcel()["sha256"],
            size_bytes=case.sealed_parcel()["bytes"],
            kind=upload["kind"],
            origin=upload["origin"],
        )
        out = self._spool / "out"
        try:
            stage_parcel(out, self._sealed(case), grant.sha256)
            with (
                self._ledger_store.locked()
            ):  # a withdrawal comes before this, or finds what it has to revoke
                if case.state is not State.HANDED_OVER:
                    return
                write_grant(out, grant)
        except OSError as error:
            self._tell_spool(error)
            return
        self._leases.renew()
        self._ledger_store.faults.end("spool")
        erase(self._folder / case.handle)

    def _follow(self, case: Case) -> None:
        digest = case.sealed_parcel()["sha256"]
        if self._sealed(case).exists():
            self._stage_parcel(case)  # a crash came between the entry and this
            return
        if not self._spool_is_there():
            return
        if not is_granted(self._spool / "out", digest):
            self._step(case, Step.FAIL, why="somebody removed the parcel from the spool")
            return
        report = self._report(digest)
        if report is None:
            self._tell(case, Progress(stage="waiting for the courier"))
            return
        part = report.sent_bytes / case.sealed_parcel()["bytes"]
        self._tell(case, Progress(stage="sending", part=min(1.0, part)))
        if report.state == "stored":
            self._deliver(case, report)
        elif report.state == "refused":
            self._step(case, Step.FAIL, why=f"the store refused the parcel: {_plain(report.why)}")

    def _deliver(self, case: Case, report: UploadReport) -> None:
        """Accept a receipt only if it is for this parcel and the approved target."""
        receipt, upload = report.receipt, case.approved_offer()["upload"]
        wanted: Receipt = {
            "sha256": case.sealed_parcel()["sha256"],
            "size_bytes": case.sealed_parcel()["bytes"],
            "kind": upload["kind"],
            "origin": upload["origin"],
            "said": {},
        }
        # The courier wrote it: it may be anything.
        if receipt is None or not isinstance(receipt.get("said"), dict) or {**receipt, "said": {}} != wanted:
            self._step(case, Step.FAIL, why="the courier's receipt does not match this parcel")
            return
        answer = {name: _plain(text) for name, text in receipt["said"].items()}
        self._step(case, Step.DELIVER, receipt={**wanted, "said": answer})

    # --- what had left, if it ended before --------------------------------------------------------

    def _account(self, case: Case) -> None:
        """Record how much had been sent; final with the courier's report, or after its silence."""
        digest = case.sealed_parcel()["sha256"]
        report = self._report(digest)
        if report is None:
            gone_s = self._gone_s.setdefault(digest, time.monotonic())
            was_handed_over = any(step["state"] == State.HANDED_OVER for step in case.history)
            if was_handed_over and time.monotonic() - gone_s < SILENCE_S:
                return
            why = "the courier had sent nothing" if was_handed_over else "it never reached the courier"
            self._write_left(case, left_bytes=0, final=True, why=why)
        elif report.state != "sending":
            self._write_left(case, left_bytes=report.left_bytes, final=True, why=_plain(report.why))
        elif report.left_bytes > case.left_bytes:
            self._write_left(case, left_bytes=report.left_bytes, final=False, why="as of now")

    def _write_left(self, case: Case, *, left_bytes: int, final: bool, why: str) -> None:
        most = min(left_bytes, case.sealed_parcel()["bytes"])
        with self._ledger_store.locked() as ledger:
            if ledger:
                ledger.write([entries.left(case, left_bytes=most, final=final, why=why)])

    # --- erasing ----------------------------------------------------------------------------------

    def _sweep(self, cases: list[Case]) -> None:
        """Delete files that no open approval needs, also those left by a crash, a kill or a withdrawal."""
        with self._ledger_store.locked() as ledger:
            needed = {
                case.handle
                for case in cases
                if case.state in (State.SEALED, State.HANDED_OVER)
                or (case.state is State.APPROVED and case.files)
                or self._previews.holds(case.handle)
            }
            if self._run:
                needed.add(self._run[0])
            for request in [known for known in self._progress if known not in needed]:
                del self._progress[request]
            with suppress(OSError):
                for folder in list(self._folder.iterdir()):
                    if folder.name not in needed:
                        erase(folder)
            if ledger:
                self.revoke_unneeded(ledger)

    def revoke_unneeded(self, ledger: LockedLedger) -> None:
        """Revoke every grant, and erase every parcel in the spool, that no approval or backup needs any more."""
        try:
            self.revoke_parcels(self._spooled() - ledger.state.parcels_in_flight())
        except OSError as error:
            if self._spool.is_dir() and self._spool_is_there():
                self._tell_spool(error)

    def revoke_parcels(self, digests: Iterable[str]) -> None:
        """Delete the grants and copies of some parcels. Raises OSError."""
        for digest in digests:
            revoke(self._spool / "out", digest)

    def _spooled(self) -> set[str]:
        """Return the SHA-256 of everything that the courier can read. Raises OSError."""
        folder = self._spool / "out"
        return {*names_in(folder, "grant"), *names_in(folder, "parcel")}

    def all_sent_parcels(self) -> tuple[SentParcel, ...]:
        """Return how much of each granted parcel has left, as the courier reports it."""
        with suppress(OSError):
            return tuple(filter(None, map(self._sent, names_in(self._spool / "out", "grant"))))
        return ()

    def sent_parcels(self, case: Case) -> tuple[SentParcel, ...]:
        """Return how much of a request's parcel has left, as the courier reports it."""
        sent = self._sent(case.sealed_parcel()["sha256"]) if case.parcel else None
        return (sent,) if sent else ()

    def _sent(self, digest: str) -> SentParcel | None:
        report = self._report(digest)
        if report is None:
            return None
        return SentParcel(sha256=digest, left_bytes=report.left_bytes, of_bytes=report.size_bytes)

    def revoke_all(self) -> None:
        """Delete every grant and every copy. Raises OSError."""
        self.revoke_parcels(self._spooled())
        with suppress(FileNotFoundError):
            for folder in list(self._folder.iterdir()):
                erase(folder)

    def revoke(self, case: Case) -> None:
        """Delete the grant and the copies of a withdrawn approval now, not at the next step. Raises OSError."""
        if case.parcel and (self._spool / "out").is_dir():
            revoke(self._spool / "out", case.sealed_parcel()["sha256"])
        erase(self._folder / case.handle)

    def _copy_revocations(self, ledger: LockedLedger) -> None:
        """Write into the ledger what was stopped without it; whatever ledger this is, that stays stopped."""
        unreadable = self._revocations.unreadable
        if unreadable:
            text = f"{unreadable}: nobody knows what you have stopped, so nothing is sent"
            remedy = (
                "withdraw once more what must not be sent; then restore the file or delete it, and start "
                "doorbelld again"
            )
            self._ledger_store.faults.report(
                Fault(
                    code="revocations_unreadable",
                    active=True,
                    params={"why": unreadable},
                    text=text,
                    remedy=remedy,
                )
            )
            return
        waiting = self._revocations.not_in_ledger()
        revoked = [
            case
            for case in ledger.state.cases.values()
            if case.state in UNDER_WAY and self._revocations.is_left_over("request", case.handle)
        ]
        drafts = [entries.revocation(_ledger_data(revocation)) for revocation in waiting]
        why = "you withdrew it while there was no ledger"
        drafts += [entries.step(case.key, case.state, Step.WITHDRAW, why=why) for case in revoked]
        drafts += [
            owner_actions.destination_removed(name, ledger.state)
            for name in ledger.state.destinations
            if self._revocations.is_left_over("destination", name)
        ]
        drafts += [
            owner_actions.reader_removed(name, ledger.state)
            for name in ledger.state.readers
            if self._revocations.is_revoked("reader", name)
        ]
        if not drafts:
            return
        ledger.write(drafts)
        with suppress(OSError):  # written once more at the next start
            self._revocations.now_in_ledger(waiting, [case.handle for case in revoked])

    # --- small things -----------------------------------------------------------------------------

    def _step(self, case: Case, step: Step, **details: Unpack[StepDetails]) -> bool:
        """Write a step if the case's state is unchanged; somebody may have withdrawn meanwhile."""
        with self._ledger_store.locked() as ledger:
            if ledger is None or step not in TABLE[case.state]:
                return False
            ledger.write([entries.step(case.key, case.state, step, **details)])
            return True

    def _tell(self, case: Case, progress: Progress) -> None:
        """Store the progress for callers, and report it to the controller now and then."""
        request = case.handle
        self._progress[request] = progress
        percent = int(progress.part * 100) // TELL_PERCENT * TELL_PERCENT
        stage = "hot" if progress.hot else progress.stage
        if self._reported.get(request) != (stage, percent):
            self._reported[request] = stage, percent
            fields = {"request": request, "stage": stage, "percent": percent}
            mono_us = self._ledger_store.clock.mono_us()
            self._ledger_store.inbox(ConsentStep(kind="release", mono_us=mono_us, fields=fields))

    def _sealed(self, case: Case) -> Path:
        return self._release_backend.sealed(self._folder / case.handle)

    def _report(self, digest: str) -> UploadReport | None:
        try:
            return report_in(self._spool / "in", digest)
        except (OSError, Unreadable) as error:
            log.warning("spool report %s: %s", digest[:16], error)
            return None

    def _spool_is_there(self) -> bool:
        if (self._spool / "out").is_dir():
            return True
        self._tell_spool(FileNotFoundError(2, "no such folder", str(self._spool / "out")))
        return False

    def _tell_spool(self, error: OSError) -> None:
        path, why = str(error.filename or self._spool), error.strerror or ""
        fault = Fault(
            code="spool",
            active=True,
            params={"path": path, "why": why},
            text=f"{path}: {why}; approved releases wait here",
            remedy="see systemd/README.md, 'The spool'",
        )
        self._ledger_store.faults.report(fault)


def _ledger_data(revocation: Revocation) -> RevokedWithoutLedger:
    return {
        "of": revocation.kind,
        "name": revocation.name,
        "at": revocation.at,
        "parcels": [
            {"sha256": parcel.sha256, "left_bytes": parcel.left_bytes, "of_bytes": parcel.of_bytes}
            for parcel in revocation.parcels
        ],
    }


def _plain(text: object) -> str:
    """Return an untrusted text in a form that can be shown."""
    shown = str(text)[:300]
    return shown if shown.isprintable() else ascii(shown)
