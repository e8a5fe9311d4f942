"""Encodes decoded pictures as JPEG."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.media.masks import Masks
from device.media.mosaic import Blur


def jpeg_of(planes: NDArray[Any], quality: int) -> bytes:
    """Return a planar YUV 4:2:0 picture as JPEG: uint8, 3/2 H x W, as PyAV gives it; `quality` 0 to 100.

    Raises ValueError or cv2.error if it cannot be encoded.
    """
    bgr = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
    good, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise ValueError("it cannot be encoded as JPEG")
    return np.asarray(jpeg).tobytes()


def masked_jpeg(frame: Any, masks: Masks, quality: int, blur: Blur | None = None) -> bytes:
    """Return a frame of PyAV as JPEG, blurred and masked; odd sizes lose a row or column."""
    planes = frame.reformat(frame.width & ~1, frame.height & ~1, "yuv420p").to_ndarray()
    if blur:
        blur.burn_yuv420(planes)
    masks.burn_yuv420(planes)
    return jpeg_of(planes, quality)
