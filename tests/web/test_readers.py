"""Read tokens: what a client of the home network may read with one, and that nothing else opens."""

import asyncio
import base64
import contextlib
import json
import socket
import stat
from collections.abc import Callable, Iterator
from typing import Any

import av
import cv2
import numpy as np
import pytest

from server.dev_processes import PATIENCE_S, wait_for
from tests.support.doorbell import Doorbell
from tests.support.event_loop import run_async
from tests.web.conftest import QUIET_SCENE
from tests.web.visitor import Answer, Visitor

Make = Callable[..., Doorbell]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorbell]:
    """One doorbell for all tests that leave it as it was."""
    door = Doorbell(tmp_path_factory.mktemp("readers"), None, QUIET_SCENE, page={"enabled": True, "port": 0})
    yield door.start()
    door.stop()


@pytest.fixture(scope="module")
def claimed(door: Doorbell) -> Visitor:
    return Visitor(door.page).claim(door)


@pytest.fixture
def owner(claimed: Visitor) -> Iterator[Visitor]:
    wait_for("pictures", lambda: claimed.ask("GET", "/api/snapshot.jpg").status == 200)
    yield claimed.step_up()
    claimed.ask("PUT", "/api/switches/privacy", {"value": "OFF"})
    for reader in claimed.ask("GET", "/api/readers").json:
        claimed.ask("DELETE", f"/api/readers/{reader['name']}")


@pytest.fixture
def own_door(doorbell: Make) -> Doorbell:
    """A doorbell of the test's own."""
    return doorbell(QUIET_SCENE, page={"enabled": True, "port": 0}).start()


@pytest.fixture
def own_owner(own_door: Doorbell) -> Visitor:
    return Visitor(own_door.page).claim(own_door).step_up()


def added(owner: Visitor, *scopes: str, name: str = "dashboard") -> str:
    answer = owner.ask("POST", "/api/readers", {"name": name, "scopes": scopes})
    assert answer.status == 200, answer.body
    token: str = answer.json["token"]
    return token


class Client:
    """A program of the home network: no cookie, no Origin, no page's token."""

    def __init__(self, door: Doorbell, token: str, *, basic: bool = False) -> None:
        coded = base64.b64encode(f"dashboard:{token}".encode()).decode()
        self.authorization = f"Basic {coded}" if basic else f"Bearer {token}"
        self._visitor = Visitor(door.page)
        self._visitor.url = ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        return self._visitor.ask(method, path, body, Authorization=self.authorization, **headers)


class Mjpeg:
    """A connection to /api/live.mjpeg."""

    def __init__(self, door: Doorbell, token: str) -> None:
        host, _, port = door.page.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        request = (
            f"GET /api/live.mjpeg HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        self.socket.sendall(request.encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.media_type = ""
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            if name.lower() == "content-type":
                self.media_type = value

    def pictures(self) -> Iterator[bytes]:
        """Yield the pictures until the doorbell ends the connection."""
        try:
            while line := self._file.readline():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split()[1])
                    self._file.readline()
                    yield self._file.read(length)
        except ConnectionResetError:
            return

    def take_all(self) -> None:
        """Receive until the doorbell ends the connection in order. Raises ConnectionResetError if it resets it."""
        while self.socket.recv(65_536):
            pass

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def size_of(jpeg: bytes) -> tuple[int, int]:
    height, width = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)).shape[:2]
    return width, height


def test_a_client_with_a_token_gets_the_snapshot_by_header_or_password(
    door: Doorbell, owner: Visitor
) -> None:
    token = added(owner, "snapshot")
    for client in (Client(door, token), Client(door, token, basic=True)):
        assert size_of(client.ask("GET", "/api/snapshot.jpg").body) == (320, 180)


def test_without_a_grant_nobody_reads_and_a_program_is_asked_for_its_token(
    door: Doorbell, owner: Visitor
) -> None:
    for path in ("/api/snapshot.jpg", "/api/live.mjpeg"):
        answer = Client(door, "x" * 43).ask("GET", path)
        assert (answer.status, answer.json["code"]) == (401, "reader_unknown")
        nobody = Visitor(door.page).ask("GET", path)
        assert (nobody.status, nobody.json["code"]) == (401, "signed_out")
        assert nobody.headers["www-authenticate"].startswith("Basic")
        # A browser would open a window that asks for user and password.
        browser = Visitor(door.page).ask("GET", path, Sec_Fetch_Site="same-origin")
        assert browser.headers["www-authenticate"] is None


def test_a_token_opens_what_the_owner_allowed_and_nothing_else(door: Doorbell, owner: Visitor) -> None:
    client = Client(door, added(owner, "snapshot", name="still"))
    answer = client.ask("GET", "/api/live.mjpeg")
    assert (answer.status, answer.json["code"]) == (403, "reader_scope")
    assert client.ask("POST", "/api/live/whep", b"v=0").status == 403
    for method, path in (
        ("GET", "/api/status"), ("GET", "/api/clips"), ("GET", "/api/config"), ("GET", "/api/readers"),
        ("POST", "/api/ring"), ("PUT", "/api/switches/privacy"), ("POST", "/api/readers"),
    ):  # fmt: skip
        assert client.ask(method, path, b"{}" if method != "GET" else None).status in (401, 403), path


def test_another_page_cannot_use_a_token_that_a_browser_remembers(door: Doorbell, owner: Visitor) -> None:
    client = Client(door, added(owner, "snapshot", "live"), basic=True)
    answer = client.ask("POST", "/api/live/whep", b"v=0", Origin="https://elsewhere.example")
    assert (answer.status, answer.json["code"]) == (403, "origin")


def test_only_the_owner_with_the_password_lets_somebody_read(door: Doorbell, owner: Visitor) -> None:
    answer = Visitor(door.page).login().ask("POST", "/api/readers", {"name": "tablet", "scopes": ["live"]})
    assert (answer.status, answer.json["code"]) == (403, "step_up")
    assert owner.ask("GET", "/api/readers").json == []


def test_the_token_is_kept_nowhere_and_the_ledger_has_grant_and_end(door: Doorbell, owner: Visitor) -> None:
    token = added(owner, "live", "snapshot", name="wall-panel")
    (view,) = owner.ask("GET", "/api/readers").json
    assert (view["name"], view["scopes"], view["used_at"]) == ("wall-panel", ["live", "snapshot"], None)
    path = door.state / "state" / "readers.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for file in (door.state / "state").rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes()
    assert token not in door.log_path.read_text()
    assert owner.ask("DELETE", "/api/readers/wall-panel").status == 200
    entries = owner.ask("GET", "/api/ledger").json["entries"]
    grants = [(entry["kind"], entry["data"]) for entry in entries if entry["kind"].startswith("reader")]
    assert grants[-2:] == [
        ("reader_added", {"name": "wall-panel", "scopes": ["live", "snapshot"]}),
        ("reader_removed", {"name": "wall-panel"}),
    ]


def test_bad_names_second_grants_and_unknown_readers_are_refused(door: Doorbell, owner: Visitor) -> None:
    added(owner, "snapshot", name="one")
    for name, scopes, why in (
        ("one", ["snapshot"], "there is a reader one already"),
        ("Öffner", ["snapshot"], "a-z"),
        ("two", [], "choose at least one"),
    ):
        answer = owner.ask("POST", "/api/readers", {"name": name, "scopes": scopes})
        assert answer.status == 409
        assert why in answer.json["error"]
    assert owner.ask("POST", "/api/readers", {"name": "two", "scopes": ["clips"]}).status == 422
    assert "there is no reader two" in owner.ask("DELETE", "/api/readers/two").json["error"]


def test_a_revoked_token_is_worthless_at_once_and_after_a_restart(
    own_door: Doorbell, own_owner: Visitor
) -> None:
    revoked = Client(own_door, added(own_owner, "snapshot", name="gone"))
    kept = Client(own_door, added(own_owner, "snapshot", name="kept"))
    wait_for("a picture", lambda: revoked.ask("GET", "/api/snapshot.jpg").status == 200)
    own_owner.ask("DELETE", "/api/readers/gone")
    assert revoked.ask("GET", "/api/snapshot.jpg").status == 401
    own_door.stop()
    own_door.start()
    wait_for("the kept one", lambda: kept.ask("GET", "/api/snapshot.jpg").status == 200)
    assert revoked.ask("GET", "/api/snapshot.jpg").status == 401
    # The name may be given again, and the old token stays worthless.
    own_owner.step_up()
    again = Client(own_door, added(own_owner, "snapshot", name="gone"))
    assert again.ask("GET", "/api/snapshot.jpg").status == 200
    assert revoked.ask("GET", "/api/snapshot.jpg").status == 401


def test_without_a_valid_ledger_nobody_reads_and_a_reader_can_still_be_revoked(
    own_door: Doorbell, own_owner: Visitor
) -> None:
    client = Client(own_door, added(own_owner, "snapshot"))
    wait_for("a picture", lambda: client.ask("GET", "/api/snapshot.jpg").status == 200)
    own_door.stop()
    (ledger,) = (
        path for path in (own_door.state / "state").glob("ledger*") if path.suffix in (".db", ".sqlite3", "")
    )
    whole = ledger.read_bytes()
    ledger.write_bytes(b"no ledger" + whole[9:])
    own_door.start()
    assert client.ask("GET", "/api/snapshot.jpg").status == 401
    assert own_owner.ask("DELETE", "/api/readers/dashboard").status == 200
    own_door.stop()
    ledger.write_bytes(whole)
    own_door.start()
    wait_for("the ledger", lambda: own_owner.ask("GET", "/api/readers").status == 200)
    wait_for("the entry", lambda: own_owner.ask("GET", "/api/readers").json == [])
    assert client.ask("GET", "/api/snapshot.jpg").status == 401


def test_mjpeg_shows_the_live_view_at_a_bounded_rate(door: Doorbell, owner: Visitor) -> None:
    stream = Mjpeg(door, added(owner, "live"))
    assert (stream.status, stream.media_type.partition(";")[0]) == (200, "multipart/x-mixed-replace")
    pictures = stream.pictures()
    first = next(pictures)
    assert size_of(first) == (320, 180)
    assert next(pictures) != first
    stream.close()


def test_ffmpeg_reads_mjpeg_with_the_token_as_password(door: Doorbell, owner: Visitor) -> None:
    token = added(owner, "live")
    url = door.page.replace("http://", f"http://dashboard:{token}@") + "/api/live.mjpeg"
    with av.open(url, format="mpjpeg", timeout=PATIENCE_S) as container:
        frames = container.decode(video=0)
        assert (next(frames).width, next(frames).height) == (320, 180)


def test_revoking_ends_an_open_stream_and_leaves_the_others(door: Doorbell, owner: Visitor) -> None:
    revoked = Mjpeg(door, added(owner, "live", name="gone"))
    kept = Mjpeg(door, added(owner, "live", name="kept"))
    ending, going = revoked.pictures(), kept.pictures()
    next(ending), next(going)
    owner.ask("DELETE", "/api/readers/gone")
    for _ in ending:
        pass  # what was on its way when the button was pressed
    for _ in range(3):
        next(going)
    assert Mjpeg(door, "x" * 43).status == 401
    kept.close()


def test_privacy_ends_every_stream_and_none_begins_meanwhile(door: Doorbell, owner: Visitor) -> None:
    token = added(owner, "live", "snapshot")
    stream = Mjpeg(door, token)
    pictures = stream.pictures()
    next(pictures)
    owner.ask("PUT", "/api/switches/privacy", {"value": "ON"})
    for _ in pictures:
        pass
    assert Mjpeg(door, token).status == 409
    assert Client(door, token).ask("GET", "/api/snapshot.jpg").status == 409
    owner.ask("PUT", "/api/switches/privacy", {"value": "OFF"})
    wait_for("pictures", lambda: (again := Mjpeg(door, token)).status == 200 and next(again.pictures(), None))


def test_what_a_client_has_not_taken_yet_is_dropped_with_its_connection(
    door: Doorbell, owner: Visitor
) -> None:
    stream = Mjpeg(door, added(owner, "live"))
    next(stream.pictures())
    owner.ask("PUT", "/api/switches/privacy", {"value": "ON"})
    with pytest.raises(ConnectionResetError):  # an orderly end would deliver what was buffered
        stream.take_all()


def test_readers_have_no_more_places_than_other_viewers(door: Doorbell, owner: Visitor) -> None:
    token = added(owner, "live")
    streams = [Mjpeg(door, token) for _ in range(8)]
    for stream in streams:
        assert next(stream.pictures())
    late = Client(door, token).ask("GET", "/api/live.mjpeg")
    assert (late.status, late.json["code"]) == (409, "too_many_viewers")
    for stream in streams:
        stream.close()
    wait_for("a place", lambda: Mjpeg(door, token).status == 200)


def test_masks_are_in_what_a_reader_sees(doorbell: Make) -> None:
    corner = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]
    door = doorbell(
        QUIET_SCENE, page={"enabled": True, "port": 0}, masks=[{"name": "neighbour", "points": corner}]
    ).start()
    token = added(Visitor(door.page).claim(door).step_up(), "live")
    stream = Mjpeg(door, token)
    picture = np.asarray(cv2.imdecode(np.frombuffer(next(stream.pictures()), np.uint8), cv2.IMREAD_GRAYSCALE))
    stream.close()
    assert picture[10:70, 10:140].std() < 3 < picture[100:170, 170:310].std()


def test_a_terminal_adds_lists_and_revokes(door: Doorbell, owner: Visitor) -> None:
    assert door.run("reader", "add", "frigate", typed="no\n").returncode == 1
    token = json.loads(door.run("reader", "add", "frigate", "--scope", "live", "--yes", "--json").stdout)[
        "token"
    ]
    stream = Mjpeg(door, token)
    next(stream.pictures())
    listed = door.run("reader", "list").stdout
    assert "frigate" in listed
    assert "127.0.0.1" in listed
    assert token not in listed
    assert door.run("reader", "revoke", "frigate").returncode == 0
    for _ in stream.pictures():
        pass
    assert door.json("reader", "list") == []
    assert "nobody but you" in door.run("reader", "list").stdout


class Watcher:
    """A WebRTC client without a browser, such as go2rtc."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._peer: Any = None
        self.place = ""

    async def watch(self) -> Any:
        """Begin a view; return the track of its pictures."""
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        video = self._peer.addTransceiver("video", direction="recvonly")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        offer = self._peer.localDescription.sdp.encode()
        answer = await asyncio.to_thread(self._client.ask, "POST", "/api/live/whep", offer)
        assert answer.status == 201, answer.body
        self.place = answer.headers["location"]
        await self._peer.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
        return video.receiver.track

    async def close(self) -> None:
        await self._peer.close()


def test_whep_takes_a_token_and_revoking_it_ends_the_view(door: Doorbell, owner: Visitor) -> None:
    from aiortc.mediastreams import MediaStreamError

    async def watch() -> None:
        watcher = Watcher(Client(door, added(owner, "live")))
        pictures = await watcher.watch()
        assert (await asyncio.wait_for(pictures.recv(), PATIENCE_S)).width == 320
        # Another reader may not end it.
        other = Client(door, added(owner, "live", name="other"))
        await asyncio.to_thread(other.ask, "DELETE", watcher.place)
        assert (await asyncio.wait_for(pictures.recv(), PATIENCE_S)).width == 320
        await asyncio.to_thread(owner.ask, "DELETE", "/api/readers/dashboard")
        with contextlib.suppress(MediaStreamError):
            while True:
                await asyncio.wait_for(pictures.recv(), PATIENCE_S)
        await watcher.close()

    run_async(watch())
