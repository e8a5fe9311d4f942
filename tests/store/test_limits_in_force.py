"""The storage worker and a smaller limit: nothing goes for an hour of running time, over restarts, however it came."""

import json
import queue
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from device.config import StorageConfig
from device.events import Fact, Fault, StoreReport
from device.policy.limit_hold import HOLD_US
from device.store.index import ClipRow, Index
from device.store.layout import Layout
from device.store.limits_in_force import LIMITS_FILE
from device.store.messages import HoldStorage, NewFact, StorageMessage
from device.store.ring import RingBuffer
from device.store.storage_worker import StorageWorker
from tests.support.storage import Time

CLIP_BYTES = 4_000_000
BEFORE = {"limit_bytes": 40_000_000, "longest_age_days": 3650, "reserve_bytes": 0, "log_rows": 5000}
LESS = {**BEFORE, "limit_bytes": 10_000_000}
MINUTE_US = 60_000_000


def config(values: dict[str, int]) -> StorageConfig:
    return StorageConfig.model_validate(values)


@dataclass
class Run:
    """A storage worker over one state directory, started and stopped as a daemon does it."""

    state: Path
    time: Time = field(default_factory=Time)
    facts: list[Fact] = field(default_factory=list)

    def start(self, values: dict[str, int]) -> StorageWorker:
        self.messages: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
        worker = StorageWorker(
            layout=Layout(self.state), ring=RingBuffer(keep_us=1, limit_bytes=1), inbox=self.facts.append,
            clock=self.time, storage=config(values), messages=self.messages, log_grew=lambda: None,
        )  # fmt: skip
        assert worker.open(lambda: None)
        return worker

    def configure(self, worker: StorageWorker, values: dict[str, int]) -> None:
        self.messages.put(HoldStorage(storage=config(values), reply=lambda _: None))
        worker.step(wait_s=0)

    def settle(self, worker: StorageWorker) -> int:
        """Step until nothing more is deleted; return how many clips there are."""
        for _ in range(10):
            worker.step(wait_s=0)
        index = Index(Layout(self.state).index, read_only=True)
        try:
            return index.totals()[0]
        finally:
            index.close()

    @property
    def report(self) -> StoreReport:
        return [fact for fact in self.facts if isinstance(fact, StoreReport)][-1]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Ten clips of 4 MB, below a limit of 40 MB that was in force."""
    layout = Layout(tmp_path)
    layout.make()
    found = Run(tmp_path)
    found.start(BEFORE).close()
    index = Index(layout.index)
    for number in range(10):
        name = f"{number}.mp4"
        (layout.clips / name).write_bytes(b"clip")
        index.add(
            ClipRow(
                clip_id=str(number),
                event_id="E",
                cause="press",
                file_name=name,
                started_wall_us=number,
                duration_us=1,
                clock="unsynchronised",
                boot_id="",
                started_mono_us=0,
                size_bytes=4,
                disk_bytes=CLIP_BYTES,
                sha256="",
            )
        )
    index.close()
    return found


def test_a_smaller_limit_deletes_nothing_for_an_hour_and_then_does(run: Run) -> None:
    worker = run.start(BEFORE)
    run.configure(worker, LESS)
    assert run.settle(worker) == 10
    assert run.report.limit_bytes == BEFORE["limit_bytes"], "the limit in force is reported"
    (waiting,) = run.report.waiting
    assert (waiting.name, waiting.coming) == ("limit_bytes", LESS["limit_bytes"])
    run.time.now_us += HOLD_US - 1
    assert run.settle(worker) == 10
    run.time.now_us += 1
    assert run.settle(worker) == 2
    assert run.report.limit_bytes == LESS["limit_bytes"]
    assert run.report.waiting == ()
    worker.close()


def test_within_the_hour_the_old_limit_can_be_configured_again(run: Run) -> None:
    worker = run.start(BEFORE)
    run.configure(worker, LESS)
    run.time.now_us += HOLD_US - 1
    run.configure(worker, BEFORE)
    run.time.now_us += 10 * HOLD_US
    assert run.settle(worker) == 10
    worker.close()


def test_an_edited_configuration_file_waits_from_the_next_start_on(run: Run) -> None:
    worker = run.start(LESS)
    assert run.settle(worker) == 10
    run.time.now_us += HOLD_US
    assert run.settle(worker) == 2
    worker.close()


@pytest.mark.parametrize("orderly", [True, False])
def test_the_hour_goes_on_over_restarts_and_time_without_the_doorbell_does_not_count(
    run: Run, *, orderly: bool
) -> None:
    worker = run.start(LESS)
    for _ in range(50):
        run.time.now_us += MINUTE_US
        worker.step(wait_s=0)
    if orderly:
        worker.close()
    run.time = Time(7)  # another boot, whose monotonic clock begins again, after any time without power
    worker = run.start(LESS)
    run.time.now_us += 10 * MINUTE_US - 1
    assert run.settle(worker) == 10
    run.time.now_us += MINUTE_US + 1  # what a crash did not save is waited for again
    assert run.settle(worker) == 2
    worker.close()


def test_a_limit_that_held_before_a_restart_holds_after_it_at_once(run: Run) -> None:
    worker = run.start(LESS)
    run.settle(worker)
    run.time.now_us += HOLD_US
    run.settle(worker)
    worker.close()
    worker = run.start(LESS)
    assert run.report.waiting == ()
    assert run.report.limit_bytes == LESS["limit_bytes"]
    worker.close()


def test_the_reserve_is_enforced_while_a_limit_waits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `BEFORE` it is 0, the disk counts as overfull by less than one clip."""

    class Full:
        f_bavail, f_frsize = -1_000_000, 1

    worker = run.start(LESS)
    monkeypatch.setattr("device.store.retention.os.statvfs", lambda _: Full)
    run.settle(worker)
    (waiting,) = run.report.waiting
    assert waiting.name == "limit_bytes"
    assert run.settle(worker) < 10
    worker.close()


def test_fewer_rows_of_the_event_log_wait_too(run: Run) -> None:
    def write(worker: StorageWorker, count: int) -> int:
        for _ in range(count):
            run.messages.put(NewFact(kind="x", mono_us=0, wall_us=0, clock="synchronised", late=False))
            worker.step(wait_s=0)
        worker.close()
        import sqlite3

        with sqlite3.connect(Layout(run.state).event_log) as log:
            (rows,) = log.execute("SELECT count(*) FROM fact").fetchone()
        return int(rows)

    less = {**BEFORE, "log_rows": 1000}
    assert write(run.start(BEFORE), 1100) == 1100
    assert write(run.start(less), 10) == 1110
    worker = run.start(less)
    run.time.now_us += HOLD_US
    assert write(worker, 1) == 1000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1, "in_force": {}, "waiting": 5}'])
def test_a_record_that_cannot_be_read_deletes_nothing_for_an_hour_and_is_reported(
    run: Run, content: bytes
) -> None:
    (run.state / LIMITS_FILE).write_bytes(content)
    worker = run.start(LESS)
    assert run.settle(worker) == 10
    faults = [fact for fact in run.facts if isinstance(fact, Fault) and fact.subject == LIMITS_FILE]
    assert [fault.code for fault in faults] == ["settings_unreadable"]
    run.time.now_us += HOLD_US
    assert run.settle(worker) == 2
    worker.close()


def test_limits_that_arrive_before_the_storage_opens_are_compared_with_the_record(run: Run) -> None:
    messages: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
    worker = StorageWorker(
        layout=Layout(run.state), ring=RingBuffer(keep_us=1, limit_bytes=1), inbox=run.facts.append,
        clock=run.time, storage=config(BEFORE), messages=messages, log_grew=lambda: None,
    )  # fmt: skip
    answers: list[dict[str, Any]] = []
    messages.put(HoldStorage(storage=config(LESS), reply=answers.append))
    worker._take_messages(0)  # noqa: SLF001  (as it does while the disk cannot be used)
    assert answers == [{}]
    assert worker.open(lambda: None)
    run.messages = messages
    assert run.settle(worker) == 10
    assert json.loads((run.state / LIMITS_FILE).read_text())["in_force"] == BEFORE
    worker.close()
