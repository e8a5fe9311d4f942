"""A real MQTT broker on loopback, and a dashboard that listens to it."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from server.dev_processes import PATH, PATIENCE_S, Process, free_port, user_name, wait_for

ROOT = "doorbelld/porch"


class Broker:
    """Real mosquitto on a port of its own; may be stopped and started again."""

    def __init__(self, folder: Path, *lines: str, anonymous: bool = True, acl: str = "") -> None:
        """`lines` are more settings of mosquitto; `acl` is an access list."""
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._acl = folder / "acl"
        self._acl.write_text(acl)
        if acl:
            lines = (*lines, f"acl_file {self._acl}")
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous {str(anonymous).lower()}\n"
            f"persistence true\npersistence_location {folder}/\nuser {user_name()}\n"
            + "\n".join(lines)
            + "\n"
        )
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens. Raises SystemExit without mosquitto."""
        mosquitto = shutil.which("mosquitto", path=PATH)
        if mosquitto is None:
            raise SystemExit("mosquitto is not installed: sudo apt install mosquitto")
        self._process = Process([mosquitto, "-c", self._config], log=self._config.with_suffix(".log"))

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("mosquitto", listens)

    def stop(self) -> None:
        self._process.end()


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """Run mosquitto; yield its port."""
    running = Broker(folder)
    try:
        yield running.port
    finally:
        running.stop()


def retained(port: int) -> dict[str, str]:
    """Return every retained message of a broker, by topic."""
    found: dict[str, str] = {}
    complete: list[bool] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def take(_client: object, _user: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == "doorbelld/end":
            complete.append(True)
        elif message.retain:
            found[message.topic] = message.payload.decode()

    def subscribe(*_: Any) -> None:
        client.subscribe("#", qos=1)

    def mark_the_end(*_: Any) -> None:
        client.publish("doorbelld/end", "", qos=1)

    client.on_message = take
    client.on_connect = subscribe
    client.on_subscribe = mark_the_end  # behind what the broker keeps
    client.connect("127.0.0.1", port)
    client.loop_start()
    wait_for("every retained message", lambda: complete)
    client.disconnect()
    client.loop_stop()
    return found


class Listener:
    """A dashboard: keeps every message under the doorbell's root, in order."""

    def __init__(
        self, port: int, *, client_id: str = "", topics: tuple[str, ...] = ("#",), root: str = ROOT
    ) -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv311,
            clean_session=not client_id,
        )
        self._client.reconnect_delay_set(1, 1)

        def subscribe(*_: Any) -> None:
            for topic in topics:
                self._client.subscribe(f"{root}/{topic}", qos=1)

        self._client.on_connect = subscribe
        self._client.on_message = lambda _c, _u, m: self.messages.append(
            (m.topic.removeprefix(f"{root}/"), m.payload.decode(errors="replace"), m.retain)
        )
        self._subscribed = False
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_for("the subscription", lambda: self._subscribed)

    def of(self, topic: str) -> list[str]:
        return [payload for t, payload, _ in list(self.messages) if t == topic]

    def log(self, kind: str | None = None) -> list[dict[str, Any]]:
        rows = [json.loads(payload) for payload in self.of("log")]
        return [row for row in rows if kind in (None, row["kind"])]

    def say(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        self._client.publish(f"{ROOT}/{topic}", payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
