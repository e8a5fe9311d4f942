"""A limit that would delete more waits for an hour of running time; one that keeps more holds at once."""

from typing import Any

import pytest

from device.policy.limit_hold import HOLD_US, LimitHold, restored

MINUTE_US = 60_000_000
BEFORE = {"limit_bytes": 8_000, "longest_age_days": 30, "reserve_bytes": 200, "log_rows": 5_000}


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        ({"limit_bytes": 800}, True),
        ({"limit_bytes": 9_000}, False),
        ({"longest_age_days": 29}, True),
        ({"longest_age_days": 31}, False),
        ({"reserve_bytes": 201}, True),
        ({"reserve_bytes": 100}, False),
        ({"log_rows": 4_999}, True),
        ({"log_rows": 6_000}, False),
    ],
)
def test_what_keeps_less_waits_and_what_keeps_more_holds_at_once(
    change: dict[str, int], *, waits: bool
) -> None:
    hold = LimitHold(BEFORE)
    hold.configure({**BEFORE, **change}, 0)
    assert hold.in_force == (BEFORE if waits else {**BEFORE, **change})
    assert bool(hold.waiting) is waits
    assert not hold.tick(HOLD_US - 1)
    assert hold.tick(HOLD_US) is waits
    assert hold.in_force == {**BEFORE, **change}
    assert hold.waiting == ()


def test_going_back_in_time_costs_nothing_and_ends_the_wait() -> None:
    hold = LimitHold(BEFORE)
    hold.configure({**BEFORE, "limit_bytes": 800}, 0)
    hold.configure(BEFORE, HOLD_US - 1)
    assert hold.in_force == BEFORE
    assert not hold.tick(10 * HOLD_US)


def test_each_limit_waits_for_itself_and_an_even_stricter_one_waits_anew() -> None:
    hold = LimitHold(BEFORE)
    hold.configure({**BEFORE, "limit_bytes": 800}, 0)
    hold.configure({**BEFORE, "limit_bytes": 800, "longest_age_days": 7}, 10 * MINUTE_US)
    hold.configure({**BEFORE, "limit_bytes": 4_000, "longest_age_days": 3}, 20 * MINUTE_US)
    ends = {limit.name: (limit.coming, limit.until_us) for limit in hold.waiting}
    assert ends == {
        "limit_bytes": (4_000, HOLD_US),
        "longest_age_days": (3, HOLD_US + 20 * MINUTE_US),
    }


def test_only_time_in_which_the_doorbell_runs_counts() -> None:
    hold = LimitHold(BEFORE)
    less = {**BEFORE, "limit_bytes": 800}
    hold.configure(less, 0)
    record = hold.record(50 * MINUTE_US)
    # The monotonic clock begins again with each boot, so its number says nothing about the time in between.
    for start_us in (0, 5, 10**15):
        again = restored(record, less, start_us)
        again.configure(less, start_us)
        assert not again.tick(start_us + 10 * MINUTE_US - 1)
        assert again.in_force == BEFORE
        assert again.tick(start_us + 10 * MINUTE_US)
        assert again.in_force == less


def test_a_configuration_file_that_was_edited_while_the_doorbell_was_off_waits_too() -> None:
    record = LimitHold(BEFORE).record(0)
    less = {**BEFORE, "limit_bytes": 800, "reserve_bytes": 0}
    hold = restored(record, less, 0)
    hold.configure(less, 0)
    assert hold.in_force == {**BEFORE, "reserve_bytes": 0}
    assert [limit.name for limit in hold.waiting] == ["limit_bytes"]


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        {"version": 2, "in_force": BEFORE, "waiting": {}},
        {"version": 1, "in_force": {**BEFORE, "limit_bytes": "8"}, "waiting": {}},
        {"version": 1, "in_force": {**BEFORE, "limit_bytes": -1}, "waiting": {}},
        {"version": 1, "in_force": {**BEFORE, "limit_bytes": True}, "waiting": {}},
        {"version": 1, "in_force": {**BEFORE, "other": 1}, "waiting": {}},
        {"version": 1, "in_force": BEFORE, "waiting": {"other": {"coming": 1, "left_us": 1}}},
        {"version": 1, "in_force": BEFORE, "waiting": {"limit_bytes": {"coming": 1}}},
        {"version": 1, "in_force": BEFORE, "waiting": {"limit_bytes": 7}},
        {"version": 1, "in_force": 7, "waiting": {}},
    ],
)
def test_anything_but_a_record_is_refused(record: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        restored(record, BEFORE, 0)


def test_a_record_cannot_make_a_limit_wait_longer_than_an_hour_or_lack_one() -> None:
    record = {
        "version": 1,
        "in_force": {"limit_bytes": 8_000},
        "waiting": {"limit_bytes": {"coming": 1, "left_us": 10**18}},
    }
    hold = restored(record, BEFORE, 0)
    assert hold.in_force == BEFORE
    assert hold.tick(HOLD_US)
