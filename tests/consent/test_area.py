"""The shape of a request's area: it asks a region, and no arm of it reaches for one house."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from device.consent.area import circle, corners_of, distance_km, km2, place_of
from device.consent.area_shape import check_shape
from device.consent.reasons import Reason, Refused
from tests.support.shapes import NARROW, WIDE, Points, block_with_arm, drawn, rectangle


def refusal(polygon: Any) -> str:
    """Return the detail of the refusal; "" if the shape is allowed."""
    corners = corners_of(polygon, 64)
    try:
        check_shape(corners)
    except Refused as error:
        return error.detail if error.reason is Reason.AREA_SHAPE else f"for another reason: {error}"
    return ""


@pytest.mark.parametrize("name", WIDE)
def test_an_area_that_is_wide_everywhere_is_allowed(name: str) -> None:
    assert refusal(WIDE[name]) == ""


@pytest.mark.parametrize("name", NARROW)
def test_an_area_with_a_narrow_part_is_refused(name: str) -> None:
    assert 0.065 <= km2(corners_of(NARROW[name], 64)) <= 1.295  # its size is not why
    assert refusal(NARROW[name])


@pytest.mark.parametrize("width", [0.001, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("turned_deg", [0.0, 0.003, 45.0, 90.0, 271.0])
def test_the_reach_of_an_arm_is_measured_whatever_its_width_and_direction(
    width: float, turned_deg: float
) -> None:
    assert refusal(drawn(block_with_arm(38, width), turned_deg=turned_deg)) == ""
    assert "more than 50 m" in refusal(drawn(block_with_arm(56, width), turned_deg=turned_deg))


@pytest.mark.parametrize("turned_deg", [0.0, 30.0, 45.0, 90.0])
@pytest.mark.parametrize("place", [(2.3, 48.9), (20.0, 69.6), (-70.0, -54.8), (0.0, 0.0), (25.0, 84.9)])
def test_the_width_of_a_street_is_measured_to_two_metres(
    turned_deg: float, place: tuple[float, float]
) -> None:
    for width, allowed in ((96, False), (101, True)):
        street = drawn(rectangle(width, 900), turned_deg=turned_deg, place=place)
        assert (refusal(street) == "") is allowed, width


@given(
    st.lists(st.tuples(st.floats(0, 2 * math.pi), st.floats(60, 700)), min_size=3, max_size=12, unique=True),
    st.floats(0, 360),
)
@settings(max_examples=60, deadline=None)
def test_the_verdict_is_that_of_a_fine_raster(spokes: list[tuple[float, float]], turned_deg: float) -> None:
    """A raster of 4 m decides the same, except for areas near a limit."""
    points: Points = [(r * math.cos(a), r * math.sin(a)) for a, r in sorted(spokes)]
    turned = math.radians(turned_deg)
    polygon = drawn(points, turned_deg=turned_deg)
    try:
        corners = corners_of(polygon, 64)
    except Refused:
        reject()
    rotated = np.array(points) @ np.array(
        [[math.cos(turned), math.sin(turned)], [-math.sin(turned), math.cos(turned)]]
    )
    assume(km2(corners) >= 0.02)
    allowed = refusal(polygon) == ""
    if raster_verdict(rotated, disc_m=60, least=0.93, reach_m=40):
        assert allowed
    if not raster_verdict(rotated, disc_m=40, least=0.87, reach_m=60):
        assert not allowed


def raster_verdict(points: Any, *, disc_m: float, least: float, reach_m: float) -> bool:
    """Return whether a polygon in metres obeys the rule, by distance transforms of a raster."""
    import cv2

    pixel_m = 4.0
    origin = points.min(axis=0) - 100
    size = ((np.ptp(points, axis=0) + 200) / pixel_m).astype(int) + 1
    canvas = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(canvas, [np.round((points - origin) / pixel_m).astype(np.int32)], 1)
    core = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * pixel_m >= disc_m
    if not core.any():
        return False
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * pixel_m
    inside = canvas == 1
    kept = (away[inside] <= disc_m).mean()
    return bool(kept >= least and away[inside].max() <= disc_m + reach_m)


def test_the_longest_area_and_the_most_corners_are_decided() -> None:
    assert refusal(drawn(rectangle(101, 12_700), turned_deg=44)) == ""
    assert refusal(circle(2.3, 48.9, 150, 64)) == ""
    assert "longer than" in refusal(drawn(rectangle(1, 60_000)))


def ring(*corners: tuple[float, float]) -> Any:
    return {"type": "Polygon", "coordinates": [[list(corner) for corner in (*corners, corners[0])]]}


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        (ring((179.999, 10), (-179.999, 10), (-179.999, 10.01), (179.999, 10.01)), "area_across_180"),
        (ring((179.999, 10), (180.001, 10), (180.001, 10.01), (179.999, 10.01)), "area_across_180"),
        (ring((-180.1, 10), (-180.05, 10), (-180.05, 10.01)), "area_across_180"),
        (ring((10, 84.99), (10.1, 84.99), (10.1, 85.01), (10, 85.01)), "area_beyond_85"),
        (ring((10, -85.01), (10.1, -85.01), (10.1, -84.99)), "area_beyond_85"),
        (ring((10, 89), (10.1, 91), (10.2, 89)), "bad_area"),
    ],
)
def test_an_area_where_a_flat_map_fails_is_refused_with_its_own_reason(polygon: Any, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        corners_of(polygon, 64)
    assert refused.value.reason == reason


def test_an_area_may_end_at_180_and_at_85_degrees() -> None:
    assert len(corners_of(ring((179.99, 84.9), (180, 84.9), (180, 85), (179.99, 85)), 64)) == 4


@pytest.mark.parametrize(
    ("centre", "direction"),
    [((0.0, 0.001), "north"), ((0.002, 0.002), "north_east"), ((-0.003, 0.0), "west")],
)
def test_a_place_is_named_as_seen_from_home(centre: tuple[float, float], direction: str) -> None:
    place = place_of(corners_of(circle(*centre, 250), 64), (0.0, 0.0))
    assert place["direction"] == direction
    assert place["across_m"] == pytest.approx(500, abs=5)
    assert place["distance_m"] == pytest.approx(distance_km((0.0, 0.0), centre) * 1000, abs=2)
    assert place["home_is_inside"] == (place["distance_m"] < 250)
