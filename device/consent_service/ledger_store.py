"""The ledger and what it says, behind one lock: written here, and nowhere else.

The page's threads and the consent service's own come here; the controller never does: it is told facts.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from device.consent.ledger_state import LedgerState
from device.consent.reasons import Reason, Refused
from device.consent.states import NoSuchStep, State
from device.consent.validation import LedgerEntryDraft
from device.consent_service.ledger import Entry, Ledger, LedgerBroken
from device.errors import CommandError
from device.events import ConsentStep, Fault, Inbox, LedgerReport
from device.system.clock import Clock, parse_rfc3339

log = logging.getLogger(__name__)

EARLIEST_US = 1_767_225_600_000_000
"""2026: a clock that says less was never set, and would take everything for signed in the future."""
LAG_US = 300_000_000


class LedgerStore:
    """Everything that was consented to. Whoever reads `book` or writes holds `lock`."""

    def __init__(self, path: Path, clock: Clock, inbox: Inbox) -> None:
        self.path = path
        self.clock = clock
        self.inbox = inbox
        self.lock = threading.RLock()
        self.ledger_state = LedgerState()
        self.ledger: Ledger | None = None
        self.newest_us = 0
        """Wall time of the newest entry."""
        self._told: tuple[int, str] | None = None

    def open(self) -> None:
        """Read the ledger from its first entry: nothing else says what is pinned and open."""
        with self.lock:
            try:
                ledger = Ledger(self.path)
                ledger.prove()
                for entry in ledger.entries():
                    self._take(entry, ledger.body(entry.body) if entry.body else None)
                self.ledger = ledger
                if not ledger.length:
                    self.write([LedgerEntryDraft(kind="opened", data={})])
            except LedgerBroken as error:
                self.ledger = None
                self.tell_broken(error)
                return
            self.inbox(Fault(code="ledger_broken", active=False))
            self._report()

    def tell_broken(self, error: LedgerBroken) -> None:
        """Raise the fault that stops consent, and nothing else."""
        log.error("ledger_broken %s", error)
        remedy = "`doorbell ledger verify` says more; until it is mended nothing is heard or approved"
        self.inbox(Fault(code="ledger_broken", active=True, text=str(error), remedy=remedy))

    @contextmanager
    def asked(self) -> Iterator[Ledger]:
        """Hold the lock and turn what went wrong into a sentence for whoever asked."""
        with self.lock:
            try:
                yield self.need()
            except Refused as error:
                raise CommandError(_said(error)) from error
            except NoSuchStep as error:
                raise CommandError(str(error)) from error
            except LedgerBroken as error:
                self.tell_broken(error)
                raise CommandError(str(error)) from error

    def need(self) -> Ledger:
        """Return the ledger. Raises CommandError if there is none that can be believed."""
        if self.ledger is None:
            raise CommandError(
                "the ledger cannot be read (yet): nothing can be decided; see `doorbell ledger verify`"
            )
        return self.ledger

    def write(self, drafts: Sequence[LedgerEntryDraft]) -> None:
        """Write entries, durably, and only then let them count."""
        wanted = [(draft.kind, draft.data, draft.body) for draft in drafts]
        entries = self.need().append_all(wanted, wall_us=self.clock.wall_us(), clock=self.clock.flag())
        self.inbox(Fault(code="ledger_broken", active=False))  # a disk that was full has room again
        for entry, draft in zip(entries, drafts, strict=True):
            self._take(entry, draft.body)
            if entry.kind == "request":
                fields = {"request": entry.data["id"], "state": entry.data["to"]}
                self.inbox(ConsentStep(mono_us=self.clock.mono_us(), fields=fields))
        self._report()

    def _take(self, entry: Entry, body: bytes | None) -> None:
        at_us = parse_rfc3339(entry.at)
        self.newest_us = max(self.newest_us, at_us)
        try:
            self.ledger_state.take(entry.kind, entry.data, body, at_us // 1_000_000)
        except (Refused, KeyError, ValueError) as error:
            # Of an older version, which was less strict: what cannot be understood counts for nothing.
            log.warning("ledger_entry_ignored seq=%d kind=%s %r", entry.seq, entry.kind, error)

    def _report(self) -> None:
        ledger = self.need()
        pending = sum(case.state is State.OFFERED for case in self.ledger_state.cases.values())
        if self._told != (pending, ledger.head):
            self._told = (pending, ledger.head)
            self.inbox(LedgerReport(head=ledger.head, length=ledger.length, pending=pending))

    def clock_is_good(self) -> bool:
        """Return whether the wall clock may be believed: set at all, and not behind the ledger."""
        wall_us = self.clock.wall_us()
        return wall_us >= EARLIEST_US and wall_us >= self.newest_us - LAG_US

    def now(self) -> int:
        """Return the wall time in Unix seconds."""
        return self.clock.wall_us() // 1_000_000


def _said(error: Refused) -> str:
    if error.reason is Reason.MISTAKE:
        return error.detail
    return f"{error.reason.sentence}: {error.detail}" if error.detail else error.reason.sentence
