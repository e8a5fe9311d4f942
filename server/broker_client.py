"""The publisher's connection to the broker, over the broker's Unix socket. It publishes and subscribes to nothing."""

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from server.cells import topic
from server.items import Accepted

log = logging.getLogger(__name__)

KEEPALIVE_S = 30


class BrokerClient:
    """Publishes items as retained messages, and all of them again after each new connection."""

    def __init__(self, socket: Path, live: Callable[[], Iterable[Accepted]], now: Callable[[], int]) -> None:
        self._socket = socket
        self._live = live
        self._now = now
        self._up = False
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"publisher-{os.getpid()}",
            protocol=MQTTProtocolVersion.MQTTv5,
            transport="unix",
            reconnect_on_failure=False,
        )
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected

    @property
    def is_up(self) -> bool:
        """Whether the broker takes what is published."""
        return self._up

    def step(self, seconds: float) -> bool:
        """Serve the connection for a while; connect if there is none. Return whether it is up."""
        try:
            if not self._client.is_connected() and not self._up:
                self._client.connect(str(self._socket), keepalive=KEEPALIVE_S, clean_start=True)
            return self._client.loop(seconds) == MQTTErrorCode.MQTT_ERR_SUCCESS
        except (OSError, ValueError) as error:
            log.warning("broker %s: %s", self._socket, error)
            return False

    def publish(self, item: Accepted) -> None:
        """Publish an item in all its cells, until it expires."""
        left_s = item.expires - self._now()
        if left_s <= 0:
            return
        properties = Properties(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = left_s
        for cell in item.cells:
            name = topic(cell, item.kind, item.sender, item.id)
            self._client.publish(name, item.envelope, qos=1, retain=True, properties=properties)

    def remove(self, item: Accepted) -> None:
        """Remove an item from all its cells."""
        for cell in item.cells:
            self._client.publish(topic(cell, item.kind, item.sender, item.id), b"", qos=1, retain=True)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()

    def _connected(self, _c: Client, _u: object, _f: ConnectFlags, reason: ReasonCode, _p: object) -> None:
        self._up = not reason.is_failure
        if not self._up:
            log.error("broker refused: %s", reason.getName())
            return
        items = list(self._live())
        for item in items:
            self.publish(item)
        log.info("broker up items=%d", len(items))

    def _disconnected(self, _c: Client, _u: object, _f: object, reason: ReasonCode, _p: object) -> None:
        self._up = False
        log.warning("broker down: %s", reason.getName())
