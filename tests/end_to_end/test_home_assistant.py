"""The doorbell in a real Home Assistant, set up as its user would: without a line of YAML."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.dev_processes import wait_for
from tests.support.broker import Listener
from tests.support.home_assistant import DOORBELL_ENTITY, Home, run_home
from tests.support.needs import require
from tests.support.phone import Phone

pytestmark = [pytest.mark.long, pytest.mark.home_assistant, pytest.mark.broker, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    require("home_assistant")
    with run_home(tmp_path_factory.mktemp("home")) as running:
        yield running


def described(home: Home) -> dict[str, dict[str, Any]]:
    """Return the entities that the doorbell describes to Home Assistant, by entity id."""
    listener = Listener(home.broker.port, root="homeassistant")
    try:
        wait_for("the discovery", lambda: listener.of("device/porch/config"))
        payloads = [
            json.loads(payload) for topic, payload, _ in listener.messages if topic.endswith("/config")
        ]
    finally:
        listener.close()
    parts = [part for payload in payloads for part in payload.get("components", {"": payload}).values()]
    return {part["default_entity_id"]: part for part in parts if "default_entity_id" in part}


def test_every_entity_is_there_with_its_class_and_unit(home: Home) -> None:
    wanted = described(home)

    def available() -> bool:
        states = home.home_assistant.states()
        return all(
            states.get(entity, {"state": "unavailable"})["state"] != "unavailable" for entity in wanted
        )

    wait_for("all entities", available)
    states = home.home_assistant.states()
    shown = {
        entity: [states[entity]["attributes"].get(name) for name in ("device_class", "unit_of_measurement")]
        for entity in wanted
    }
    assert shown == {
        entity: [part.get("device_class"), part.get("unit_of_measurement")] for entity, part in wanted.items()
    }
    assert set(home.home_assistant.entities(home.device_id)) == set(wanted)
    assert home.home_assistant.problems() == []


def test_a_press_runs_the_doorbell_trigger_once(home: Home) -> None:
    with Phone() as phone:
        notify = phone.register(home.home_assistant)
        home.home_assistant.add_automation(
            "ring",
            triggers=[{"trigger": "doorbell.rang", "target": {"device_id": home.device_id}}],
            actions=[{"action": notify, "data": {"message": "{{ trigger.to_state.attributes.event_id }}"}}],
            mode="queued",
        )
        rung = [home.doorbell.ring()["event_id"] for _ in range(3)]
        wait_for("the notifications", lambda: len(phone.notifications) >= len(rung))
        assert [notification["message"] for _, notification in phone.notifications] == rung
    state = home.home_assistant.state(DOORBELL_ENTITY)
    assert state
    assert state["attributes"]["event_type"] == "ring"


@pytest.mark.parametrize("position", ["on", "off"])
def test_a_switch_of_home_assistant_changes_the_doorbell(home: Home, position: str) -> None:
    switch = "switch.porch_chime_muted"

    def is_changed() -> bool:  # the doorbell publishes the position, Home Assistant only shows it
        state = home.home_assistant.state(switch)
        return state is not None and state["state"] == position

    home.home_assistant.act(f"switch.turn_{position}", entity_id=switch)
    wait_for("the doorbell's answer", is_changed)


def test_after_forgetting_neither_home_assistant_nor_the_broker_has_anything(tmp_path: Path) -> None:
    require("home_assistant")
    with run_home(tmp_path) as home:
        assert home.doorbell.run("mqtt", "forget").returncode == 0
        wait_for("the end of the device", lambda: home.home_assistant.device() is None)
        assert [entity for entity in home.home_assistant.states() if "porch" in entity] == []
        assert home.home_assistant.entities(home.device_id) == {}
        newcomer = Listener(home.broker.port, root="+")
        newcomer.say("marker", "comes behind what is retained")
        wait_for("the marker", lambda: newcomer.of("doorbelld/porch/marker"))
        newcomer.close()
        assert [topic for topic, payload, retained in newcomer.messages if retained and payload] == []
