"""Reports a fault when it begins, when its text changes and when it ends, not at each attempt in between."""

from device.events import Fault, Inbox


class FaultLatch:
    """The faults of one thread."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._texts: dict[str, str] = {}

    def begin(self, code: str, text: str, remedy: str) -> None:
        """Report a fault, unless it is active already with this text."""
        self.report(Fault(code=code, active=True, text=text, remedy=remedy))

    def report(self, fault: Fault) -> None:
        """Report an active fault, unless it is active already with this text."""
        if self._texts.get(fault.code) != fault.text:
            self._texts[fault.code] = fault.text
            self._inbox(fault)

    def end(self, code: str) -> None:
        """Report that a fault is over, if it was active."""
        if self._texts.pop(code, None) is not None:
            self._inbox(Fault(code=code, active=False))
