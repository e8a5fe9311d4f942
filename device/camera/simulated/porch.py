"""The drawn porch: the scene of the `scene` camera kind, for use without a camera.

A pure renderer: size, settings and `time_s` decide every byte. It never asks the time, opens a
file, or touches a global random state.

The background is painted once (garden.py), for day and for night. A frame copies it, bends
the tree's crown, draws the visitor (visitor.py) and adds sensor noise.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import cv2
import numpy as np

from device.camera.simulated.garden import CROWN, paint
from device.camera.simulated.lens import PEDESTAL, Image, Lens, Plane, ease
from device.camera.simulated.visitor import Brush, Visitor

__all__ = ["CYCLE_S", "PRESS_AT_S", "VISIT_S", "Image", "Porch"]

VISIT_S: Final = 16.0
"""From the first step out from behind a yew until the visitor is behind it again."""
PRESS_AT_S: Final = 6.0
"""When the finger touches the button, counted from the start of the visit."""
CYCLE_S: Final = 600.0
"""One day and one night of the light "cycle"."""

_STEPS = 64  # of light between day and night: the backdrop is mixed again only at each
_ROAM_PX = 64  # how far the window on the noise wanders
_MIN_PX, _MAX_PX = (320, 180), (1920, 1080)


class Porch:
    """A front garden seen from beside the door, with now and then a visitor who rings.

    `light` is "day", "night" or "cycle" (`CYCLE_S` long, from morning). The first visit begins at
    `first_visit_s`, the others every `visit_every_s` after it; `visitors=False` keeps it empty.
    Raises ValueError for an odd or unreasonable size, or for visits that would overlap.
    """

    def __init__(
        self,
        *,
        width_px: int,
        height_px: int,
        light: Literal["day", "night", "cycle"],
        visit_every_s: float,
        first_visit_s: float,
        visitors: bool = True,
    ) -> None:
        _refuse_size(width_px, height_px)
        if visit_every_s < VISIT_S:
            raise ValueError(
                f"visit_every_s is {visit_every_s:g}: a visit lasts {VISIT_S:g} s, use that or more"
            )
        self._light = light
        self._visit_every_s, self._first_visit_s = visit_every_s, first_visit_s
        self._visitors = visitors
        self._lens = Lens(width_px, height_px)
        self._day, self._night, self._hides = paint(self._lens)
        self._noises = _noises(self._lens)
        self._crown = _Crown(self._lens)
        self._step = -1
        self._backdrop, self._noise = self._day.copy(), self._noises[0].copy()
        self._frame = np.empty_like(self._day)

    def draw(self, time_s: float) -> Image:
        """Draw the moment `time_s`: height x width x 3, BGR.

        The result is the one internal buffer, written over by the next call: copy it to keep it.
        """
        step = self._light_step(time_s)
        if step != self._step:
            self._relight(step)
        np.copyto(self._frame, self._backdrop)
        self._crown.bend(self._backdrop, self._frame, time_s)
        visit = self._visit_at(time_s - self._first_visit_s) if self._visitors else -1
        if visit >= 0:
            into_s = time_s - self._first_visit_s - visit * self._visit_every_s
            if into_s < VISIT_S:
                brush = Brush(self._frame, self._lens, step / _STEPS)
                Visitor(visit, into_s - PRESS_AT_S).draw(brush, self._backdrop, self._hides)
        x, y = _wander(time_s)
        height, width = self._frame.shape[:2]
        cv2.add(self._frame, self._noise[y : y + height, x : x + width], dst=self._frame)
        return self._frame

    def press_due(self, before_s: float, now_s: float) -> bool:
        """Return whether a finger touches the button in (before_s, now_s]."""
        lead_s = self._first_visit_s + PRESS_AT_S
        return self._visitors and self._visit_at(now_s - lead_s) > self._visit_at(before_s - lead_s)

    def _visit_at(self, since_s: float) -> int:
        return max(-1, math.floor(since_s / self._visit_every_s))

    def _light_step(self, time_s: float) -> int:
        if self._light != "cycle":
            return _STEPS if self._light == "night" else 0
        turn = time_s / CYCLE_S % 1.0
        return round(_STEPS * (ease(turn, 0.4, 0.5) - ease(turn, 0.9, 1.0)))

    def _relight(self, step: int) -> None:
        night = step / _STEPS
        cv2.addWeighted(self._day, 1 - night, self._night, night, 0, dst=self._backdrop)
        warm = 4 * night * (1 - night)
        cv2.add(self._backdrop, np.array((0, 4 * warm, 14 * warm, 0)), dst=self._backdrop)
        cv2.addWeighted(self._noises[0], 1 - night, self._noises[1], night, 0, dst=self._noise)
        self._step = step


class _Crown:
    """The tree's crown in a light wind: the backdrop there, read a few pixels to the side."""

    def __init__(self, lens: Lens) -> None:
        x, y, z, radius = CROWN
        (left, top), (right, low) = (lens.at((x + k * radius, y - k * radius, z)) for k in (-1.4, 1.4))
        rows = slice(max(0, round(top)), max(0, round(low)))
        cols = slice(max(0, round(left)), max(0, round(right)))
        self._area = rows, cols
        whole: Plane = np.zeros((lens.height_px, lens.width_px), np.float32)
        px, py = lens.at((x, y, z))
        cv2.circle(whole, (round(px), round(py)), round(lens.px(1.12 * radius, z)), (1,), -1)
        mask = cv2.GaussianBlur(whole, (0, 0), lens.px(0.1, z))[self._area]
        grid: Plane = np.indices(mask.shape, np.float32)
        self._y: Plane = grid[0]
        self._x: Plane = grid[1]
        up = np.clip((lens.at((0, y - radius, z))[1] - rows.start - self._y) / lens.px(2, z), 0, 1)
        self._lean = mask * up * np.float32(lens.px(0.045, z))

    def bend(self, backdrop: Image, frame: Image, time_s: float) -> None:
        if not self._x.size:  # a narrow frame without the tree
            return
        gust = math.sin(0.9 * time_s) + 0.45 * math.sin(2.3 * time_s + 1) * math.sin(0.31 * time_s)
        source = cv2.scaleAdd(self._lean, gust, self._x)
        there, here = backdrop[self._area], frame[self._area]
        cv2.remap(there, source, self._y, cv2.INTER_LINEAR, dst=here, borderMode=cv2.BORDER_REPLICATE)


def _refuse_size(width_px: int, height_px: int) -> None:
    sizes = ("width_px", "height_px"), (width_px, height_px), _MIN_PX, _MAX_PX
    for name, size, least, most in zip(*sizes, strict=True):
        if size % 2 or not least <= size <= most:
            raise ValueError(f"{name} is {size}: the porch is drawn at even sizes from {least} to {most}")


def _wander(time_s: float) -> tuple[int, int]:
    """Pick where the noise is read at `time_s`, by Fibonacci hashing of its microseconds."""
    mixed = round(time_s * 1e6) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    return (mixed >> 40) % _ROAM_PX, (mixed >> 52) % _ROAM_PX


def _noises(lens: Lens) -> tuple[Image, Image]:
    """Sensor noise of the day, and of the night: twice as strong, and grey."""
    shape = lens.height_px + _ROAM_PX, lens.width_px + _ROAM_PX
    rng = np.random.default_rng(7)
    luma = rng.standard_normal((*shape, 1), dtype=np.float32)
    chroma = rng.standard_normal((*shape, 3), dtype=np.float32)

    def mixed(luma_sd: float, chroma_sd: float) -> Image:
        noise = np.rint(luma * luma_sd + chroma * chroma_sd + PEDESTAL)
        clipped: Image = np.clip(noise, 0, 2 * PEDESTAL).astype(np.uint8)
        return clipped

    return mixed(1.5, 0.5), mixed(3.4, 0.1)
