"""The courier: its settings, its downloads, and its isolation from the doorbell's files."""

import http.server
import json
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from device.config import NeighbourhoodConfig
from device.consent.geohash import bounds, geohash, region_cells
from device.consent_service.inbox_worker import courier_settings
from device.courier.feeds import MEAN_BYTES_A_SECOND, MIN_WAIT_S, Feed
from device.courier.settings import settings_in
from device.courier.spool_writer import Writer
from device.spool.folders import SpoolReader, SpoolWriter, items_of
from server.dev_processes import Process, wait_for
from server.dev_server import DevServer, make_certificates
from tests.support.broker import Broker
from tests.support.doorbell import BIN
from tests.support.neighbourhood import TOWER, NeighbourhoodDoorbell, Sender

ROOT = Path(__file__).parents[2]


# --- its settings ----------------------------------------------------------------------------------


def test_every_home_of_a_region_gives_the_courier_the_same_settings_and_no_position(tmp_path: Path) -> None:
    longitude, latitude = TOWER
    config = NeighbourhoodConfig(
        enabled=True,
        latitude=latitude,
        longitude=longitude,
        broker_host="town.example",
        spool_dir=tmp_path,
    )
    content = courier_settings(config, {"weather": "https://weather.example/cap"})
    west, south, east, north = bounds("u09")
    for x, y in product((west, (west + east) / 2, east - 1e-9), (south, (south + north) / 2, north - 1e-9)):
        moved = config.model_copy(update={"longitude": x, "latitude": y})
        assert courier_settings(moved, {"weather": "https://weather.example/cap"}) == content
    (tmp_path / "settings.json").write_bytes(content)
    settings, trouble = settings_in(tmp_path)
    assert trouble == ""
    assert list(settings.cells) == region_cells(*TOWER)
    assert settings.broker is not None


def test_a_region_is_its_32_cells_and_the_28_around_them() -> None:
    cells = region_cells(*TOWER)
    assert len(cells) == 60
    assert cells == sorted(set(cells))
    assert sum(cell.startswith("u09") for cell in cells) == 32
    west, south, east, north = bounds("u09")
    width, height = (east - west) / 4, (north - south) / 8
    expected = {
        geohash(west + (column + 0.5) * width, south + (row + 0.5) * height, 4)
        for column in range(-1, 5)
        for row in range(-1, 9)
    }
    assert set(cells) == expected


@pytest.mark.parametrize(
    ("position", "neighbour", "count"),
    [
        ((179.99, 10), (-179.99, 10), 60),
        ((-180, 10), (179.99, 10), 60),
        ((180, 10), (-179.99, 10), 60),
        ((10, 89.99), (10, 88.5), 54),
        ((10, -90), (10, -88.5), 54),
    ],
)
def test_regions_meet_at_the_date_line_and_end_at_a_pole(
    position: tuple[float, float], neighbour: tuple[float, float], count: int
) -> None:
    cells = region_cells(*position)
    assert len(set(cells)) == count
    assert geohash(*position, 4) in cells
    assert geohash(*neighbour, 4) in cells


@pytest.mark.parametrize(
    ("position", "cell"),
    [
        ((-5.6, 42.6), "ezs42"),
        ((2.2945, 48.8584), "u09tu"),
        ((-179.99, -0.01), "2pbpb"),
        ((0.0, 0.0), "s0000"),
        ((13.3777, 52.5163), "u33db"),
    ],
)
def test_geohashes_are_the_field_s(position: tuple[float, float], cell: str) -> None:
    assert geohash(*position, 5) == cell
    west, south, east, north = bounds(cell)
    assert west <= position[0] <= east
    assert south <= position[1] <= north


def test_the_courier_gets_no_broker_while_the_neighbourhood_is_off() -> None:
    settings = json.loads(courier_settings(NeighbourhoodConfig(), {"weather": "https://weather.example/cap"}))
    limits = {"kbps": 0, "hours": ""}
    assert settings == {"v": 1, "broker": None, "cells": [], "feeds": {}, "upload": limits}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"v": 2}',
        b'{"v":1,"broker":{"host":"-x","port":1,"ca_pem":""},"cells":[],"feeds":{}}',
        b'{"v":1,"broker":{"host":"x","port":0,"ca_pem":""},"cells":[],"feeds":{}}',
        b'{"v":1,"broker":null,"cells":["u09t/#"],"feeds":{}}',
        b'{"v":1,"broker":null,"cells":["u09t"],"feeds":{},"upload":{"kbps":0,"hours":"24:00"}}',
        b'{"v":1,"broker":null,"cells":[' + b",".join([b'"u09t"'] * 61) + b'],"feeds":{},"upload":{}}',
        b'{"v":1,"broker":null,"cells":[],"feeds":{"w":"http://weather.example"}}',
        b'{"v":1,"broker":null,"cells":[],"feeds":{"../w":"https://weather.example"}}',
    ],
    ids=repr,
)
def test_invalid_settings_are_reported_and_change_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    settings, trouble = settings_in(tmp_path)
    assert settings.broker is None
    assert "settings.json" in trouble


# --- what it fetches ------------------------------------------------------------------------------


class Site(http.server.BaseHTTPRequestHandler):
    """Answers as the test says; keeps what it was asked."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"one")
    asked: list[dict[str, str]]
    resumed: list[bool]

    def do_GET(self) -> None:
        self.asked.append({name.lower(): text for name, text in self.headers.items()})
        self.resumed.append(bool(self.connection.session_reused))
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Site], str]]:
    make_certificates(tmp_path)
    handler = type("Asked", (Site,), {"asked": [], "resumed": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server-key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    yield handler, f"https://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def feed_at(url: str) -> Feed:
    return Feed("weather", url, allow_loopback=True)


def test_a_feed_is_fetched_politely_and_delivered_once(site: tuple[type[Site], str]) -> None:
    handler, url = site
    feed = feed_at(f"{url}/cap")
    handler.answer = (200, {}, b"one")
    assert feed.fetch() == b"one"
    assert feed.due_s - time.monotonic() >= MIN_WAIT_S - 1
    assert feed.fetch() is None  # the same bytes
    handler.answer = (200, {}, b"two")
    assert feed.fetch() == b"two"
    # It says nothing of who asks.
    assert set(handler.asked[0]) == {"host", "accept"}


def test_nothing_that_a_feed_s_server_sends_comes_back_to_it(site: tuple[type[Site], str]) -> None:
    """A server that gives each home another ETag, cookie or TLS ticket would know it again at another address."""
    handler, url = site
    feed = feed_at(f"{url}/cap")
    marks = {
        "ETag": '"home-4711"',
        "Last-Modified": "Sat, 28 Nov 2026 20:01:07 GMT",
        "Set-Cookie": "home=4711; Max-Age=99999999",
        "Strict-Transport-Security": "max-age=99999999",
        "Alt-Svc": 'h3="home-4711.example:443"; ma=99999999',
    }
    for body in (b"one", b"two", b"two"):
        handler.answer = (200, marks, body)
        feed.fetch()
    assert handler.asked[1] == handler.asked[0]
    assert handler.asked[2] == handler.asked[0]
    assert handler.resumed == [False, False, False]


def test_a_large_feed_is_fetched_less_often(site: tuple[type[Site], str]) -> None:
    handler, url = site
    feed = feed_at(url)
    handler.answer = (200, {}, b"x" * 1_000_000)
    feed.fetch()
    assert feed.due_s - time.monotonic() > 1_000_000 / MEAN_BYTES_A_SECOND - 1


def test_a_redirection_is_not_followed_nor_a_strange_certificate_or_a_giant_believed(
    site: tuple[type[Site], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, url = site
    feed = feed_at(f"{url}/cap")
    handler.answer = (302, {"Location": "http://127.0.0.1/admin"}, b"")
    with pytest.raises(OSError, match="302"):
        feed.fetch()
    handler.answer = (200, {}, b"x" * 1_100_000)
    with pytest.raises(OSError, match="larger"):
        feed.fetch()
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(OSError, match=r"(?i)certificate"):
        feed.fetch()
    assert len(handler.asked) == 2


def test_a_feed_that_fails_is_asked_ever_less_often(site: tuple[type[Site], str]) -> None:
    handler, url = site
    feed = feed_at(url)
    handler.answer = (500, {}, b"")
    waits = []
    for _ in range(8):
        with pytest.raises(OSError, match="500"):
            feed.fetch()
        waits.append(feed.due_s - time.monotonic())
    assert waits[0] < 130
    assert 3600 <= waits[-1] + 1 < 3700
    handler.answer = (200, {}, b"well again")
    feed.fetch()
    feed.fetch()
    assert feed.due_s - time.monotonic() < 130


# --- what it writes -------------------------------------------------------------------------------


def test_a_burst_of_messages_makes_few_bundles_and_no_duplicates(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    writer = Writer(SpoolWriter(tmp_path / "in", tmp_path / "out"))
    for number in range(3000):
        writer.put("request", b"%d" % (number // 3))
    stopping = threading.Event()
    stopping.set()
    writer.run(stopping, lambda: None)
    inbox = SpoolReader(tmp_path / "in", tmp_path / "out")
    heard = [item.content for number in inbox.waiting() for item in items_of(inbox.open(number), "")]
    assert heard == [b"%d" % number for number in range(1000)]
    assert len(inbox.waiting()) <= 3
    # A new connection begins with what still holds: that is heard again.
    writer.forget()
    writer.put("request", b"0")
    writer.run(stopping, lambda: None)
    assert len(inbox.waiting()) <= 4


def test_a_doorbell_that_does_not_read_costs_the_newest_and_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.spool.folders.MAX_IN_BYTES", 100_000)
    monkeypatch.setattr("device.courier.spool_writer.MAX_WAITING_BYTES", 50_000)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    writer = Writer(SpoolWriter(tmp_path / "in", tmp_path / "out"))
    stopping = threading.Event()
    stopping.set()
    for number in range(50):
        for part in range(10):
            writer.put("request", b"%d %d " % (number, part) + b"x" * 1000)
        writer.run(stopping, lambda: None)
    size = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    assert 50_000 < size <= 100_000
    assert writer.dropped > 100


def test_a_flood_that_goes_on_for_days_does_not_wear_the_card_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.courier.spool_writer.BURST_BYTES", 20_000)
    monkeypatch.setattr("device.courier.spool_writer.REFILL_BYTES_A_SECOND", 0)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    writer = Writer(SpoolWriter(tmp_path / "in", tmp_path / "out"))
    for number in range(100):
        writer.put("request", b"%d " % number + b"x" * 700)
    assert 75 < writer.dropped < 85


def test_a_source_that_floods_uses_up_no_other_source_s_allowance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.courier.spool_writer.FEED_BURST_BYTES", 5_000)
    monkeypatch.setattr("device.courier.spool_writer.BURST_BYTES", 5_000)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    writer = Writer(SpoolWriter(tmp_path / "in", tmp_path / "out"))
    for source in ("feed:one", "request"):
        for number in range(30):
            writer.put(source, b"%d " % number + b"x" * 700)
    dropped = writer.dropped
    assert dropped > 40
    for source in ("feed:two", "feed:three"):
        writer.put(source, b"an alert")
    assert writer.dropped == dropped


# --- its isolation ---------------------------------------------------------------------------------

AS_NOBODY = """
import encodings.idna, os, sys, json
import device.courier.main as courier
import paho.mqtt.client, urllib3, ssl, stringprep
spool, *secrets = sys.argv[1:]
os.setgroups([61235])
os.setresgid(61234, 61234, 61234)
os.setresuid(61234, 61234, 61234)
found = {}
for path in secrets:
    try:
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").read()
        found[path] = "read"
    except OSError as error:
        found[path] = error.strerror
try:
    open(spool + "/out/mine", "w")
    found["out"] = "written"
except OSError as error:
    found["out"] = error.strerror
print(json.dumps(found), flush=True)
sys.argv = ["doorbelld-courier", "--spool", spool, "--allow-loopback"]
sys.exit(courier.main())
"""


@pytest.mark.server
@pytest.mark.broker
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_with_its_own_user_it_receives_everything_and_reads_no_secret(tmp_path: Path, broker: Broker) -> None:
    dev_server = DevServer(tmp_path / "t", quiet=True).__enter__()
    doorbell = NeighbourhoodDoorbell(tmp_path / "bell", broker.port, dev_server=dev_server).start()
    try:
        department = Sender(tmp_path / "department")
        dev_server.enrol(department.record)
        doorbell.pin(department)
        doorbell.run("record")
        clip = doorbell.clips(1)[0]["file"]
        # As systemd/doorbelld.tmpfiles makes it, with numbers for names; the doorbell is root here.
        tmp_path.chmod(0o711)
        for folder in tmp_path.parents:
            if "pytest-of-" in str(folder):
                folder.chmod(folder.stat().st_mode | 0o011)
        (doorbell.state).chmod(0o711)
        doorbell.config.chmod(0o640)
        doorbell.spool.chmod(0o755)
        os.chown(doorbell.spool / "in", 61234, 61235)
        os.chown(doorbell.spool / "out", 0, 61235)
        (doorbell.spool / "in").chmod(0o2750)
        (doorbell.spool / "out").chmod(0o2750)
        os.chown(doorbell.spool / "out/settings.json", 0, 61235)
        inside = [str(doorbell.state / name) for name in ("state", "state/ledger.db", "run")]
        secrets = [clip, str(doorbell.config), *inside]
        with (tmp_path / "output").open("wb") as output:
            words = [sys.executable, "-c", AS_NOBODY, doorbell.spool, *secrets]
            courier = Process(words, cwd=ROOT, stdout=output, log=tmp_path / "courier.log")
        try:
            wait_for("the courier", lambda: b"server up" in (tmp_path / "courier.log").read_bytes())
            found = json.loads((tmp_path / "output").read_text())
            assert found == {**dict.fromkeys(secrets, "Permission denied"), "out": "Permission denied"}
            path = dev_server.folder / "spool/in" / ("0" * 32)
            path.write_bytes(department.notice())
            wait_for("the notice", lambda: [row["headline"] for row in doorbell.notices()])
            written = list((doorbell.spool / "in").iterdir())
            assert written
            assert {path.stat().st_uid for path in written} == {61234}
        finally:
            assert courier.end() == 0
    finally:
        doorbell.stop_both()
        dev_server.__exit__()


@pytest.mark.strace
@pytest.mark.server
@pytest.mark.broker
def test_it_opens_no_file_of_the_doorbell_but_the_spool(tmp_path: Path, broker: Broker) -> None:
    dev_server = DevServer(tmp_path / "t", quiet=True).__enter__()
    doorbell = NeighbourhoodDoorbell(tmp_path / "bell", broker.port, dev_server=dev_server).start()
    calls = tmp_path / "calls"
    try:
        command = ["strace", "-f", "-qq", "-e", "trace=file,connect,bind", "-o", calls]
        words = [*command, BIN / "doorbelld-courier", "--spool", doorbell.spool, "--allow-loopback"]
        courier = Process(words, log=tmp_path / "courier.log")
        wait_for("the courier", lambda: b"server up" in (tmp_path / "courier.log").read_bytes())
        wait_for("its word of itself", (doorbell.spool / "in/status.json").exists)
        children = Path(f"/proc/{courier.pid}/task/{courier.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        courier.wait()
    finally:
        doorbell.stop_both()
        dev_server.__exit__()
    lines = calls.read_text().splitlines()
    of_daemon = [line for line in lines if f'"{doorbell.state}' in line]
    assert of_daemon
    assert [line for line in of_daemon if f'"{doorbell.spool}' not in line] == []
    ports = {
        line.split("htons(")[1].split(")")[0] for line in lines if "htons(" in line and "connect(" in line
    }
    assert str(dev_server.mqtts) in ports
    # What else it connects to: the resolver, and paho's own wake-up pair on loopback.
    assert not any("AF_UNIX" in line and "doorbelld" in line for line in lines)
