"""Addresses and discovery, on their own."""

import json

import pytest

from device.config import MqttConfig
from device.mqtt.discovery import discovery
from device.system.local_network import is_home


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.178.20", "169.254.1.1", "::1", "fe80::1%eth0",
    "fd00::5", "::ffff:192.168.1.2",
])  # fmt: skip
def test_an_address_of_a_home(address: str) -> None:
    assert is_home(address)


@pytest.mark.parametrize("address", [
    "8.8.8.8", "172.32.0.1", "100.64.0.1", "2001:db8::1", "64:ff9b::a00:1", "::ffff:8.8.8.8",
    "2002:a00:1::", "255.255.255.255", "home.example", "",
])  # fmt: skip
def test_an_address_outside(address: str) -> None:
    assert not is_home(address)


def test_discovery_offers_the_ring_and_every_entity_has_an_id_of_its_own() -> None:
    found = discovery(MqttConfig(), "porch", "Front door", "1.0")
    assert found is not None
    topic, text = found
    payload = json.loads(text)
    assert topic == "homeassistant/device/porch/config"
    press = payload["components"]["press"]
    assert (press["device_class"], press["event_types"]) == ("doorbell", ["ring"])
    ids = [c["unique_id"] for c in payload["components"].values() if "unique_id" in c]
    assert len(ids) == len(set(ids)) == len(payload["components"])
    assert discovery(MqttConfig(discovery=False), "porch", "Front door", "1.0") is None
