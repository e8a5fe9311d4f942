"""Polygons on the earth in WGS 84 degrees, small enough to be treated as flat. (longitude, latitude), as in GeoJSON.

Not shapely: only the three questions below are needed, for polygons of at most 256 corners, and its wheel with GEOS
would load 6 MB on a board with 512.
"""

import math
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from device.consent.documents import GeoJsonPolygon
from device.consent.reasons import Reason, Refused
from device.consent.views import Direction, PlaceView

CornerArray = NDArray[np.float64]
"""N x 2, longitude and latitude in degrees, no corner twice."""

EARTH_RADIUS_KM = 6371.0088
"""The mean radius of the IUGG; against the ellipsoid an area is off by 0.7 % at most."""
FEWEST_CORNERS = 3
WIDEST_DEG = 20.0
"""Maximum width and height of a polygon, so that it can be treated as flat."""
MAX_LATITUDE_DEG = 85.0
"""Nearer to a pole a degree of longitude is too short for a flat map. Nobody lives there."""
MIN_KM2, MAX_KM2 = 0.065, 1.295
"""Limits of a request's area: a fortieth of a square mile to half of one."""


def corners_of(polygon: GeoJsonPolygon, most: int) -> CornerArray:
    """Return the corners of a GeoJSON Polygon (RFC 7946) of one ring. Raises Refused unless it is simple."""
    ring = np.array(polygon["coordinates"][0], dtype=np.float64)
    if len(ring) - 1 > most:
        raise Refused(Reason.BAD_AREA, f"more than {most} corners")
    if len(ring) - 1 < FEWEST_CORNERS or (ring[0] != ring[-1]).any():
        raise Refused(Reason.BAD_AREA, "a ring has at least 3 corners and ends where it began")
    corners: CornerArray = ring[:-1]
    longitude, latitude = corners.T
    if (np.abs(latitude) > 90.0).any() or (np.abs(longitude) > 360.0).any():
        raise Refused(Reason.BAD_AREA, "longitude is -180 to 180, latitude -90 to 90, in this order")
    # RFC 7946 cuts a shape at the meridian. Others write 181 for -179, or go from 179 straight to -179.
    if (np.abs(longitude) > 180.0).any() or (np.abs(longitude - np.roll(longitude, 1)) > 180.0).any():
        raise Refused(Reason.AREA_ACROSS_180)
    if (np.abs(latitude) > MAX_LATITUDE_DEG).any():
        raise Refused(Reason.AREA_BEYOND_85)
    if (np.ptp(corners, axis=0) > WIDEST_DEG).any():
        raise Refused(Reason.BAD_AREA, f"it is wider or higher than {WIDEST_DEG:g} degrees")
    if len(np.unique(corners, axis=0)) != len(corners):
        raise Refused(Reason.BAD_AREA, "a corner is there twice")
    if _crosses_itself(corners):
        raise Refused(Reason.BAD_AREA, "two of its sides touch or cross")
    return corners


def km2(corners: CornerArray) -> float:
    """Return the area on a sphere, by the trapezoids below each side (exact for a cylinder of equal area)."""
    longitude, height = np.radians(corners[:, 0]), np.sin(np.radians(corners[:, 1]))
    trapezoids = (np.roll(longitude, -1) - longitude) * (np.roll(height, -1) + height) / 2
    return float(abs(trapezoids.sum()) * EARTH_RADIUS_KM**2)


def contains(corners: CornerArray, longitude: float, latitude: float) -> bool:
    """Return whether a point is inside: a ray to the east meets an odd number of sides."""
    x, y = corners[:, 0], corners[:, 1]
    following_x, following_y = np.roll(x, -1), np.roll(y, -1)
    spans = (y > latitude) != (following_y > latitude)
    if not spans.any():
        return False
    share = (latitude - y[spans]) / (following_y[spans] - y[spans])
    meets = x[spans] + share * (following_x[spans] - x[spans])
    return bool(np.count_nonzero(meets > longitude) % 2)


def within(inner: CornerArray, outer: CornerArray) -> bool:
    """Return whether a polygon is wholly inside another: one corner is, and no two sides meet."""
    return contains(outer, float(inner[0, 0]), float(inner[0, 1])) and not _meet(inner, outer)


def touch(one: CornerArray, two: CornerArray) -> bool:
    """Return whether two polygons have a point in common."""
    return (
        contains(one, float(two[0, 0]), float(two[0, 1]))
        or contains(two, float(one[0, 0]), float(one[0, 1]))
        or _meet(one, two)
    )


def distance_km(one: tuple[float, float], two: tuple[float, float]) -> float:
    """Return the distance of two near points (longitude, latitude), on a sphere treated as flat."""
    east = math.radians(two[0] - one[0]) * math.cos(math.radians((one[1] + two[1]) / 2))
    return EARTH_RADIUS_KM * math.hypot(east, math.radians(two[1] - one[1]))


_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
"""Clockwise from north."""


def place_of(corners: CornerArray, home: tuple[float, float]) -> PlaceView:
    """Return where an area is as somebody at home (longitude, latitude) would say it."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle = float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2
    across_km = max(
        distance_km((float(low[0]), middle[1]), (float(high[0]), middle[1])),
        distance_km((middle[0], float(low[1])), (middle[0], float(high[1]))),
    )
    east = (middle[0] - home[0]) * math.cos(math.radians(home[1]))
    turn = math.degrees(math.atan2(east, middle[1] - home[1]))
    return {
        "across_m": round(across_km * 1000),
        "distance_m": round(distance_km(home, middle) * 1000),
        "direction": _DIRECTIONS[round(turn / 45) % len(_DIRECTIONS)],
        "home_is_inside": contains(corners, *home),
    }


def circle(longitude: float, latitude: float, radius_m: float, corners: int = 32) -> GeoJsonPolygon:
    """Return a GeoJSON polygon around a point; RFC 7946 has no circles."""
    north = math.degrees(radius_m / 1000 / EARTH_RADIUS_KM)
    east = north / math.cos(math.radians(latitude))
    turns = [2 * math.pi * number / corners for number in range(corners)]
    ring = [
        [round(longitude + east * math.cos(turn), 6), round(latitude + north * math.sin(turn), 6)]
        for turn in turns
    ]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def _crosses_itself(corners: CornerArray) -> bool:
    if _meet(corners, corners, neighbours_apart=True):
        return True
    # Neighbours share a corner, and may still double back on one line.
    side = np.roll(corners, -1, axis=0) - corners
    following = np.roll(side, -1, axis=0)
    flat = side[:, 0] * following[:, 1] == side[:, 1] * following[:, 0]
    return bool((flat & ((side * following).sum(axis=1) < 0)).any())


def _meet(one: CornerArray, two: CornerArray, *, neighbours_apart: bool = False) -> bool:
    """Return whether a side of one and a side of two have a point in common.

    `neighbours_apart`: both are the same polygon, whose sides are not compared with themselves and the next.
    """
    turns, back = _turns(one, two), _turns(two, one).T
    # Two sides meet if the ends of each lie on different sides of the other, or on it.
    meet = (turns * np.roll(turns, -1, axis=1) <= 0) & (back * np.roll(back, -1, axis=0) <= 0)
    if neighbours_apart:
        number = len(one)
        apart = (np.arange(number) - np.arange(number)[:, None]) % number
        meet &= (apart > 1) & (apart < number - 1)
    # On one line all four are 0, also where the sides lie far from each other.
    first, second = np.nonzero(meet)
    ends_one = np.stack((one[first], np.roll(one, -1, axis=0)[first]))
    ends_two = np.stack((two[second], np.roll(two, -1, axis=0)[second]))
    overlap = (ends_one.min(axis=0) <= ends_two.max(axis=0)) & (ends_two.min(axis=0) <= ends_one.max(axis=0))
    return bool(overlap.all(axis=1).any())


def _turns(sides: CornerArray, points: CornerArray) -> NDArray[np.float64]:
    """Return on which side of each edge each point is: -1, 0 or 1; N x M."""
    along = np.roll(sides, -1, axis=0) - sides
    x, y = points[:, 0] - sides[:, 0, None], points[:, 1] - sides[:, 1, None]
    turns: NDArray[np.float64] = np.sign(along[:, 0, None] * y - along[:, 1, None] * x)
    return turns
