"""Areas drawn in metres around the place of the test messages."""

import math

from device.consent.area import EARTH_RADIUS_KM
from device.consent.documents import GeoJsonPolygon
from tests.support.envelopes import PLACE

Points = list[tuple[float, float]]


def drawn(points: Points, *, turned_deg: float = 0.0, place: tuple[float, float] = PLACE) -> GeoJsonPolygon:
    """Return a polygon of metres east and north of a place, turned around it."""
    a_degree_m = math.radians(EARTH_RADIUS_KM * 1000)
    cos, sin = math.cos(math.radians(turned_deg)), math.sin(math.radians(turned_deg))
    ring = [
        [
            round(place[0] + (x * cos - y * sin) / a_degree_m / math.cos(math.radians(place[1])), 9),
            round(place[1] + (x * sin + y * cos) / a_degree_m, 9),
        ]
        for x, y in points
    ]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def rectangle(width: float, height: float) -> Points:
    return [
        (-width / 2, -height / 2),
        (width / 2, -height / 2),
        (width / 2, height / 2),
        (-width / 2, height / 2),
    ]


def block_with_arm(length: float, width: float) -> Points:
    """A block of 400 m, and an arm from the middle of its east side."""
    return [
        (-200, -200),
        (200, -200),
        (200, -width / 2),
        (200 + length, -width / 2),
        (200 + length, width / 2),
        (200, width / 2),
        (200, 200),
        (-200, 200),
    ]


def dumbbell(island: float, bridge: float) -> Points:
    """A block of 400 m, a bridge 2 m wide, and an island at its end."""
    half, west, east = island / 2, 200 + bridge, 200 + bridge + island
    return [
        (-200, -200),
        (200, -200),
        (200, -1),
        (west, -1),
        (west, -half),
        (east, -half),
        (east, half),
        (west, half),
        (west, 1),
        (200, 1),
        (200, 200),
        (-200, 200),
    ]


def comb(teeth: int, tooth: float, gap: float, height: float, *, back: float = 60.0) -> Points:
    """A back, and teeth that point north."""
    points: Points = [(0, 0), (teeth * (tooth + gap) - gap, 0)]
    for number in reversed(range(teeth)):
        west = number * (tooth + gap)
        points += [(west + tooth, back + height), (west, back + height)]
        if number:
            points += [(west, back), (west - gap, back)]
    middle = points[1][0] / 2
    return [(x - middle, y - height / 2) for x, y in points]


def spiral(turns: int, width: float, gap: float) -> Points:
    """An arm of one width that winds around the place, with corners at right angles."""
    outer: Points = []
    inner: Points = []
    pitch = width + gap
    for step in range(turns * 4):
        reach = 20 + pitch * (step // 4 + (step % 4) / 4)
        x, y = ((1, -1), (1, 1), (-1, 1), (-1, -1))[step % 4]
        outer.append((x * (reach + width), y * (reach + width)))
        inner.append((x * reach, y * reach))
    return outer + inner[::-1]


WIDE = {
    "a square": drawn(rectangle(260, 260)),
    "a square of half a square mile": drawn(rectangle(1135, 1135), turned_deg=31),
    "a street of 110 m": drawn(rectangle(110, 1500), turned_deg=63),
    "an L": drawn([(0, 0), (600, 0), (600, 150), (150, 150), (150, 600), (0, 600)], turned_deg=10),
    "a U": drawn(
        [(-300, -200), (300, -200), (300, 300), (160, 300), (160, -60), (-160, -60), (-160, 300), (-300, 300)]
    ),
    "an arm of 40 m": drawn(block_with_arm(40, 20), turned_deg=17),
    "two blocks with a short bridge": drawn(dumbbell(150, 90)),
    "a triangle": drawn([(-250, -200), (250, -200), (0, 233)]),
}
"""Areas that obey the rule of the shape."""

NARROW = {
    "an arm to one house": drawn(block_with_arm(700, 12), turned_deg=40),
    "an arm a millimetre wide": drawn(block_with_arm(900, 0.001)),
    "an arm of 60 m": drawn(block_with_arm(60, 20), turned_deg=17),
    "a house on a thin bridge": drawn(dumbbell(18, 300), turned_deg=90),
    "a comb": drawn(comb(15, 40, 20, 400)),
    "a comb with a wide back": drawn(comb(12, 60, 40, 300, back=150), turned_deg=5),
    "two blocks with a long bridge": drawn(dumbbell(150, 300)),
    "a sliver": drawn(rectangle(20, 4000), turned_deg=77),
    "a street of 90 m": drawn(rectangle(90, 1500), turned_deg=63),
    "a spiral": drawn(spiral(6, 40, 25)),
    "a needle": drawn([(-150, -10), (-150, 300), (-90, 300), (2500, -9)]),
    "a pin on a block": drawn(
        [(-200, -200), (200, -200), (200, 200), (5, 200), (0, 480), (-5, 200), (-200, 200)]
    ),
    "a star": drawn(
        [
            (reach * math.cos(math.pi * number / 8), reach * math.sin(math.pi * number / 8))
            for number, reach in enumerate([700, 110] * 8)
        ]
    ),
}
"""Areas of an allowed size that do not."""
