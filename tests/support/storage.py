"""The real store with time handed in: a clock that is moved, and a storage worker that nobody waits for."""

import json
import queue
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from device.config import StorageConfig
from device.events import ClipKept, ClockFlag, Fact, Packet, VideoFormat
from device.media.encoder import SoftwareEncoder
from device.media.masks import Masks
from device.policy.episode import CloseClip, OpenClip, RaiseCause
from device.policy.settings import Settings
from device.store.event_log import EventLogReader
from device.store.layout import SETTINGS_FILE, Layout
from device.store.messages import (
    DeleteClip,
    MarkSent,
    NewFact,
    SettlePress,
    StarClip,
    StorageMessage,
    WriteFile,
)
from device.store.ring import RingBuffer
from device.store.storage_worker import StorageWorker
from device.system.clock import Clock
from device.system.ulid import new_ulid

FPS, WIDTH_PX, HEIGHT_PX, KEYFRAME_EVERY = 10, 96, 64, 10
STEP_US = 500_000
LIMIT_BYTES = 150_000
LOG_ROWS = 20
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
WALL_US = 1_764_000_000_000_000
"""Unix time of the clock's zero."""


class Time:
    """A clock that is moved."""

    def __init__(self, mono_us: int = 100_000_000) -> None:
        self.now_us = mono_us

    def mono_us(self) -> int:
        """Return the time it was moved to."""
        return self.now_us

    def wall_us(self) -> int:
        """Return it as Unix microseconds."""
        return WALL_US + self.now_us

    def flag(self) -> ClockFlag:
        """Not trusted, so that age deletes nothing."""
        return "unsynchronised"


def storage_worker(
    state: Path, time: Clock, orders: "queue.SimpleQueue[StorageMessage]", *, inbox: Any,
    ring: RingBuffer | None = None, limit_bytes: int = 1 << 50, reserve_bytes: int = 0, log_rows: int = 100_000,
) -> StorageWorker:  # fmt: skip
    """Return a storage worker of `state`, not opened yet."""
    return StorageWorker(
        layout=Layout(state),
        ring=ring or RingBuffer(keep_us=1_000_000, limit_bytes=1_000_000),
        inbox=inbox,
        clock=time,
        storage=StorageConfig.model_construct(
            limit_bytes=limit_bytes, longest_age_days=3650, reserve_bytes=reserve_bytes, log_rows=log_rows
        ),
        messages=orders,
        log_grew=lambda: None,
    )


def pictures() -> list[Packet]:
    """Encode four seconds of coloured noise, to be played round and round."""
    dice = np.random.default_rng(4)
    form = VideoFormat(codec="h264", width_px=WIDTH_PX, height_px=HEIGHT_PX, epoch=1)
    encoder = SoftwareEncoder(
        form, fps=FPS, bitrate_kbps=60, keyframe_every_s=KEYFRAME_EVERY / FPS, masks=Masks()
    )
    packets: list[Packet] = []
    for number in range(4 * KEYFRAME_EVERY):
        picture = np.full((HEIGHT_PX, WIDTH_PX, 3), 60, np.uint8)
        picture[:, number % 60 : number % 60 + 20] = dice.integers(0, 255, (HEIGHT_PX, 20, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        packets += encoder.encode(frame, number * 1_000_000 // FPS)
    return packets


class StorageRun:
    """One run of the storage worker, between a start and a stop or a kill."""

    def __init__(
        self,
        state_dir: Path,
        mark: Callable[..., None],
        time: Time,
        event: int,
        *,
        limit_bytes: int = LIMIT_BYTES,
        reserve_bytes: int = 0,
    ) -> None:
        self.time = time
        self._mark = mark
        self._pictures = pictures()
        self._next = 0
        self._event = event
        self._ring = RingBuffer(keep_us=3_000_000, limit_bytes=2_000_000)
        self._orders: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
        self.clips: list[str] = []
        self.storage_worker = storage_worker(
            state_dir, time, self._orders, inbox=self._hear, ring=self._ring,
            limit_bytes=limit_bytes, reserve_bytes=reserve_bytes, log_rows=LOG_ROWS,
        )  # fmt: skip
        if not self.storage_worker.open(lambda: None):
            raise SystemExit("workload: the store cannot be opened")
        reader = EventLogReader(Layout(state_dir).event_log)
        last = reader.latest(1)
        reader.close()
        self._fact = last[0].seq if last else 0

    def _hear(self, fact: Fact) -> None:
        if isinstance(fact, ClipKept):
            self.clips.append(fact.clip_id)
            self._mark(kept=[fact.clip_id, fact.sha256])

    def order(self, *orders: StorageMessage) -> None:
        """Leave orders for the next turn."""
        for order in orders:
            self._orders.put(order)

    def pass_s(self, seconds: float) -> None:
        """Let time pass: pictures come, the storage worker takes its turns."""
        until_us = self.time.now_us + int(seconds * 1e6)
        while self.time.now_us < until_us:
            self.time.now_us += STEP_US
            while (at_us := self._next * 1_000_000 // FPS) <= self.time.now_us:
                picture = self._pictures[self._next % len(self._pictures)]
                self._ring.writer().append(replace(picture, pts_us=at_us, dts_us=at_us))
                self._next += 1
            self.storage_worker.step(wait_s=0)

    def skip_to_now(self) -> None:
        """Begin the pictures at the present moment, with a keyframe."""
        self._next = self.time.now_us * FPS // 1_000_000 // len(self._pictures) * len(self._pictures)

    def event_id(self) -> str:
        """Return the next event's id, of the shape that clip_name.py reads."""
        self._event += 1
        return "01KA" + "0" * 18 + "".join(LETTERS[self._event >> shift & 31] for shift in (15, 10, 5, 0))

    def fact(self, *, press_id: int | None = None) -> NewFact:
        """Return a fact that carries the number which the log has to give it."""
        self._fact += 1
        return NewFact(
            kind="press", mono_us=self.time.now_us, wall_us=self.time.wall_us(), clock="unsynchronised",
            late=None if press_id else True, press_id=press_id, fields={"n": self._fact},
        )  # fmt: skip

    def visit(self, seconds: float, *, raised: bool = False) -> None:
        """One episode: motion, perhaps a press in the middle, its clip, its facts."""
        event_id, began_us = self.event_id(), self.time.now_us
        press_id = self._event if raised else None
        cause: Any = "motion" if raised else "press"
        self.order(OpenClip(event_id=event_id, cause=cause, from_us=began_us - 1_000_000), self.fact())
        self.pass_s(seconds / 2)
        if press_id:
            self.order(self.fact(press_id=press_id), RaiseCause(event_id=event_id, cause="press"))
            self.pass_s(STEP_US / 1e6)
            self.order(SettlePress(press_id=press_id, late=False), MarkSent(acked_seq=self._fact))
        self.pass_s(seconds / 2)
        self.order(CloseClip(event_id=event_id, until_us=self.time.now_us), self.fact())
        self.pass_s(1)

    def settle(self, number: int) -> None:
        """Change a setting; the number is kept in one of them."""
        content = json.dumps(replace(Settings(), quiet_until_us=number).as_dict()).encode()
        self.order(WriteFile(name=SETTINGS_FILE, content=content))
        self.pass_s(STEP_US / 1e6)

    def star(self, clip_id: str, *, on: bool = True) -> None:
        """Set or take a star as the owner does."""
        self.order(StarClip(clip_id=clip_id, on=on, reply=lambda _answer: None))
        self.pass_s(STEP_US / 1e6)

    def delete(self, clip_id: str) -> None:
        """Delete as the owner does."""
        self.order(DeleteClip(clip_id=clip_id, reply=lambda _answer: None))
        self.pass_s(STEP_US / 1e6)


def press_at(wall_us: int) -> NewFact:
    """Return the log's row of a ring at a time (Unix microseconds)."""
    return NewFact(
        kind="press", mono_us=0, wall_us=wall_us, clock="synchronised", late=False,
        event_id=new_ulid(wall_us), fields={"button": "front", "press_number": 1},
    )  # fmt: skip
