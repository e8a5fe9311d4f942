"""Places around the one that everything here happens at."""

import math

from device.consent.area import EARTH_RADIUS_KM


def north_of(place: tuple[float, float], km: float) -> tuple[float, float]:
    """Return a place some kilometres to the north (longitude, latitude)."""
    return place[0], place[1] + math.degrees(km / EARTH_RADIUS_KM)
