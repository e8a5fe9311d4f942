"""The subscription at the community server's broker: the cells of one region, anonymous, at most once.

Every home of a region sends the same bytes, except for a random client id of a fixed length: the cells are the
region's, in order of their names, and each connection is a new one, without a user and without resuming a TLS session.

MQTT 5 over TLS. With quality of service 0 nothing is ever
acknowledged: the broker sees a connection, one subscription and pings, whatever the doorbell stores or its owner
decides. A lost message comes again as a retained copy with the next connection, some hours later at a random time.
"""

import logging
import secrets
import socket  # egress: subscription
import threading
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, MQTTMessage  # egress: subscription
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion  # egress: subscription
from paho.mqtt.packettypes import PacketTypes  # egress: subscription
from paho.mqtt.properties import Properties  # egress: subscription
from paho.mqtt.reasoncodes import ReasonCode  # egress: subscription
from paho.mqtt.subscribeoptions import SubscribeOptions  # egress: subscription

from device.courier.public_address import connect_public
from device.courier.settings import Broker
from device.system.https import tls_context

log = logging.getLogger(__name__)

KINDS = ("request", "notice")
MAX_MESSAGE_BYTES = 40_960
"""Maximum packet size announced to the broker; an envelope has 32 KiB at most."""
KEEPALIVE_S = 60
CONNECT_TIMEOUT_S = 20.0
MIN_STAY_S, MAX_STAY_S = 4 * 3600, 8 * 3600
FIRST_DELAY_S, MAX_DELAY_S = 2.0, 300.0
STEP_S = 0.5
MAX_REASON = 300


def listen(
    broker: Broker,
    cells: tuple[str, ...],
    *,
    put: Callable[[str, bytes], None],
    begin: Callable[[], None],
    tell: Callable[[str], None],
    stopping: threading.Event,
    beat: Callable[[], None],
    allow_loopback: bool = False,
) -> None:
    """Receive until `stopping` is set; `put` gets each message's kind and bytes, and never blocks.

    `begin` is called for each new connection, which starts with all retained messages; `tell` gets "up", or the
    reason why the connection is down.
    """
    delay_s = FIRST_DELAY_S
    while not stopping.is_set():
        beat()
        connection = _Connection(broker, cells, put, tell, allow_loopback=allow_loopback)
        try:
            connection.open()
            begin()
            # A random number of hours, from the same range for all doorbells; no id is used longer.
            stay_s = MIN_STAY_S + secrets.randbelow(MAX_STAY_S - MIN_STAY_S)
            connection.serve(stay_s, stopping, beat)
            delay_s = FIRST_DELAY_S
            log.info("server left after_s=%d", stay_s)
        except (OSError, ValueError) as error:
            log.warning("server broker=%s:%d down: %s", broker.host, broker.port, error)
            tell(f"{broker.host}:{broker.port}: {error}"[:MAX_REASON])
            delay_s = FIRST_DELAY_S if connection.was_up else min(delay_s * 2, MAX_DELAY_S)
        finally:
            connection.close()
        _wait(delay_s * (0.75 + secrets.randbelow(500) / 1000), stopping, beat)


def _wait(seconds: float, stopping: threading.Event, beat: Callable[[], None]) -> None:
    while seconds > 0 and not stopping.is_set():
        beat()
        stopping.wait(min(STEP_S, seconds))
        seconds -= STEP_S


class _PublicClient(Client):
    """Connects to a public address of the broker's host; paho itself would resolve the name and take any."""

    allow_loopback = False

    def _create_socket_connection(self) -> socket.socket:
        return connect_public(
            self._host, self._port, self._connect_timeout, allow_loopback=self.allow_loopback
        )


class _Connection:
    def __init__(
        self,
        broker: Broker,
        cells: tuple[str, ...],
        put: Callable[[str, bytes], None],
        tell: Callable[[str], None],
        *,
        allow_loopback: bool,
    ) -> None:
        self._broker = broker
        self._put = put
        self._tell = tell
        self._topics = [f"hood/cell/{cell}/+/{kind}/#" for cell in cells for kind in KINDS]
        self._ended = ""
        self.was_up = False
        client = _PublicClient(
            CallbackAPIVersion.VERSION2,
            client_id=secrets.token_hex(10),
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.allow_loopback = allow_loopback
        client.tls_set_context(tls_context(broker.ca_pem))
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._heard
        self._client = client

    def open(self) -> None:
        """Connect. Raises OSError."""
        properties = Properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = MAX_MESSAGE_BYTES
        self._client.connect(
            self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=True, properties=properties
        )

    def serve(self, stay_s: float, stopping: threading.Event, beat: Callable[[], None]) -> None:
        """Listen for so long. Raises OSError when the connection ends before."""
        turns = 0
        while not stopping.is_set() and turns * STEP_S < stay_s:
            beat()
            code = self._client.loop(STEP_S)
            if self._ended or code != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise ConnectionError(self._ended or str(code))
            turns += 1

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()

    # An exception in a callback would end the turn without a word: these only note and return.

    def _connected(self, client: Client, _u: object, _f: object, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            self._ended = f"refused: {reason.getName()}"
            return
        options = SubscribeOptions(qos=0)
        client.subscribe([(topic, options) for topic in self._topics])

    def _subscribed(self, _c: Client, _u: object, _mid: int, reasons: list[ReasonCode], _p: object) -> None:
        if any(reason.is_failure for reason in reasons):
            self._ended = "the broker refuses the subscription"
            return
        self.was_up = True
        self._tell("up")
        log.info("server up broker=%s:%d topics=%d", self._broker.host, self._broker.port, len(self._topics))

    def _disconnected(self, _c: Client, _u: object, _f: object, reason: ReasonCode, _p: Any) -> None:
        self._ended = self._ended or reason.getName()

    def _heard(self, _c: Client, _u: object, message: MQTTMessage) -> None:
        levels = message.topic.split("/")  # hood/cell/CELL/LETTER/KIND/SENDER/ID
        kind = levels[4] if len(levels) > 4 else ""
        if kind in KINDS and message.payload:  # an empty one only takes a retained message away
            self._put(kind, bytes(message.payload))
