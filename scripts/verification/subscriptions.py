"""scripts/prove subscriptions: every home of a region sends the community server the same bytes.

For homes at random places of one region, from the position in the configuration to the packets on a TLS connection:
the courier's settings file, and the MQTT packets CONNECT and SUBSCRIBE, are compared byte for byte. The one
difference allowed is the client id: 20 random hex digits, new at each connection.
"""

import argparse
import random
import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from device.config import NeighbourhoodConfig
from device.consent.geohash import bounds
from device.consent_service.inbox_worker import courier_settings
from device.courier.broker import listen
from device.courier.settings import settings_in
from server.dev_server import make_certificates

HOMES, REGION = 500, "u09"
CLIENT_ID = re.compile(rb"[0-9a-f]{20}")
_CONNECT, _SUBSCRIBE = 0x10, 0x80
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one home makes visible: its settings file, and its packets without the client id."""

    settings: bytes
    connect: bytes
    subscribe: bytes
    client_id: bytes
    resumed_tls: bool


class RecordingBroker:
    """A TLS server that answers CONNECT and SUBSCRIBE of MQTT 5, and keeps the bytes of one connection at a time."""

    def __init__(self, folder: Path) -> None:
        make_certificates(folder)
        self.ca_pem = (folder / "ca.pem").read_text()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.packets: list[bytes] = []
        self.resumed_tls = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            plain.settimeout(TIMEOUT_S)
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self._converse(connection)
            except OSError:
                continue  # the home left

    def _converse(self, connection: ssl.SSLSocket) -> None:
        packets: list[bytes] = []
        while packet := _packet(connection):
            packets.append(packet)
            if packet[0] == _CONNECT:
                connection.sendall(bytes([0x20, 3, 0, 0, 0]))
            elif packet[0] & 0xF0 == _SUBSCRIBE:
                body = _body(packet)
                answer = body[:2] + b"\0" + bytes(_filters(body))
                # Kept before the answer: the home leaves when it has it.
                self.packets, self.resumed_tls = list(packets), bool(connection.session_reused)
                connection.sendall(b"\x90" + _length(len(answer)) + answer)


def _packet(connection: ssl.SSLSocket) -> bytes:
    """Return the next MQTT packet; b"" at the end of the connection."""
    packet = _exactly(connection, 2)
    while packet and packet[-1] & 0x80:
        packet += _exactly(connection, 1)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(packet[1:]))
    return packet + _exactly(connection, length) if packet else b""


def _exactly(connection: ssl.SSLSocket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            return b""
        received += part
    return received


def _body(packet: bytes) -> bytes:
    start = next(place for place in range(1, 5) if not packet[place] & 0x80) + 1
    return packet[start:]


def _length(count: int) -> bytes:
    encoded = b""
    while True:
        count, digit = divmod(count, 128)
        encoded += bytes([digit | (0x80 if count else 0)])
        if not count:
            return encoded


def _filters(body: bytes) -> int:
    """Return the number of topic filters in a SUBSCRIBE without properties."""
    place, count = 3, 0
    while place < len(body):
        place += 2 + int.from_bytes(body[place : place + 2], "big") + 1
        count += 1
    return count


def homes_of(region: str, count: int, seed: int = 1) -> list[tuple[float, float]]:
    """Return places of a region (longitude, latitude): beside its corners, and at random."""
    west, south, east, north = bounds(region)
    near = 1e-7
    corners = [(x, y) for x in (west + near, east - near) for y in (south + near, north - near)]
    draw = random.Random(seed)  # noqa: S311  (not for secrets)
    others = [(draw.uniform(west, east), draw.uniform(south, north)) for _ in range(count)]
    return [*corners, *others][:count]


def sent_by(broker: RecordingBroker, folder: Path, home: tuple[float, float]) -> Sent:
    """Return what a doorbell at a place sends, from its configuration to the wire."""
    (folder / "ca.pem").write_text(broker.ca_pem)
    config = NeighbourhoodConfig(
        enabled=True,
        longitude=home[0],
        latitude=home[1],
        broker_host="localhost",
        broker_port=broker.port,
        broker_ca_file=str(folder / "ca.pem"),
    )
    content = courier_settings(config, {"weather": "https://weather.example/cap"})
    (folder / "settings.json").write_bytes(content)
    settings, trouble = settings_in(folder)
    if trouble or settings.broker is None:
        raise ValueError(trouble)
    stopping, states = threading.Event(), []

    def tell(state: str) -> None:
        states.append(state)
        stopping.set()

    nothing: Callable[..., Any] = lambda *_: None  # noqa: E731
    listen(
        settings.broker,
        settings.cells,
        put=nothing,
        begin=nothing,
        tell=tell,
        stopping=stopping,
        beat=nothing,
        allow_loopback=True,
    )
    if states != ["up"]:
        raise ConnectionError(states[0])
    connect, subscribe = broker.packets
    found = CLIENT_ID.search(connect)
    client_id = found[0] if found else b""
    return Sent(
        settings=content,
        connect=connect.replace(client_id, b"-" * len(client_id)),
        subscribe=subscribe,
        client_id=client_id,
        resumed_tls=broker.resumed_tls,
    )


def compare(region: str, count: int) -> dict[str, int]:
    """Return how many different settings, CONNECTs, SUBSCRIBEs and client ids the homes of a region send."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with RecordingBroker(folder) as broker:
            sent = [sent_by(broker, folder, home) for home in homes_of(region, count)]
    return {
        "homes": len(sent),
        "settings": len({each.settings for each in sent}),
        "connect": len({each.connect for each in sent}),
        "subscribe": len({each.subscribe for each in sent}),
        "client_ids": len({each.client_id for each in sent}),
        "client_id_lengths": len({len(each.client_id) for each in sent}),
        "resumed_tls": sum(each.resumed_tls for each in sent),
        "filters": _filters(_body(sent[0].subscribe)),
        "subscribe_bytes": len(sent[0].subscribe),
    }


def holds(figures: dict[str, int]) -> bool:
    """Return whether nothing in the figures tells one home from another."""
    same = all(figures[name] == 1 for name in ("settings", "connect", "subscribe", "client_id_lengths"))
    return same and figures["client_ids"] == figures["homes"] and not figures["resumed_tls"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this proof's arguments."""
    parser.add_argument("--homes", type=int, default=HOMES, help="default: %(default)s")
    parser.add_argument("--region", default=REGION, help="a geohash of three letters; default: %(default)s")


def main(arguments: argparse.Namespace) -> int:
    """Compare, print, and return the exit status."""
    figures = compare(arguments.region, arguments.homes)
    print(f"region {arguments.region}: " + ", ".join(f"{name} {number}" for name, number in figures.items()))
    good = holds(figures)
    print("no home can be told from another" if good else "HOMES DIFFER")
    return 0 if good else 1
