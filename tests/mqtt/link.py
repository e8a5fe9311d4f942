"""The MQTT publisher alone, with a real broker: what it reports, without a camera or a disk."""

from collections.abc import Callable
from typing import Any

from device.config import MqttConfig
from device.events import Fact, Fault, MqttReport, PressEvent, PressMissed, PressSettled
from device.mqtt.discovery import Messages
from device.mqtt.published import Published
from device.mqtt.publisher import MqttPublisher
from device.system.clock import SystemClock, stamp
from device.system.worker import Worker
from server.dev_processes import PATIENCE_S, wait_for


class Link:
    """A publisher on a thread of its own; `facts` is what the controller would get."""

    def __init__(
        self,
        device_id: str = "porch",
        *,
        messages: Messages = (),
        published: Published | None = None,
        **mqtt: Any,
    ) -> None:
        """`published` is what an earlier one left; `self.published` what the next one gets."""
        self.published = published or Published()
        self.facts: list[Fact] = []
        self.asked_log: list[int | None] = []
        self.publisher = MqttPublisher(
            MqttConfig(host="127.0.0.1", **mqtt),
            device_id,
            inbox=self.facts.append,
            clock=SystemClock(),
            discovery=messages,
            ask_log=lambda after, _limit: self.asked_log.append(after),
            log_sent=lambda _seq: None,
            published=self.published,
            remember=self._remember,
        )
        self._presses = 0
        self._worker = Worker("mqtt", self.publisher.run, inbox=self.facts.append, patience_s=90)
        self._worker.start()

    def _remember(self, published: Published) -> None:
        self.published = published

    def state(self) -> str:
        reports = [fact for fact in list(self.facts) if isinstance(fact, MqttReport)]
        return reports[-1].state if reports else ""

    def wait_up(self) -> None:
        wait_for("the connection", lambda: self.state() == "up")

    def faults(self) -> dict[tuple[str, str], Fault]:
        """Return the active faults by code and subject."""
        active: dict[tuple[str, str], Fault] = {}
        for fact in list(self.facts):
            if isinstance(fact, Fault):
                active.pop((fact.code, fact.subject), None)
                if fact.active:
                    active[fact.code, fact.subject] = fact
        return active

    def fault(self, code: str, *, found: Callable[[Fault], bool] = lambda _fault: True) -> Fault:
        """Wait for a fault."""

        def active() -> Fault | None:
            return next((f for (c, _), f in self.faults().items() if c == code and found(f)), None)

        found_fault: Fault = wait_for(f"the fault {code}", active)
        return found_fault

    def press(self) -> PressEvent:
        """Press once; the event id is the press's number."""
        self._presses += 1
        event = PressEvent(
            press_id=self._presses,
            at=stamp(SystemClock()),
            button="front",
            event_id=str(self._presses),
            press_number=1,
        )
        self.publisher.press(event)
        return event

    def settled(self) -> dict[int, bool]:
        """Return whether each settled press was heard."""
        facts = [fact for fact in list(self.facts) if isinstance(fact, PressSettled)]
        return {fact.press_id: fact.delivered for fact in facts}

    def missed(self) -> list[tuple[int, str]]:
        """Return each missed press, with the reason."""
        facts = [fact for fact in list(self.facts) if isinstance(fact, PressMissed)]
        return [(fact.press.press_id, fact.reason) for fact in facts]

    def stop(self) -> None:
        assert self._worker.stop(PATIENCE_S)
        self.publisher.leave()
