"""The motion detector distinguishes people from other movement."""

import tracemalloc
from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.motion.detector import MotionDetector, MotionResult, make
from device.motion.visit import Visit, VisitEnded, VisitStarted, direction
from device.motion.zones import Zone, Zones
from tests.motion.porch import Porch, person

Draw = Callable[[NDArray[np.float32], float], NDArray[np.float32] | None]


def looks(
    draw: Draw,
    *,
    seconds: float = 14,
    fps: float = 10,
    porch: Porch | None = None,
    zones: Zones | None = None,
) -> list[MotionResult]:
    """Return what the detector makes of each frame of a clip that `draw` draws."""
    porch = porch or Porch()
    detector = MotionDetector(zones or Zones())
    seen = []
    for mono_us, s, picture in porch.clip(seconds, fps=fps):
        drawn = draw(picture, s)
        seen.append(detector.feed(porch.shown(picture if drawn is None else drawn, s), mono_us))
    return seen


def moved(seen: Iterable[MotionResult]) -> bool:
    return any(look.moves for look in seen)


def walks_up(picture: NDArray[np.float32], s: float) -> None:
    if 5 <= s < 10:
        near = (s - 5) / 5
        person(picture, 0.5 + 0.1 * near, 0.45 + 0.5 * near, 0.2 + 0.55 * near)


def crosses(picture: NDArray[np.float32], s: float) -> None:
    if 5 <= s < 10:
        person(picture, (s - 5) / 5, 0.6, 0.25)


@pytest.mark.parametrize("fps", [5, 7.3, 10, 15, 30])
@pytest.mark.parametrize("draw", [walks_up, crosses])
def test_a_person_is_detected_at_any_frame_rate(draw: Draw, fps: float) -> None:
    seen = looks(draw, fps=fps)
    start_us = seen[0].mono_us
    first_s = next((look.mono_us - start_us) / 1e6 for look in seen if look.moves)
    assert 5 <= first_s <= 8


@pytest.mark.parametrize(
    "size", [(160, 90), (320, 240), (320, 180), (640, 360), (352, 288), (1280, 720), (270, 480)]
)
def test_a_person_is_detected_at_any_picture_size(size: tuple[int, int]) -> None:
    porch = Porch(width_px=size[0], height_px=size[1])
    seen = looks(walks_up, porch=porch)
    assert moved(seen)
    assert not moved(seen[:50])


def test_rows_may_be_views_of_longer_rows() -> None:
    porch, detector, plain = Porch(), MotionDetector(Zones()), MotionDetector(Zones())
    for mono_us, s, picture in porch.clip(9):
        crosses(picture, s)
        shown = porch.shown(picture, s)
        padded = np.pad(shown, ((0, 0), (0, 64)), constant_values=255)
        assert detector.feed(padded[:, : shown.shape[1]], mono_us) == plain.feed(shown, mono_us)


def lamp(picture: NDArray[np.float32], s: float) -> NDArray[np.float32] | None:
    brighter: NDArray[np.float32] = np.minimum(picture * 1.8, 255)
    return brighter if 6 <= s < 10 else None


def cloud(picture: NDArray[np.float32], s: float) -> NDArray[np.float32]:
    columns = np.linspace(0, 1, picture.shape[1], dtype=np.float32)
    edge = 1 / (1 + np.exp(-(columns - (s - 4) / 6) * 8))
    shade = np.asarray(0.6 + 0.4 * edge, np.float32)
    shaded: NDArray[np.float32] = np.asarray(picture * shade, np.float32)
    return shaded


def headlights(picture: NDArray[np.float32], s: float) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    middle = (s - 5) / 3 * picture.shape[1]
    beam = np.exp(-(((columns - middle) / 50) ** 2) - ((rows - 100) / 60) ** 2)
    lit: NDArray[np.float32] = np.minimum(picture * 0.5 * (1 + 0.7 * beam), 255)
    return lit


def infra_red(picture: NDArray[np.float32], s: float) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    lit = np.exp(-(((columns - 160) / 150) ** 2) - ((rows - 170) / 110) ** 2)
    return picture * 0.35 if s < 7 else picture * (0.15 + 0.9 * lit)


def exposure_step(picture: NDArray[np.float32], s: float) -> NDArray[np.float32]:
    return picture * (1 + 0.5 * np.exp(-(s - 6))) if s >= 6 else picture


@pytest.mark.parametrize("light", [lamp, cloud, headlights, infra_red, exposure_step])
def test_a_change_of_light_is_not_motion(light: Draw) -> None:
    assert not moved(looks(light))


@pytest.mark.parametrize("light", [lamp, cloud, infra_red, exposure_step])
def test_a_person_is_detected_while_the_light_changes(light: Draw) -> None:
    def both(picture: NDArray[np.float32], s: float) -> NDArray[np.float32] | None:
        walks_up(picture, s)
        return light(picture, s)

    assert moved(looks(both))


def nothing(picture: NDArray[np.float32], s: float) -> None:
    pass


def sways(picture: NDArray[np.float32], s: float) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    gust = 2.5 * (0.4 + 0.6 * max(0, np.sin(s * 0.9)))
    columns += gust * np.sin(rows / 9 + s * 4) * (columns > 180)
    rows += gust * np.cos(columns / 11 + s * 3.1) * (columns > 180)
    return np.asarray(cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def shakes(picture: NDArray[np.float32], s: float) -> NDArray[np.float32]:
    shift = np.array([[1, 0, 1.5 * np.sin(s * 9)], [0, 1, np.cos(s * 13)]], np.float32)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, shift, size, borderMode=cv2.BORDER_REFLECT))


def rain(picture: NDArray[np.float32], s: float) -> None:
    rng, streaks = np.random.default_rng(round(s * 1000) + 3), np.zeros_like(picture)
    for x, y, long in rng.uniform(0, 1, (120, 3)):
        start = (int(x * picture.shape[1]), int(y * picture.shape[0]))
        cv2.line(streaks, start, (start[0] + 1, start[1] + 4 + int(12 * long)), 40.0, 1)
    picture += streaks


def snow(picture: NDArray[np.float32], s: float) -> None:
    rng = np.random.default_rng(8)
    rows, columns = picture.shape
    for x, y, speed in rng.uniform(0, 1, (90, 3)):
        centre = (
            int((x * columns + 12 * np.sin(s + 6 * y)) % columns),
            int((y * rows + (35 + 60 * speed) * s) % rows),
        )
        cv2.circle(picture, centre, 1 + int(speed > 0.7), 190.0, -1)


def insect(picture: NDArray[np.float32], s: float) -> None:
    f = (s - 6) / 1.8
    if 0 < f < 1:
        centre = (int(picture.shape[1] * f), int(90 + 50 * np.sin(f * 9)))
        cv2.ellipse(picture, centre, (10, 5), 40 * np.sin(f * 11), 0, 360, 210.0, -1)


def clock_overlay(picture: NDArray[np.float32], s: float) -> None:
    drawn = np.full((14, 90), 10, np.uint8)
    cv2.putText(drawn, f"12:00:{int(s):02d}", (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255)
    picture[:14, :90] = drawn


@pytest.mark.parametrize("nuisance", [nothing, sways, shakes, rain, snow, insect, clock_overlay])
@pytest.mark.parametrize("noise_levels", [1, 6])
def test_other_movement_is_not_reported(nuisance: Draw, noise_levels: float) -> None:
    assert not moved(looks(nuisance, seconds=20, porch=Porch(noise_levels=noise_levels)))


@pytest.mark.parametrize(("draw", "somebody"), [(crosses, True), (snow, False), (sways, False)])
def test_pictures_may_come_as_unevenly_as_they_like(draw: Draw, *, somebody: bool) -> None:
    rng, porch, detector = np.random.default_rng(4), Porch(), MotionDetector(Zones())
    s, seen = 0.0, []
    while s < 14:
        picture = porch.ground()
        drawn = draw(picture, s)
        shown = porch.shown(picture if drawn is None else drawn, s)
        seen.append(detector.feed(shown, 5_000_000 + round(s * 1e6)))
        s += rng.choice([0.03, 0.07, 0.2, 0.6], p=[0.5, 0.3, 0.18, 0.02])
    assert moved(seen) is somebody


def test_settling_is_short_and_reported() -> None:
    seen = looks(nothing, seconds=6)
    assert seen[0].settling
    assert not seen[-1].settling
    assert 1 < sum(look.settling for look in seen) / 10 < 3


def test_another_picture_altogether_settles_again() -> None:
    other = Porch(seed=77).ground()
    seen = looks(lambda picture, s: other.copy() if s >= 6 else None)
    assert any(look.settling for look in seen[60:66])
    assert not moved(seen)
    assert not seen[-1].settling


STREET = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.7), (0.0, 0.7))


def test_a_person_in_an_ignored_zone_is_not_reported() -> None:
    zone = Zone(name="street", kind="ignore", points=STREET)
    assert not moved(looks(crosses, zones=Zones([zone])))


def test_a_person_in_a_watched_zone_is_reported_with_its_name() -> None:
    zones = [
        Zone(name="street", kind="include", points=STREET),
        Zone(name="mat", kind="include", points=((0, 0.9), (1, 0.9), (1, 1), (0, 1))),
    ]
    zones_seen = {look.zones for look in looks(crosses, zones=Zones(zones)) if look.moves}
    assert zones_seen == {("street",)}


def faint(picture: NDArray[np.float32], s: float) -> None:
    if 5 <= s < 10:
        before = picture.copy()
        person(picture, (s - 5) / 5, 0.6, 0.25)
        picture += 0.62 * (before - picture)


def test_sensitivity_is_for_each_zone() -> None:
    everywhere = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    moves = {
        sensitivity: moved(
            looks(
                faint,
                zones=Zones([Zone(name="all", kind="include", points=everywhere, sensitivity=sensitivity)]),
            )
        )
        for sensitivity in (0.0, 1.0)
    }
    assert moves == {0.0: False, 1.0: True}


def test_make_is_the_detector() -> None:
    porch = Porch(width_px=640, height_px=360)
    mask = np.zeros((360, 640), bool)
    mask[120:] = True
    moves, detector = make(640, 360, mask), MotionDetector(Zones.of_mask(mask))
    for mono_us, s, picture in porch.clip(10):
        walks_up(picture, s)
        shown = porch.shown(picture, s)
        assert (
            moves(np.where(mask, shown, 0).astype(np.uint8), mono_us) == detector.feed(shown, mono_us).moves
        )


def test_one_visit_is_one_event() -> None:
    def stands(picture: NDArray[np.float32], s: float) -> None:
        if 5 <= s < 8:
            person(picture, 0.2 + (s - 5) / 10, 0.9, 0.6)
        elif 8 <= s < 16:
            person(picture, 0.5 + 0.004 * np.sin(s), 0.9, 0.6)
        elif 16 <= s < 19:
            person(picture, 0.5 + (s - 16) / 6, 0.9, 0.6)

    visit = Visit(quiet_us=4_000_000, linger_us=15_000_000)
    facts = [fact for look in looks(stands, seconds=28) if (fact := visit.feed(look)) is not None]
    assert [type(fact) for fact in facts] == [VisitStarted, VisitEnded]
    ended = facts[1]
    assert isinstance(ended, VisitEnded)
    assert 10e6 < ended.last_us - ended.started_us < 18e6
    assert 2 <= len(ended.glimpses) <= 24
    assert ended.direction == "right"


def test_a_long_visit_keeps_few_glimpses_from_its_start_to_its_end() -> None:
    def paces(picture: NDArray[np.float32], s: float) -> None:
        if s >= 3:
            person(picture, 0.5 + 0.3 * np.sin(s), 0.9, 0.6)

    visit, seen = Visit(quiet_us=4_000_000, linger_us=15_000_000), looks(paces, seconds=40)
    for look in seen:
        assert not isinstance(visit.feed(look), VisitEnded)
    ended = visit.stop(seen[-1].mono_us)
    assert ended is not None
    assert 12 <= len(ended.glimpses) <= 24
    assert ended.glimpses[0].mono_us == ended.started_us
    assert ended.last_us - ended.glimpses[-1].mono_us < 4e6


@pytest.mark.parametrize(
    ("last", "direction_name"),
    [
        ((0.4, 0.2, 0.3, 0.7), "nearer"),
        ((0.45, 0.35, 0.05, 0.1), "away"),
        ((0.1, 0.3, 0.1, 0.3), "left"),
        ((0.8, 0.3, 0.1, 0.3), "right"),
        ((0.45, 0.3, 0.1, 0.31), "none"),
    ],
)
def test_the_direction_of_a_visit(last: tuple[float, float, float, float], direction_name: str) -> None:
    assert direction((0.45, 0.3, 0.1, 0.3), last) == direction_name


def test_a_picture_without_noise_or_detail_does_no_harm() -> None:
    """A camera that is covered, or draws its own picture: for hours nothing at all differs."""
    detector, flat = MotionDetector(Zones()), np.full((90, 160), 90, np.uint8)
    for number in range(6000):
        detector.feed(flat, number * 200_000)
    seen = []
    for number in range(6000, 6060):
        picture = flat.copy()
        picture[30:80, (number - 6000) * 2 : (number - 6000) * 2 + 20] = 180
        seen.append(detector.feed(picture, number * 200_000))
    assert moved(seen)


def test_a_quiet_scene_is_looked_at_without_new_memory() -> None:
    porch, detector = Porch(width_px=640, height_px=360), MotionDetector(Zones())
    frames = [(mono_us, porch.shown(picture, s)) for mono_us, s, picture in porch.clip(8)]
    for mono_us, shown in frames[:50]:
        detector.feed(shown, mono_us)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for mono_us, shown in frames[50:]:
            detector.feed(shown, mono_us)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 160 * 90, "not even one grid of cells at a time; the light's few blocks are less"
    assert after - before < 4000
