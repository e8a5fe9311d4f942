"""Streams whose times and parameters are not as they should be, through real files (FAULTS F6).

A camera that is absent, cut off or frozen (F3 to F5) is in tests/end_to_end/test_world.py and
tests/camera/test_cameras.py.
"""

import queue
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from device.camera.factory import open_here
from device.config import CameraConfig, StorageConfig
from device.errors import CameraError
from device.events import ClipKept, Fact, LumaFrame, SoundPacket
from device.media.masks import Masks
from device.policy.episode import CloseClip, OpenClip
from device.store.layout import Layout
from device.store.messages import StorageMessage
from device.store.ring import RingBuffer
from device.store.storage_worker import StorageWorker
from device.system.clock import SystemClock

CLOCK = SystemClock()
FPS, GOP = 15, 15
TICKS = 90_000 // FPS
WRAP = 1 << 33


def encoded(side_px: int = 180, seconds: float = 3) -> list[Any]:
    """Return pictures of H.264 in Annex B, with parameter sets in front of each keyframe."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = side_px * 2, side_px, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size = Fraction(1, FPS), Fraction(FPS), GOP
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "sc_threshold": "0"}
    packets: list[Any] = []
    for number in range(int(seconds * FPS)):
        frame = av.VideoFrame(side_px * 2, side_px, "yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    return [*packets, *encoder.encode()]


def mpeg_ts(path: Path, packets: list[Any], ticks: Callable[[int], int]) -> Path:
    """Write MPEG-TS; `ticks` gives the time of each picture in 1/90000 s (33 bits of it are kept)."""
    options = {"mpegts_copyts": "1"}
    with av.open(str(path), "w", format="mpegts", options=options) as file:
        video: Any = file.add_mux_stream("h264", width=360, height=180, time_base=Fraction(1, 90_000))
        for number, packet in enumerate(packets):
            copy = av.Packet(bytes(packet))
            copy.stream, copy.time_base = video, Fraction(1, 90_000)
            copy.pts = copy.dts = ticks(number)
            copy.is_keyframe = packet.is_keyframe
            file.mux_one(copy)
    return path


def raw(path: Path, packets: list[Any]) -> Path:
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


def two_parts(path: Path, first: Callable[[int], int], second: Callable[[int], int]) -> Path:
    """Write one file whose time jumps in the middle, as two files behind each other do."""
    packets, halves = encoded(), []
    for name, part, ticks in (("a", packets[: 2 * GOP], first), ("b", packets[2 * GOP :], second)):
        halves.append(mpeg_ts(path.with_name(f"{name}.ts"), part, ticks).read_bytes())
    path.write_bytes(b"".join(halves))
    return path


SOURCES: dict[str, Callable[[Path], Path]] = {
    "no times": lambda folder: raw(folder / "v.h264", encoded()),
    "other sizes": lambda folder: raw(folder / "v.h264", encoded(seconds=2) + encoded(240, seconds=1)),
    "no keyframe first": lambda folder: raw(folder / "v.h264", encoded()[GOP // 2 :]),
    "no keyframe first, with times": lambda folder: mpeg_ts(
        folder / "v.ts", encoded()[GOP // 2 :], lambda n: 9000 + n * TICKS
    ),
    "a wrap of 33 bits": lambda folder: mpeg_ts(
        folder / "v.ts", encoded(), lambda n: WRAP - 2 * 90_000 + n * TICKS
    ),
    "a jump forward": lambda folder: two_parts(
        folder / "v.ts", lambda n: 9000 + n * TICKS, lambda n: 9000 + 3600 * 90_000 + n * TICKS
    ),
    "a jump back": lambda folder: two_parts(
        folder / "v.ts", lambda n: 9000 + 3600 * 90_000 + n * TICKS, lambda n: 9000 + n * TICKS
    ),
}


class Sink:
    """Packets into a ring, as in the doorbell; motion looks elsewhere."""

    def __init__(self, ring: RingBuffer) -> None:
        self.packet = ring.writer().append

    def sound(self, packet: SoundPacket) -> None: ...
    def luma(self, frame: LumaFrame) -> None: ...
    def note(self, text: str) -> None: ...


def recorded(url: Path, state: Path) -> list[Path]:
    """Play a file once through the camera and the storage worker; return the clips, in order."""
    table = {"kind": "stream", "stream": {"url": str(url), "loop": False, "timeout_s": 2, "fps": FPS}}
    camera = open_here(CameraConfig.model_validate(table), clock=CLOCK, masks=Masks(), press=None)
    facts: list[Fact] = []
    orders: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
    ring = RingBuffer(keep_us=60_000_000, limit_bytes=16_000_000)
    storage_worker = StorageWorker(
        layout=Layout(state), ring=ring, inbox=facts.append, clock=CLOCK, storage=StorageConfig(),
        messages=orders, log_grew=lambda: None,
    )  # fmt: skip
    assert storage_worker.open(lambda: None)
    event_id = "01KA0000000000000000000001"
    orders.put(OpenClip(event_id=event_id, cause="press", from_us=CLOCK.mono_us()))
    ended: list[str] = []

    def play() -> None:
        try:
            camera.run(Sink(ring), threading.Event(), lambda: None)
        except CameraError as error:
            ended.append(str(error))

    playing = threading.Thread(target=play, daemon=True)
    playing.start()
    until_s = time.monotonic() + 30
    while playing.is_alive() and time.monotonic() < until_s:
        storage_worker.step(wait_s=0.1)
    orders.put(CloseClip(event_id=event_id, until_us=CLOCK.mono_us() + 10_000_000))
    storage_worker.step(wait_s=0.1)
    storage_worker.close()
    assert ended, "the file came to its end"
    assert "the stream ended" in ended[0]
    clips = sorted((state / "clips").iterdir())
    assert len(clips) == sum(isinstance(fact, ClipKept) for fact in facts)
    return clips


@pytest.mark.parametrize("source", SOURCES)
def test_a_clip_of_any_stream_decodes_from_its_first_frame_without_an_error(
    source: str, tmp_path: Path
) -> None:
    clips = recorded(SOURCES[source](tmp_path), tmp_path / "state")
    frames = 0
    for clip in clips:
        with av.open(str(clip)) as file:
            video = file.streams.video[0]
            packets = [packet for packet in file.demux(video) if packet.size]
            assert packets[0].is_keyframe
            times = [packet.dts for packet in packets if packet.dts is not None]
            assert times == sorted(set(times)), "decoding times grow"
            assert (times[-1] - times[0]) * float(video.time_base or 0) < 6, "no hour between two pictures"
        with av.open(str(clip)) as file:
            context: Any = file.streams.video[0].codec_context
            context.options = {"err_detect": "explode"}
            pictures = list(file.decode(video=0))
        assert len(pictures) == len(packets)
        assert len({(picture.width, picture.height) for picture in pictures}) == 1
        frames += len(pictures)
    wanted = 3 * FPS - (GOP if source.startswith("no keyframe") else 0)
    assert frames >= wanted - 3
    if source == "other sizes":
        assert len(clips) == 2
