"""Tests a broker with one connection. Nothing is published, and the daemon's own connection stays."""

import os
import time

from paho.mqtt.enums import MQTTProtocolVersion  # egress: mqtt

from device.config import MqttConfig
from device.errors import CommandError
from device.mqtt import topics
from device.mqtt.connection import CONNECT_TIMEOUT_S, BrokerConnection
from device.mqtt.local_only import refuse_outside, refuse_outside_names
from device.mqtt.reasons import ConnectionLost, OldBroker, described


def try_broker(config: MqttConfig, device_id: str, password: str | None = None) -> str:
    """Return the result as a sentence; `password` replaces the one in the file. Raises CommandError."""
    try:
        refuse_outside_names(config)
        try:
            return _try(config, device_id, password, MQTTProtocolVersion.MQTTv5, "MQTT 5")
        except OldBroker:
            return _try(config, device_id, password, MQTTProtocolVersion.MQTTv311, "MQTT 3.1.1")
    except ConnectionLost as error:
        client_id, root = _client_id(device_id), topics.root(config, device_id)
        problem = described(error, config, client_id=client_id, root=root)
        text = f"{problem['text']}; {problem['remedy']}"
        raise CommandError(text, code="mqtt_down", reason=error.reason, **problem["params"]) from error


def _client_id(device_id: str) -> str:
    # A different client id: for a second connection with the same one the broker would end the daemon's.
    return f"doorbelld-{device_id}-try"


def _try(
    config: MqttConfig, device_id: str, password: str | None, protocol: MQTTProtocolVersion, name: str
) -> str:
    session = BrokerConnection(
        config, _client_id(device_id), "", protocol, lambda _t, _p, _r: None, bare=True
    )
    session.password = password
    never_fd = os.eventfd(0, os.EFD_CLOEXEC)
    try:
        session.connect({})
        refuse_outside(session.peer())
        until = time.monotonic() + CONNECT_TIMEOUT_S
        while not session.accepted:
            if time.monotonic() > until:
                raise ConnectionLost("no_answer")
            session.step(never_fd, 0.2, lambda: time.monotonic_ns() // 1000)
        session.close()
        return f"the broker at {config.host}:{config.port} accepts the connection ({name})"
    finally:
        os.close(never_fd)
        session.drop()
