"""Reports a fault when it begins, when its text changes and when it ends, not at each attempt in between."""

from device.events import Fault, Inbox


class FaultLatch:
    """The faults of one thread."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._texts: dict[str, str] = {}

    def begin(self, code: str, text: str, remedy: str) -> None:
        """Report a fault, unless it is active already with this text."""
        if self._texts.get(code) != text:
            self._texts[code] = text
            self._inbox(Fault(code=code, active=True, text=text, remedy=remedy))

    def end(self, code: str) -> None:
        """Report that a fault is over, if it was active."""
        if self._texts.pop(code, None) is not None:
            self._inbox(Fault(code=code, active=False))
