"""The criteria of `scripts/faults soak`: a leak in the samples is detected, and noise is not."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.fault_injection.soak import MEASURES, plan
from scripts.fault_injection.soak_verdict import (
    Measure,
    judge,
    judge_episodes,
    judge_log,
    judge_presses,
    slope,
)

TIMES_S = [2.0 * number for number in range(1, 91)]
MEMORY = Measure(key="memory_mb", title="resident memory", unit="MB", growth=4.0)
DISK = Measure(key="disk_mb", title="clips on disk", unit="MB", ceiling=10.5)
DICE = random.Random(3)  # noqa: S311  (noise)


def test_a_slope_ignores_outliers() -> None:
    values = [at_s * 0.5 + (1000 if number % 5 == 0 else 0) for number, at_s in enumerate(TIMES_S)]
    assert slope(TIMES_S, values) == pytest.approx(0.5, abs=0.05)


def test_memory_that_only_fluctuates_after_warm_up_does_not_grow() -> None:
    values = [min(100.0, 60 + at_s) + DICE.uniform(-2, 2) for at_s in TIMES_S]
    assert not judge(MEMORY, TIMES_S, values).wrong


def test_a_leak_of_a_tenth_of_a_megabyte_a_second_is_found_under_the_same_noise() -> None:
    values = [100 + 0.1 * at_s + DICE.uniform(-2, 2) for at_s in TIMES_S]
    row = judge(MEMORY, TIMES_S, values)
    assert row.wrong
    assert row.growth_per_h == pytest.approx(360, rel=0.2)
    assert row.growth == pytest.approx(9, rel=0.2)


def test_one_descriptor_lost_at_each_restart_of_the_broker_is_found_in_a_day() -> None:
    restarts = sum(deed == "down" for _, deed in plan(24))
    measure = next(m for m in MEASURES if m.key == "descriptors")
    values = [float(20 + number * restarts // 90 + number % 2) for number in range(90)]
    assert judge(measure, TIMES_S, values).wrong


def test_one_sample_over_the_ceiling_is_too_much() -> None:
    values = [10.0] * 90
    assert not judge(DISK, TIMES_S, values).wrong
    values[7] = 10.6
    assert judge(DISK, TIMES_S, values).wrong


def test_a_day_has_its_presses_and_takes_a_tenth_of_its_time() -> None:
    deeds = plan(24)
    assert sum(deed == "press" for _, deed in deeds) == 2000
    assert deeds == sorted(deeds)
    assert deeds[-1][0] == pytest.approx(2.4 * 3600, abs=2)


def rows(connection: int, *seqs: int) -> list[tuple[int, dict[str, object]]]:
    return [(connection, {"seq": seq, "kind": "press"}) for seq in seqs]


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        (rows(0, 1, 2, 3, 4, 5), False),
        (rows(0, 1, 2, 3, 4), True),
        (rows(0, 1, 2, 4, 5), True),
        (rows(0, 1, 2, 4, 3, 5), True),
        (rows(0, 1, 2, 3, 4, 5, 3), True),
        ([], True),
    ],
)
def test_every_row_of_the_log_must_come_once_and_in_order(
    heard: list[tuple[int, dict[str, object]]], *, wrong: bool
) -> None:
    assert judge_log(heard, acked_seq=5, restarts=0).wrong == wrong


def test_unacknowledged_rows_may_come_again_after_a_broker_restart() -> None:
    before, after = rows(0, *range(1, 50)), rows(1, *range(45, 60))
    assert not judge_log([*before, *after], acked_seq=59, restarts=1).wrong
    assert judge_log([*before, *after, *rows(1, 50)], acked_seq=59, restarts=1).wrong
    assert judge_log([*before, *rows(1, *range(30, 60))], acked_seq=59, restarts=1).wrong
    after[0][1]["kind"] = "stopped"
    assert judge_log([*before, *after], acked_seq=59, restarts=1).wrong


def test_a_press_is_acknowledged_logged_and_live_unless_marked_late() -> None:
    rows = [{"late": event == "C", "event_id": event, "press_number": 1} for event in "ABC"]
    live = {("A", 1), ("B", 1)}
    assert not judge_presses(sent=3, acknowledged=3, rows=rows, live=live).wrong
    assert judge_presses(sent=4, acknowledged=3, rows=rows, live=live).wrong
    assert judge_presses(sent=3, acknowledged=3, rows=rows[:2], live=live).wrong
    assert judge_presses(sent=3, acknowledged=3, rows=rows, live={("A", 1), ("C", 1)}).wrong


def test_the_visits_of_the_video_are_counted_against_those_in_the_log() -> None:
    every_us = 1_728_000
    starts_us = [number * every_us + DICE.randrange(200_000) for number in range(100)]

    def wrong(starts_us: list[int], ends: int) -> bool:
        return judge_episodes(starts_us, ends, span_us=(0, 100 * every_us), every_us=every_us).wrong

    assert not wrong(starts_us, 99)
    assert wrong(starts_us[:10] + starts_us[30:], 80)
    assert wrong(starts_us[:90], 90), "motion that is never found again to the end"
    assert wrong(starts_us, 90)
    assert wrong(sorted(starts_us * 2), 200)
    assert wrong([], 0)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("plant", "found"), [("leak", {"resident memory, MB"}), ("descriptors", {"open descriptors"})]
)
def test_a_planted_leak_is_found_in_the_real_daemon_and_nothing_else(
    plant: str, found: set[str], tmp_path: Path
) -> None:
    soak = [sys.executable, "-m", "scripts.fault_injection", "soak", "--hours", "0.25", "--plant", plant]
    done = subprocess.run([*soak, "--out", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert {line[:28].strip() for line in lines if line.endswith("GROWS")} == found
    assert not [line for line in lines if "WRONG" in line]
    assert (tmp_path / "soak.png").stat().st_size > 50_000
    samples = int(done.stdout.partition(" samples")[0].split()[-1])
    assert len((tmp_path / "soak.csv").read_text().splitlines()) == 1 + samples
