"""What a viewer gets: nothing of before privacy, nothing that is old, and the newest after a pause of the link."""

import asyncio
import json
import socket
import time
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from device.events import Packet, VideoFormat
from device.store.ring import RingBuffer
from device.web.connection_limiter import ConnectionLimiter
from device.web.live import Live
from device.web.whep import hurried
from server.dev_processes import PATIENCE_S, wait_for
from tests.support.doorbell import Doorbell
from tests.support.event_loop import run_async
from tests.support.storage import Time
from tests.web.test_owner import Make, hear_out
from tests.web.visitor import Visitor

FORM = VideoFormat(codec="h264", width_px=320, height_px=180, epoch=1)
FPS = 10
STEP_US = 1_000_000 // FPS


class Film:
    """Ten pictures a second with a keyframe every four seconds, at a time that a test moves."""

    def __init__(self) -> None:
        self.time = Time(0)
        self.ring = RingBuffer(keep_us=60_000_000, limit_bytes=1_000_000)
        self.live = Live(lambda: self.ring, self.time)
        self._number = 0

    def pass_s(self, seconds: float) -> None:
        writer = self.ring.writer()
        for _ in range(int(seconds * FPS)):
            us = self._number * STEP_US
            self.time.now_us = us
            packet = Packet(
                data=b"", size_bytes=100, pts_us=us, dts_us=us, duration_us=STEP_US,
                is_keyframe=self._number % (4 * FPS) == 0, format=FORM,
            )  # fmt: skip
            writer.append(packet)
            self._number += 1


async def numbers(packets: Any, count: int) -> list[int]:
    """Return the numbers of the next pictures."""
    found = []
    async for packet in packets:
        if packet is not None:
            found.append(packet.pts_us // STEP_US)
            if len(found) == count:
                break
    return found


def test_a_view_ends_when_privacy_begins_and_a_later_one_begins_with_a_keyframe_after_it() -> None:
    film = Film()

    async def watch() -> None:
        film.pass_s(5)
        view = film.live.packets()
        assert await numbers(view, 3) == [40, 41, 42]
        film.ring.close()
        assert await numbers(view, 1) == [], "what was read already is not sent either"
        assert film.live.private
        assert await numbers(film.live.packets(), 1) == []
        film.pass_s(1)  # a camera that has not noticed
        film.ring.open()
        view = film.live.packets()
        film.pass_s(3)
        assert await numbers(view, 1) == [80]

    run_async(watch())


def test_a_view_does_not_begin_with_pictures_of_a_camera_that_has_stopped() -> None:
    film = Film()

    async def watch() -> None:
        film.pass_s(5)
        film.time.now_us += 2_100_000
        view = film.live.packets()
        assert await anext(view) is None
        film.pass_s(3.5)  # it goes on
        assert await numbers(view, 2) == [80, 81]

    run_async(watch())


def test_a_slow_viewer_goes_on_at_the_newest_keyframe_once_that_is_ahead() -> None:
    film = Film()

    async def watch() -> None:
        film.pass_s(4.5)
        view = film.live.packets()
        assert await numbers(view, 2) == [40, 41]
        film.pass_s(2.5)  # it is late, but no keyframe is ahead: going back would make it later
        assert await numbers(view, 2) == [42, 43]
        film.pass_s(2)
        assert await numbers(view, 2) == [80, 81]

    run_async(watch())


def test_a_reset_drops_what_a_stalled_client_has_not_got() -> None:
    """Twice what the sockets hold is sent; after the reset the client gets what its own side holds, and no end."""
    size, begun = 8 << 20, asyncio.Event()

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        asyncio.get_running_loop().call_later(0.3, scope["state"]["reset"])
        begun.set()
        await send({"type": "http.response.body", "body": bytes(size), "more_body": True})
        await asyncio.Event().wait()

    async def stall() -> None:
        limiter = ConnectionLimiter(application)
        with socket.create_server(("127.0.0.1", 0)) as listener, closing(socket.socket()) as client:
            serving = asyncio.create_task(limiter.serve(listener, None))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, listener.getsockname())
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await begun.wait()
            while limiter.connections:  # noqa: ASYNC110  (the limiter has no event)
                await asyncio.sleep(0.01)
            got, ended = 0, False
            while not ended:
                try:
                    got += len(await loop.sock_recv(client, 65_536))
                except ConnectionResetError:
                    ended = True
            assert got < size / 10
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await limiter.shut_down()

    run_async(stall())


def test_privacy_ends_every_view_and_the_next_recording_has_nothing_of_before(doorbell: Make) -> None:
    door: Doorbell = doorbell(page={"enabled": True, "port": 0}).start()
    owner = Visitor(door.page).claim(door)
    switch = "/api/switches/privacy"
    with owner.socket("/api/live") as live:
        while not isinstance(live.recv(timeout=PATIENCE_S), bytes):
            pass
        assert owner.ask("PUT", switch, {"value": "ON"}).status == 200
        with pytest.raises(ConnectionClosed):
            hear_out(live)
    with owner.socket("/api/live") as live:
        heard = [live.recv(timeout=PATIENCE_S) for _ in range(2)]
        assert [json.loads(text) for text in heard] == [{"private": True}] * 2
        for method, path in (("POST", "/api/live/whep"), ("GET", "/api/snapshot.jpg")):
            refused = owner.ask(method, path, b"v=0" if method == "POST" else None)
            assert (refused.status, refused.json["code"]) == (409, "private"), path
        assert owner.step_up().ask("PUT", switch, {"value": "OFF"}).status == 200
        began = datetime.now().astimezone()
        wait_for("pictures again", lambda: isinstance(live.recv(timeout=PATIENCE_S), bytes))
    door.ring()
    (clip,) = door.clips(1)
    assert datetime.fromisoformat(clip["started_at"]) >= began


def test_a_heartbeat_gives_the_age_of_what_was_sent_and_returns_the_viewers_text(doorbell: Make) -> None:
    door: Doorbell = doorbell(page={"enabled": True, "port": 0}).start()
    with Visitor(door.page).claim(door).socket("/api/live") as live:
        while not isinstance(live.recv(timeout=PATIENCE_S), bytes):
            pass
        before_ms = time.time() * 1000
        live.send("17")
        while (
            isinstance(text := live.recv(timeout=PATIENCE_S), bytes) or json.loads(text).get("echo") is None
        ):
            pass
    beat = json.loads(text)
    assert beat["echo"] == "17"
    assert beat["age_ms"] >= 0
    assert beat["at_ms"] + beat["age_ms"] >= before_ms - 2, "of when the text came"


def test_a_player_gets_the_pictures_of_before_its_view_within_a_blink() -> None:
    film = Film()

    async def watch() -> None:
        film.pass_s(7.5)
        view = hurried(film.live.packets(), film.live.age_us)
        old = [packet.pts_us async for packet in first(view, 35)]
        assert old == sorted(set(old))
        assert old[-1] - old[0] < 100_000
        assert old[0] == film.time.now_us
        film.pass_s(1)
        new = [packet.pts_us async for packet in first(view, 5)]
        assert new[1:] == [(76 + number) * STEP_US for number in range(4)]

    run_async(watch())


async def first(packets: Any, count: int) -> Any:
    async for packet in packets:
        if packet is not None:
            yield packet
            count -= 1
        if not count:
            return
