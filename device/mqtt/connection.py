"""One connection to the broker, with a client object of its own that is never used again.

paho keeps what was not acknowledged and sends it again after a reconnect; a press that arrives an hour late
would ring. So nothing is carried over to the next connection: what has no PUBACK when it ends was not delivered.
paho's network thread is not used, since an exception in a callback would end it unnoticed. Callbacks run on the
publisher's thread, inside `step`, where a bug ends the process.
"""

import logging
import select
import ssl  # egress: mqtt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt  # egress: mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion  # egress: mqtt
from paho.mqtt.packettypes import PacketTypes  # egress: mqtt
from paho.mqtt.properties import Properties  # egress: mqtt
from paho.mqtt.reasoncodes import ReasonCode  # egress: mqtt
from paho.mqtt.subscribeoptions import SubscribeOptions  # egress: mqtt

from device.config import MqttConfig
from device.errors import DoorbellError
from device.mqtt import topics

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
ACK_TIMEOUT_US = 10_000_000
"""If a PUBACK takes longer, the connection counts as half-open."""
MAX_INPUT_BYTES = 4096
MANY_IN_FLIGHT = 1000
"""With paho's default (20) a press would wait behind the log, which limits itself (LOG_WINDOW)."""
_UNSUPPORTED_VERSION = {"Unsupported protocol version"}


class ConnectionLost(DoorbellError):
    """This connection is over; the message says why."""


class NoAnswer(ConnectionLost):
    """The broker accepted the connection and never answered CONNECT."""


class OldBroker(ConnectionLost):
    """The broker does not speak MQTT 5."""


@dataclass(slots=True)
class _Waiting:
    since_us: int
    done: Callable[[], None]


@dataclass(slots=True)
class BrokerConnection:
    """Call `connect`, then `step` until ConnectionLost. Every method belongs to the publisher's thread."""

    config: MqttConfig
    client_id: str
    will_topic: str
    protocol: MQTTProtocolVersion
    on_input: Callable[[str, bytes, bool], None]
    bare: bool = False
    """Without will and properties: some 3.1.1 brokers refuse such a CONNECT, and hang on a full one."""
    password: str | None = None
    """Replaces the password in config.password_file."""
    accepted: bool = False
    _waiting: dict[int, _Waiting] = field(default_factory=dict)
    _ended: str = ""
    _old: bool = False
    _client: mqtt.Client = field(init=False)

    def connect(self, subscriptions: list[str]) -> None:
        """Open the connection and send CONNECT; `accepted` is set by CONNACK. Raises ConnectionLost."""
        client = self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self.client_id, protocol=self.protocol
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(MANY_IN_FLIGHT)
        if self.config.username:
            client.username_pw_set(self.config.username, self._password())
        if self.config.ca_file:
            client.tls_set_context(self._tls())
        if not self.bare:
            client.will_set(self.will_topic, topics.OFFLINE, qos=1, retain=True)
        client.on_connect = self._connected(subscriptions)
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_message = self._heard
        # A silent peer is noticed after two of paho's intervals: three quarters make 1.5 of ours.
        keepalive_s = max(2, int(self.config.keepalive_s * 0.75))
        try:
            if self.protocol == MQTTProtocolVersion.MQTTv5 and not self.bare:
                properties = Properties(PacketTypes.CONNECT)
                properties.MaximumPacketSize = MAX_INPUT_BYTES
                client.connect(
                    self.config.host, self.config.port, keepalive_s,
                    clean_start=True, properties=properties,
                )  # fmt: skip
            else:
                client.connect(self.config.host, self.config.port, keepalive_s)
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"{self.config.host}:{self.config.port}: {error}") from error

    def _password(self) -> str:
        if self.password is not None:
            return self.password
        if not self.config.password_file:
            return ""
        try:
            return Path(self.config.password_file).read_text().strip()
        except OSError as error:
            raise ConnectionLost(f"mqtt.password_file {self.config.password_file}: {error}") from error

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.config.ca_file)
            if self.config.cert_file:
                context.load_cert_chain(self.config.cert_file, self.config.key_file or None)
        except OSError as error:
            raise ConnectionLost(f"mqtt.ca_file or cert_file: {error}") from error
        return context

    def peer(self) -> str:
        """Return the broker's numeric address."""
        sock: Any = self._client.socket()
        try:
            return str(sock.getpeername()[0])
        except (OSError, AttributeError) as error:
            raise ConnectionLost("the connection closed at once") from error

    # --- callbacks: on the publisher's thread, inside step() ----------------------------------------------

    def _connected(self, subscriptions: list[str]) -> Callable[..., None]:
        def connected(
            client: mqtt.Client, _user: object, _flags: object, reason: ReasonCode, _p: object
        ) -> None:
            if reason.is_failure:
                self._ended = f"the broker refused: {reason.getName()}"
                self._old = reason.getName() in _UNSUPPORTED_VERSION
                return
            self.accepted = True
            for topic in subscriptions:
                if self.protocol == MQTTProtocolVersion.MQTTv5:
                    # 2: no retained message; an old /set must not change a setting at each connection.
                    # As published: a message that is sent now with the retain flag can be recognised and refused.
                    options = SubscribeOptions(qos=1, retainHandling=2, retainAsPublished=True)
                    client.subscribe(topic, options=options)
                else:
                    client.subscribe(topic, qos=1)

        return connected

    def _disconnected(
        self, _c: object, _user: object, _flags: object, reason: ReasonCode, _p: object
    ) -> None:
        self._ended = self._ended or f"disconnected: {reason.getName()}"

    def _heard(self, _c: object, _user: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no correct broker forwards that
        self.on_input(topic, bytes(message.payload), message.retain)

    def _published(self, _c: object, _user: object, mid: int, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            self._ended = f"the broker refuses our messages: {reason.getName()}"
            return
        waiting = self._waiting.pop(mid, None)
        if waiting:
            waiting.done()

    # --- use --------------------------------------------------------------------------------------

    def publish(
        self,
        topic: str,
        payload: str | bytes,
        *,
        now_us: int,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Publish; `done` is called when PUBACK arrives. Raises ConnectionLost."""
        properties = None
        if expiry_s is not None and self.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = expiry_s
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionLost(mqtt.error_string(info.rc))
        if qos:
            self._waiting[info.mid] = _Waiting(now_us, done)

    def step(self, wake_fd: int, timeout_s: float, now_us: Callable[[], int]) -> None:
        """Wait for the broker or for `wake_fd`, then read and write what is ready. Raises ConnectionLost."""
        sock: Any = self._client.socket()
        if sock is not None:
            poll = select.poll()
            poll.register(wake_fd, select.POLLIN)
            wants = select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)
            poll.register(sock, wants)
            buffered = bool(getattr(sock, "pending", int)())  # TLS may hold bytes back from poll()
            ready = dict(poll.poll(0 if buffered else timeout_s * 1000))
            if buffered or ready.get(sock.fileno(), 0) & ~select.POLLOUT:
                self._client.loop_read()
            if self._client.want_write():
                self._client.loop_write()
            self._client.loop_misc()
        if self._ended or self._client.socket() is None:
            raise (OldBroker if self._old else ConnectionLost)(self._ended or "the connection is gone")
        oldest_us = min((w.since_us for w in self._waiting.values()), default=None)
        if oldest_us is not None and now_us() - oldest_us > ACK_TIMEOUT_US:
            raise ConnectionLost("the broker acknowledged nothing for 10 s")

    @property
    def unacknowledged(self) -> int:
        """The number of messages without a PUBACK."""
        return len(self._waiting)

    def close(self) -> None:
        """Disconnect; with DISCONNECT sent the broker does not publish the last will."""
        self._client.on_disconnect = None
        self._client.disconnect()

    def drop(self) -> None:
        """Close the socket without DISCONNECT, so that the broker publishes the last will."""
        sock: Any = self._client.socket()
        if sock is not None:
            sock.close()
