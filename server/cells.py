"""The geohash cells that an area touches: an item is published in each of them."""

import numpy as np

from device.consent.area import CornerArray, touch
from device.consent.geohash import bounds, geohash
from device.consent.reasons import Reason, Refused

LETTERS = 5
"""4.9 km by 4.9 km at the equator: no topic says more precisely where something is."""
MAX_CELLS = 400
"""About 9,000 km2: an item for more than one community is not this server's to publish."""


def cells_of(corners: CornerArray) -> list[str]:
    """Return the cells that a polygon touches, by name. Raises Refused if they are too many."""
    west, south = corners.min(axis=0)
    east, north = corners.max(axis=0)
    first = bounds(geohash(west, south, LETTERS))
    width, height = first[2] - first[0], first[3] - first[1]
    columns = int((east - first[0]) // width) + 1
    rows = int((north - first[1]) // height) + 1
    if columns * rows > MAX_CELLS:
        raise Refused(Reason.AREA_SIZE, f"it reaches over {columns * rows} cells; {MAX_CELLS} are the most")
    found = set()
    for column in range(columns):
        for row in range(rows):
            x, y = first[0] + (column + 0.5) * width, first[1] + (row + 0.5) * height
            cell = geohash(x, y, LETTERS)
            left, low, right, high = bounds(cell)
            square = np.array([[left, low], [right, low], [right, high], [left, high]])
            if touch(corners, square):
                found.add(cell)
    return sorted(found)


def topic(cell: str, kind: str, sender: str, name: str) -> str:
    """Return where something is published in a cell. An id belongs to its sender: another's never replaces it."""
    return f"hood/cell/{cell[:4]}/{cell[4]}/{kind}/{sender}/{name}"
