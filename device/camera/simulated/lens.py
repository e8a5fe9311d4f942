"""Lens, light and positions, shared by the drawn porch's garden and its visitor.

Space is metres in the lens's frame: x to the right, y up from the ground, z away from the lens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]
Pixels = NDArray[np.int32]
WorldPoint = tuple[float, float, float]
Rgb = tuple[float, float, float]

GATE_X_M: Final = 1.2
FENCE_Z_M: Final = 8.0
YEW_M: Final = 1.42  # either side of the gate: a visitor waits behind one of them
YEW_Z_M: Final = 7.8
PEDESTAL: Final = 12  # the mean of the noise, taken off every colour beforehand: one pass adds both
SUB: Final = 4  # fractional bits of what OpenCV draws
_LENS_Y_M: Final = 1.45
_HORIZON: Final = 0.46  # of the frame's height, from the top
_FOCAL: Final = 0.65  # in frame heights: a 75 degree tall view, as doorbells have


class Lens(NamedTuple):
    """A pinhole at x = 0, `_LENS_Y_M` above the ground, looking level along z."""

    width_px: int
    height_px: int

    def px(self, length_m: float, z_m: float) -> float:
        """How long `length_m` looks at `z_m`."""
        return length_m * _FOCAL * self.height_px / max(z_m, 0.1)

    def at(self, point: WorldPoint) -> tuple[float, float]:
        """Where in the frame `point` is, in pixels from the top left."""
        x, y, z = point
        return self.width_px / 2 + self.px(x, z), _HORIZON * self.height_px + self.px(_LENS_Y_M - y, z)

    def edge_m(self, z_m: float) -> tuple[float, float]:
        """The right and the upper edge of the frame, at `z_m`."""
        metre = self.px(1, z_m)
        return self.width_px / 2 / metre, _LENS_Y_M + _HORIZON * self.height_px / metre

    def ground_z_m(self, rows: Plane) -> Plane:
        """How far away the ground is that shows in these rows, all below the horizon."""
        below = rows - np.float32(_HORIZON * self.height_px)
        return (np.float32(self.px(_LENS_Y_M, 1)) / below).astype(np.float32)

    def corners(self, points: Sequence[WorldPoint]) -> Pixels:
        """A polygon as OpenCV takes it."""
        return fixed(np.array([self.at(point) for point in points]))


def fixed(pixels: NDArray[np.float64]) -> Pixels:
    """Pixels with `SUB` fractional bits."""
    whole: Pixels = np.rint(pixels * (1 << SUB)).astype(np.int32)
    return whole


def ease(value: float, start: float, end: float) -> float:
    """From 0 at `start` to 1 at `end` with no corner (smoothstep)."""
    t = min(1.0, max(0.0, (value - start) / (end - start)))
    return t * t * (3 - 2 * t)


def path_x_m(z_m: Plane | float) -> Plane:
    """Centre of the garden path: it bends from the gate to the door."""
    t = np.clip((np.asarray(z_m, np.float32) - 1) / 7, 0, 1)
    return (-0.08 + (GATE_X_M + 0.08) * t * t * (3 - 2 * t)).astype(np.float32)


def rgb(code: int, gain: float = 1.0) -> Rgb:
    """0xRRGGBB as blue, green, red, made lighter or darker by `gain`."""
    blue, green, red = (code & 255) * gain, (code >> 8 & 255) * gain, (code >> 16) * gain
    return min(255.0, blue), min(255.0, green), min(255.0, red)


def infrared(z_m: Plane | float) -> Plane | float:
    """Light of the lens's own lamps that comes back from `z_m`: a soft inverse square."""
    return 0.085 + 0.8 / (1 + (z_m / 4.6) ** 2)


def lit(code: int, z_m: float, gain: float, night: float) -> Rgb:
    """The colour of cloth or skin at `z_m` between day (0) and night (1), less the pedestal."""
    blue, green, red = rgb(code, gain)
    # Cloth and skin are paler in infrared than to the eye, and nearer to each other.
    grey = (30 + 0.85 * (0.11 * blue + 0.59 * green + 0.3 * red)) * float(infrared(z_m)) * night
    day = 1 - night
    return (
        blue * day + grey * 1.03 - PEDESTAL,
        green * day + grey - PEDESTAL,
        red * day + grey * 0.95 - PEDESTAL,
    )
