"""A porch drawn in luma, for the tests of motion: textured ground, sensor noise, and somebody who walks."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 320, 180
Frame = NDArray[np.uint8]
Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Porch:
    """`seed` draws the ground; `noise_levels` is the sensor's noise (standard deviation)."""

    seed: int = 1
    noise_levels: float = 2.0
    width_px: int = WIDTH_PX
    height_px: int = HEIGHT_PX

    def ground(self) -> NDArray[np.float32]:
        """Return the empty porch: float32, height x width, 40 to 160 levels."""
        rng = np.random.default_rng(self.seed)
        scales = (rng.normal(0, 1, (rows, rows * 2)) for rows in (4, 12, 40))
        size = (self.width_px, self.height_px)
        texture = sum(cv2.resize(s.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) for s in scales)
        return np.clip(95 + 14 * np.asarray(texture, np.float32), 40, 160)

    def clip(
        self, seconds: float, *, fps: float = 10, start_us: int = 5_000_000
    ) -> Iterator[tuple[int, float, Picture]]:
        """Yield (mono_us, seconds since the start, a float picture to draw on) for each frame."""
        ground = self.ground()
        for number in range(round(seconds * fps)):
            yield start_us + round(number * 1e6 / fps), number / fps, ground.copy()

    def shown(self, picture: NDArray[np.float32], number: float) -> Frame:
        """Return the picture as the sensor gives it."""
        rng = np.random.default_rng([self.seed, round(number * 1000)])
        return np.clip(picture + rng.normal(0, self.noise_levels, picture.shape), 0, 255).astype(np.uint8)


def person(picture: NDArray[np.float32], x: float, feet: float, height: float, levels: float = 50) -> None:
    """Draw a person with the middle at `x` (0..1 of the width), `feet` and `height` 0..1 of the height."""
    rows, columns = picture.shape
    tall, wide = height * rows, height * rows / 3.2
    left, top = round(x * columns - wide / 2), round(feet * rows - tall)
    right, bottom = round(x * columns + wide / 2), round(feet * rows)
    left, top = max(0, left), max(0, top)
    cloth = levels * (1 + 0.1 * np.sin(np.arange(rows) / 3))
    picture[top:bottom, left:right] = cloth[top:bottom, None]
