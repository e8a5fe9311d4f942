"""The quota over a real index, with time handed in."""

import sqlite3
from pathlib import Path

import pytest

from device.config import Config
from device.events import ClockFlag
from device.store.index import ClipRow, Index
from device.store.retention import MAX_PER_LOOK, Quota

DAY_US = 86_400_000_000


class Time:
    def __init__(self) -> None:
        self.now_us = 100_000_000
        self.state: ClockFlag = "synchronised"

    def mono_us(self) -> int:
        return self.now_us

    def wall_us(self) -> int:
        return 400 * DAY_US + self.now_us

    def flag(self) -> ClockFlag:
        return self.state


def row(number: int, *, age_days: float = 0, protected: bool = False, clock: str = "synchronised") -> ClipRow:
    return ClipRow(
        clip_id=str(number), event_id="E", cause="press", file_name=f"{number}.mp4",
        started_wall_us=int((400 - age_days) * DAY_US), duration_us=1, clock=clock, boot_id="",
        started_mono_us=0, size_bytes=4_000_000, disk_bytes=4_000_000, sha256="", protected=int(protected),
    )  # fmt: skip


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index.db")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def quota(tmp_path: Path, time: Time) -> Quota:
    storage = {"limit_bytes": 10_000_000, "reserve_bytes": 0, "longest_age_days": 30}
    return Quota(Config.model_validate({"storage": storage}).storage, time, tmp_path)


def gone(quota: Quota, index: Index, growing_bytes: int = 0) -> tuple[list[str], int]:
    selected = quota.look(index, growing_bytes)
    return [clip.clip_id for clip in selected.clips], selected.stuck_bytes


def test_the_oldest_clips_without_a_star_are_deleted_for_a_growing_clip(quota: Quota, index: Index) -> None:
    for number in range(4):
        index.add(row(number, protected=number == 0))
    assert gone(quota, index) == (["1", "2"], 0)
    assert gone(quota, index, growing_bytes=5_000_000) == (["1", "2", "3"], 0)


def test_too_many_protected_clips_are_reported_without_a_search_each_turn(
    quota: Quota, index: Index, time: Time
) -> None:
    for number in range(3):
        index.add(row(number, protected=True))
    assert gone(quota, index) == ([], 2_000_000)
    index.protect("1", on=False)
    assert gone(quota, index) == ([], 2_000_000), "the index is not read again at once"
    time.now_us += 6_000_000
    assert gone(quota, index) == (["1"], 0)


def test_only_a_few_are_named_at_once_and_the_rest_when_those_are_gone(quota: Quota, index: Index) -> None:
    for number in range(9):
        index.add(row(number, age_days=31 if number in (0, 8) else 0, protected=number == 1))
    order = []
    while doomed := gone(quota, index)[0]:
        assert len(doomed) <= MAX_PER_LOOK
        order += doomed
        for clip_id in doomed:
            index.remove(clip_id)
    assert order == ["0", "2", "3", "4", "5", "6", "7", "8"], "room first, then age"


def test_totals_are_right_after_each_change_without_counting_again(index: Index, tmp_path: Path) -> None:
    assert index.totals() == (0, 0, None)
    for number in range(3):
        index.add(row(number, age_days=3 - number))
    index.remove("0")
    index.remove("0")
    with pytest.raises(sqlite3.IntegrityError):
        index.add(row(1))
    assert index.totals() == Index(tmp_path / "index.db", read_only=True).totals()
    assert index.totals() == (2, 8_000_000, 398 * DAY_US)


def test_age_counts_only_when_both_clocks_are_trusted(quota: Quota, index: Index, time: Time) -> None:
    index.add(row(0, age_days=31, clock="unsynchronised"))
    index.add(row(1, age_days=31))
    time.state = "unsynchronised"
    assert gone(quota, index) == ([], 0)
    time.state = "synchronised"
    time.now_us += 61_000_000
    assert gone(quota, index) == (["1"], 0)
