"""The GPIO button through gpiozero's own pins. The factory is gpiozero's mock: there is no line here."""

import time

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from device.config import ButtonConfig
from device.errors import ButtonError
from device.events import ButtonState, Fact, Pressed
from device.hw.gpio_button import GpioButton
from device.system.clock import SystemClock

CLOCK = SystemClock()


def test_an_edge_is_a_press_with_its_own_time() -> None:
    facts: list[Fact] = []
    factory = MockFactory()
    button = GpioButton(ButtonConfig(), inbox=facts.append, clock=CLOCK, factory=factory)
    button.open()
    before_us = time.monotonic_ns() // 1000
    factory.pin(17).drive_low()
    factory.pin(17).drive_high()
    factory.pin(17).drive_low()
    button.close()
    presses = [fact for fact in facts if isinstance(fact, Pressed)]
    assert len(presses) == 1
    assert before_us - 1000 <= presses[0].at.mono_us <= time.monotonic_ns() // 1000
    assert ButtonState(kind="gpio", state="live") in facts


def test_a_button_that_is_down_at_the_start_is_no_press_and_is_known_to_be_held() -> None:
    class HeldPin(MockPin):
        def _get_state(self) -> int:
            return 0

    facts: list[Fact] = []
    factory = MockFactory(pin_class=HeldPin)
    button = GpioButton(ButtonConfig(), inbox=facts.append, clock=CLOCK, factory=factory)
    button.open()
    assert not any(isinstance(fact, Pressed) for fact in facts)
    assert button.held_us(CLOCK.mono_us() + 40_000_000) >= 40_000_000
    button.close()


def test_no_edge_kills_the_thread_that_brings_the_edges() -> None:
    def inbox(fact: Fact) -> None:
        if isinstance(fact, Pressed):
            raise TypeError("a bug")

    factory = MockFactory()
    button = GpioButton(ButtonConfig(), inbox=inbox, clock=CLOCK, factory=factory)
    button.open()
    factory.pin(17).drive_low()


def test_a_line_that_is_not_there_says_what_to_do() -> None:
    button = GpioButton(ButtonConfig(), inbox=lambda _: None, clock=CLOCK)
    with pytest.raises(ButtonError, match=r"gpiochip0.*group gpio"):
        button.open()
