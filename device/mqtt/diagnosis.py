"""Why a broker closed a connection without an answer: one more connection finds out whether TLS is the reason.

Nothing secret is sent: neither the password nor a topic.
"""

import socket  # egress: mqtt
import ssl  # egress: mqtt
from contextlib import suppress

from device.config import MqttConfig
from device.mqtt.local_only import refuse_outside
from device.mqtt.reasons import ConnectionLost

PATIENCE_S = 2.0
_BARE_CONNECT = bytes.fromhex("100c 0004 4d515454 04 02 0005 0000")
"""CONNECT of MQTT 3.1.1 with an empty client id, and without a login."""
_CONNACK = 0x20


def tls_problem(config: MqttConfig, context: ssl.SSLContext | None, lost: ConnectionLost) -> ConnectionLost:
    """Return `lost`, or what explains it. `context` is the one that was used, None without TLS."""
    with suppress(OSError, ConnectionLost):
        if context is None:
            return _without_tls(config, lost)
        if lost.reason == "tls":
            return _after_a_failed_handshake(config, lost)
        return _after_a_handshake(config, context, lost)
    return lost


def certificate_problem(error: ssl.SSLCertVerificationError) -> ConnectionLost:
    """Return why the broker's certificate was refused here; the numbers are OpenSSL's X509_V_ERR_…"""
    match error.verify_code:
        case 62 | 64:
            return ConnectionLost("certificate_name", error.verify_message)
        case 2 | 18 | 19 | 20 | 21:
            return ConnectionLost("unknown_ca", error.verify_message)
        case 9 | 10:
            return ConnectionLost("certificate_time", error.verify_message)
    return ConnectionLost("certificate", error.verify_message)


def _connection(config: MqttConfig) -> socket.socket:
    connection = socket.create_connection((config.host, config.port), PATIENCE_S)
    refuse_outside(str(connection.getpeername()[0]))
    return connection


def _without_tls(config: MqttConfig, lost: ConnectionLost) -> ConnectionLost:
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # only whether TLS is spoken; then it is closed
    with _connection(config) as plain:
        try:
            anyone.wrap_socket(plain).close()
        except ssl.SSLError as error:
            return ConnectionLost("tls_required") if "ALERT" in (error.reason or "") else lost
        return ConnectionLost("tls_required")


def _after_a_failed_handshake(config: MqttConfig, lost: ConnectionLost) -> ConnectionLost:
    with _connection(config) as plain:
        plain.sendall(_BARE_CONNECT)
        answer = plain.recv(1)
    return ConnectionLost("tls_unknown") if answer == bytes([_CONNACK]) else lost


def _after_a_handshake(config: MqttConfig, context: ssl.SSLContext, lost: ConnectionLost) -> ConnectionLost:
    # TLS 1.3 reports a refused client certificate after the handshake. An alert is lost if the broker closes before it
    # has read everything, so nothing is sent here.
    with _connection(config) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=config.host) as wrapped:
                wrapped.recv(1)
        except ssl.SSLError as error:
            if "ALERT" in (error.reason or ""):
                reason = "client_certificate" if config.cert_file else "client_certificate_missing"
                return ConnectionLost(reason, (error.reason or "").replace("_", " ").lower())
    return lost
