"""What a broker's reason codes mean: why a connection ended, or why one message was not taken.

Each reason has its own text and remedy: here in English, on the page in its languages
(`fault_mqtt_…` and `remedy_mqtt_…` in web/static/strings/).
Source: MQTT 5.0, section 2.4; section 3.2.2.3 of MQTT 3.1.1 for CONNACK, which paho maps to the same codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from paho.mqtt.packettypes import PacketTypes  # egress: mqtt
from paho.mqtt.reasoncodes import ReasonCode  # egress: mqtt

from device.config import MqttConfig
from device.errors import DoorbellError

NO_SUBSCRIBERS = 16
FAILURE = 128
"""Codes from here on are failures."""
UNSUPPORTED_VERSION = 132
PACKET_TOO_LARGE = 149


class ConnectionLost(DoorbellError):
    """This connection is over, or was never made; `reason` is a key of ENDINGS."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class NoAnswer(ConnectionLost):
    """The broker accepted the connection and never answered CONNECT."""


class ClosedUnanswered(ConnectionLost):
    """The broker closed the connection instead of answering CONNECT."""


class OldBroker(ConnectionLost):
    """The broker does not speak MQTT 5."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Text and remedy of one reason, with the parameters of `described`. `wait_s`: the least delay of the next try."""

    text: str
    remedy: str
    wait_s: float = 0.0


_CERTIFICATES = "compare mqtt.ca_file with the certificate of the authority that signed the broker's"
_LOOK = "it is tried again by itself; the broker's log says more"
ENDINGS: Mapping[str, Ending] = {
    "unreachable": Ending(
        "nothing answers at {host}:{port} ({detail})",
        "is the broker running, and are mqtt.host and mqtt.port right?",
    ),
    "unknown_host": Ending(
        "the name {host} is not known on the home network ({detail})",
        "check mqtt.host, or enter the broker's address",
    ),
    "outside": Ending(
        "{host} is {detail}, outside the home network: refused", "name a broker at a private address"
    ),
    "no_answer": Ending(
        "{host}:{port} accepts the connection and does not answer",
        "is that port an MQTT broker's? If it is, restart the broker",
    ),
    "closed": Ending(
        "{host}:{port} closed the connection ({detail})",
        "is the broker running, and is that port an MQTT broker's? Its log says more",
    ),
    "silent": Ending(
        "the broker at {host} acknowledged nothing for 10 s", "check the network, and restart the broker"
    ),
    "keepalive": Ending(
        "the broker at {host} does not answer any more", "check the network and the broker's power"
    ),
    "login": Ending(
        "the broker refuses the login of {user}",
        "compare mqtt.username and mqtt.password_file with the broker's users; the broker's log says more",
        30,
    ),
    "login_missing": Ending(
        "the broker requires a login, and none is configured",
        "set mqtt.username and mqtt.password_file to a user of the broker",
        30,
    ),
    "client_id": Ending("the broker refuses the client id {client_id}", "choose another device.id", 30),
    "busy": Ending("the broker at {host} takes no more connections at present ({detail})", _LOOK, 10),
    "banned": Ending("the broker has banned {user}", "lift the ban in the broker's settings", 300),
    "retain": Ending(
        "the broker allows no retained messages",
        "allow them in the broker's settings (mosquitto: retain_available true)",
        30,
    ),
    "qos": Ending(
        "the broker allows no acknowledged messages (quality of service 1)",
        "allow them in the broker's settings (mosquitto: max_qos 1 or 2)",
        30,
    ),
    "moved": Ending(
        "the broker refers to another server ({detail})", "set mqtt.host to the broker that is to be used", 30
    ),
    "topic": Ending(
        "the broker refuses the topic names below {root}", "choose another mqtt.prefix or device.id", 30
    ),
    "packet": Ending(
        "the broker ended the connection: a message was larger than it takes",
        "raise the broker's packet limit (mosquitto: max_packet_size)",
    ),
    "rate": Ending(
        "the broker ended the connection: too many messages ({detail})", "raise the broker's limit", 10
    ),
    "rival": Ending(
        "another client logged in to the broker as {client_id}, and the broker ended this connection",
        "give each doorbell a device.id of its own",
    ),
    "short": Ending(
        "the broker ended the connection soon after it began ({detail})",
        "does another doorbell log in as {client_id}? Each needs a device.id of its own; the broker's log says more",
    ),
    "stopped": Ending("the broker at {host} was stopped", "it is connected again as soon as the broker runs"),
    "ended": Ending("the broker ended the connection ({detail})", _LOOK),
    "protocol": Ending(
        "{host}:{port} does not speak MQTT as expected ({detail})", "is that port an MQTT broker's?"
    ),
    "old": Ending("the broker speaks neither MQTT 5 nor 3.1.1", "install a current broker", 30),
    "file": Ending(
        "{detail}", "correct the path in the settings, or make the file readable for doorbelld", 5
    ),
    "certificate_name": Ending(
        "the broker's certificate is for another name than {host} ({detail})",
        "set mqtt.host to a name in the certificate, or make a certificate for {host}",
    ),
    "unknown_ca": Ending("mqtt.ca_file does not know who signed the broker's certificate", _CERTIFICATES),
    "certificate_time": Ending(
        "the broker's certificate is not valid at this time ({detail})",
        "renew it, or correct the clock of this device",
    ),
    "certificate": Ending("the broker's certificate is refused ({detail})", _CERTIFICATES),
    "client_certificate_missing": Ending(
        "the broker requires a client certificate, and none is configured",
        "set mqtt.cert_file and mqtt.key_file to a certificate that the broker accepts",
        30,
    ),
    "client_certificate": Ending(
        "the broker refuses the client certificate of mqtt.cert_file ({detail})",
        "use one that the broker's authority has signed and that has not expired",
        30,
    ),
    "tls_required": Ending(
        "{host}:{port} expects TLS, and mqtt.ca_file is empty",
        "set mqtt.ca_file, which turns TLS on, or use the broker's port without TLS (often 1883)",
    ),
    "tls_unknown": Ending(
        "{host}:{port} does not speak TLS, and mqtt.ca_file turns it on",
        "use the broker's port with TLS (often 8883), or empty mqtt.ca_file",
    ),
    "tls": Ending("TLS with {host}:{port} failed ({detail})", "the broker's log says more"),
}

_CONNACK = {
    133: "client_id", 134: "login", 135: "login", 136: "busy", 137: "busy", 138: "banned", 140: "login", 144: "topic",
    149: "packet", 151: "busy", 154: "retain", 155: "qos", 156: "moved", 157: "moved", 159: "busy",
}  # fmt: skip
_DISCONNECT = {
    129: "protocol", 130: "protocol", 135: "login", 137: "busy", 139: "stopped", 141: "keepalive", 142: "rival",
    144: "topic", 147: "rate", 149: "packet", 150: "rate", 151: "rate", 154: "retain", 155: "qos", 156: "moved",
    157: "moved", 159: "busy",
}  # fmt: skip

REFUSALS: Mapping[str, tuple[str, str]] = {
    "publish": (
        "the broker does not let {user} publish to {topics}",
        "let this user write below {root}, and to {discovery} for Home Assistant (mosquitto: acl_file)",
    ),
    "subscribe": (
        "the broker does not let {user} subscribe to {topics}",
        "let this user read it; without it Home Assistant's switches, or its restarts, are not noticed",
    ),
    "too_large": (
        "the broker takes no message as large as {topics}",
        "raise the broker's limit (mosquitto: max_packet_size, message_size_limit); everything else works",
    ),
    "quota": (
        "the broker's quota for {user} is used up: {topics}",
        "raise the quota in the broker's settings",
    ),
    "other": ("the broker does not take {topics}", "the broker's log says more"),
}
"""Why some topics are refused, while the connection goes on: text and remedy."""
_PUBACK = {135: "publish", PACKET_TOO_LARGE: "too_large", 151: "quota"}


def accept_every_reason() -> None:
    """Have paho read every reason code in every packet.

    It ends the connection at a code that MQTT 5 does not list for that packet, or at an unknown one. But
    mosquitto answers PUBLISH with 149, *Packet too large*, when `message_size_limit` is exceeded.
    """
    answers = {PacketTypes.CONNACK, PacketTypes.PUBACK, PacketTypes.SUBACK, PacketTypes.DISCONNECT}
    names: dict[int, dict[str, list[int]]] = {
        code: {name: list(packets) for name, packets in known.items()}
        for code, known in ReasonCode.names.items()
    }
    for code in range(256):
        known = names.setdefault(code, {})
        missing = answers.difference(*known.values())
        name = next(iter(known), f"Reason {code}") if code >= FAILURE else f"Reason {code}"
        known.setdefault(name, []).extend(missing)
    ReasonCode.names = MappingProxyType(names)


def refused(code: int, detail: str, *, login: bool) -> ConnectionLost:
    """Return the error for a CONNACK with failure `code`; `login`: a user name was sent."""
    if code == UNSUPPORTED_VERSION:
        return OldBroker("old", detail)
    reason = _CONNACK.get(code, "ended")
    return ConnectionLost("login_missing" if reason == "login" and not login else reason, detail)


def disconnected(code: int, detail: str) -> ConnectionLost:
    """Return the error for a DISCONNECT with `code`."""
    return ConnectionLost(_DISCONNECT.get(code, "ended"), detail)


def refusal(code: int) -> str:
    """Return the key of REFUSALS for a PUBACK with failure `code`."""
    return _PUBACK.get(code, "other")


def described(lost: ConnectionLost, config: MqttConfig, *, client_id: str, root: str) -> dict[str, Any]:
    """Return `reason`, `params`, `text` and `remedy` of a fault."""
    ending = ENDINGS[lost.reason]
    params = {
        "host": config.host,
        "port": str(config.port),
        "user": config.username or client_id,
        "client_id": client_id,
        "root": root,
        "detail": lost.detail,
    }
    return {
        "reason": lost.reason,
        "params": params,
        "text": ending.text.format(**params),
        "remedy": ending.remedy.format(**params),
    }
