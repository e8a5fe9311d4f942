"""A mosaic for what the owner wants to make unrecognisable: weaker than a mask, stronger than a soft blur.

A soft (Gaussian) blur can partly be undone; the mean of a large cell cannot. Colours and movement stay visible:
what nobody may see needs a privacy mask.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.motion.zones import Points, filled

CELLS_DOWN = 16
"""Number of cells from top to bottom of the picture: a face at the other end of a porch is one or two cells."""


class Blur:
    """Polygons in relative coordinates (0..1, origin top left)."""

    def __init__(self, polygons: Sequence[Points]) -> None:
        self._polygons = polygons

    def burn_yuv420(self, planes: NDArray[Any]) -> None:
        """Blur a planar YUV 4:2:0 picture in place: uint8, 3/2 H x W, as PyAV's to_ndarray gives it."""
        if not self._polygons:
            return
        height_px, width_px = planes.shape[0] * 2 // 3, planes.shape[1]
        chroma = planes[height_px:].reshape(2, height_px // 2, width_px // 2)
        for plane in (planes[:height_px], chroma[0], chroma[1]):
            self._burn(plane)

    def _burn(self, plane: NDArray[Any]) -> None:
        height_px, width_px = plane.shape
        rows = min(CELLS_DOWN, height_px)
        columns = max(1, round(width_px * rows / height_px))
        coarse = cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA)
        mosaic = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_NEAREST)
        cover = np.zeros((height_px, width_px), np.uint8)
        for points in self._polygons:
            cover |= filled(points, width_px, height_px)
        grown = cv2.dilate(cover, np.ones((3, 3), np.uint8)) > 0
        plane[grown] = mosaic[grown]
