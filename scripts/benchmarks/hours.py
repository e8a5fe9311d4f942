"""The real store with time as a parameter: 1080p15 at 4 Mbit/s, one clip after another, as on a busy day.

    python -m scripts.benchmarks.hours STATE CLIPS CLIP_S

Prints a line of JSON for each clip. Bytes, fragments and syncs are those of real time, without the waiting.
"""

import json
import logging
import queue
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import av

from device.camera.simulated.porch import Porch
from device.events import ClipKept, Fact, Packet, VideoFormat
from device.media.encoder import SoftwareEncoder
from device.media.masks import Masks
from device.policy.episode import CloseClip, OpenClip
from device.store.messages import NewFact, StorageMessage
from device.store.ring import RingBuffer
from device.store.storage_worker import CLOSING_STEP_S, STEP_S
from tests.support.storage import Time, storage_worker

FPS, WIDTH_PX, KBPS, KEYFRAME_S = 15, 1920, 4000, 2
DRAWN_S = 4
PRE_ROLL_US = 5_000_000


def packets(width_px: int = WIDTH_PX) -> Iterator[Packet]:
    """Yield packets of the porch without end: some seconds, encoded once, with new timestamps in each round."""
    form = VideoFormat(codec="h264", width_px=width_px, height_px=width_px * 9 // 16, epoch=1)
    encoder = SoftwareEncoder(form, fps=FPS, bitrate_kbps=KBPS, keyframe_every_s=KEYFRAME_S, masks=Masks())
    porch = Porch(width_px=width_px, height_px=form.height_px, light="day", visit_every_s=16, first_visit_s=1)
    drawn: list[Packet] = []
    for number in range(DRAWN_S * FPS):
        frame = av.VideoFrame.from_ndarray(porch.draw(number / FPS), format="bgr24").reformat(
            format="yuv420p"
        )
        drawn += encoder.encode(frame, number * 1_000_000 // FPS)
    start_us = Time().now_us
    for number in count():
        us = start_us + number * 1_000_000 // FPS
        yield replace(drawn[number % len(drawn)], pts_us=us, dts_us=us)


def record(state: Path, clips: int, clip_s: int) -> Iterator[ClipKept]:
    """Make so many clips; between two of them half a minute passes."""
    time, orders, facts = Time(), queue.SimpleQueue[StorageMessage](), list[Fact]()
    ring = RingBuffer(keep_us=PRE_ROLL_US + 1_000_000, limit_bytes=24_000_000)
    store = storage_worker(state, time, orders, inbox=facts.append, ring=ring)
    if not store.open(lambda: None):
        raise SystemExit(f"bench: the store cannot be opened: {facts}")
    source = packets()
    packet = next(source)

    def pass_s(seconds: float, turn_s: float) -> None:
        nonlocal packet
        until_us = time.now_us + int(seconds * 1e6)
        while time.now_us < until_us:
            time.now_us += int(turn_s * 1e6)
            while packet.pts_us <= time.now_us:
                ring.writer().append(packet)
                packet = next(source)
            store.step(wait_s=0)

    for number in range(clips):
        pass_s(30, STEP_S)
        event_id = f"01KA{number:022d}"
        orders.put(OpenClip(event_id=event_id, cause="press", from_us=time.now_us - PRE_ROLL_US))
        orders.put(
            NewFact(
                kind="press",
                mono_us=time.now_us,
                wall_us=time.wall_us(),
                clock="unsynchronised",
                late=False,
                event_id=event_id,
            )
        )
        pass_s(clip_s - PRE_ROLL_US / 1e6, STEP_S)
        orders.put(CloseClip(event_id=event_id, until_us=time.now_us))
        pass_s(1, CLOSING_STEP_S)
        yield from (fact for fact in facts if isinstance(fact, ClipKept))
        facts.clear()
    store.close()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    for clip in record(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])):
        print(json.dumps({"bytes": clip.size_bytes, "seconds": clip.duration_us / 1e6}), flush=True)
