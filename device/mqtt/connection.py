"""One connection to the broker, with a client object of its own that is never used again.

paho keeps what was not acknowledged and sends it again after a reconnect; a press that arrives an hour late
would ring. So nothing is carried over to the next connection: what has no PUBACK when it ends was not delivered.
paho's network thread is not used, since an exception in a callback would end it unnoticed. Callbacks run on the
publisher's thread, inside `step`, where a bug ends the process.
"""

import select
import ssl  # egress: mqtt
from collections import deque
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
from device.mqtt import topics
from device.mqtt.diagnosis import certificate_problem, tls_problem
from device.mqtt.reasons import (
    PACKET_TOO_LARGE,
    ClosedUnanswered,
    ConnectionLost,
    accept_every_reason,
    disconnected,
    refused,
)

accept_every_reason()

CONNECT_TIMEOUT_S = 5.0
ACK_TIMEOUT_US = 10_000_000
"""If a PUBACK takes longer, the connection counts as half-open."""
MAX_INPUT_BYTES = 4096
MANY_IN_FLIGHT = 1000
"""With paho's default (20) a press would wait behind the log, which limits itself (LOG_WINDOW)."""
HEADER_BYTES = 32
"""More than a PUBLISH of ours takes beside topic and payload: header, lengths, packet id, expiry."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    since_us: int
    topic: str
    content: bytes
    retain: bool
    properties: Properties | None
    done: Callable[[int], None]


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
    on_subscribed: Callable[[str, int], None] = lambda _topic, _code: None
    """Takes each filter and the reason code of its SUBACK."""
    packet_limit_bytes: int | None = None
    """The broker's limit, if it has named one (MQTT 5)."""
    _window: int = MANY_IN_FLIGHT
    _waiting: dict[int, _Waiting] = field(default_factory=dict)
    _queued: deque[_Waiting] = field(default_factory=deque)
    _filters: dict[int | None, str] = field(default_factory=dict)
    _ended: ConnectionLost | None = None
    _error: str = ""
    _context: ssl.SSLContext | None = None
    _client: mqtt.Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=self.protocol,
            reconnect_on_failure=False,
        )

    def connect(self, subscriptions: dict[str, int]) -> None:
        """Open the connection and send CONNECT; `accepted` is set by CONNACK. Raises ConnectionLost.

        `subscriptions`: each filter with its retain handling (2: no retained messages, 0: they are sent).
        """
        client = self._client
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(MANY_IN_FLIGHT)
        if self.config.username:
            client.username_pw_set(self.config.username, self._password())
        if self.config.ca_file:
            self._context = self._tls()
            client.tls_set_context(self._context)
        if not self.bare:
            client.will_set(self.will_topic, topics.OFFLINE, qos=1, retain=True)
        client.on_connect = self._connected(subscriptions)
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        client.on_message = self._heard
        client.on_log = self._logged
        # A silent peer is noticed after two of paho's intervals: three quarters make 1.5 of ours.
        keepalive_s = max(2, int(self.config.keepalive_s * 0.75))
        options: dict[str, Any] = {}
        if self.protocol == MQTTProtocolVersion.MQTTv5 and not self.bare:
            options = {"clean_start": True, "properties": Properties(PacketTypes.CONNECT)}
            options["properties"].MaximumPacketSize = MAX_INPUT_BYTES
        try:
            client.connect(self.config.host, self.config.port, keepalive_s, **options)
        except ssl.SSLCertVerificationError as error:
            raise certificate_problem(error) from error
        except (OSError, ValueError) as error:
            raise self._not_connected(error) from error

    def _not_connected(self, error: OSError | ValueError) -> ConnectionLost:
        detail = getattr(error, "strerror", None) or str(error) or "no answer"
        if not self._context:
            return ConnectionLost("unreachable", detail)
        # The handshake failed, or nothing listens; a second look tells.
        found = tls_problem(self.config, self._context, ConnectionLost("tls", detail))
        refused = isinstance(error, ConnectionRefusedError | TimeoutError) and not isinstance(
            error, ssl.SSLError
        )
        return ConnectionLost("unreachable", detail) if refused and found.reason == "tls" else found

    def _password(self) -> str:
        if self.password is not None:
            return self.password
        if not self.config.password_file:
            return ""
        try:
            return Path(self.config.password_file).read_text().strip()
        except OSError as error:
            raise ConnectionLost(
                "file", f"mqtt.password_file {self.config.password_file}: {error}"
            ) from error

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.config.ca_file)
            if self.config.cert_file:
                context.load_cert_chain(self.config.cert_file, self.config.key_file or None)
        except OSError as error:
            raise ConnectionLost("file", f"mqtt.ca_file or cert_file: {error}") from error
        return context

    def peer(self) -> str:
        """Return the broker's numeric address."""
        sock: Any = self._client.socket()
        try:
            return str(sock.getpeername()[0])
        except (OSError, AttributeError) as error:
            raise self._why() from error

    # --- callbacks: on the publisher's thread, inside step() ----------------------------------------------

    def _connected(self, subscriptions: dict[str, int]) -> Callable[..., None]:
        def connected(
            client: mqtt.Client, _user: object, _flags: object, reason: ReasonCode, properties: Properties
        ) -> None:
            if reason.is_failure:
                moved_to = getattr(properties, "ServerReference", "")
                detail = f"{reason.getName()}{f': {moved_to}' if moved_to else ''}"
                self._ended = refused(reason.value, detail, login=bool(self.config.username))
                return
            self.accepted = True
            self.packet_limit_bytes = getattr(properties, "MaximumPacketSize", None)
            # paho does not look at this limit, and a broker may disconnect a client that exceeds it.
            self._window = getattr(properties, "ReceiveMaximum", MANY_IN_FLIGHT)
            for topic, retain_handling in subscriptions.items():
                if self.protocol == MQTTProtocolVersion.MQTTv5:
                    # An old /set must not change a setting at each connection. As published: a message that is sent
                    # now with the retain flag can be recognised and refused.
                    _, mid = client.subscribe(
                        topic,
                        options=SubscribeOptions(
                            qos=1, retainHandling=retain_handling, retainAsPublished=True
                        ),
                    )
                else:
                    _, mid = client.subscribe(topic, qos=1)
                self._filters[mid] = topic

        return connected

    def _disconnected(
        self,
        _c: object,
        _user: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._ended:
            return
        if flags.is_disconnect_packet_from_server:
            name = getattr(properties, "ReasonString", "") or reason.getName()
            self._ended = disconnected(reason.value, str(name))
        elif reason.getName() == "Keep alive timeout":
            self._ended = ConnectionLost("keepalive")
        elif reason.getName() == "Protocol error":
            self._ended = ConnectionLost("protocol", self._error or "unreadable answer")
        else:
            self._ended = ConnectionLost("closed", self._error or "without a reason")

    def _logged(self, _c: object, _user: object, level: int, text: str) -> None:
        # paho keeps an error of the socket only in this text.
        if level == mqtt.MQTT_LOG_ERR and "on socket: " in text:
            self._error = text.partition("on socket: ")[2]

    def _subscribed(self, _c: object, _user: object, mid: int, reasons: list[ReasonCode], _p: object) -> None:
        topic = self._filters.pop(mid, None)
        if topic and reasons:
            self.on_subscribed(topic, reasons[0].value)

    def _heard(self, _c: object, _user: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no correct broker forwards that
        self.on_input(topic, bytes(message.payload), message.retain)

    def _published(self, _c: object, _user: object, mid: int, reason: ReasonCode, _p: object) -> None:
        waiting = self._waiting.pop(mid, None)
        if waiting:
            waiting.done(reason.value)

    # --- use --------------------------------------------------------------------------------------

    def publish(
        self,
        topic: str,
        payload: str | bytes,
        *,
        now_us: int,
        retain: bool = False,
        expiry_s: int | None = None,
        done: Callable[[int], None] = lambda _code: None,
    ) -> None:
        """Publish; `done` takes the PUBACK's reason code. Raises ConnectionLost.

        What the broker would not take is not sent: `done` gets PACKET_TOO_LARGE at once.
        """
        content = payload.encode() if isinstance(payload, str) else payload
        limit_bytes = self.packet_limit_bytes
        if limit_bytes is not None and len(topic.encode()) + len(content) + HEADER_BYTES > limit_bytes:
            return done(PACKET_TOO_LARGE)
        properties = None
        if expiry_s is not None and self.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = expiry_s
        waiting = _Waiting(now_us, topic, content, retain, properties, done)
        if len(self._waiting) < self._window:
            return self._send(waiting)
        return self._queued.append(waiting)

    def _send(self, waiting: _Waiting) -> None:
        info = self._client.publish(
            waiting.topic, waiting.content, qos=1, retain=waiting.retain, properties=waiting.properties
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._ended or ConnectionLost("closed", self._error or mqtt.error_string(info.rc))
        self._waiting[info.mid] = waiting

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
            raise self._why()
        while self._queued and len(self._waiting) < self._window:
            self._send(self._queued.popleft())
        oldest_us = min((w.since_us for w in self._waiting.values()), default=None)
        if oldest_us is not None and now_us() - oldest_us > ACK_TIMEOUT_US:
            raise ConnectionLost("silent")

    def _why(self) -> ConnectionLost:
        ended = self._ended or ConnectionLost("closed", self._error or "without a reason")
        if self.accepted or ended.reason not in ("closed", "protocol"):
            return ended
        found = tls_problem(self.config, self._context, ended)
        return ClosedUnanswered(found.reason, found.detail) if found is ended else found

    @property
    def unacknowledged(self) -> set[str]:
        """The topics of the messages without a PUBACK."""
        return {waiting.topic for waiting in (*self._waiting.values(), *self._queued)}

    def close(self) -> None:
        """Disconnect; with DISCONNECT sent the broker does not publish the last will."""
        self._client.on_disconnect = None
        self._client.disconnect()

    def drop(self) -> None:
        """Close the socket without DISCONNECT, so that the broker publishes the last will."""
        sock: Any = self._client.socket()
        if sock is not None:
            sock.close()
