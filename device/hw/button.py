"""The button's protocol, and the simulated button. The real one is in gpio_button.py."""

import threading
from typing import Any, Literal, Protocol

from device.config import ButtonConfig
from device.events import ButtonState, Inbox, Pressed
from device.policy.press import PressRule
from device.system.clock import Clock, stamp


class Button(Protocol):
    """A button of any kind."""

    kind: str

    def open(self) -> None:
        """Start to listen. Raises ButtonError."""

    def healthy(self) -> bool:
        """Return whether an edge would still be heard."""

    def held_us(self, mono_us: int) -> int:
        """Return for how long the button has been down at `mono_us`, 0 if it is up."""

    def close(self) -> None:
        """Stop listening."""


class SimulatedButton:
    """A button without hardware: the simulated visitor and `doorbell ring` press it."""

    kind = "simulated"

    def __init__(self, config: ButtonConfig, *, inbox: Inbox, clock: Clock) -> None:
        self._name = config.name
        self._inbox = inbox
        self._clock = clock
        self._rule = PressRule(bounce_us=config.bounce_ms * 1000)
        self._lock = threading.Lock()  # several threads may press; a real button has one thread

    def open(self) -> None:
        """Report that the button is live."""
        self._inbox(ButtonState(kind=self.kind, state="live"))

    def press(self, source: Literal["visitor", "command"], reply: Any = None) -> bool:
        """Press and release; return False if that was within the bounce time of another press."""
        with self._lock:
            now_us = self._clock.mono_us()
            is_press = self._rule.feed(down=True, mono_us=now_us)
            self._rule.feed(down=False, mono_us=now_us)
        if is_press:
            at = stamp(self._clock, now_us)
            self._inbox(Pressed(at=at, button=self._name, source=source, reply=reply))
        return is_press

    def healthy(self) -> bool:
        """Return True: there is no thread that could end."""
        return True

    def held_us(self, mono_us: int) -> int:  # noqa: ARG002  (the protocol's)
        """Return 0: it is released at once."""
        return 0

    def close(self) -> None:
        """Do nothing."""
