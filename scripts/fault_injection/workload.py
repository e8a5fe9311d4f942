"""The real store, worked hard for some simulated minutes: clips, stars, deletions, log, settings, kills.

    python -m scripts.fault_injection.workload STATE MARKS LIFE [PLANT]

Lives one of its lives; process_runs.py lives them all. Writes what the store has promised to MARKS (promises.py).
Time is handed in, so nothing waits. PLANT breaks one rule of docs/storage.md, to show that a cut finds it
(planted_bugs.py).
"""

import json
import os
import queue
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from device.events import ClipKept, Fact, Packet, VideoFormat
from device.media.encoder import SoftwareEncoder
from device.media.masks import Masks
from device.policy.episode import CloseClip, OpenClip, RaiseCause
from device.policy.settings import Settings
from device.store import clip_file, event_log, index, mp4, storage_worker
from device.store.clip_name import ClipName
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
from scripts.benchmarks import by_hand
from scripts.benchmarks.by_hand import Time
from scripts.fault_injection.planted_bugs import PLANTS
from scripts.fault_injection.promises import grown_sha256

FPS, WIDTH_PX, HEIGHT_PX, KEYFRAME_EVERY = 10, 96, 64, 10
STEP_US = 500_000
LIMIT_BYTES = 150_000
LOG_ROWS = 20
CHECKPOINT_PAGES = 30
"""SQLite's own 1000 would come once in this short life; the order of its writes is the same."""
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


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


class Life:
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
        self.storage_worker = by_hand.storage_worker(
            state_dir, time, self._orders, inbox=self._hear, ring=self._ring,
            limit_bytes=limit_bytes, reserve_bytes=reserve_bytes, log_rows=LOG_ROWS,
        )  # fmt: skip
        if not self.storage_worker.open(lambda: None):
            raise SystemExit("workload: the store cannot be opened")
        reader = event_log.EventLogReader(Layout(state_dir).event_log)
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
                self._ring.append(replace(picture, pts_us=at_us, dts_us=at_us))
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


def tell_promises(mark: Callable[..., None]) -> None:
    """Make the store's own steps leave marks: before a change, and behind what is promised."""

    def around(owner: Any, name: str, before: Callable[..., Any], after: Callable[..., Any]) -> None:
        step = getattr(owner, name)

        def told(*args: Any, **named: Any) -> Any:
            if marks := before(*args, **named):
                mark(**marks)
            result = step(*args, **named)
            if marks := after(*args, **named):
                mark(**marks)
            return result

        setattr(owner, name, told)

    def nothing(*_args: Any, **_named: Any) -> None:
        return None

    around(
        index.Index, "doom", lambda _, clip_id: {"may_go": clip_id}, lambda _, clip_id: {"doomed": clip_id}
    )
    around(
        index.Index, "protect",
        lambda _, clip_id, **_on: {"may_star": clip_id},
        lambda _, clip_id, on: {"starred" if on else "unstarred": clip_id},
    )  # fmt: skip
    around(clip_file.ClipFile, "sync", nothing, lambda file: _grown(file.part_path))
    around(
        event_log.EventLog, "write", nothing,
        lambda _, facts, *_rest: {"facts": facts[-1].fields["n"]} if facts else None,
    )  # fmt: skip
    around(
        storage_worker, "write_durably",
        lambda _, content, **_mode: {"may_set": json.loads(content)["quiet_until_us"]},
        lambda _, content, **_mode: {"set": json.loads(content)["quiet_until_us"]},
    )  # fmt: skip

    def checkpoints(store: Any, *_args: Any, **_named: Any) -> None:
        store._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")  # noqa: SLF001  (a tool of this store)

    around(event_log.EventLog, "__init__", nothing, checkpoints)
    around(index.Index, "__init__", nothing, checkpoints)


def _grown(part_path: Path) -> dict[str, Any] | None:
    name = ClipName.parse(part_path.name.removesuffix(".part"))
    fragments = mp4.whole_fragments(part_path)
    if name is None or not fragments:
        return None
    whole_bytes = fragments[-1][1]
    return {"grown": [name.clip_id, whole_bytes, grown_sha256(part_path.read_bytes()[:whole_bytes])]}


def killed(state_dir: Path, mark: Callable[..., None]) -> None:
    """The first life: it is killed in mid-clip."""
    life = Life(state_dir, mark, Time(100_000_000), event=0)
    life.skip_to_now()
    life.pass_s(4)
    for number in range(3):
        life.visit(5, raised=True)
        life.settle(number + 1)
    life.star(life.clips[1])
    life.delete(life.clips[0])
    for number in range(40):
        life.visit(1, raised=number % 3 == 0)
        for _ in range(2):
            life.order(life.fact())
            life.pass_s(STEP_US / 1e6)
    life.star(life.clips[1], on=False)
    life.star(life.clips[-1])
    life.settle(4)
    event_id = life.event_id()
    life.order(OpenClip(event_id=event_id, cause="motion", from_us=life.time.now_us - 1_000_000))
    life.pass_s(6)


def mended(state_dir: Path, mark: Callable[..., None]) -> None:
    """The second: it mends, and stops in order."""
    life = Life(state_dir, mark, Time(400_000_000), event=1000)
    life.skip_to_now()
    life.pass_s(2)
    life.visit(4, raised=True)
    life.settle(5)
    life.delete(life.clips[-1])
    life.visit(2)
    life.order(OpenClip(event_id=life.event_id(), cause="press", from_us=life.time.now_us))
    life.pass_s(3)
    life.storage_worker.close()


def again(state_dir: Path, mark: Callable[..., None]) -> None:
    """The third: one more."""
    life = Life(state_dir, mark, Time(500_000_000), event=2000)
    life.skip_to_now()
    life.pass_s(2)
    for _ in range(6):
        life.visit(3, raised=True)
    life.storage_worker.close()


def main() -> None:
    """Live one life, and end without cleaning up, like a killed daemon; the end closes its files."""
    state_dir, marks_path, name, *plants = sys.argv[1:]
    marks_fd = os.open(marks_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def mark(**marks: Any) -> None:
        os.write(marks_fd, json.dumps(marks).encode() + b"\n")

    for plant in plants:
        PLANTS[plant].plant()
    tell_promises(mark)
    life = {life.__name__: life for life in (killed, mended, again)}[name]
    try:
        life(Path(state_dir), mark)
    except BaseException:  # noqa: BLE001  (whatever it is, nothing may be cleaned up)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
