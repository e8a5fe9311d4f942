"""Nothing stays at the broker that nobody publishes any more, and its version of MQTT is remembered."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from device.config import MqttConfig
from device.mqtt.discovery import discovery
from device.mqtt.published import MAX_BROKERS, Published, PublishedRecord, load_record, record_from
from server.dev_processes import Process, free_port, wait_for
from tests.mqtt.link import Link
from tests.support.broker import Broker, retained
from tests.support.doorbell import Doorbell


def run(port: int, published: Published, *, device_id: str = "porch", **mqtt: Any) -> Published:
    """Publish as a doorbell with these settings does, and stop in order; return what it remembers."""
    config = MqttConfig(host="127.0.0.1", port=port, **mqtt)
    link = Link(
        device_id, messages=discovery(config, device_id, "Door", "1"), published=published, port=port, **mqtt
    )
    for name in ("motion", "state", "privacy"):
        link.publisher.retain(name, "OFF")
    link.wait_up()
    own = f"{config.prefix}/{device_id}/"
    wait_for("the state", lambda: f"{own}state" in retained(port))
    link.stop()
    return link.published


@pytest.mark.parametrize(("device_id", "changes"), [
    ("porch", {"discovery": False}),
    ("garden", {}),
    ("porch", {"prefix": "bells"}),
    ("porch", {"discovery_prefix": "ha"}),
])  # fmt: skip
def test_what_earlier_settings_left_at_the_broker_is_cleared(
    broker: Broker, device_id: str, changes: dict[str, Any]
) -> None:
    remembered = run(broker.port, Published())
    before = retained(broker.port)
    assert "homeassistant/device/porch/config" in before
    record = PublishedRecord().with_broker("x", remembered)  # over a restart
    remembered = run(broker.port, record_from(record.content()).at("x"), device_id=device_id, **changes)
    after = retained(broker.port)
    own = f"{changes.get('prefix', 'doorbelld')}/{device_id}/"
    configs = {topic for topic in after if topic.endswith("/config")}
    prefix = changes.get("discovery_prefix", "homeassistant")
    wanted = {f"{prefix}/device/{device_id}/config", f"{prefix}/datetime/{device_id}/quiet_until/config"}
    assert configs == (set() if changes.get("discovery") is False else wanted)
    assert {topic for topic in after if not topic.startswith(own)} == configs
    may_be_there = {*wanted, f"{prefix}/image/{device_id}/picture/config"}
    assert all(topic.startswith(own) or topic in may_be_there for topic in remembered.topics)


def test_what_the_broker_does_not_let_be_cleared_is_tried_again(tmp_path: Path) -> None:
    broker = Broker(tmp_path, acl="topic read #\ntopic readwrite doorbelld/#\n")
    try:
        old = frozenset({"homeassistant/device/old/config"})
        remembered = run(broker.port, Published(topics=old), discovery=False)
        assert old <= remembered.topics
    finally:
        broker.stop()


def test_the_command_removes_the_doorbell_from_the_broker(
    doorbell: Callable[..., Doorbell], broker: Broker
) -> None:
    door = doorbell().start(camera=False)
    wait_for("the discovery message", lambda: "homeassistant/device/porch/config" in retained(broker.port))
    done = door.run("mqtt", "forget")
    assert done.returncode == 0, done.stderr
    assert "MQTT is off" in done.stdout
    assert retained(broker.port) == {}
    assert door.status()["mqtt"]["state"] == "off"
    broker.stop()
    unreachable = door.run("mqtt", "forget")
    assert unreachable.returncode == 1
    assert "is the broker running" in unreachable.stderr
    broker.start()
    assert door.run("config", "set", "mqtt.enabled=true", "--yes").returncode == 0
    wait_for("the discovery message", lambda: "homeassistant/device/porch/config" in retained(broker.port))


def test_a_damaged_file_is_no_reason_not_to_start(tmp_path: Path) -> None:
    file = tmp_path / "mqtt-published.json"
    assert load_record(file) == PublishedRecord()
    record = PublishedRecord()
    for n in range(MAX_BROKERS + 3):
        record = record.with_broker(f"b{n}:1883", Published(topics=frozenset({"a/b"}), protocol="3.1.1"))
    file.write_bytes(record.content())
    assert load_record(file) == record
    assert len(record.brokers) == MAX_BROKERS
    for damaged in (b"", b"[]", b'{"brokers": {"a": {"topics": "x"}}}', record.content()[:-9], b"\xff"):
        file.write_bytes(damaged)
        assert load_record(file) == PublishedRecord()


@pytest.fixture
def old_broker(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the port and the log of a broker that speaks MQTT 3.1.1 alone."""
    port = free_port()
    config, log = tmp_path / "amqtt.yaml", tmp_path / "amqtt.log"
    config.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    broker = Process([Path(sys.executable).parent / "amqtt", "-c", config], log=log)
    yield port, log
    broker.end()


def test_a_broker_without_mqtt_5_is_asked_for_it_once(old_broker: tuple[int, Path]) -> None:
    port, log = old_broker
    first = Link(port=port)
    first.wait_up()
    first.stop()
    assert first.published.protocol == "3.1.1"
    refused = log.read_text().count("protocol")
    assert refused > 0
    again = Link(port=port, published=first.published)
    again.wait_up()
    again.stop()
    assert log.read_text().count("protocol") == refused
    stale = Link(port=port, published=Published(protocol="3.1.1", protocol_at_s=1))
    stale.wait_up()
    stale.stop()
    assert stale.published.protocol_at_s > 1, "after a week it is asked again"
