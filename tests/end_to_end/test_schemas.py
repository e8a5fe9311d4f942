"""Every MQTT message matches docs/schemas/, in a visit that produces all of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from server.dev_processes import wait_for
from tests.support.broker import Listener
from tests.support.doorbell import Doorbell

SCHEMAS = Path(__file__).parent.parent.parent / "docs/schemas"


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_message_of_a_visit_fits_its_schema(
    doorbell: Callable[..., Doorbell], listener: Listener
) -> None:
    scene = {"width_px": 320, "height_px": 180, "light": "day", "first_visit_s": 2}
    door = doorbell({"kind": "scene", "scene": scene}, motion={"enabled": True}).start()
    listener.say("chime_muted/set", "ON")
    listener.say("chime_muted/set", "perhaps")
    wait_for("the visitor's press", lambda: listener.of("press"))
    door.stop()
    wait_for("the stop", lambda: listener.log("stopped"))
    seen = {row["kind"] for row in listener.log()}
    assert seen >= {
        "started", "stopped", "press", "motion_started", "clip_kept", "setting_changed", "setting_refused",
    }  # fmt: skip
    for topic, name in {
        "press": "press",
        "motion/attributes": "motion_attributes",
        "state": "state",
        "faults": "faults",
        "last_refusal": "last_refusal",
        "log": "log",
    }.items():
        schema = validator(name)
        messages = listener.of(topic)
        assert messages, topic
        for message in messages:
            assert list(schema.iter_errors(json.loads(message))) == [], message


@pytest.mark.parametrize("name", sorted(path.stem for path in SCHEMAS.glob("*.json")))
def test_a_schema_refuses_what_is_not_one(name: str) -> None:
    assert list(validator(name).iter_errors({})) != []
