"""One connection to a broker that the owner asked for: a test of the settings, or to remove everything there.

The daemon's own connection stays: the client id is another, for the broker would end the one with the same.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from paho.mqtt.enums import MQTTProtocolVersion  # egress: mqtt

from device.config import MqttConfig
from device.errors import CommandError
from device.mqtt import topics
from device.mqtt.connection import CONNECT_TIMEOUT_S, BrokerConnection
from device.mqtt.local_only import refuse_outside, refuse_outside_names
from device.mqtt.reasons import FAILURE, ConnectionLost, OldBroker, described

CLEAR_TIMEOUT_S = 10.0


def try_broker(config: MqttConfig, device_id: str, password: str | None = None) -> str:
    """Return the result as a sentence; `password` replaces the one in the file. Raises CommandError."""
    with _connection(config, device_id, password) as (_, version):
        return f"the broker at {config.host}:{config.port} accepts the connection ({version})"


def clear_broker(config: MqttConfig, device_id: str, names: frozenset[str]) -> int:
    """Remove the retained messages of these topics; return how many topics those are. Raises CommandError."""
    refused: list[str] = []
    with _connection(config, device_id, None) as (session, _):

        def clear(topic: str) -> None:
            def answered(code: int) -> None:
                if code >= FAILURE:
                    refused.append(topic)

            session.publish(topic, b"", now_us=_now_us(), retain=True, done=answered)

        for topic in sorted(names):
            clear(topic)
        until = time.monotonic() + CLEAR_TIMEOUT_S
        while session.unacknowledged:
            if time.monotonic() > until:
                raise ConnectionLost("silent")
            _step(session)
    if refused:
        raise CommandError(
            f"the broker did not let {len(refused)} of {len(names)} topics be cleared, such as {refused[0]}; "
            "allow this user to write there, and repeat the command",
            code="mqtt_not_cleared",
            count=len(refused),
            topic=refused[0],
        )
    return len(names)


@contextmanager
def _connection(
    config: MqttConfig, device_id: str, password: str | None
) -> Iterator[tuple[BrokerConnection, str]]:
    client_id = f"doorbelld-{device_id}-try"

    def new(protocol: MQTTProtocolVersion) -> BrokerConnection:
        session = BrokerConnection(config, client_id, "", protocol, lambda _t, _p, _r: None, bare=True)
        session.password = password
        return session

    session, version = new(MQTTProtocolVersion.MQTTv5), "MQTT 5"
    try:
        refuse_outside_names(config)
        try:
            _accept(session)
        except OldBroker:
            session.drop()
            session, version = new(MQTTProtocolVersion.MQTTv311), "MQTT 3.1.1"
            _accept(session)
        yield session, version
        session.close()
    except ConnectionLost as error:
        problem = described(error, config, client_id=client_id, root=topics.root(config, device_id))
        text = f"{problem['text']}; {problem['remedy']}"
        raise CommandError(text, code="mqtt_down", reason=error.reason, **problem["params"]) from error
    finally:
        session.drop()


def _accept(session: BrokerConnection) -> None:
    session.connect({})
    refuse_outside(session.peer())
    until = time.monotonic() + CONNECT_TIMEOUT_S
    while not session.accepted:
        if time.monotonic() > until:
            raise ConnectionLost("no_answer")
        _step(session)


def _step(session: BrokerConnection) -> None:
    never_fd = os.eventfd(0, os.EFD_CLOEXEC)
    try:
        session.step(never_fd, 0.2, _now_us)
    finally:
        os.close(never_fd)


def _now_us() -> int:
    return time.monotonic_ns() // 1000
