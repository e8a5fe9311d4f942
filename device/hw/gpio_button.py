"""The real button: a GPIO line through gpiozero on lgpio; the only importer of gpiozero.

The pin is used, not gpiozero's Button: the pin hands over each edge with the kernel's own time stamp
(lgpio: CLOCK_MONOTONIC), and debounce is our own leading-edge rule. An exception in a callback would end
lgpio's only notify thread, and later presses would be lost unnoticed; so the callback catches all.
"""

import logging
import os
import threading
from typing import Any

from device.config import ButtonConfig
from device.errors import ButtonError
from device.events import ButtonState, Inbox, Pressed
from device.policy.press import PressRule
from device.system.clock import Clock, stamp

log = logging.getLogger(__name__)


class GpioButton:
    """A button between a GPIO pin and ground (pull up) or 3.3 V (pull down)."""

    kind = "gpio"

    def __init__(self, config: ButtonConfig, *, inbox: Inbox, clock: Clock, factory: Any = None) -> None:
        """`factory` is a gpiozero pin factory; None: lgpio on the configured chip."""
        self._config = config
        self._inbox = inbox
        self._clock = clock
        self._factory = factory
        self._pin: Any = None
        self._rule = PressRule(bounce_us=config.bounce_ms * 1000)

    def open(self) -> None:
        """Claim the GPIO line and start to listen. Raises ButtonError."""
        gpio = self._config.gpio
        try:
            if self._factory is None:
                # lgpio makes a FIFO in its working directory at import.
                os.environ.setdefault("LG_WD", os.environ.get("RUNTIME_DIRECTORY", "/tmp"))  # noqa: S108  (only where systemd names no folder)
                from gpiozero.pins.lgpio import LGPIOFactory  # slow, and a Pi's only

                self._factory = LGPIOFactory(chip=gpio.chip)
            self._pin = self._factory.pin(gpio.pin)
            self._pin.input_with_pull(gpio.pull)
            self._pin.bounce = None
            self._pin.edges = "both"
            self._rule.begin(down=self._is_down(self._pin.state), mono_us=self._clock.mono_us())
            self._pin.when_changed = self._edge
        except Exception as error:  # gpiozero and lgpio raise from no common root
            raise ButtonError(
                f"button.gpio pin {gpio.pin} on /dev/gpiochip{gpio.chip}: {error}; "
                "is the user in group gpio, and python3-lgpio installed?"
            ) from error
        self._inbox(ButtonState(kind=self.kind, state="live"))

    def _is_down(self, level: int) -> bool:
        return level == (0 if self._config.gpio.pull == "up" else 1)

    def _edge(self, ticks_s: float, state: int) -> None:
        try:
            down = self._is_down(state)
            mono_us = int(ticks_s * 1e6)
            if self._rule.feed(down=down, mono_us=mono_us):
                at = stamp(self._clock, mono_us)
                self._inbox(Pressed(at=at, button=self._config.name, source="button"))
        except Exception:  # an exception here would end lgpio's only thread
            log.exception("button_edge_failed")

    def healthy(self) -> bool:
        """Return whether lgpio's notify thread lives (with another factory: whether the pin does)."""
        if self._pin is None:
            return False
        module = type(self._factory).__module__
        if not module.endswith(".lgpio"):
            return True
        return any(type(thread).__name__ == "_callback_thread" for thread in threading.enumerate())

    def held_us(self, mono_us: int) -> int:
        """Return for how long the button has been down."""
        return self._rule.held_us(mono_us)

    def close(self) -> None:
        """Release the GPIO line."""
        if self._pin is not None:
            self._pin.when_changed = None
            self._pin.close()
            self._pin = None
