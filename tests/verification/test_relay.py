"""The relay to the pages of `scripts/demo-neighbourhood --stay`, over real sockets."""

import socket
import threading
from collections.abc import Iterator

import pytest

from scripts.verification.relay import connect, relay, serve


@pytest.fixture
def inside() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_page_is_relayed_however_long_it_is_silent(inside: socket.socket) -> None:
    with connect("127.0.0.1", inside.getsockname()[1]) as connection:
        assert connection.gettimeout() is None, "a silent connection would end after the time for connecting"


def test_a_client_and_a_page_reach_each_other_through_the_relay(inside: socket.socket) -> None:
    port = inside.getsockname()[1]
    outside = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(outside, port), daemon=True).start()
    with outside, socket.create_connection(outside.getsockname()) as browser:
        page, _ = inside.accept()
        with page:
            browser.sendall(b"hello")
            assert page.recv(100) == b"hello"
            page.sendall(b"come in")
            assert browser.recv(100) == b"come in"


@pytest.mark.parametrize("who", ["client", "server"])
def test_an_end_on_one_side_is_an_end_on_the_other(who: str) -> None:
    """Both directions read when it comes: a connection that only one of them knows to be over would stay."""
    (client, client_end), (server, server_end) = socket.socketpair(), socket.socketpair()
    with client, server:
        relay(client_end, server_end)
        ends, other = (client, server) if who == "client" else (server, client)
        ends.sendall(b"x")
        assert other.recv(1) == b"x"  # so both threads run
        ends.shutdown(socket.SHUT_RDWR)
        assert other.recv(1) == b""
