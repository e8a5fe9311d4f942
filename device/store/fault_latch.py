"""Reports a fault when it begins and when it ends, not at each attempt in between."""

from device.events import Fault, Inbox


class FaultLatch:
    """The faults of one thread."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._codes: set[str] = set()

    def begin(self, code: str, text: str, remedy: str) -> None:
        """Report a fault, unless it is active already."""
        if code not in self._codes:
            self._codes.add(code)
            self._inbox(Fault(code=code, active=True, text=text, remedy=remedy))

    def end(self, code: str) -> None:
        """Report that a fault is over, if it was active."""
        if code in self._codes:
            self._codes.remove(code)
            self._inbox(Fault(code=code, active=False))
