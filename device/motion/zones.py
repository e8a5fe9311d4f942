"""Where motion counts, and how much: polygons in relative coordinates (0..1, origin top left)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import MotionConfig, ZoneConfig

Mask = NDArray[np.uint8]
Points = Sequence[Sequence[float]]
"""The corners of a polygon as (x, y) pairs, relative to the picture."""
FULL = 255
_FINER = 8
"""Polygons are drawn this many times finer than the grid; a cell counts if all of it is inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One polygon; `points` are (x, y) pairs. `sensitivity` 0..1 has a meaning for include zones only."""

    name: str
    kind: Literal["include", "ignore"]
    points: Points
    sensitivity: float = 0.5


def filled(points: Points, width_px: int, height_px: int) -> Mask:
    """Return a picture of the polygon: uint8, height x width, 255 inside and 0 outside."""
    mask = np.zeros((height_px, width_px), np.uint8)
    corners = np.array(points, np.float64) * (width_px, height_px)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], (FULL,))
    return mask


def _cells(fine: Mask, columns: int, rows: int) -> Mask:
    share = cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.where(share == FULL, FULL, 0).astype(np.uint8)


def eagerness(sensitivity: float) -> float:
    """Return the factor for a difference: 1 at 0.5, half at 0, twice at 1."""
    return float(4 ** (sensitivity - 0.5))


class Zones:
    """The zones of one camera. Without an include zone the whole picture counts, with `sensitivity`."""

    def __init__(self, zones: Sequence[Zone] = (), *, sensitivity: float = 0.5) -> None:
        self._include = tuple(z for z in zones if z.kind == "include")
        self._ignore = tuple(z for z in zones if z.kind == "ignore")
        self._sensitivity = sensitivity
        self._mask: Mask | None = None

    @classmethod
    def configured(
        cls, zones: Sequence[ZoneConfig], motion: MotionConfig, *, sensitivity: float | None = None
    ) -> "Zones":
        """Return the zones of a configuration; `sensitivity` replaces every value there."""
        general = motion.sensitivity if sensitivity is None else sensitivity
        return cls(
            [
                Zone(
                    name=zone.name,
                    kind=zone.kind,
                    points=zone.points,
                    sensitivity=zone.sensitivity if sensitivity is None else sensitivity,
                )
                for zone in zones
            ],
            sensitivity=general,
        )

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_] | None) -> "Zones":
        """Return one unnamed zone: where `mask` (bool, H x W) is True, or everywhere for None."""
        zones = cls()
        zones._mask = None if mask is None else np.where(mask, FULL, 0).astype(np.uint8)
        return zones

    def on_grid(self, columns: int, rows: int) -> tuple[Mask, NDArray[np.float32] | None, dict[str, Mask]]:
        """Return (what is watched, eagerness of each cell or None if all are 1, mask of each include zone).

        Masks are uint8, rows x columns, 255 or 0. An ignore zone is removed from every other.
        """
        if self._mask is not None:
            return _cells(self._mask, columns, rows), None, {}
        width_px, height_px = columns * _FINER, rows * _FINER
        ignored = np.zeros((height_px, width_px), np.uint8)
        for zone in self._ignore:
            ignored |= filled(zone.points, width_px, height_px)
        masks = {
            zone.name: _cells(filled(zone.points, width_px, height_px) & ~ignored, columns, rows)
            for zone in self._include
        }
        eager = np.zeros((rows, columns), np.float32)
        if not self._include:
            eager[:] = eagerness(self._sensitivity)
            inside = _cells(~ignored, columns, rows)
        else:
            inside = np.zeros((rows, columns), np.uint8)
            for zone in self._include:
                inside |= masks[zone.name]
                np.maximum(eager, np.where(masks[zone.name], eagerness(zone.sensitivity), 0), out=eager)
        plain = bool((eager[inside > 0] == 1).all())
        return inside, None if plain else eager, masks
