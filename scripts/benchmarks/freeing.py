"""Free space for a gigabyte: the time for each clip, and the delay of an order meanwhile."""

import queue
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from device.store import storage_worker as storage_room
from device.store.clip_name import ClipName
from device.store.index import Index
from device.store.layout import Layout
from device.store.messages import Flush, StarClip, StorageMessage
from device.store.reconcile import row_for
from device.system.clock import SystemClock
from device.system.durable_files import sync_folder
from device.system.worker import Worker
from tests.support.storage import WALL_US, storage_worker

CLIP_BYTES, FREED, KEPT = 10_000_000, 100, 10
PATIENCE_S = 120


def measure(parent: Path) -> dict[str, Any]:
    """Let the real storage worker go from 110 clips to 10; bare unlink(2) and fsync(2) are the baseline."""
    bare_ms = _bare(parent / "bare")
    layout = Layout(parent / "freeing")
    layout.make()
    index = Index(layout.index)
    for number in range(FREED + KEPT):
        name = ClipName(
            started_wall_us=WALL_US + number * 60_000_000, event_id=f"01KA{number:022d}", cause="motion",
            clock="unsynchronised",
        )  # fmt: skip
        path = layout.clips / name.file_name
        _write(path)
        index.add(row_for(name, path, duration_us=20_000_000, sha256="0" * 64))
    used_bytes = index.totals()[1]
    index.close()
    orders: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
    limit_bytes = used_bytes * KEPT // (FREED + KEPT)
    store = storage_worker(
        layout.state_dir, SystemClock(), orders, inbox=lambda _fact: None, limit_bytes=limit_bytes
    )
    room: Any = storage_room
    spent_ms, delete = list[float](), room.delete

    def timed(*args: Any) -> None:
        began_s = time.perf_counter()
        delete(*args)
        spent_ms.append((time.perf_counter() - began_s) * 1e3)

    room.delete = timed
    thread = Worker("storage", store.run, inbox=lambda _fact: None, patience_s=PATIENCE_S)
    began_s, waits_ms = time.perf_counter(), []
    try:
        thread.start()
        while len(spent_ms) < FREED:
            waits_ms.append(_ask(orders))
            if time.perf_counter() - began_s > PATIENCE_S:
                raise SystemExit(f"bench: {len(spent_ms)} clips were deleted, not {FREED}")
    finally:
        room.delete = delete
    whole_s = time.perf_counter() - began_s
    thread.stopping.set()
    orders.put(Flush())
    thread.stop(PATIENCE_S)
    return {
        "clips": len(spent_ms),
        "whole_s": round(whole_s, 2),
        "clip_ms": {"median": round(statistics.median(spent_ms), 1), "worst": round(max(spent_ms), 1)},
        "bare_ms": {"median": round(statistics.median(bare_ms), 1), "worst": round(max(bare_ms), 1)},
        "order_waits_ms": {
            "orders": len(waits_ms),
            "median": round(statistics.median(waits_ms), 1),
            "worst": round(max(waits_ms), 1),
        },
    }


def _write(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(10):
            file.write(b"\x5a" * (CLIP_BYTES // 10))


def _bare(folder: Path) -> list[float]:
    folder.mkdir()
    paths = [folder / str(number) for number in range(20)]
    for path in paths:
        _write(path)
    sync_folder(folder)
    spent_ms = []
    for path in paths:
        began_s = time.perf_counter()
        path.unlink()
        sync_folder(folder)
        spent_ms.append((time.perf_counter() - began_s) * 1e3)
    return spent_ms


def _ask(orders: "queue.SimpleQueue[StorageMessage]") -> float:
    """Leave an order and wait for the answer; return the milliseconds."""
    answered = threading.Event()
    began_s = time.perf_counter()
    orders.put(StarClip(clip_id="none", on=True, reply=lambda _answer: answered.set()))
    if not answered.wait(PATIENCE_S):
        raise SystemExit("bench: the storage worker does not answer")
    return (time.perf_counter() - began_s) * 1e3
