"""A wall clock that is wrong, jumps or is set during a clip (FAULTS F11), with the real storage worker."""

import os
import time as wall
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from device.policy.episode import CloseClip, OpenClip
from tests.fault_tolerance.storage_run import StorageRun, Time
from tests.support.videos import frames_of

HOUR_US = 3_600_000_000


def unix_us(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1e6)


def visit(run: StorageRun, meanwhile: Callable[[], None]) -> None:
    """A visit of 3 s; in the middle of it something happens."""
    event_id = run.event_id()
    run.order(OpenClip(event_id=event_id, cause="press", from_us=run.wall.now_us - 1_000_000))
    run.pass_s(1.5)
    meanwhile()
    run.pass_s(1.5)
    run.order(CloseClip(event_id=event_id, until_us=run.wall.now_us))
    run.pass_s(1)


def whole(run: StorageRun, clips: int) -> None:
    """Assert that so many clips are there, in the order they were recorded, each with its pre-roll."""
    rows = run.rows()
    assert len(rows) == clips
    assert [row.started_mono_us for row in rows] == sorted(row.started_mono_us for row in rows)
    assert len({row.clip_id for row in rows}) == clips
    # A visit of 3 s with 1 s of pre-roll, from the keyframe before.
    assert all(3_900_000 <= row.duration_us <= 5_200_000 for row in rows), [row.duration_us for row in rows]
    assert run.findings() == []
    assert run.faults() == {}
    for row in rows:
        frames = frames_of(str(run.state / "clips" / row.file_name))
        assert abs(frames - row.duration_us / 100_000) <= 1
    assert run.dropped() == []


@pytest.mark.parametrize(
    "jumps_us",
    [
        pytest.param([-unix_us(2025, 11, 24)], id="1970"),
        pytest.param([HOUR_US], id="an hour ahead"),
        pytest.param([-HOUR_US], id="an hour back"),
        pytest.param([-HOUR_US, HOUR_US], id="to and fro"),
        pytest.param([unix_us(2038, 1, 19) - unix_us(2025, 11, 24)], id="beyond 2038"),
        pytest.param([unix_us(2107) - unix_us(2025, 11, 24)], id="beyond 2106"),
        pytest.param([-1_000_000], id="a second that comes twice"),
    ],
)
def test_a_jump_of_the_clock_in_mid_clip_leaves_order_pre_roll_and_every_clip(
    jumps_us: list[int], tmp_path: Path
) -> None:
    run = StorageRun(tmp_path)
    run.pass_s(3)
    run.visit(3)
    for jump_us in jumps_us:
        visit(run, partial(run.wall.set, by_us=jump_us))
        run.visit(3)
    whole(run, 1 + 2 * len(jumps_us))
    run.storage_worker.close()
    rerun = StorageRun(tmp_path, Time(500_000_000), event=100)
    whole(rerun, 1 + 2 * len(jumps_us))
    rerun.storage_worker.close()


def test_a_repeated_moment_of_one_visit_overwrites_nothing(tmp_path: Path) -> None:
    """The wall clock does not move during the visit: each of its clips gets the same name."""
    run = StorageRun(tmp_path)
    run.pass_s(3)
    event_id = run.event_id()
    run.event_id = lambda: event_id  # type: ignore[method-assign]
    started_us = run.wall.wall_us()
    for _ in range(4):
        run.wall.zero_us = started_us - run.wall.now_us
        run.visit(3)
    whole(run, 4)
    assert len({row.file_name for row in run.rows()}) == 4
    run.storage_worker.close()


def test_the_flag_of_a_clip_is_that_of_its_start_and_a_time_server_in_mid_clip_harms_nothing(
    tmp_path: Path,
) -> None:
    """A Pi boots in 1970, and NTP answers while somebody is at the door."""
    run = StorageRun(tmp_path)
    run.wall.state, run.wall.zero_us = "unsynchronised", 0
    run.pass_s(3)

    def answered() -> None:
        run.wall.state, run.wall.zero_us = "synchronised", unix_us(2026, 3, 1)

    visit(run, answered)
    run.visit(3)
    whole(run, 2)
    assert [row.clock for row in run.rows()] == ["unsynchronised", "synchronised"]
    assert run.rows()[0].file_name.startswith("1970")
    assert run.rows()[1].file_name.startswith("20260301")
    # An age of 56 years is no age: only a time that was confirmed counts.
    run.pass_s(70)
    assert len(run.rows()) == 2
    run.storage_worker.close()


def test_retention_goes_by_the_order_of_recording_whatever_the_clock_said(tmp_path: Path) -> None:
    run = StorageRun(tmp_path)
    run.wall.state = "unsynchronised"
    run.pass_s(3)
    clips: list[str] = []
    for number in range(30):
        run.wall.zero_us = unix_us(1970 + (number * 37) % 100)
        run.visit(3)
        clips.append(run.clips[-1])
    left = [row.clip_id for row in run.rows()]
    assert 2 <= len(left) < 30, "the quota was reached"
    assert left == clips[-len(left) :], "the newest are left, though their clocks say otherwise"
    run.storage_worker.close()


@pytest.fixture
def zones() -> Iterator[None]:
    yield
    os.environ.pop("TZ", None)
    wall.tzset()


@pytest.mark.usefixtures("zones")
def test_another_time_zone_in_mid_clip_changes_no_name(tmp_path: Path) -> None:
    """Daylight saving is a change of the zone only; names and index are in UTC."""
    run = StorageRun(tmp_path)
    run.pass_s(3)
    for zone in ("Europe/Berlin", "Pacific/Kiritimati", "America/St_Johns"):
        os.environ["TZ"] = zone
        visit(run, wall.tzset)
    whole(run, 3)
    for row in run.rows():
        assert row.file_name.startswith(
            f"{datetime.fromtimestamp(row.started_wall_us / 1e6, UTC):%Y%m%dT%H%M%S}"
        )
    run.storage_worker.close()
