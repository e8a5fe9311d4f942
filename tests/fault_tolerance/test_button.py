"""Interference on a button's line (FAULTS F12). For a stuck button see tests/daemon/test_controller.py."""

import time

from gpiozero.pins.mock import MockFactory, MockPin

from device.config import ButtonConfig
from device.events import Fact, Pressed
from device.hw.gpio_button import GpioButton
from device.system.clock import SystemClock

EDGES_A_SECOND = 10_000
START_S = 1000.0


def test_ten_thousand_edges_a_second_are_one_press_and_little_work() -> None:
    facts: list[Fact] = []
    factory = MockFactory()
    button = GpioButton(ButtonConfig(), inbox=facts.append, clock=SystemClock(), factory=factory)
    button.open()
    waiting = len(facts)
    # What gpiozero's lgpio pin does with each edge, given the time stamp that the kernel gave it.
    edge = super(MockPin, factory.pin(17))._call_when_changed
    edges = 30 * EDGES_A_SECOND
    from_s = time.process_time()
    for number in range(edges):
        edge(START_S + number / EDGES_A_SECOND, number % 2)
    spent_s = time.process_time() - from_s
    presses = [fact for fact in facts if isinstance(fact, Pressed)]
    print(f"{edges} edges: {spent_s / edges * 1e6:.1f} us of work each, {len(presses)} press")
    assert [press.at.mono_us for press in presses] == [int(START_S * 1e6)]
    assert len(facts) == waiting + 1, "nothing else waits for the controller"
    assert spent_s < 30, "the storm of 30 s is done with faster than it came"

    quiet_s = START_S + 30 + 1
    edge(quiet_s, 1)
    edge(quiet_s + 1, 0)
    assert [press.at.mono_us for press in facts if isinstance(press, Pressed)][1:] == [
        int((quiet_s + 1) * 1e6)
    ]
    button.close()
