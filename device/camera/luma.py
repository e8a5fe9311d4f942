"""Makes small grey pictures for motion from decoded ones."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH_PX = 320


def shrink(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a grey picture (H x W, rows may be views) to at most 320 px in width; always a copy."""
    height, width = grey.shape
    if width <= WIDTH_PX:
        return np.ascontiguousarray(grey).copy()
    size = (WIDTH_PX, max(2, round(height * WIDTH_PX / width)))
    small: NDArray[np.uint8] = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return small


def luma_of(frame: Any) -> NDArray[np.uint8]:
    """Return the small grey picture of an av.VideoFrame. Planar YUV costs no conversion."""
    if not frame.format.name.startswith(("yuv4", "yuvj4", "nv12", "gray")) or "10" in frame.format.name:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return shrink(rows[:, : plane.width])
