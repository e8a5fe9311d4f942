"""Refuses brokers outside the home network, before and after the connection is made."""

import socket  # egress: mqtt, dns

from device.config import MqttConfig
from device.mqtt.reasons import ConnectionLost
from device.system.local_network import is_home


def refuse_outside(address: str) -> None:
    """Raises ConnectionLost if a numeric address is not of the home network."""
    if not is_home(address):
        raise ConnectionLost("outside", address)


def refuse_outside_names(config: MqttConfig) -> None:
    """Raises ConnectionLost if the broker's name resolves to an address outside, or to none."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionLost("unknown_host", error.strerror or str(error)) from error
    for *_, address in found:
        refuse_outside(str(address[0]))
