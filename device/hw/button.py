"""The button behind one small protocol, and the simulated one. The GPIO one is in gpio_button.py."""

import threading
from typing import Any, Literal, Protocol

from device.config import ButtonConfig
from device.events import ButtonState, Inbox, Pressed
from device.policy.press import PressRule
from device.system.clock import Clock, stamp


class Button(Protocol):
    """A button's line."""

    kind: str

    def open(self) -> None:
        """Listen from here on. Raises ButtonError."""

    def healthy(self) -> bool:
        """Return whether an edge would still be heard."""

    def held_us(self, mono_us: int) -> int:
        """Return for how long the button has been down at `mono_us`, 0 if it is up."""

    def close(self) -> None:
        """Stop listening."""


class SimulatedButton:
    """A button without a line: the drawn visitor and `doorbell ring` press it."""

    kind = "simulated"

    def __init__(self, config: ButtonConfig, *, inbox: Inbox, clock: Clock) -> None:
        self._name = config.name
        self._inbox = inbox
        self._clock = clock
        self._rule = PressRule(bounce_us=config.bounce_ms * 1000)
        self._lock = threading.Lock()  # several may press; a real line has one thread

    def open(self) -> None:
        """Say that the button is live."""
        self._inbox(ButtonState(kind=self.kind, state="live"))

    def press(self, source: Literal["visitor", "command"], reply: Any = None) -> bool:
        """Press and let go; return whether it counted as a press of its own."""
        with self._lock:
            now_us = self._clock.mono_us()
            is_press = self._rule.feed(down=True, mono_us=now_us)
            self._rule.feed(down=False, mono_us=now_us)
        if is_press:
            at = stamp(self._clock, now_us)
            self._inbox(Pressed(at=at, button=self._name, source=source, reply=reply))
        return is_press

    def healthy(self) -> bool:
        """Return True: there is nothing that could die."""
        return True

    def held_us(self, mono_us: int) -> int:  # noqa: ARG002  (the protocol's)
        """Return 0: it is let go at once."""
        return 0

    def close(self) -> None:
        """Do nothing."""
