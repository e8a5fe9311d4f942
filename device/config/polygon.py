"""Whether corners make a zone: a simple polygon of some size."""

from collections.abc import Iterator
from itertools import pairwise

PolygonPoint = tuple[float, float]
"""(x, y) as shares of the picture, 0..1, origin top left."""

_FEWEST_POINTS, _MAX_POINTS = 3, 32


def polygon_mistakes(points: list[PolygonPoint]) -> Iterator[str]:
    """Yield what keeps the points from being a simple polygon; the first is the one to tell."""
    if not _FEWEST_POINTS <= len(points) <= _MAX_POINTS:
        fewer = len(points) < _FEWEST_POINTS
        need = f"needs {_FEWEST_POINTS}" if fewer else f"has {_MAX_POINTS} at most"
        count = f"{len(points)} point{'s' * (len(points) != 1)}"
        yield f"{count}, a polygon {need}; {'add the missing' if fewer else 'leave some out'}"
    for number, (x, y) in enumerate(points, 1):
        if not (0 <= x <= 1 and 0 <= y <= 1):
            yield (
                f"point {number}, [{x:g}, {y:g}], is outside the picture; write shares of its "
                "width and height, 0 to 1, not pixels"
            )
    for number, (point, following) in enumerate(pairwise(points), 1):
        if point == following:
            yield f"point {number + 1} repeats point {number}; leave one out"
    if points and points[0] == points[-1]:
        yield "the last point repeats the first; leave it out, the polygon closes by itself"
    if all(_turn(points[0], points[1], point) == 0 for point in points[2:]):
        yield "all points lie on one line, so nothing is inside; move one of them"
    yield from _crossings(list(zip(points, points[1:] + points[:1], strict=True)))


def _crossings(sides: list[tuple[PolygonPoint, PolygonPoint]]) -> Iterator[str]:
    for index, side in enumerate(sides):
        # A side's neighbours share a corner with it; the last and the first are neighbours too.
        for other in range(index + 2, len(sides) - (index == 0)):
            if _touch(side, sides[other]):
                yield (
                    f"the sides after point {index + 1} and after point {other + 1} cross; "
                    "give the corners in the order of a walk around the zone"
                )


def _turn(a: PolygonPoint, b: PolygonPoint, c: PolygonPoint) -> int:
    """Return on which side of the line a-b the point c is: -1, 0 or 1."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (area > 0) - (area < 0)


def _touch(one: tuple[PolygonPoint, PolygonPoint], two: tuple[PolygonPoint, PolygonPoint]) -> bool:
    """Return whether two segments have a point in common."""
    (a, b), (c, d) = one, two
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    corners = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(
        turn == 0
        and min(p[0], q[0]) <= r[0] <= max(p[0], q[0])
        and min(p[1], q[1]) <= r[1] <= max(p[1], q[1])
        for turn, (p, q, r) in zip(turns, corners, strict=True)
    )


_ON_A_SIDE = 1e-9
"""Distance, as a share of the picture, up to which a point counts as on a side: far below a pixel."""


def covers(outer: list[PolygonPoint], inner: list[PolygonPoint]) -> bool:
    """Return whether a simple polygon covers the whole of another one.

    It does if all of the inner one's outline is inside. Each side is cut where it meets a side of the outer one; the
    pieces in between are wholly inside or wholly outside, so their middles decide.
    """
    outline = list(zip(outer, outer[1:] + outer[:1], strict=True))
    for start, end in zip(inner, inner[1:] + inner[:1], strict=True):
        cuts = sorted({0.0, 1.0, *(cut for side in outline for cut in _cuts(start, end, side))})
        for first, last in pairwise(cuts):
            share = (first + last) / 2
            middle = start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
            if not _inside(middle, outline):
                return False
    return True


def _cuts(a: PolygonPoint, b: PolygonPoint, side: tuple[PolygonPoint, PolygonPoint]) -> Iterator[float]:
    """Yield the shares of the way from a to b at which a side meets it; a parallel one meets it at its ends."""
    (c, d), ab = side, (b[0] - a[0], b[1] - a[1])
    cd = d[0] - c[0], d[1] - c[1]
    cross = ab[0] * cd[1] - ab[1] * cd[0]
    if cross:
        share = ((c[0] - a[0]) * cd[1] - (c[1] - a[1]) * cd[0]) / cross
        if 0 < share < 1:
            yield share
        return
    length = ab[0] ** 2 + ab[1] ** 2
    for point in side:
        share = ((point[0] - a[0]) * ab[0] + (point[1] - a[1]) * ab[1]) / length
        if 0 < share < 1:
            yield share


def _inside(point: PolygonPoint, outline: list[tuple[PolygonPoint, PolygonPoint]]) -> bool:
    """Return whether a point is inside or on the outline: by counting the sides to its right."""
    x, y = point
    odd = False
    for (ax, ay), (bx, by) in outline:
        length = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5
        off = abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length
        if off <= _ON_A_SIDE and -_ON_A_SIDE <= along <= length + _ON_A_SIDE:
            return True
        if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
            odd = not odd
    return odd
