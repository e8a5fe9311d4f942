"""Privacy masks: parts of the picture that nobody must see. They are burnt into every decoded picture."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.motion.zones import Points, filled

GREY = 128
"""Mid-grey, so that the light of the picture is not misjudged; as chroma, no colour."""


class Masks:
    """Polygons in relative coordinates (0..1, origin top left); a pixel that one touches is masked."""

    def __init__(self, polygons: Sequence[Points] = ()) -> None:
        # In one tuple, so that one assignment replaces both while another thread reads them.
        self._drawn: tuple[tuple[Points, ...], dict[tuple[int, int], NDArray[np.bool_]]] = (
            tuple(polygons),
            {},
        )

    def replace(self, polygons: Sequence[Points]) -> None:
        """Replace the masks."""
        self._drawn = (tuple(polygons), {})

    def __bool__(self) -> bool:
        return bool(self._drawn[0])

    def cover(self, width_px: int, height_px: int) -> NDArray[np.bool_]:
        """Return the masked pixels: bool, height x width."""
        shape = (height_px, width_px)
        polygons, covers = self._drawn
        found = covers.get(shape)
        if found is None:
            drawn = np.zeros(shape, np.uint8)
            for points in polygons:
                drawn |= filled(points, width_px, height_px)
            # One pixel more on each side, for rounding and for what an encoder smears over an edge.
            found = covers[shape] = cv2.dilate(drawn, np.ones((3, 3), np.uint8)) > 0
        return found

    def burn(self, plane: NDArray[Any]) -> None:
        """Mask one plane (uint8, H x W, luma or chroma of any size) in place."""
        if self:
            plane[self.cover(plane.shape[1], plane.shape[0])] = GREY

    def covered(self, frame: Any) -> Any:
        """Return a masked copy of an av.VideoFrame (yuv420p, timed); the decoder still needs the original planes."""
        planes = frame.to_ndarray()
        self.burn_yuv420(planes)
        copy = type(frame).from_ndarray(planes, format="yuv420p")
        copy.pts, copy.time_base = frame.pts, frame.time_base
        return copy

    def burn_yuv420(self, planes: NDArray[Any]) -> None:
        """Mask a planar YUV 4:2:0 picture in place: uint8, 3/2 H x W, as PyAV's to_ndarray gives it."""
        if not self:
            return
        height_px, width_px = planes.shape[0] * 2 // 3, planes.shape[1]
        cover = self.cover(width_px, height_px)
        planes[:height_px][cover] = GREY
        # A chroma sample belongs to four pixels; it is masked if one of them is.
        coarse = cover.reshape(height_px // 2, 2, width_px // 2, 2).any(axis=(1, 3))
        for chroma in planes[height_px:].reshape(2, height_px // 2, width_px // 2):
            chroma[coarse] = GREY
