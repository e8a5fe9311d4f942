"""Sound from camera to clip: real files, a real RTSP server, and what may be wrong with them.

All cameras of this file run at the same time, since each needs its seconds.
"""

import subprocess
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from device.camera.capture import open_camera
from device.camera.capture_process import ChildCamera
from device.config import CameraConfig
from device.errors import CameraError
from device.events import LumaFrame, Packet, SoundPacket
from device.media.masks import Masks
from device.store.recording import Recording
from device.store.ring import RingBuffer
from device.system.clock import SystemClock
from server.dev_processes import PATIENCE_S, Process, free_port, wait_for
from tests.support.videos import flashes_and_beeps, make_flashing

CLOCK = SystemClock()
SERVER = Path(__file__).parents[1] / "support/rtsp_server.py"
SECONDS = 3.5
IN_SYNC_S = 0.1
PICTURES = 25

pytestmark = pytest.mark.rtsp

FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "aac": ("aac.mp4", "aac", {}),
    "aac in a child": ("aac.mp4", "aac", {}),
    "aac with ADTS headers": ("adts.ts", "aac", {"rate_hz": 44_100}),
    "opus": ("opus.mkv", "libopus", {}),
    "G.711": ("alaw.mov", "pcm_alaw", {"rate_hz": 8000}),
    "mp2": ("mp2.ts", "mp2", {"rate_hz": 44_100}),
    "aac beside H.265": ("h265.mp4", "aac", {"codec": "libx265"}),
    "G.711 beside MJPEG": ("mulaw.avi", "pcm_mulaw", {"rate_hz": 8000, "codec": "mjpeg"}),
}
SERVED = {
    "rtsp aac": ("aac.mp4", "aac"),
    "rtsp opus": ("opus.mp4", "opus"),
    "rtsp G.711": ("alaw.mov", "alaw"),
}
ALL = [*FILES, *SERVED]


@dataclass
class Heard:
    """A CameraSink that keeps everything in order, and how its camera ended."""

    came: list[Packet | SoundPacket] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: Exception | None = None

    def packet(self, packet: Packet) -> None:
        self.came.append(packet)

    def sound(self, packet: SoundPacket) -> None:
        self.came.append(packet)

    def luma(self, frame: LumaFrame) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def pictures(self) -> list[Packet]:
        return [packet for packet in self.came if isinstance(packet, Packet)]

    def sounds(self) -> list[SoundPacket]:
        return [packet for packet in self.came if isinstance(packet, SoundPacket)]

    def clips(self, folder: Path) -> list[Path]:
        """Record all of it, as the storage worker does: from the first keyframe that has sound all around it."""
        ring = RingBuffer(keep_us=60_000_000, limit_bytes=100_000_000)
        for packet in self.came:
            ring.writer().append(packet)
        folder.mkdir(exist_ok=True)
        from_us = self.pictures()[0].pts_us + 1_000_000
        recording = Recording(
            event_id="01KA" + "0" * 22, cause="press", from_us=from_us, ring=ring, folder=folder,
            stamp=lambda mono_us: (mono_us, "synchronised"),
        )  # fmt: skip
        finished, _ = recording.take(CLOCK.mono_us())
        return [clip.path for clip in finished + recording.finish()]


def damaged(path: Path, source: Path) -> Path:
    """Spoil every third packet of sound, its header too."""
    with av.open(str(source)) as file:
        spoilt = [bytes(p) for number, p in enumerate(file.demux(file.streams.audio[0])) if number % 3 == 2]
    whole = source.read_bytes()
    for data in spoilt:
        if len(data) > 8:
            whole = whole.replace(data, bytes(byte ^ 0x5A for byte in data[:8]) + data[8:], 1)
    path.write_bytes(whole)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    for name, sound, more in {files[0]: files for files in FILES.values()}.values():
        make_flashing(folder / name, sound=sound, **more)
    make_flashing(folder / "opus.mp4", sound="libopus")
    damaged(folder / "damaged.mkv", make_flashing(folder / "flac.mkv", sound="flac"))
    second = make_flashing(folder / "second.ts", sound="aac", seconds=1.6)
    first = make_flashing(folder / "first.ts", sound="aac", rate_hz=32_000, seconds=1.6)
    (folder / "changes.ts").write_bytes(first.read_bytes() + second.read_bytes())
    return folder


@pytest.fixture(scope="module")
def heard(videos: Path) -> dict[str, Heard]:
    """Run every camera for some seconds, all at once; `dies` and `ends` end by themselves."""
    servers: list[Process] = []

    def serve(name: str, sound: str, *more: str) -> str:
        command = ["/usr/bin/python3", SERVER, videos / name, "--audio", sound, "--port", str(free_port())]
        servers.append(Process([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        assert servers[-1].stdout
        return servers[-1].stdout.readline().decode().strip()

    urls = {kind: str(videos / name) for kind, (name, _, _) in FILES.items()}
    urls |= {kind: serve(*served) for kind, served in SERVED.items()}
    urls["off"], urls["off, rtsp"] = urls["aac"], serve(*SERVED["rtsp aac"])
    urls["damaged"], urls["changes"] = str(videos / "damaged.mkv"), str(videos / "changes.ts")
    urls["dies"] = serve("aac.mp4", "aac", "--pictures", str(PICTURES))
    stop = threading.Event()
    sinks = {kind: Heard() for kind in urls}

    def run(kind: str) -> None:
        audio, loop = not kind.startswith("off"), kind != "changes"
        table = {"url": urls[kind], "audio": audio, "timeout_s": 2, "loop": loop}
        config = CameraConfig.model_validate({"kind": "stream", "stream": table})
        in_child = kind.endswith("in a child")
        camera = (
            ChildCamera(config, clock=CLOCK) if in_child else open_camera(config, clock=CLOCK, masks=Masks())
        )
        while not stop.is_set() and sinks[kind].error is None:
            try:
                camera.run(sinks[kind], stop, lambda: None)
            except CameraError as error:
                if sinks[kind].came:
                    sinks[kind].error = error
                stop.wait(0.5)  # a busy server's first answer may be none: again, as `capture` does

    threads = [threading.Thread(target=run, args=(kind,)) for kind in urls]
    for thread in threads:
        thread.start()

    def enough(kind: str) -> bool:
        seen = sinks[kind].pictures()
        if kind in {"dies", "changes"}:
            return sinks[kind].error is not None
        span_us = seen[-1].pts_us - seen[0].pts_us if seen else 0
        return sinks[kind].error is not None or span_us > SECONDS * 1e6

    try:
        for kind in urls:
            wait_for(f"the camera {kind}", lambda kind=kind: enough(kind))  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        for server in servers:
            server.end()
    return sinks


@pytest.mark.parametrize("kind", ALL)
def test_a_clip_has_its_sound_at_the_time_of_its_pictures(
    kind: str, heard: dict[str, Heard], tmp_path: Path
) -> None:
    assert heard[kind].error is None
    (clip,) = heard[kind].clips(tmp_path / "clips")
    with av.open(str(clip)) as file:
        assert [stream.type for stream in file.streams] == ["video", "audio"]
        assert file.streams.audio[0].codec_context.name == ("opus" if "opus" in kind else "aac")
        if "H.265" in kind:
            assert file.streams.video[0].codec_context.codec_tag == "hvc1"
        assert file.streams.audio[0].metadata == {"language": "und", "handler_name": "SoundHandler"}
    assert b"Anna's door" not in clip.read_bytes()
    flashes, beeps = flashes_and_beeps(clip)
    flashes = [flash for flash in flashes if flash < beeps[-1] + 0.5]  # the sound's end may be on its way
    assert len(flashes) >= 2
    apart_s = [min(abs(flash - beep) for beep in beeps) for flash in flashes]
    assert max(apart_s) < IN_SYNC_S, (flashes, beeps)


@pytest.mark.parametrize("kind", [kind for kind in ALL if "aac" in kind or "opus" in kind])
def test_aac_and_opus_are_copied_bit_for_bit(
    kind: str, heard: dict[str, Heard], videos: Path, tmp_path: Path
) -> None:
    name = (FILES | SERVED)[kind][0]
    with av.open(str(videos / name)) as file:
        source = [bytes(p) for p in file.demux(file.streams.audio[0]) if p.size]
    if name == "adts.ts":
        source = [data[7:] for data in source]  # MP4 holds raw AAC
    (clip,) = heard[kind].clips(tmp_path / "clips")
    with av.open(str(clip)) as file:
        packets = [bytes(p) for p in file.demux(file.streams.audio[0]) if p.size]
    silence = heard[kind].sounds()[0].format.silence
    packets = [data for data in packets if data != silence]  # may stand where the sound began late
    assert len(packets) > 100
    assert set(packets) <= set(source)
    if kind.startswith("rtsp"):
        # In the source's order. The server drops what a busy machine does not fetch in time.
        places = {data: place for place, data in enumerate(source) if source.count(data) == 1}
        found = [places[data] for data in packets if data in places]
        turns = sum(after < before for before, after in pairwise(found))
    else:
        # None missing in between, either: what follows a packet there follows it here.
        follows = set(pairwise(source))
        turns = sum(step not in follows for step in pairwise(packets))
    # A busy machine records longer, and the source begins again more often.
    assert turns <= len(packets) // len(source) + 2, "only where the source begins again"


@pytest.mark.parametrize("kind", ["off", "off, rtsp"])
def test_there_is_no_sound_unless_the_owner_enables_it(
    kind: str, heard: dict[str, Heard], tmp_path: Path
) -> None:
    assert heard[kind].error is None
    assert heard[kind].sounds() == []
    (clip,) = heard[kind].clips(tmp_path / "clips")
    with av.open(str(clip)) as file:
        assert [stream.type for stream in file.streams] == ["video"]


def test_the_handling_of_sound_and_its_cost_are_logged(heard: dict[str, Heard]) -> None:
    assert "sound is on: aac is recorded as it comes" in heard["aac"].notes
    assert "sound is on: pcm_alaw is decoded, and recorded as AAC" in heard["rtsp G.711"].notes
    costs = [note for note in heard["mp2"].notes if "is decoded and encoded as AAC:" in note]
    assert len(costs) == 1


def test_a_camera_with_sound_but_no_picture_is_down(heard: dict[str, Heard]) -> None:
    assert "sound comes, but no picture" in str(heard["dies"].error)
    pictures, sounds = heard["dies"].pictures(), heard["dies"].sounds()
    # The server's last pictures may wait in FFmpeg for their successor.
    assert PICTURES - 5 <= len(pictures) <= PICTURES
    assert sounds[-1].pts_us - pictures[-1].pts_us > 1_000_000, "there was sound all the while"


def test_damaged_sound_costs_sound_and_no_picture(heard: dict[str, Heard], tmp_path: Path) -> None:
    assert heard["damaged"].error is None
    (clip,) = heard["damaged"].clips(tmp_path / "clips")
    times_us = [picture.dts_us for picture in heard["damaged"].pictures()]
    assert max(after - before for before, after in pairwise(times_us)) < 200_000
    flashes, _ = flashes_and_beeps(clip)
    assert len(flashes) >= 2
    with av.open(str(clip)) as file:
        assert sum(1 for _ in file.demux(file.streams.audio[0])) > 20


def test_other_sound_in_mid_stream_begins_another_clip(heard: dict[str, Heard], tmp_path: Path) -> None:
    rates = list(dict.fromkeys(p.format.sound.rate_hz for p in heard["changes"].pictures() if p.format.sound))
    assert rates == [32_000, 48_000]
    clips = heard["changes"].clips(tmp_path / "clips")
    assert len(clips) == 2
    for clip, rate_hz in zip(clips, rates, strict=True):
        with av.open(str(clip)) as file:
            assert file.streams.audio[0].codec_context.sample_rate == rate_hz
        flashes_and_beeps(clip)
