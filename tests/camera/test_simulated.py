"""The properties of the drawn porch that a viewer would notice."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.camera.simulated.porch import CYCLE_S, PRESS_AT_S, VISIT_S, Image, Porch

FIRST_S, EVERY_S = 10.0, 25.0
NOISE_LEVELS = 24  # the noise tiles reach 12 either way, so two frames differ by 24 at most


def built(
    light: Literal["day", "night", "cycle"] = "day",
    size: tuple[int, int] = (640, 360),
    *,
    visitors: bool = True,
) -> Porch:
    width_px, height_px = size
    return Porch(
        width_px=width_px,
        height_px=height_px,
        light=light,
        visit_every_s=EVERY_S,
        first_visit_s=FIRST_S,
        visitors=visitors,
    )


porch = functools.cache(built)  # painting takes a while, and a drawing leaves no trace


def changed(one: Image, other: Image) -> NDArray[np.bool_]:
    """Where two pictures differ by more than the noise can explain."""
    return np.asarray(cv2.absdiff(one, other).max(axis=2) > NOISE_LEVELS)


def middle(picture: NDArray[np.bool_]) -> float:
    height, width = picture.shape
    return float(picture[height // 4 :, width * 9 // 20 : width * 3 // 5].mean())


def test_the_same_moment_is_the_same_picture_whatever_was_drawn_before() -> None:
    one, other = built("cycle", (320, 180)), built("cycle", (320, 180))
    for time_s in (0.0, CYCLE_S * 0.45, FIRST_S + 3):
        other.draw(time_s)
    for time_s in (0.04, FIRST_S + 2.5, FIRST_S + PRESS_AT_S, FIRST_S + EVERY_S + 8, 271.0):
        np.testing.assert_array_equal(one.draw(time_s), other.draw(time_s))


def test_two_frames_in_a_row_carry_different_noise() -> None:
    scene = porch()
    before = scene.draw(1.0).copy()
    assert (scene.draw(1.04) != before).mean() > 0.3


@pytest.mark.parametrize("size", [(320, 180), (1280, 720), (320, 1080), (1920, 180)])
def test_every_moment_of_a_visit_is_drawn_at_any_size(size: tuple[int, int]) -> None:
    scene = built(size=size)
    for time_s in np.arange(FIRST_S - 0.5, FIRST_S + EVERY_S + VISIT_S, 0.7):
        frame = scene.draw(float(time_s))
        assert frame.shape == (size[1], size[0], 3)
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous


@pytest.mark.parametrize("size", [(641, 360), (640, 178), (1922, 1080)])
def test_an_odd_or_unreasonable_size_is_refused_by_name(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"(width|height)_px is \d+"):
        porch(size=size)


def test_visits_that_would_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="visit_every_s is 5"):
        Porch(width_px=320, height_px=180, light="day", visit_every_s=5, first_visit_s=0)


@pytest.mark.parametrize(("light", "visit"), [("day", 0), ("day", 1), ("night", 2), ("night", 3)])
def test_a_visitor_fills_the_middle_of_the_picture(light: Literal["day", "night"], visit: int) -> None:
    scene = porch(light)
    empty = scene.draw(0.0).copy()
    start_s = FIRST_S + visit * EVERY_S
    far, near = (middle(changed(empty, scene.draw(start_s + at))) for at in (2.2, PRESS_AT_S + 0.1))
    assert 0 < far < 0.1
    assert near > 0.35


def test_the_visitor_grows_on_the_way_to_the_door_and_shrinks_on_the_way_back() -> None:
    scene = porch()
    empty = scene.draw(0.0).copy()
    seen = [changed(empty, scene.draw(FIRST_S + at)).mean() for at in (2.2, 3.2, 4.0, 5.0)]
    left = [changed(empty, scene.draw(FIRST_S + at)).mean() for at in (12.4, 13.2, 14.0)]
    assert seen == sorted(seen)
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize("light", ["day", "night"])
def test_between_visits_only_the_crown_of_the_tree_moves(
    light: Literal["day", "night", "cycle"],
) -> None:
    scene = porch(light)
    empty = scene.draw(0.0).copy()
    outside = np.ones(empty.shape[:2], bool)
    outside[:165, 120:280] = False  # the crown
    for time_s in (3.3, FIRST_S - 0.01, FIRST_S + VISIT_S + 0.01, FIRST_S + EVERY_S - 0.01):
        assert not (changed(empty, scene.draw(time_s)) & outside).any()


def test_the_crown_of_the_tree_does_move() -> None:
    scene = porch()
    still = np.mean([scene.draw(s / 500) for s in range(12)], axis=0)
    later = np.mean([scene.draw(1.7 + s / 500) for s in range(12)], axis=0)
    moved = np.abs(still - later).max(axis=2)
    assert (moved[20:140, 140:260] > 8).mean() > 0.1
    assert (moved[200:] > 8).mean() < 0.001


@pytest.mark.parametrize("edge_s", [0.0, VISIT_S - 0.001])
@pytest.mark.parametrize("visit", [0, 1])
def test_a_visit_begins_and_ends_out_of_sight(visit: int, edge_s: float) -> None:
    scene = porch()
    empty = scene.draw(0.0).copy()
    empty[:165, 120:280] = 0  # the crown
    frame = scene.draw(FIRST_S + visit * EVERY_S + edge_s).copy()
    frame[:165, 120:280] = 0
    assert changed(empty, frame).sum() < 12


def test_visitors_in_a_row_do_not_look_alike_and_one_brings_a_parcel() -> None:
    scene = porch()
    chests = [
        scene.draw(FIRST_S + visit * EVERY_S + 8)[230:280, 290:310].mean(axis=(0, 1)) for visit in range(4)
    ]
    for i, chest in enumerate(chests):
        for other in chests[i + 1 :]:
            assert np.abs(chest - other).max() > 20


def test_nobody_comes_when_visitors_are_off() -> None:
    scene = porch(visitors=False)
    empty = scene.draw(0.0).copy()
    assert middle(changed(empty, scene.draw(FIRST_S + PRESS_AT_S))) == 0
    assert not scene.press_due(0, 1000)


@pytest.mark.parametrize("step_s", [1 / 30, 1.0, 24.9])
def test_a_visitor_presses_exactly_once_whatever_the_frame_rate(step_s: float) -> None:
    scene = porch(size=(320, 180))
    steps = int(8 * EVERY_S / step_s)
    edges_s = [i * step_s for i in range(steps + 1)]
    presses_s = [now for before, now in pairwise(edges_s) if scene.press_due(before, now)]
    dues_s = np.arange(FIRST_S + PRESS_AT_S, edges_s[-1], EVERY_S)
    assert len(presses_s) == len(dues_s) >= 7
    for press_s, due_s in zip(presses_s, dues_s, strict=True):
        assert due_s - 1e-6 <= press_s <= due_s + step_s + 1e-6


def test_the_press_belongs_to_the_step_that_ends_on_it() -> None:
    scene = porch(size=(320, 180))
    due_s = FIRST_S + PRESS_AT_S
    assert scene.press_due(due_s - 0.1, due_s)
    assert not scene.press_due(due_s, due_s + 0.1)
    assert not scene.press_due(due_s, due_s)
    assert not scene.press_due(-5, due_s - 0.1)


def test_night_is_darker_greyer_and_noisier_than_day() -> None:
    day, night = porch("day"), porch("night")
    by_day, by_night = day.draw(1.0).copy(), night.draw(1.0).copy()
    assert by_night.mean() < 0.5 * by_day.mean()

    def colour(frame: Image) -> float:
        return float(np.ptp(frame.astype(int), axis=2).mean())

    def grain(scene: Porch) -> float:
        one = scene.draw(1.0)[250:].astype(int)
        return float(np.std(one - scene.draw(1.04)[250:]))

    assert colour(by_night) < 0.5 * colour(by_day)
    assert grain(night) > 1.5 * grain(day)


def test_the_cycle_goes_from_day_through_dusk_to_night_and_back() -> None:
    scene = porch("cycle")
    light = [scene.draw(share * CYCLE_S).mean() for share in (0.1, 0.43, 0.47, 0.7, 0.95, 1.1)]
    assert light[0] > light[1] > light[2] > light[3]
    assert light[3] < light[4] < light[5]
    assert light[0] == pytest.approx(light[5], abs=1)
    assert scene.draw(0.1 * CYCLE_S).mean() == pytest.approx(porch("day").draw(60.0).mean(), abs=1)
