"""Other detectors for comparison, with common settings."""

from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
Moves = Callable[[Luma, int], bool]
Make = Callable[[int, int, NDArray[np.bool_] | None], Moves]

MIN_AREA = 500 / (640 * 360)
"""The usual 500 pixels of 640 x 360, as a share of the picture."""
SHADOW = 200
"""OpenCV's subtractors mark shadows with 127, movement with 255."""


def _largest(mask: Any) -> float:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return float(max((cv2.contourArea(contour) for contour in contours), default=0.0) / mask.size)


def mog2(_width: int, _height: int, _zone: NDArray[np.bool_] | None) -> Moves:
    """Gaussian mixtures (Zivkovic 2004) as OpenCV sets them up, largest contour of 500 pixels."""
    subtractor = cv2.createBackgroundSubtractorMOG2()
    kernel = np.ones((3, 3), np.uint8)

    def moves(luma: Luma, _mono_us: int) -> bool:
        _, mask = cv2.threshold(subtractor.apply(luma), SHADOW, 255, cv2.THRESH_BINARY)
        return _largest(cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)) >= MIN_AREA

    return moves


def mog2_small(_width: int, _height: int, _zone: NDArray[np.bool_] | None) -> Moves:
    """The same at 320 x 180, and in six of the last eight pictures."""
    inner, recent = mog2(_width, _height, _zone), deque([False] * 8, maxlen=8)

    def moves(luma: Luma, mono_us: int) -> bool:
        small = cv2.resize(luma, (320, 180), interpolation=cv2.INTER_AREA)
        recent.append(inner(np.asarray(small, np.uint8), mono_us))
        return sum(recent) >= 6  # as the docstring says

    return moves


def knn(_width: int, _height: int, _zone: NDArray[np.bool_] | None) -> Moves:
    """K nearest neighbours (Zivkovic 2006) as OpenCV sets it up, largest contour of 500 pixels."""
    subtractor = cv2.createBackgroundSubtractorKNN()
    kernel = np.ones((3, 3), np.uint8)

    def moves(luma: Luma, _mono_us: int) -> bool:
        _, mask = cv2.threshold(subtractor.apply(luma), SHADOW, 255, cv2.THRESH_BINARY)
        return _largest(cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)) >= MIN_AREA

    return moves


def running_average(_width: int, _height: int, _zone: NDArray[np.bool_] | None) -> Moves:
    """The detector of most tutorials: blur of 21, running average of 0.5, threshold of 5, 500 pixels."""
    average: NDArray[np.float32] | None = None
    kernel = np.ones((3, 3), np.uint8)

    def moves(luma: Luma, _mono_us: int) -> bool:
        nonlocal average
        smooth = cv2.GaussianBlur(luma, (21, 21), 0)
        if average is None:
            average = smooth.astype(np.float32)
            return False
        cv2.accumulateWeighted(smooth, average, 0.5)
        difference = cv2.absdiff(smooth, cv2.convertScaleAbs(average))
        _, mask = cv2.threshold(difference, 5, 255, cv2.THRESH_BINARY)
        return _largest(cv2.dilate(mask, kernel, iterations=2)) >= MIN_AREA

    return moves


PEERS: dict[str, Make] = {
    "MOG2": mog2,
    "MOG2 320x180, 6 of 8": mog2_small,
    "KNN": knn,
    "running average": running_average,
}
