"""Places around the one that everything here happens at."""

import math

from device.consent.area import EARTH_RADIUS_KM


def north_of(position: tuple[float, float], km: float) -> tuple[float, float]:
    """Return a place some kilometres to the north (longitude, latitude)."""
    return position[0], position[1] + math.degrees(km / EARTH_RADIUS_KM)
