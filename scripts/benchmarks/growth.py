"""The time of the store's operations with 1,000, 10,000 and 100,000 clips: real rows, real (sparse) files."""

import queue
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from device.config import StorageConfig
from device.events import Packet
from device.store.clip_name import ClipName
from device.store.index import ClipRow, Index
from device.store.layout import Layout
from device.store.reconcile import delete
from device.store.recording import Recording
from device.store.retention import Quota
from device.store.ring import RingBuffer
from device.system.clock import SystemClock
from scripts.benchmarks.hours import packets
from tests.support.storage import WALL_US, storage_worker

CLIPS = (1_000, 10_000, 100_000)
DAY_US = 86_400_000_000
CLIP_BYTES = 10_000_000
TIMES = 20
OPENINGS = 3


def measure() -> dict[str, dict[str, float]]:
    """Return milliseconds, medians: step → number of clips → how long."""
    rows = {f"{clips:,}": _with(clips) for clips in CLIPS}
    return {step: {clips: rows[clips][step] for clips in rows} for step in next(iter(rows.values()))}


def _with(clips: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        layout = Layout(Path(directory))
        layout.make()
        index = Index(layout.index)
        rows = [_row(number, clips) for number in range(clips + TIMES)]
        for row in rows:
            with (layout.clips / row.file_name).open("wb") as file:
                file.truncate(row.size_bytes)
        for row in rows[:-TIMES]:
            index.add(row)
        storage: Any = StorageConfig.model_construct(
            limit_bytes=clips * CLIP_BYTES // 2, longest_age_days=3650, reserve_bytes=0, log_rows=1000
        )
        quota = Quota(storage, SystemClock(), layout.clips)
        days = iter(range(100, 100 + TIMES))
        fresh, oldest = iter(rows[-TIMES:]), iter(rows)
        found = {
            "a day is listed": _ms(lambda: _day(index, next(days), clips)),
            "room is looked for": _ms(lambda: quota.look(index, 0)),
            "a row is added": _ms(lambda: index.add(next(fresh))),
            "a clip is deleted": _ms(lambda: delete(next(oldest), index, layout.clips)),
            "a clip begins": _ms(lambda: _begin(layout.clips)),
        }
        index.close()
        for path in layout.clips.glob("*.part"):
            path.unlink()
        found["index and storage open"] = _ms(lambda: _open(layout), OPENINGS)
        return found


def _day(index: Index, day: int, clips: int) -> None:
    start_us = WALL_US + day * DAY_US
    if len(index.between(start_us, start_us + DAY_US)) < clips // 400:
        raise SystemExit("bench: that day has too few clips")


def _begin(folder: Path) -> None:
    """Open the file of a new clip, as the storage worker does for a press."""
    ring = RingBuffer(keep_us=1_000_000, limit_bytes=1_000_000)
    begun_us = time.monotonic_ns() // 1000
    ring.writer().append(replace(_keyframe(), pts_us=begun_us, dts_us=begun_us))
    recording = Recording(
        event_id=f"01KB{begun_us:022d}", cause="press", from_us=begun_us, ring=ring, folder=folder,
        stamp=lambda mono_us: (WALL_US + mono_us, "unsynchronised"),
    )  # fmt: skip
    recording.take(begun_us)
    recording.fail(begun_us)


@cache
def _keyframe() -> Packet:
    return next(packets(320))


def _open(layout: Layout) -> None:
    store = storage_worker(layout.state_dir, SystemClock(), queue.SimpleQueue(), inbox=lambda _fact: None)
    if not store.open(lambda: None):
        raise SystemExit("bench: the store cannot be opened")
    store.close()


def _row(number: int, clips: int) -> ClipRow:
    """Return a clip of a year with so many."""
    name = ClipName(
        started_wall_us=(WALL_US + number * 365 * DAY_US // clips) // 1000 * 1000,
        event_id=f"01KA{number:022d}", cause="motion", clock="synchronised",
    )  # fmt: skip
    return ClipRow(
        clip_id=name.clip_id, event_id=name.event_id, cause="motion", file_name=name.file_name,
        started_wall_us=name.started_wall_us, duration_us=20_000_000, clock="synchronised", boot_id="b",
        started_mono_us=0, size_bytes=CLIP_BYTES, disk_bytes=CLIP_BYTES, sha256="0" * 64,
    )  # fmt: skip


def _ms(step: Callable[[], Any], times: int = TIMES) -> float:
    """Return the median of some times, in milliseconds."""
    spent_ms = []
    for _ in range(times):
        began_s = time.perf_counter()
        step()
        spent_ms.append((time.perf_counter() - began_s) * 1e3)
    return round(statistics.median(spent_ms), 2)
