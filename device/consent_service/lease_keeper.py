"""Renews the leases of what may be sent now; everything else, also a defect here, ends them.

A parcel has a lease while its ledger verifies, its approval stands and has not ended, the clock was set, and the
owner did not stop it. A backup has one while its target is in the ledger. `renew` looks at all of that again.
"""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from device.consent.ledger_state import LedgerState
from device.consent.states import State
from device.consent_service.ledger import LedgerBroken
from device.consent_service.ledger_store import LedgerStore
from device.consent_service.revocations import RevocationKind, Revocations
from device.events import Fault
from device.spool.leases import MAX_LEASE_S, boottime_s, write_leases
from device.system.worker import Worker

log = logging.getLogger(__name__)

RENEWALS = 4
"""In the time of one lease: some may be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lease:
    kind: RevocationKind
    name: str
    end_s: float


class LeaseKeeper:
    """`run` is the thread; the other methods may be called from any other."""

    def __init__(
        self,
        ledger_store: LedgerStore,
        revocations: Revocations,
        folder: Path,
        *,
        lease_s: float = MAX_LEASE_S,
    ) -> None:
        """`folder` is the runtime folder that the courier can read; `lease_s` is at most MAX_LEASE_S."""
        self._ledger_store = ledger_store
        self._revocations = revocations
        self._folder = folder
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}
        self._written: dict[str, float] | None = None
        """What is in the file; None: an earlier run's leases may be."""

    def run(self, worker: Worker) -> None:
        """Work until `worker.stopping` is set; then end every lease."""
        while not worker.stopping.is_set():
            worker.beat()
            self.renew()
            worker.stopping.wait(self._lease_s / RENEWALS)
        self._replace({})

    def renew(self) -> None:
        """Renew every lease that has a reason now, and end the others."""
        try:
            with self._ledger_store.locked() as ledger:
                if ledger:
                    ledger.verify_newest()
                self._replace(self._allowed(ledger.state) if ledger else {})
        except LedgerBroken as error:
            self._replace({})
            self._ledger_store.close_broken(error)

    def stop(self, kind: RevocationKind, name: str) -> None:
        """End a lease at once. It waits for no lock that is held during a disk's or network's work."""
        self._revocations.hold(kind, name)
        with self._lock:
            self._write()

    def covers(self, sha256: str) -> bool:
        """Return whether doorbelld itself may send a copy at this moment."""
        lease = self._leases.get(sha256)
        return (
            lease is not None
            and boottime_s() < lease.end_s
            and not self._revocations.is_revoked(lease.kind, lease.name)
        )

    def _allowed(self, state: LedgerState) -> dict[str, _Lease]:
        ledger_store = self._ledger_store
        now_s = boottime_s()
        leases: dict[str, _Lease] = {}
        if not ledger_store.clock_is_good():
            return leases
        for case in state.cases.values():
            if case.state is State.HANDED_OVER:
                left_s = min(self._lease_s, ledger_store.approval_left_s(case))
                if left_s > 0:
                    lease = _Lease(kind="request", name=case.handle, end_s=now_s + left_s)
                    leases[case.sealed_parcel()["sha256"]] = lease
        for destination in state.destinations.values():
            for backup in destination.backups.values():
                if not backup.done:
                    lease = _Lease(kind="destination", name=destination.name, end_s=now_s + self._lease_s)
                    leases[backup.sha256] = lease
        return leases

    def _replace(self, leases: dict[str, _Lease]) -> None:
        with self._lock:
            self._leases = leases
            self._write()

    def _write(self) -> None:
        """Write the leases that nobody has revoked. A file that cannot be written ends by itself."""
        ends_s = {
            sha256: lease.end_s
            for sha256, lease in self._leases.items()
            if not self._revocations.is_revoked(lease.kind, lease.name)
        }
        if not ends_s and self._written == {}:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            write_leases(self._folder, ends_s)
            self._written = ends_s
        except OSError as error:
            if ends_s:
                path, why = str(error.filename or self._folder), error.strerror or ""
                fault = Fault(
                    code="leases",
                    active=True,
                    params={"path": path, "why": why},
                    text=f"{path}: {why}; what the courier would send waits",
                    remedy="see systemd/README.md, 'The spool'",
                )
                self._ledger_store.faults.report(fault)
        else:
            self._ledger_store.faults.end("leases")
