"""Reports a fault when it begins, when it changes and when it ends, not at each attempt in between."""

import threading

from device.events import Fault, Inbox


class FaultLatch:
    """The faults of one component. May be used by several threads; never waits for anything but its own lock."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = threading.Lock()
        self._active: dict[tuple[str, str], Fault] = {}
        """By code and subject."""

    def report(self, fault: Fault) -> None:
        """Pass a fault on, unless the inbox has it already: active like this, or not active."""
        key = fault.code, fault.subject
        with self._lock:
            before = self._active.get(key)
            if fault.active and fault != before:
                self._active[key] = fault
            elif not fault.active and before:
                del self._active[key]
            else:
                return
            self._inbox(fault)  # under the lock, so that a later report arrives later

    def begin(self, code: str, text: str, remedy: str, **params: str | float) -> None:
        """Report a fault without subject and reason, with the parameters of its text."""
        self.report(Fault(code=code, active=True, params=params, text=text, remedy=remedy))

    def end(self, code: str, subject: str = "") -> None:
        """Report that a fault is over, if it was active."""
        self.report(Fault(code=code, subject=subject, active=False))

    def end_except(self, code: str, subjects: frozenset[str] | set[str]) -> None:
        """End the faults of a code whose subjects do not exist any more."""
        with self._lock:
            gone = [key[1] for key in self._active if key[0] == code and key[1] not in subjects]
        for subject in gone:
            self.end(code, subject)
