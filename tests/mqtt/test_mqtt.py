"""Addresses and discovery, on their own."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from device.config import MqttConfig
from device.mqtt import topics
from device.mqtt.discovery import discovery
from device.mqtt.local_only import refuse_outside, refuse_outside_names
from device.mqtt.reasons import ConnectionLost
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


@pytest.mark.parametrize("host", ["8.8.8.8", "100.64.0.1", "2a0c:5a00::45", "::ffff:8.8.8.8"])
def test_a_broker_outside_the_home_network_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="outside the home network"):
        MqttConfig(host=host)
    with pytest.raises(ConnectionLost, match="outside"):
        refuse_outside_names(
            MqttConfig.model_construct(host=host, port=1883)
        )  # as a name that resolves to it
    with pytest.raises(ConnectionLost, match="outside"):
        refuse_outside(host)  # and after it, whatever the name was
    refuse_outside_names(MqttConfig(host="127.0.0.1"))


def test_discovery_offers_the_ring_and_every_entity_has_an_id_of_its_own() -> None:
    (topic, text), (quiet_topic, quiet_text) = discovery(MqttConfig(), "porch", "Front door", "1.0")
    payload, quiet = json.loads(text), json.loads(quiet_text)
    assert topic == "homeassistant/device/porch/config"
    assert quiet_topic == "homeassistant/datetime/porch/quiet_until/config"
    assert quiet["device"] == payload["device"]
    press = payload["components"]["press"]
    assert (press["device_class"], press["event_types"]) == ("doorbell", ["ring"])
    ids = [quiet["unique_id"], *(c["unique_id"] for c in payload["components"].values() if "unique_id" in c)]
    assert len(ids) == len(set(ids)) == len(payload["components"]), "the Wi-Fi signal is absent on a cable"
    assert all(name.startswith("doorbelld_porch_") for name in ids)
    assert "configuration_url" not in payload["device"], "no page that another device can open"
    assert discovery(MqttConfig(discovery=False), "porch", "Front door", "1.0") == ()


def test_discovery_has_the_wifi_signal_where_there_is_wifi() -> None:
    (_, text), _ = discovery(
        MqttConfig(), "porch", "Front door", "1.0", page_url="https://porch.local:8443/", has_wifi=True
    )
    payload = json.loads(text)
    assert payload["components"]["wifi_signal"]["device_class"] == "signal_strength"
    assert payload["components"]["storage_used"]["unit_of_measurement"] == "GB"
    assert payload["device"]["configuration_url"] == "https://porch.local:8443/"


@pytest.mark.parametrize(
    "prefix", ["$SYS", "$share/x", "a\x00b", "a\x85b", "a\nb", "a/", "/a", "a//b", "a+", "#", ""]
)
def test_a_prefix_that_the_broker_would_refuse_is_refused_at_once(prefix: str) -> None:
    for key in ("prefix", "discovery_prefix"):
        with pytest.raises(ValidationError):
            MqttConfig.model_validate({key: prefix})


def test_the_topic_of_home_assistants_birth_message_may_be_another() -> None:
    assert topics.birth_topic(MqttConfig()) == "homeassistant/status"
    assert topics.birth_topic(MqttConfig(discovery_prefix="ha")) == "ha/status"
    assert topics.birth_topic(MqttConfig(birth_topic="home/ha")) == "home/ha"


def test_the_reference_lists_every_topic() -> None:
    text = (Path(__file__).parents[2] / "docs/mqtt.md").read_text()
    table = text.partition("| topic |")[2].partition("\n\n")[0].splitlines()[2:]
    listed = {name for line in table for name in re.findall(r"`([\w/]+)`", line.split("|")[1])}
    details = {topics.MOTION_ATTRIBUTES}  # described beside `motion`
    assert listed == {*topics.PUBLISHED, topics.command_topic(topics.CLIP)} - details
    assert all(f"`{topic}`" in text for topic in details)


def test_a_notice_that_is_taken_back_is_published_as_withdrawn() -> None:
    notice: Any = dict.fromkeys(
        ("source", "id", "severity", "headline", "text", "signed_by", "sender_kind", "feed"), "x"
    )
    shown: Any = {**notice, "kind": "alert", "state": "current", "sent": 0, "expires": 60, "heard_at": 1}
    payload = json.loads(topics.notice_payload(shown))
    assert (payload["event_type"], payload["expires_at"]) == ("alert", "1970-01-01T00:01:00.000Z")
    assert "heard_at" not in payload
    withdrawn: Any = {**shown, "state": "cancelled"}
    assert json.loads(topics.notice_payload(withdrawn))["event_type"] == "withdrawn"
