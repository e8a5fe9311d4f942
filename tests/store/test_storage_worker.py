"""The storage worker over real files, with its own thread or turn by turn."""

import queue
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from device.config import StorageConfig
from device.store import storage_worker
from device.store.clip_name import ClipName
from device.store.index import Index
from device.store.layout import Layout
from device.store.messages import Flush, StarClip, StorageMessage
from device.store.reconcile import row_for
from device.store.retention import MAX_PER_LOOK
from device.store.ring import RingBuffer
from device.system.clock import SystemClock
from device.system.worker import Worker
from server.dev_processes import PATIENCE_S, wait_for

CLIPS, CLIP_BYTES, KEPT = 20, 1_000_000, 4

Orders = queue.SimpleQueue[StorageMessage]
Make = Callable[[], tuple[storage_worker.StorageWorker, Orders]]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Twenty clips of a megabyte, all with their rows."""
    layout = Layout(tmp_path)
    layout.make()
    index = Index(layout.index)
    for number in range(CLIPS):
        name = ClipName(
            started_wall_us=(number + 1) * 1_000_000, event_id=f"01KA{number:022d}", cause="press",
            clock="synchronised",
        )  # fmt: skip
        path = layout.clips / name.file_name
        path.write_bytes(bytes(CLIP_BYTES))
        index.add(row_for(name, path, duration_us=1_000_000, sha256=""))
    index.close()
    return layout


@pytest.fixture
def make(layout: Layout) -> Make:
    """Return a storage worker whose limit has been lowered since: room for four of the clips and a bit."""

    def make() -> tuple[storage_worker.StorageWorker, Orders]:
        orders: Orders = queue.SimpleQueue()
        storage = StorageConfig.model_construct(
            limit_bytes=int((KEPT + 0.5) * CLIP_BYTES), longest_age_days=36500, reserve_bytes=0, log_rows=100
        )
        one = storage_worker.StorageWorker(
            layout=layout, ring=RingBuffer(keep_us=1, limit_bytes=1), inbox=lambda _fact: None, clock=SystemClock(),
            storage=storage, messages=orders, log_grew=lambda: None,
        )  # fmt: skip
        return one, orders

    return make


def left(layout: Layout) -> list[str]:
    return sorted(path.name for path in layout.clips.iterdir())


def test_orders_are_answered_between_the_deletions_of_a_lowered_limit(make: Make, layout: Layout) -> None:
    one, orders = make()
    one.open(lambda: None)
    names = left(layout)
    answered_at: list[int] = []

    def answer(_reply: dict[str, Any]) -> None:
        answered_at.append(len(left(layout)))

    while not answered_at or answered_at[-1] > KEPT:
        orders.put(StarClip(clip_id="none", on=True, reply=answer))
        one.step(wait_s=0)
        assert len(answered_at) <= CLIPS
    assert len(answered_at) > 1
    assert all(before - after <= MAX_PER_LOOK for before, after in pairwise(answered_at))
    assert left(layout) == names[-KEPT:]
    one.close()


def test_a_lowered_limit_is_reached_without_a_rest(
    make: Make, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_worker, "STEP_S", 3600)
    one, orders = make()
    orders.put(Flush())  # for the first turn
    thread = Worker("storage", one.run, inbox=lambda _fact: None, patience_s=60)
    thread.start()
    wait_for("the limit", lambda: len(left(layout)) <= KEPT)
    thread.stopping.set()
    orders.put(Flush())
    assert thread.stop(PATIENCE_S)
    assert len(left(layout)) == KEPT


def test_a_clip_that_cannot_be_deleted_does_not_make_the_keeper_spin(make: Make, layout: Layout) -> None:
    one, _ = make()
    one.open(lambda: None)
    for path in list(layout.clips.iterdir()):
        path.unlink()
        path.mkdir()  # cannot be unlinked, by root neither
    one.step(wait_s=0)
    assert one._rest_s() == storage_worker.STEP_S  # noqa: SLF001  (seen from outside it is only a busy processor)
    one.close()
