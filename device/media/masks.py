"""Privacy masks: parts of the picture that nobody must see. They are burnt into every decoded picture."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.media.mask_history import Polygon, SpanMasks, polygon_of
from device.motion.zones import Points, filled

GREY = 128
"""Mid-grey, so that the light of the picture is not misjudged; as chroma, no colour."""


_FINE_PX = 2048
"""Size of the square picture in which polygons are compared."""


def all_masks(clip: SpanMasks, now: Sequence[Points]) -> tuple[Polygon, ...]:
    """Return every mask that covers a clip: those of its recording and those of `now`."""
    return tuple(dict.fromkeys((*clip.held, *map(polygon_of, now))))


def missing_masks(clip: SpanMasks, now: Sequence[Points]) -> tuple[Polygon, ...]:
    """Return which of `all_masks` are not in the clip's pictures already: none, and its file may leave as it is."""
    missing = [mask for mask in all_masks(clip, now) if mask not in clip.drawn]
    if not missing or not clip.drawn:
        return tuple(missing)
    grey = np.zeros((_FINE_PX, _FINE_PX), np.uint8)
    for mask in clip.drawn:
        grey |= filled(mask, _FINE_PX, _FINE_PX)
    return tuple(mask for mask in missing if not _is_inside(mask, grey))


def _is_inside(mask: Polygon, grey: NDArray[np.uint8]) -> bool:
    """Return whether a mask is inside, with a margin for rounding."""
    margin = cv2.dilate(filled(mask, _FINE_PX, _FINE_PX), np.ones((3, 3), np.uint8)) > 0
    return not np.any(margin & (grey == 0))


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

    @property
    def polygons(self) -> tuple[Points, ...]:
        """The masks."""
        return self._drawn[0]

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
