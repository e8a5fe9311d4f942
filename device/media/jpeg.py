"""Encodes decoded pictures as JPEG."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.media.masks import Masks
from device.media.mosaic import Blur

MASKED_QUALITY, SMALL_QUALITY = 85, 70


def jpeg_of(planes: NDArray[Any], quality: int) -> bytes:
    """Return a planar YUV 4:2:0 picture as JPEG: uint8, 3/2 H x W, as PyAV gives it; `quality` 0 to 100.

    Raises ValueError or cv2.error if it cannot be encoded.
    """
    return _encoded(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), quality)


def _encoded(bgr: NDArray[Any], quality: int) -> bytes:
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


def masked_again(jpeg: bytes, masks: Masks) -> bytes:
    """Return a JPEG with more masks. Raises ValueError if it is damaged."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("it is no JPEG")
    for channel in range(3):
        masks.burn(bgr[:, :, channel])
    return _encoded(bgr, MASKED_QUALITY)


def smaller(jpeg: bytes, width_px: int) -> bytes:
    """Return a JPEG in a width of at least `width_px`, or as it is. Raises ValueError if it is damaged."""
    # The decoder itself scales by these, which takes a fraction of the time.
    for scale in (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_COLOR_2):
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), scale)
        if bgr is None:
            raise ValueError("it is no JPEG")
        if bgr.shape[1] >= width_px:
            return _encoded(bgr, SMALL_QUALITY)
    return jpeg
