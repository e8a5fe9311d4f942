"""The pure rules, with time as a parameter."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.policy.episode import CloseClip, EpisodeRule, OpenClip, RaiseCause
from device.policy.press import PressRule
from device.policy.rate_limit import TokenBucket
from device.policy.retention import KeptClip, to_delete
from device.policy.settings import SettingRefused, Settings, settings_from_dict, with_setting
from device.policy.timeline import MIN_STEP_US, Timeline
from device.system.clock import parse_rfc3339

S = 1_000_000


def test_the_first_edge_is_the_press_and_bouncing_is_not() -> None:
    rule = PressRule(bounce_us=30_000)
    edges = [(True, 0), (False, 400), (True, 900), (False, 200_000), (True, 201_000), (False, 201_500)]
    assert [rule.feed(down=d, mono_us=t) for d, t in edges] == [True] + [False] * 5
    assert rule.feed(down=True, mono_us=300_000), "the next real press counts"


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 29_999)), max_size=200))
def test_a_storm_of_edges_is_one_press(steps: list[tuple[bool, int]]) -> None:
    rule, now, presses = PressRule(bounce_us=30_000), 0, 0
    for down, step in steps:
        now += step
        presses += rule.feed(down=down, mono_us=now)
    assert presses <= 1


def episode() -> EpisodeRule:
    return EpisodeRule(pre_roll_us=5 * S, post_roll_us=10 * S, longest_us=60 * S)


def test_a_press_in_a_motion_event_shares_its_id_and_raises_the_cause() -> None:
    rule = episode()
    assert rule.trigger("motion", mono_us=100 * S, new_event_id="A") == [
        OpenClip(event_id="A", cause="motion", from_us=95 * S)
    ]
    assert rule.trigger("press", mono_us=103 * S, new_event_id="B") == [
        RaiseCause(event_id="A", cause="press")
    ]
    rule.still(last_us=104 * S)
    assert rule.tick(113 * S) == []
    assert rule.tick(114 * S) == [CloseClip(event_id="A", until_us=114 * S)]
    assert rule.event_id is None


def test_a_long_visit_is_many_clips_and_no_missing_second() -> None:
    rule = episode()
    rule.trigger("motion", mono_us=5 * S, new_event_id="A")
    orders = [o for second in range(6, 200) for o in rule.tick(second * S)]
    opened = [o.from_us for o in orders if isinstance(o, OpenClip)]
    closed = [o.until_us for o in orders if isinstance(o, CloseClip)]
    assert opened == closed == [60 * S, 120 * S, 180 * S]


def test_retention_takes_the_oldest_unprotected_and_no_more_than_needed() -> None:
    clips = [
        KeptClip(clip_id=str(n), disk_bytes=10, protected=n == 0, age_us=None if n == 3 else 100 - n)
        for n in range(5)
    ]
    assert to_delete(clips, over_bytes=15, longest_age_us=None, most=9) == ["1", "2"]
    assert to_delete(clips, over_bytes=15, longest_age_us=None, most=1) == ["1"]
    assert to_delete(clips, over_bytes=0, longest_age_us=50, most=9) == ["1", "2", "4"]
    assert to_delete(clips, over_bytes=0, longest_age_us=1000, most=9) == []
    shown = iter(clips)
    assert to_delete(shown, over_bytes=15, longest_age_us=None, most=9) == ["1", "2"]
    assert next(shown) is clips[3], "clips behind the last are not looked at"


def test_a_token_bucket_lets_a_burst_through_and_then_a_trickle() -> None:
    bucket = TokenBucket(burst=3, refill_us=S)
    assert [bucket.take(0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [bucket.take(t * S) for t in (1, 1, 2)] == [True, False, True]


@pytest.mark.parametrize("fps", [24.9, 24, 20, 10])
def test_a_source_whose_stamps_run_slow_never_lags_by_much(fps: float) -> None:
    """Stamped as 25 a second, and fewer come."""
    timeline, last_us = Timeline(), -1
    for number in range(int(120 * fps)):
        source_us, arrived_us = number * 40_000, int(number * 1e6 / fps)
        _, dts_us = timeline.place(pts_us=source_us, dts_us=source_us, arrived_us=arrived_us)
        assert timeline.lag_us <= 1_600_000
        assert dts_us > last_us
        last_us = dts_us


def test_a_timeline_keeps_the_source_spacing_under_jitter() -> None:
    timeline, step = Timeline(), 66_667
    placed = [
        timeline.place(pts_us=n * step, dts_us=n * step, arrived_us=10 * S + n * step + n % 7 * 9000)[1]
        for n in range(300)
    ]
    assert max(abs(after - before - step) for before, after in pairwise(placed)) < step // 5
    assert timeline.lag_us < 100_000


def test_a_jump_a_wrap_and_missing_timestamps_are_corrected() -> None:
    timeline = Timeline()
    arrived = range(0, 10 * S, S // 10)
    source = [n * S // 10 for n in range(30)] + [10**12 + n * S // 10 for n in range(30)]
    source += [n * S // 10 for n in range(30)]
    placed = [
        timeline.place(pts_us=s, dts_us=s, arrived_us=a)[1] for s, a in zip(source, arrived, strict=False)
    ]
    assert abs(np.array(placed) - np.array(list(arrived)[:90])).max() < 20_000
    assert timeline.place(pts_us=None, dts_us=None, arrived_us=9_500_000) == (9_500_000, 9_500_000)


def test_sound_stays_with_its_pictures_through_jumps_and_clock_drift() -> None:
    timeline = Timeline()
    assert timeline.beside(0, arrived_us=0) is None, "no picture yet"

    def apart(source_us: int, arrived_us: int, *, sound_us: int = 0) -> int:
        """Place a picture and sound of the same moment; `sound_us`: how wrong the sound's stamp is."""
        heard_us = timeline.beside(source_us + sound_us, arrived_us=arrived_us)
        seen_us, _ = timeline.place(pts_us=source_us, dts_us=source_us, arrived_us=arrived_us)
        return abs((heard_us if heard_us is not None else seen_us) - seen_us)

    step = S // 10
    assert max(apart(n * step, 5 * S + n * step) for n in range(100)) < 20_000
    # The source jumps, and its sound is the first to tell.
    assert max(apart(10**12 + n * step, 15 * S + n * step) for n in range(100)) < 20_000
    # Sound whose clock has nothing to do with the pictures', or leaves it for good: never out by more.
    drift = [apart(10**12 + n * step, 15 * S + n * step, sound_us=n * 1000) for n in range(100, 9000)]
    assert 1_900_000 < max(drift) < 2_100_000
    assert timeline.beside(None, arrived_us=10**9) == 10**9 - timeline.lag_us


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(-(10**13), 10**13)), st.integers(0, S))))
def test_decoding_times_always_grow(packets: list[tuple[int | None, int]]) -> None:
    timeline, now, last = Timeline(), 0, -(10**15)
    for source, step in packets:
        now += step
        pts, dts = timeline.place(pts_us=source, dts_us=source, arrived_us=now)
        assert dts >= last + MIN_STEP_US or last == -(10**15)
        assert pts >= dts
        last = dts


@pytest.mark.parametrize("payload", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-01"])
def test_a_quiet_time_that_no_clock_shows_is_refused(payload: str) -> None:
    with pytest.raises(SettingRefused):
        with_setting(Settings(), "quiet_until", payload, wall_us=10**15, parse_time=parse_rfc3339)


@pytest.mark.parametrize("until_us", [-62_135_647_200_000_000, 10**30])
def test_a_settings_file_with_a_time_that_no_clock_shows_is_refused(until_us: int) -> None:
    with pytest.raises(SettingRefused):
        settings_from_dict({"quiet_until_us": until_us})
