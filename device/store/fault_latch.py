"""Faults that stand: told when they begin and when they end, and not at each try in between."""

from device.events import Fault, Inbox


class FaultLatch:
    """The faults of one thread."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._codes: set[str] = set()

    def begin(self, code: str, text: str, remedy: str) -> None:
        """Tell a fault, unless it stands already."""
        if code not in self._codes:
            self._codes.add(code)
            self._inbox(Fault(code=code, active=True, text=text, remedy=remedy))

    def end(self, code: str) -> None:
        """Tell that a fault is over, if it stood."""
        if code in self._codes:
            self._codes.remove(code)
            self._inbox(Fault(code=code, active=False))
