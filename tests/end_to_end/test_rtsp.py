"""RTSP as recorders and dashboards use it: real clients on loopback, the camera's own packets, the owner's limits."""

import hashlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from device.consent.reader_tokens import rtsp_ha1
from server.dev_processes import PATIENCE_S, wait_for
from tests.support.gstreamer import frames_of
from tests.support.rtsp_doorbell import RtspDoorbell, rtsp_doorbell
from tests.support.videos import make_flashing

SCENE = {
    "kind": "scene",
    "scene": {"width_px": 640, "height_px": 360, "visitors": False, "light": "day", "keyframe_every_s": 1.0},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspDoorbell]:
    door = rtsp_doorbell(tmp_path_factory.mktemp("rtsp"), SCENE)
    door.start()
    yield door
    door.stop()


@pytest.fixture
def door(shared: RtspDoorbell) -> Iterator[RtspDoorbell]:
    """The shared doorbell, without readers and privacy."""
    yield shared
    shared.ask("PUT", "/switches/privacy", {"value": "OFF"})
    for reader in shared.ask("GET", "/readers"):
        shared.ask("DELETE", f"/readers/{reader['name']}")
    wait_for("pictures", lambda: shared.status()["camera"]["state"] == "live")


def opened(url: str, transport: str = "tcp", **options: str) -> Any:
    """Open a stream as Home Assistant's stream component does."""

    def tried() -> Any:
        with suppress(av.error.FFmpegError, OSError):
            return av.open(url, options={"rtsp_transport": transport, **options}, timeout=PATIENCE_S)
        return None

    return wait_for("the stream", tried)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class RawClient:
    """RTSP by hand, interleaved over one connection."""

    def __init__(self, door: RtspDoorbell, token: str) -> None:
        self.url = f"rtsp://127.0.0.1:{door.port}/live"
        self._ha1 = rtsp_ha1("frigate", token)
        self.socket = socket.create_connection(("127.0.0.1", door.port), timeout=PATIENCE_S)
        self._file = self.socket.makefile("rb")
        self._nonce = ""
        self._number = 0

    def ask(self, method: str, url: str = "", **headers: str) -> tuple[int, dict[str, str]]:
        url, self._number = url or self.url, self._number + 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}"]
        if self._nonce:
            ha2 = md5(f"{method}:{url}")
            right = md5(f"{self._ha1}:{self._nonce}:{ha2}")
            given = f'username="frigate", realm="doorbelld", nonce="{self._nonce}", uri="{url}", response="{right}"'
            lines.append(f"Authorization: Digest {given}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status = int(self._file.readline().split()[1])
        found = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(": ")
            found[name.lower()] = value
        self._file.read(int(found.get("content-length", 0)))
        if status == 401 and not self._nonce:
            self._nonce = found["www-authenticate"].partition('nonce="')[2].partition('"')[0]
            return self.ask(method, url, **headers)
        return status, found

    def play(self) -> None:
        assert self.ask("DESCRIBE")[0] == 200
        transport = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
        assert self.ask("SETUP", f"{self.url}/trackID=0", **transport)[0] == 200
        assert self.ask("PLAY")[0] == 200

    def take_all(self) -> int:
        """Receive until an orderly end; return the bytes. Raises ConnectionResetError."""
        taken = 0
        while data := self.socket.recv(65_536):
            taken += len(data)
        return taken

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_recorder_reads_the_camera_s_own_packets(door: RtspDoorbell, transport: str) -> None:
    with opened(door.url(door.token()), transport) as stream:
        video = stream.streams.video[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", 640, 360)
        frames = [next(stream.decode(video=0)) for _ in range(20)]
    # FFmpeg gives the first picture of an RTSP stream no time, whatever the server.
    assert all(later.pts > earlier.pts for earlier, later in pairwise(frames[1:]))
    assert np.asarray(frames[-1].to_ndarray(format="gray")).std() > 5
    assert not any(frame.is_corrupt for frame in frames)


def test_home_assistant_copies_the_packets_into_its_own_file(door: RtspDoorbell, tmp_path: Path) -> None:
    # As its stream component: from the first keyframe on, into fragments that a browser plays.
    target = tmp_path / "stream.mp4"
    with opened(door.url(door.token())) as stream:
        record(stream, target, seconds=2)
    with av.open(str(target)) as played:
        assert sum(1 for _ in played.decode(video=0)) >= 25


@pytest.mark.rtsp
def test_gstreamer_reads_it(door: RtspDoorbell) -> None:
    assert frames_of(door.url(door_token(door)), 15) == 15


def test_nothing_listens_before_there_is_a_reader_or_after_the_last_is_revoked(door: RtspDoorbell) -> None:
    assert not door.listens()
    door.token()
    wait_for("the port", door.listens)
    door.ask("DELETE", "/readers/frigate")
    wait_for("its end", lambda: not door.listens())
    door.token("dashboard", "snapshot", "live")
    assert not door.rtsp_process()


def test_a_wrong_token_another_scope_and_another_path_are_refused(door: RtspDoorbell) -> None:
    right = door.token()
    live = door.token("tablet", "live")
    wait_for("the port", door.listens)
    for url in (door.url("x" * 43), door.url(live, "tablet"), door.url(right, "nobody")):
        with pytest.raises(av.error.HTTPUnauthorizedError):
            av.open(url, options={"rtsp_transport": "tcp"}, timeout=PATIENCE_S)
    client = RawClient(door, right)
    assert client.ask("DESCRIBE", client.url + "/other")[0] == 404
    assert client.ask("ANNOUNCE")[0] == 405
    assert client.ask("PLAY")[0] == 455
    multicast = {"Transport": "RTP/AVP;multicast;client_port=5000-5001"}
    assert client.ask("DESCRIBE")[0] == 200
    assert client.ask("SETUP", f"{client.url}/trackID=0", **multicast)[0] == 461
    assert client.ask("SETUP", f"{client.url}/trackID=1", **multicast)[0] == 404  # nobody allowed the sound
    client.close()


def test_what_is_not_rtsp_is_disconnected_and_the_others_go_on(door: RtspDoorbell) -> None:
    client = RawClient(door, door_token(door))
    client.play()
    for nonsense in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"x" * 20_000,
        b"\x00\xff\r\n\r\n",
        b"PLAY a RTSP/1.0\r\nno colon\r\n\r\n",
    ):
        with (
            socket.create_connection(("127.0.0.1", door.port), timeout=PATIENCE_S) as other,
            suppress(OSError),
        ):
            other.sendall(nonsense)
            assert other.recv(100) == b""
    assert client.socket.recv(100)
    client.close()


def door_token(door: RtspDoorbell) -> str:
    token = door.token()
    wait_for("the port", door.listens)
    return token


def test_revoking_a_reader_resets_its_streams_and_leaves_the_others(door: RtspDoorbell) -> None:
    client = RawClient(door, door_token(door))
    client.play()
    kept = opened(door.url(door.token("nvr", "rtsp"), "nvr"))
    frames = kept.decode(video=0)
    next(frames)
    door.ask("DELETE", "/readers/frigate")
    with pytest.raises(ConnectionResetError):
        client.take_all()
    for _ in range(20):
        next(frames)
    kept.close()
    rows = {reader["name"]: reader for reader in door.ask("GET", "/readers")}
    assert rows["nvr"]["peers"] == ["127.0.0.1"]


def test_privacy_resets_every_stream_and_nothing_from_before_it_comes_after(door: RtspDoorbell) -> None:
    token = door_token(door)
    slow, client = RawClient(door, token), RawClient(door, token)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for one in (slow, client):
        one.play()
    door.ask("PUT", "/switches/privacy", {"value": "ON"})
    for one in (client, slow):
        with pytest.raises(ConnectionResetError):
            one.take_all()
        one.close()
    wait_for("the end", lambda: not door.listens())
    door.ask("PUT", "/switches/privacy", {"value": "OFF"})
    with opened(door.url(token)) as stream:
        assert next(stream.decode(video=0)).width == 640


def test_the_bell_rings_whatever_becomes_of_the_process(door: RtspDoorbell) -> None:
    client = RawClient(door, door_token(door))
    client.play()
    first = wait_for("the process", door.rtsp_process)
    os.kill(first, signal.SIGSTOP)
    assert door.ring()["event_id"]
    os.kill(first, signal.SIGKILL)
    assert door.ring()["event_id"]
    wait_for("another one", lambda: door.rtsp_process() not in (0, first))
    client.close()


def test_masks_are_in_the_stream(tmp_path: Path) -> None:
    corner = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]
    door = rtsp_doorbell(tmp_path / "d", SCENE, masks=[{"name": "neighbour", "points": corner}])
    door.start()
    try:
        with opened(door.url(door.token())) as stream:
            frame = next(stream.decode(video=0)).to_ndarray(format="gray")
    finally:
        door.stop()
    height, width = frame.shape
    hidden = frame[10 : height // 2 - 10, 10 : width // 2 - 10]
    shown = frame[height // 2 + 10 :, width // 2 + 10 :]
    assert hidden.std() < 3 < shown.std()


def test_a_taken_port_is_a_fault_and_nothing_else(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen(1)
        door = RtspDoorbell(tmp_path / "d", None, SCENE, rtsp={"port": other.getsockname()[1]})
        door.start()
        try:
            door.token()
            wait_for(
                "the fault", lambda: "rtsp_failed" in [fault["code"] for fault in door.status()["faults"]]
            )
            assert door.ring()["event_id"]
        finally:
            door.stop()


@pytest.mark.parametrize(("codec", "sound"), [("libx264", "aac"), ("libx265", "opus")])
def test_sound_goes_only_to_whom_the_owner_allowed_it_and_fits_the_pictures(
    tmp_path: Path, codec: str, sound: str
) -> None:
    video = make_flashing(tmp_path / "door.mp4", sound=sound, seconds=12, codec=codec)
    camera = {"kind": "stream", "stream": {"url": str(video), "audio": True}}
    door = rtsp_doorbell(tmp_path / "d", camera)
    door.start()
    try:
        with opened(door.url(door.token("silent", "rtsp"), "silent")) as stream:
            assert not stream.streams.audio
        with opened(door.url(door.token("hears", "rtsp", "sound"), "hears")) as stream:
            flashes, beeps = flashes_and_beeps_of(stream, seconds=4)
    finally:
        door.stop()
    inner = [flash for flash in flashes if 0.5 < flash < 3.5]
    assert len(inner) >= 2
    assert max(min(abs(flash - beep) for beep in beeps) for flash in inner) < 0.1


def flashes_and_beeps_of(stream: Any, *, seconds: float) -> tuple[list[float], list[float]]:
    """Decode a live stream for a while; return when a flash and when a beep begins, in its seconds."""
    flashes: list[float] = []
    beeps: list[float] = []
    loud_s = -1.0
    for frame in stream.decode():
        if frame.time is None:
            continue
        if frame.time > seconds:
            break
        if isinstance(frame, av.VideoFrame):
            if frame.to_ndarray(format="gray").mean() > 128:
                flashes.append(frame.time)
            continue
        loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
        for at in loud[:1]:
            begin_s = frame.time + int(at) / frame.sample_rate
            if begin_s - loud_s > 0.3:
                beeps.append(begin_s)
        if len(loud):
            loud_s = frame.time + int(loud[-1]) / frame.sample_rate
    return flashes, beeps


def record(stream: Any, target: Path, *, seconds: float) -> None:
    """Copy a stream's packets into a file."""
    with av.open(str(target), "w", format="mp4") as copy:
        tracks = {track.index: copy.add_stream_from_template(track) for track in stream.streams}
        first: dict[int, float] = {}
        started = False
        for packet in stream.demux():
            if packet.dts is None:
                continue
            started = started or (packet.stream.type == "video" and packet.is_keyframe)
            if not started:
                continue
            at_s = float(packet.dts * packet.time_base)
            if at_s - first.setdefault(packet.stream_index, at_s) > seconds:
                break
            packet.stream = tracks[packet.stream_index]
            copy.mux(packet)
