"""Where the courier connects to: public addresses alone, whatever it connects for.

The resolver and `connect` are the test's: every address can be asked for, and no packet leaves.
"""

import socket
import threading
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from device.courier import public_address
from device.courier.broker import listen
from device.courier.feeds import fetch_all
from device.courier.public_address import NotPublic, is_public, public_addresses
from device.courier.settings import Broker
from device.courier.upload_attempt import UploadAttempt
from device.spool.parcels import Grant

HOST, PUBLIC, OTHER_PUBLIC = "name.example", "5.45.45.45", "2a0c:5a00::45"
NOT_PUBLIC = [
    "127.0.0.1", "::1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.7.7", "169.254.1.1", "100.64.0.9",  # noqa: S104
    "fd00::5", "fe80::1", "::ffff:127.0.0.1", "::ffff:192.168.1.1", "64:ff9b::a00:1", "2002:a00:1::1",
    "224.0.0.1", "192.0.2.1", "255.255.255.255",
]  # fmt: skip


class Network:
    """A resolver that answers as the test says, and every address to which a connection was tried."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = []
        """One list of addresses for each time that the name is resolved; the last one stays."""
        self.tried: list[str] = []

    def getaddrinfo(self, host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        found = [host]
        if host == HOST:
            found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in found
        ]

    def connect(self, address: Any) -> None:
        self.tried.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr("socket.getaddrinfo", made.getaddrinfo)
    monkeypatch.setattr("socket.socket.connect", made.connect)
    monkeypatch.setattr("secrets.randbelow", lambda _end: 0)
    return made


def ask_a_feed(_folder: Path, **options: bool) -> str:
    stopping, messages = threading.Event(), []

    def tell(_name: str, text: str) -> None:
        messages.append(text)
        stopping.set()

    feeds = {"weather": f"https://{HOST}/cap"}
    fetch_all(feeds, put=lambda *_: None, tell=tell, stopping=stopping, beat=lambda: None, **options)
    return messages[0]


def ask_the_broker(_folder: Path, **options: bool) -> str:
    stopping, messages = threading.Event(), []

    def tell(text: str) -> None:
        messages.append(text)
        stopping.set()

    listen(
        Broker(host=HOST, port=8883, ca_pem=""),
        ("u09t",),
        put=lambda *_: None,
        begin=lambda: None,
        tell=tell,
        stopping=stopping,
        beat=lambda: None,
        **options,
    )
    return messages[0]


def ask_a_store(folder: Path) -> str:
    grant = Grant(sha256="0" * 64, size_bytes=1, kind="tus", origin=f"https://{HOST}")
    attempt = UploadAttempt(
        grant,
        folder,
        report=None,
        check=lambda: None,
        bytes_a_second=0,
        pace=lambda _size: None,
        save=lambda _report: None,
    )
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the text is for the caller to look at)
        attempt.ask("POST", "/parcels")
    return str(caught.value)


Ask = Callable[[Path], str]
every_way = pytest.mark.parametrize("ask", [ask_a_feed, ask_the_broker, ask_a_store])


@every_way
@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_not_connected_to(
    network: Network, tmp_path: Path, ask: Ask, address: str
) -> None:
    network.answers = [[address]]
    assert f"{HOST} resolves to {address}" in ask(tmp_path)
    assert network.tried == []


@every_way
@pytest.mark.parametrize("address", ["127.0.0.1", "192.168.7.7", "::ffff:10.0.0.1"])
def test_one_private_address_among_public_ones_is_enough_to_refuse(
    network: Network, tmp_path: Path, ask: Ask, address: str
) -> None:
    for answer in ([PUBLIC, address], [address, PUBLIC]):
        network.answers = [answer]
        assert f"{HOST} resolves to {address}" in ask(tmp_path)
    assert network.tried == []


@every_way
def test_the_connection_goes_to_the_address_that_was_checked(
    network: Network, tmp_path: Path, ask: Ask
) -> None:
    network.answers = [[PUBLIC], ["127.0.0.1"]]  # the second answer is what a rebinding name gives
    ask(tmp_path)
    assert network.tried == [PUBLIC]


@every_way
def test_each_public_address_is_tried(network: Network, tmp_path: Path, ask: Ask) -> None:
    network.answers = [[OTHER_PUBLIC, PUBLIC]]
    ask(tmp_path)
    assert network.tried == [OTHER_PUBLIC, PUBLIC]


@pytest.mark.parametrize("ask", [ask_a_feed, ask_the_broker])
def test_a_development_server_needs_the_option_and_gets_loopback_alone(
    network: Network, tmp_path: Path, ask: Callable[..., str]
) -> None:
    network.answers = [["::1", "127.0.0.1"]]
    ask(tmp_path, allow_loopback=True)
    assert network.tried == ["::1", "127.0.0.1"]
    for address in ("192.168.7.7", "::ffff:10.0.0.1", "100.64.0.9", "169.254.1.1"):
        network.answers = [["127.0.0.1", address]]
        assert f"{HOST} resolves to {address}" in ask(tmp_path, allow_loopback=True)
    assert len(network.tried) == 2


def test_an_address_instead_of_a_name_is_checked_too() -> None:
    with pytest.raises(NotPublic):
        public_addresses("127.0.0.1", 443)
    assert public_addresses(PUBLIC, 443) == [PUBLIC]


def test_the_courier_s_unit_denies_what_the_courier_refuses() -> None:
    unit = Path(__file__).parents[2] / "systemd/doorbelld-courier.service"
    words = {  # systemd.resource-control(5)
        "localhost": ["127.0.0.0/8", "::1/128"],
        "link-local": ["169.254.0.0/16", "fe80::/64"],
        "multicast": ["224.0.0.0/4", "ff00::/8"],
    }
    denied = {
        ip_network(each)
        for line in unit.read_text().splitlines()
        if line.startswith("IPAddressDeny=")
        for word in line.removeprefix("IPAddressDeny=").split()
        for each in words.get(word, [word])
    }
    assert denied == {*public_address.NOT_PUBLIC, ip_network("fe80::/64"), ip_network("::1/128")}
    for network in public_address.NOT_PUBLIC:
        assert not is_public(str(network[0])), network
        assert not is_public(str(network[-1])), network


@pytest.mark.parametrize(
    "address",
    [
        "5.45.45.45", "8.8.8.8", "192.0.1.1", "193.0.0.1", "2a00:1450::1", "2606:4700::1111",
        "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1",
    ],
)  # fmt: skip
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1",  # noqa: S104
        "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.0.255", "192.0.2.1", "192.168.1.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1", "2001:1::1", "2001:2::1", "2001:20::1",
        "2001:db8::1", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fe80::1%eth0",
        "fec0::1", "feff::1", "ff02::1", "::10.0.0.1", "::8.8.8.8", "::ffff:100.64.0.1", "64:ff9b::c0a8:101",
        "64:ff9b::6440:1", "2002:c0a8:101::1", "2001:0:808:808::1", "192.88.99.1", "198.19.255.255", "0.1.2.3",
        "::ffff:192.168.1.1", "2001:0:a00:1::1",
    ],
)  # fmt: skip
def test_private_and_reserved_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)
