"""The owner of the ledger and of what follows from it. It has the only lock, which is private.

A reader or writer gets a `LockedLedger`, exclusively for the duration of its `with` block. The
page's threads and the consent service's own come here; the controller never does: it gets facts.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from device.consent.entries import LedgerEntryDraft
from device.consent.ledger_state import Case, LedgerState, handle_of
from device.consent.reasons import Reason, Refused
from device.consent.states import NoSuchStep, State
from device.consent.views import RefusedCount
from device.consent_service.ledger import Entry, Ledger, LedgerBroken
from device.errors import CommandError
from device.events import ConsentStep, Fault, Inbox, LedgerReport
from device.spool.leases import boottime_s
from device.system.clock import Clock, boot_id, parse_rfc3339
from device.system.fault_latch import FaultLatch

log = logging.getLogger(__name__)

EARLIEST_US = 1_767_225_600_000_000
"""2026: an earlier clock was never set; every signature would seem to be in the future."""
LAG_US = 300_000_000


class LockedLedger:
    """The ledger and its state, while one thread has both to itself. `LedgerStore` hands it out."""

    def __init__(
        self, ledger: Ledger, state: LedgerState, clock: Clock, inbox: Inbox, faults: FaultLatch
    ) -> None:
        self.state = state
        self._ledger = ledger
        self._clock = clock
        self._inbox = inbox
        self._faults = faults
        self._newest_us = 0
        self._reported: tuple[int, str] | None = None

    @property
    def head(self) -> str:
        """The newest entry's hash, hex."""
        return self._ledger.head

    @property
    def length(self) -> int:
        """Number of entries."""
        return self._ledger.length

    @property
    def newest_us(self) -> int:
        """Wall time of the newest entry."""
        return self._newest_us

    def entries(self, *, newest: int) -> Iterator[Entry]:
        """Yield the newest entries, oldest first. Raises LedgerBroken."""
        return self._ledger.entries(newest=newest)

    def refused(self) -> list[RefusedCount]:
        """Return how much was refused, by reason."""
        return self._ledger.refused()

    def verify_newest(self) -> None:
        """Raise LedgerBroken unless it is what was verified at the start, with what was written since."""
        self._ledger.prove_newest()

    def number_of_refused_bodies(self) -> int:
        """Return how many refused messages the ledger holds."""
        return len(self._ledger.refused_bodies())

    def write(self, drafts: Sequence[LedgerEntryDraft]) -> None:
        """Write entries durably, and only then apply them. Raises LedgerBroken."""
        wanted = [(draft.kind, draft.data, draft.body) for draft in drafts]
        entries = self._ledger.append_all(wanted, wall_us=self._clock.wall_us(), clock=self._clock.flag())
        self._faults.end("ledger_broken")  # a disk that was full has room again
        for entry, draft in zip(entries, drafts, strict=True):
            self._take(entry, draft.body)
            if entry.kind == "request":
                handle = handle_of(entry.data["sender"], entry.data["id"])
                fields = {"request": handle, "state": entry.data["to"]}
                self._inbox(ConsentStep(mono_us=self._clock.mono_us(), fields=fields))
        self.report()

    def forget(self, now: int) -> None:
        """Erase the text of notices that ended long ago; their hashes stay."""
        for digest in self.state.forget(now):
            self._ledger.erase_body(digest)

    def count_refused(self, counts: Mapping[str, int], bodies: Sequence[tuple[str, str, bytes]]) -> None:
        """Add to the counters, and keep bodies (reason, detail, bytes). Raises LedgerBroken."""
        self._ledger.count_refused(dict(counts), list(bodies), self._clock.wall_us())

    def replay(self) -> None:
        """Rebuild the state from the first entry on. Raises LedgerBroken."""
        self._ledger.prove()
        for entry in self._ledger.entries():
            self._take(entry, self._ledger.body(entry.body) if entry.body else None)
        if not self._ledger.length:
            self.write([LedgerEntryDraft(kind="opened", data={})])

    def report(self) -> None:
        """Give the controller head, length and number of open offers, if they changed."""
        pending = sum(case.state is State.OFFERED for case in self.state.cases.values())
        if self._reported != (pending, self._ledger.head):
            self._reported = (pending, self._ledger.head)
            self._inbox(LedgerReport(head=self._ledger.head, length=self._ledger.length, pending=pending))

    def close(self) -> None:
        """Close the file."""
        self._ledger.close()

    def _take(self, entry: Entry, body: bytes | None) -> None:
        at_us = parse_rfc3339(entry.at)
        self._newest_us = max(self._newest_us, at_us)
        try:
            self.state.take(entry.kind, entry.data, body, at_us // 1_000_000)
        except (Refused, KeyError, ValueError) as error:
            # Of an older, less strict version: an invalid entry has no effect.
            log.warning("ledger_entry_ignored seq=%d kind=%s %r", entry.seq, entry.kind, error)


class LedgerStore:
    """Opens the ledger and hands it to one thread at a time."""

    def __init__(self, path: Path, clock: Clock, inbox: Inbox, *, trust_clock: bool = False) -> None:
        """`trust_clock`: the clock is right from the boot on, whoever has set it (device.trust_clock)."""
        self.path = path
        self.clock = clock
        self.inbox = inbox
        self.faults = FaultLatch(inbox)
        """Of the whole consent service."""
        self._was_set = trust_clock
        self.last_state: LedgerState | None = None
        """What was known when the ledger broke: it tells what to stop, and allows nothing."""
        self._lock = threading.RLock()
        self._locked: LockedLedger | None = None
        self.on_open_or_close: list[Callable[[], None]] = []
        """Called when there is a valid ledger, or none any more."""

    def open(self) -> None:
        """Read the ledger from its first entry; only it defines what is pinned and open."""
        with self._lock:
            self._locked = None
            try:
                locked = LockedLedger(Ledger(self.path), LedgerState(), self.clock, self.inbox, self.faults)
                locked.replay()
            except LedgerBroken as error:
                self.report_broken(error)
                return
            self._locked = locked
            self.faults.end("ledger_broken")
            locked.report()
            self._tell()

    def close(self) -> None:
        """Close the file; nothing can be read or written any more."""
        with self._lock:
            if self._locked:
                self._locked.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a valid ledger."""
        return self._locked is not None

    @contextmanager
    def locked(self) -> Iterator[LockedLedger | None]:
        """Hold the lock: for the workers. None while there is no valid ledger."""
        with self._lock:
            yield self._locked

    @contextmanager
    def locked_for_owner(self) -> Iterator[LockedLedger]:
        """Hold the lock, and turn each error into a sentence for the owner. Raises CommandError."""
        with self._lock:
            if self._locked is None:
                raise CommandError(
                    "the ledger cannot be read (yet): nothing can be decided; see `doorbell ledger verify`",
                    code="ledger_unreadable",
                )
            try:
                yield self._locked
            except (Refused, NoSuchStep) as error:
                raise as_command_error(error) from error
            except LedgerBroken as error:
                self.report_broken(error)
                raise as_command_error(error) from error

    def report_broken(self, error: LedgerBroken) -> None:
        """Raise the fault that stops consent, and nothing else."""
        log.error("ledger_broken %s", error)
        remedy = (
            "`doorbell ledger verify` shows details; until it is repaired nothing is received or approved"
        )
        text = str(error)
        self.faults.report(
            Fault(code="ledger_broken", active=True, params={"why": text}, text=text, remedy=remedy)
        )

    def write_or_report(self, ledger: LockedLedger | None, draft: LedgerEntryDraft | None) -> bool:
        """Write an entry, if there is a ledger that can be written; return whether it has the entry."""
        if ledger is None or draft is None:
            return False
        try:
            ledger.write([draft])
        except LedgerBroken as error:
            self.report_broken(error)
            return False
        return True

    def clock_is_good(self) -> bool:
        """Return whether the wall clock is plausible: set at all, and not behind the ledger."""
        wall_us = self.clock.wall_us()
        newest_us = self._locked.newest_us if self._locked else 0
        return wall_us >= EARLIEST_US and wall_us >= newest_us - LAG_US

    def close_broken(self, error: LedgerBroken) -> None:
        """Use a ledger no more that was changed under the daemon: nothing rests on it until the next start."""
        with self._lock:
            if self._locked:
                self.last_state = self._locked.state
                self._locked.close()
                self._locked = None
            self._tell()
        self.report_broken(error)

    def _tell(self) -> None:
        for listener in self.on_open_or_close:
            listener()

    def clock_was_set(self) -> bool:
        """Return whether a time server has set the clock since the boot; approvals need it.

        A clock without a battery goes on, after a power cut, where it was: an approval that ended meanwhile
        would seem to stand.
        """
        self._was_set = self._was_set or self.clock.flag() == "synchronised"
        return self._was_set

    def approval_left_s(self, case: Case) -> float:
        """Return for how long an approval stands, in seconds; 0 if it has ended or nobody can say.

        By the wall clock and, in the boot of the approval, also by the clock that cannot be set.
        """
        if not self.clock_is_good() or not self.clock_was_set():
            return 0.0
        left_s = case.ends_at - self.clock.wall_us() / 1e6
        if case.ends_boottime and case.ends_boottime["boot"] == boot_id():
            left_s = min(left_s, case.ends_boottime["s"] - boottime_s())
        return max(0.0, left_s)

    def now(self) -> int:
        """Return the wall time in Unix seconds."""
        return self.clock.wall_us() // 1_000_000


def as_command_error(error: Exception) -> CommandError:
    """Return an error of consent as a sentence for the owner, with its code for the page."""
    match error:
        case CommandError():
            return error
        case Refused(reason=Reason.MISTAKE):
            return CommandError(error.detail, code=error.code, **error.params)
        case Refused():
            sentence = error.reason.sentence
            text = f"{sentence}: {error.detail}" if error.detail else sentence
            return CommandError(text, code="refused", reason=error.reason.value)
        case NoSuchStep():
            return CommandError(str(error), code="request_over")
        case LedgerBroken():
            return CommandError(str(error), code="ledger_broken", why=str(error))
    return CommandError(str(error), code="consent_failed", why=str(error))
