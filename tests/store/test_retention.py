"""The quota over a real index, with time handed in."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.config import Config
from device.events import ClockFlag
from device.store.deletion_preview import Deletion, would_delete
from device.store.index import ClipRow, Index, PressPictureRow
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
        clip_id=str(number),
        event_id="E",
        cause="press",
        file_name=f"{number}.mp4",
        started_wall_us=int((400 - age_days) * DAY_US),
        duration_us=1,
        clock=clock,
        boot_id="",
        started_mono_us=0,
        size_bytes=4_000_000,
        disk_bytes=4_000_000,
        sha256="",
        protected=int(protected),
    )


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


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"limit_bytes": 40_000_000}, (0, 0, None, None)),
        ({"limit_bytes": 12_000_000}, (6, 24_000_000, 9, 3)),
        ({"longest_age_days": 3, "limit_bytes": 40_000_000}, (6, 24_000_000, 9, 3)),
        ({"longest_age_days": 3, "limit_bytes": 20_000_000}, (6, 24_000_000, 9, 3)),
        ({"reserve_bytes": 100_000_000_000_000}, (8, 32_000_000, 9, 1)),
    ],
)
def test_what_limits_would_delete_is_what_they_do_delete(
    index: Index,
    time: Time,
    tmp_path: Path,
    limits: dict[str, int],
    expected: tuple[int, int, int | None, int | None],
) -> None:
    """Nine clips, nine days old to one day old; the one of eight days has a star."""
    for days in range(9, 0, -1):
        index.add(row(days, age_days=days, protected=days == 8))
    storage = Config.model_validate({"storage": {"reserve_bytes": 0, **limits}}).storage
    clips, freed_bytes, oldest, newest = expected
    found = would_delete(index, storage, time.wall_us(), tmp_path)
    assert found == Deletion(
        clips=clips,
        of_clips=9,
        pictures=0,
        disk_bytes=freed_bytes,
        oldest_us=None if oldest is None else (400 - oldest) * DAY_US,
        newest_us=None if newest is None else (400 - newest) * DAY_US,
    )
    quota, deleted = Quota(storage, time, tmp_path), 0
    while doomed := gone(quota, index)[0]:
        deleted += len(doomed)
        for clip_id in doomed:
            index.remove(clip_id)
    assert deleted == clips


SIZES = st.integers(1, 9).map(lambda size: size * 1_000_000)


@given(
    clips=st.lists(st.tuples(SIZES, st.integers(0, 9), st.booleans()), max_size=12),
    pictures=st.lists(st.tuples(SIZES, st.integers(0, 9)), max_size=12),
    limit_bytes=st.integers(10, 60).map(lambda size: size * 1_000_000),
    longest_age_days=st.integers(1, 10),
)
def test_the_preview_counts_exactly_what_the_quota_deletes(
    clips: list[tuple[int, int, bool]],
    pictures: list[tuple[int, int]],
    limit_bytes: int,
    longest_age_days: int,
) -> None:
    with TemporaryDirectory() as folder:
        index, time = Index(Path(folder) / "index.db"), Time()
        for number, (size, age, starred) in enumerate(clips):
            clip = row(number, age_days=age, protected=starred)
            index.add(replace(clip, disk_bytes=size, event_id=str(number)))
        for number, (size, age) in enumerate(pictures):
            index.add_picture(
                PressPictureRow(
                    file_name=f"{number}.jpg",
                    event_id=str(number),
                    press_number=1,
                    clock="synchronised",
                    pressed_wall_us=(400 - age) * DAY_US,
                    disk_bytes=size,
                )
            )
        limits = {"limit_bytes": limit_bytes, "longest_age_days": longest_age_days, "reserve_bytes": 0}
        storage = Config.model_validate({"storage": limits}).storage
        found = would_delete(index, storage, time.wall_us(), Path(folder))
        before_bytes, quota = index.totals()[1], Quota(storage, time, Path(folder))
        gone_clips = gone_pictures = 0
        while (selected := quota.look(index, 0)).clips or selected.pictures:
            for clip in selected.clips:
                index.remove(clip.clip_id)
            for picture in selected.pictures:
                index.remove_picture(picture.file_name)
            gone_clips, gone_pictures = (
                gone_clips + len(selected.clips),
                gone_pictures + len(selected.pictures),
            )
        freed_bytes = before_bytes - index.totals()[1]
        index.close()
    assert (found.clips, found.pictures, found.disk_bytes) == (gone_clips, gone_pictures, freed_bytes)
