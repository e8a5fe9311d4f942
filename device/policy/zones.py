"""Where motion counts: polygons in relative coordinates (0..1, origin top left)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One polygon; `points` are (x, y) pairs."""

    name: str
    kind: Literal["include", "ignore"]
    points: tuple[tuple[float, float], ...]


def _filled(points: Sequence[tuple[float, float]], width_px: int, height_px: int) -> Mask:
    mask = np.zeros((height_px, width_px), np.uint8)
    corners = np.array(points, np.float64) * (width_px, height_px)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1)
    return mask


def watched(zones: Sequence[Zone], width_px: int, height_px: int) -> tuple[Mask, dict[str, Mask]]:
    """Return (mask of all that is watched, mask of each include zone), uint8 0/1, H x W.

    Without an include zone the whole picture is watched; an ignore zone takes away from all.
    """
    keep = np.ones((height_px, width_px), np.uint8)
    for zone in zones:
        if zone.kind == "ignore":
            keep &= 1 - _filled(zone.points, width_px, height_px)
    include = {z.name: z for z in zones if z.kind == "include"}
    masks = {n: _filled(z.points, width_px, height_px) & keep for n, z in include.items()}
    if not masks:
        return keep, {}
    union = np.zeros_like(keep)
    for mask in masks.values():
        union |= mask
    return union, masks
