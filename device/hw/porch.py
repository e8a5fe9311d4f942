"""The drawn porch: what the `scene` camera kind looks at when there is no camera.

A pure renderer: size, settings and `time_s` decide every byte. It never asks the time, opens a
file, or touches a global random state.

Space is metres in the lens's frame: x to the right, y up from the ground, z away from the lens.
What stands still is painted once (`_paint`), for day and for night. A frame copies that, bends
the tree's crown, draws the visitor (`_Visitor`) and adds sensor noise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VISIT_S: Final = 16.0
"""From the first step out from behind a yew until the visitor is behind it again."""
PRESS_AT_S: Final = 6.0
"""When in a visit the finger touches the bell."""
CYCLE_S: Final = 600.0
"""One day and one night of the light "cycle"."""

Image = NDArray[np.uint8]
Outline = NDArray[np.float64]
Plane = NDArray[np.float32]
Point = tuple[float, float, float]
Colour = tuple[float, float, float]

_LENS_Y_M, _HORIZON, _FOCAL = 1.45, 0.46, 0.65  # a 75 degree tall view, as doorbells have
_GATE_X_M, _FENCE_Z_M, _SKY_Z_M = 1.2, 8.0, 900.0
_STEPS = 64  # of light between day and night: the backdrop is mixed again only at each
_PEDESTAL = 12  # the mean of the noise, taken off every colour beforehand so one pass adds both
_ROAM_PX = 64  # how far the window on the noise wanders
_SUB = 4  # fractional bits of polygon corners
_SMALLEST_PX, _LARGEST_PX = (320, 180), (1920, 1080)


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
            msg = f"visit_every_s is {visit_every_s:g}: a visit lasts {VISIT_S:g} s, use that or more"
            raise ValueError(msg)
        self._light = light
        self._visit_every_s, self._first_visit_s = visit_every_s, first_visit_s
        self._visitors = visitors
        self._lens = _Lens(width_px, height_px)
        rng = np.random.default_rng(7)
        self._day, self._night, self._hides = _paint(self._lens)
        self._noises = _noise(self._lens, rng, 1.5, 0.5), _noise(self._lens, rng, 3.4, 0.1)
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
        night = step / _STEPS
        np.copyto(self._frame, self._backdrop)
        self._crown.bend(self._backdrop, self._frame, time_s)
        visit = self._visit_at(time_s - self._first_visit_s) if self._visitors else -1
        if visit >= 0:
            into_s = time_s - self._first_visit_s - visit * self._visit_every_s
            if into_s < VISIT_S:
                brush = _Brush(self._frame, self._lens, night)
                _Visitor(visit, into_s).draw(brush, self._backdrop, self._hides)
        x, y = _wander(time_s)
        height, width = self._frame.shape[:2]
        cv2.add(self._frame, self._noise[y : y + height, x : x + width], dst=self._frame)
        return self._frame

    def press_due(self, before_s: float, now_s: float) -> bool:
        """Tell whether a finger touches the bell in (before_s, now_s]."""
        lead_s = self._first_visit_s + PRESS_AT_S
        return self._visitors and self._visit_at(now_s - lead_s) > self._visit_at(before_s - lead_s)

    def _visit_at(self, since_s: float) -> int:
        return max(-1, math.floor(since_s / self._visit_every_s))

    def _light_step(self, time_s: float) -> int:
        if self._light != "cycle":
            return _STEPS if self._light == "night" else 0
        turn = time_s / CYCLE_S % 1.0
        return round(_STEPS * (_ease(turn, 0.4, 0.5) - _ease(turn, 0.9, 1.0)))

    def _relight(self, step: int) -> None:
        night = step / _STEPS
        day_noise, night_noise = self._noises
        cv2.addWeighted(self._day, 1 - night, self._night, night, 0, dst=self._backdrop)
        warm = 4 * night * (1 - night)
        dusk = np.array((0, 4 * warm, 14 * warm, 0))
        cv2.add(self._backdrop, dusk, dst=self._backdrop)
        cv2.addWeighted(day_noise, 1 - night, night_noise, night, 0, dst=self._noise)
        self._step = step


class _Lens(NamedTuple):
    """A pinhole at x = 0, `_LENS_Y_M` above the ground, looking level along z."""

    width_px: int
    height_px: int

    def px(self, length_m: float, z_m: float) -> float:
        return length_m * _FOCAL * self.height_px / z_m

    def at(self, point: Point) -> tuple[float, float]:
        x, y, z = point
        z = max(z, 0.1)
        return (
            self.width_px / 2 + self.px(x, z),
            _HORIZON * self.height_px + self.px(_LENS_Y_M - y, z),
        )


def _refuse_size(width_px: int, height_px: int) -> None:
    for name, size, least, most in zip(
        ("width_px", "height_px"), (width_px, height_px), _SMALLEST_PX, _LARGEST_PX, strict=True
    ):
        if size % 2 or not least <= size <= most:
            msg = f"{name} is {size}: the porch is drawn at even sizes from {least} to {most}"
            raise ValueError(msg)


def _ease(value: float, start: float, end: float) -> float:
    """Go from 0 at `start` to 1 at `end` with no corner (smoothstep)."""
    t = min(1.0, max(0.0, (value - start) / (end - start)))
    return t * t * (3 - 2 * t)


def _wander(time_s: float) -> tuple[int, int]:
    """Pick where the noise is read at `time_s`, by Fibonacci hashing of its microseconds."""
    mixed = round(time_s * 1e6) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    return (mixed >> 40) % _ROAM_PX, (mixed >> 52) % _ROAM_PX


def _noise(lens: _Lens, rng: np.random.Generator, luma: float, chroma: float) -> Image:
    shape = (lens.height_px + _ROAM_PX, lens.width_px + _ROAM_PX)
    grey = rng.standard_normal((*shape, 1), dtype=np.float32) * luma
    tile = grey + rng.standard_normal((*shape, 3), dtype=np.float32) * chroma
    noise: Image = np.clip(np.rint(tile + _PEDESTAL), 0, 2 * _PEDESTAL).astype(np.uint8)
    return noise


def _rgb(code: int, gain: float = 1.0) -> Colour:
    blue, green, red = (code & 255) * gain, (code >> 8 & 255) * gain, (code >> 16) * gain
    return min(255.0, blue), min(255.0, green), min(255.0, red)


# --- what stands still -------------------------------------------------------------------------


class _House(NamedTuple):
    left_m: float
    width_m: float
    eaves_m: float
    ridge_m: float
    wall: int
    roof: int
    door: int


_HOUSES: Final = (
    _House(-19.0, 8.2, 5.0, 7.9, 0xCDB59A, 0x7A5648, 0x3D5A6C),
    _House(-10.2, 7.4, 5.2, 8.4, 0xB9694F, 0x5A5560, 0x2F4A3E),
    _House(-2.4, 6.6, 4.9, 7.6, 0xE6DCC8, 0x87604C, 0x8E3B32),
    _House(4.6, 8.0, 5.3, 8.3, 0xA9B7B4, 0x55525C, 0xC9973F),
    _House(13.0, 8.4, 5.0, 7.9, 0xC98F6B, 0x74504A, 0x39496B),
)
_LAMP: Final = (4.3, 5.6, 16.8)
_YEW_M, _YEW_Z_M = 1.42, 7.8  # either side of the gate: a visitor waits behind one of them
_CROWN: Final = (-2.9, 3.55, 5.6, 1.45)  # x, y, z and radius, m
_CLUMPS: Final = (
    # of the crown: x, y and radius in crown radii
    (0.0, 0.0, 0.72), (-0.55, -0.2, 0.5), (0.55, -0.22, 0.5), (-0.3, 0.45, 0.5),
    (0.35, 0.42, 0.48), (-0.05, -0.5, 0.45), (0.75, 0.15, 0.33), (-0.78, 0.2, 0.33),
)  # fmt: skip


class _Canvas:
    """Paint, how far away each pixel is (m), and the light it gives off at night (0..255)."""

    def __init__(self, lens: _Lens, rng: np.random.Generator) -> None:
        shape = lens.height_px, lens.width_px
        self.lens, self.rng = lens, rng
        self.paint: Image = np.zeros((*shape, 3), np.uint8)
        self.far_m: Plane = np.full(shape, _SKY_Z_M, np.float32)
        self.glow: Plane = np.zeros(shape, np.float32)

    def fill(self, points: Iterable[Point], code: int, glow: float = 0.0) -> None:
        points = list(points)
        corners = _corners([self.lens.at(point) for point in points])
        cv2.fillPoly(self.paint, [corners], _rgb(code), cv2.LINE_AA, _SUB)
        cv2.fillPoly(self.far_m, [corners], (points[0][2],), cv2.LINE_8, _SUB)
        cv2.fillPoly(self.glow, [corners], (glow,), cv2.LINE_8, _SUB)

    def box(
        self, xs: tuple[float, float], ys: tuple[float, float], z: float, code: int, glow: float = 0
    ) -> None:
        (left, right), (low, high) = xs, ys
        outline = (left, low, z), (right, low, z), (right, high, z), (left, high, z)
        self.fill(outline, code, glow)

    def soft(self, points: Iterable[Point], code: int, alpha: float, blur_m: float, z: float = 0.0) -> None:
        """Lay a blurred patch over the paint: a shadow, or (with its `z`) a thing out of focus."""
        points = list(points)
        mask = np.zeros(self.far_m.shape, np.uint8)
        cv2.fillPoly(mask, [_corners([self.lens.at(p) for p in points])], (255,), cv2.LINE_AA, _SUB)
        sigma = max(0.5, self.lens.px(blur_m, max(p[2] for p in points)))
        x, y, w, h = cv2.boundingRect(mask)
        pad = int(3 * sigma)
        area = slice(max(0, y - pad), y + h + pad), slice(max(0, x - pad), x + w + pad)
        # Beyond the frame a shape goes on: the default border, a mirror, is right for the blur.
        cover = cv2.GaussianBlur(mask[area], (0, 0), sigma).astype(np.float32) / 255
        if z:
            self.far_m[area] = 1 / ((1 - cover) / self.far_m[area] + cover / z)
        cover = cover[..., None] * np.float32(alpha)
        ink = np.array(_rgb(code), np.float32)
        self.paint[area] = self.paint[area] * (1 - cover) + ink * cover

    def leaves(
        self,
        clumps: Sequence[Point],
        z: float,
        codes: Sequence[int],
        size_m: float,
        count: int,
    ) -> None:
        """Dab foliage over round clumps (x, y, radius), dark first, light last and to the sun."""
        middle = np.array(clumps)
        weight = middle[:, 2] ** 2 / np.sum(middle[:, 2] ** 2)
        most = count
        for layer, code in enumerate(codes):
            lift = layer / len(codes)
            count = round(most * (1 - 0.65 * lift))
            picked = middle[self.rng.choice(len(middle), count, p=weight)]
            reach = np.sqrt(self.rng.random(count)) * picked[:, 2] * (1 - 0.35 * lift)
            angle = self.rng.random(count) * math.tau
            xs = picked[:, 0] + reach * np.cos(angle) - 0.22 * lift * picked[:, 2]
            ys = picked[:, 1] + reach * np.sin(angle) + 0.26 * lift * picked[:, 2]
            sizes = size_m * self.rng.uniform(0.55, 1.15, count) * (1 - 0.3 * lift)
            gains = self.rng.uniform(0.86, 1.14, count)
            for x, y, size, gain in zip(xs, ys, sizes, gains, strict=True):
                px, py = self.lens.at((x, y, z))
                spot = round(px * 16), round(py * 16)
                radius = round(self.lens.px(size, z) * 16)
                cv2.circle(self.paint, spot, radius, _rgb(code, gain), -1, cv2.LINE_AA, _SUB)
                cv2.circle(self.far_m, spot, radius, (z,), -1, cv2.LINE_8, _SUB)
                cv2.circle(self.glow, spot, radius, (0,), -1, cv2.LINE_8, _SUB)


def _corners(points: Sequence[tuple[float, float]]) -> NDArray[np.int32]:
    corners: NDArray[np.int32] = np.rint(np.array(points) * (1 << _SUB)).astype(np.int32)
    return corners


def _disc(x: float, y: float, rx: float, ry: float, z: float) -> list[Point]:
    turns = np.linspace(0, math.tau, 48, endpoint=False)
    return [(x + rx * math.cos(a), y + ry * math.sin(a), z) for a in turns]


def _pool(x: float, z: float, rx: float, rz: float) -> list[Point]:
    """Outline a disc that lies on the ground."""
    return [(px, 0.0, pz) for px, pz, _ in _disc(x, z, rx, rz, 0)]


def _path_x_m(z: Plane | float) -> Plane:
    """Centre of the garden path: it bends from the gate to the door."""
    t = np.clip((np.asarray(z, np.float32) - 1) / 7, 0, 1)
    return (-0.08 + (_GATE_X_M + 0.08) * t * t * (3 - 2 * t)).astype(np.float32)


def _paint(lens: _Lens) -> tuple[Image, Image, Plane]:
    """Paint the garden by day and by night, and how much of each pixel hides the street (0..1)."""
    fine = 2 if lens.height_px * lens.width_px <= 960 * 540 else 1
    large = _Lens(lens.width_px * fine, lens.height_px * fine)
    canvas = _Canvas(large, np.random.default_rng(11))
    for part in (_sky, _street, _ground, _car, _garden, _porch):
        part(canvas)
    size = lens.width_px, lens.height_px
    rows, cols = np.mgrid[-1 : 1 : lens.height_px * 1j, -1 : 1 : lens.width_px * 1j]
    vignette = (1 - 0.09 * (rows**2 + cols**2) ** 1.3 / 1.5)[..., None]

    def finish(picture: Image | Plane) -> Image:
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        finished: Image = np.clip(small * vignette - _PEDESTAL, 0, 255).astype(np.uint8)
        return finished

    hides = (canvas.far_m < _FENCE_Z_M + 0.1).astype(np.float32)
    hides = cv2.resize(hides, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return finish(canvas.paint), finish(_by_night(canvas)), hides


def _infrared(z_m: Plane | float) -> Plane | float:
    """Light of the lens's own lamps that comes back from `z_m`: a soft inverse square."""
    return 0.085 + 0.8 / (1 + (z_m / 4.6) ** 2)


def _by_night(canvas: _Canvas) -> Plane:
    grey = cv2.cvtColor(canvas.paint, cv2.COLOR_BGR2GRAY).astype(np.float32)
    lamp_x, lamp_y = canvas.lens.at(_LAMP)
    rows, cols = np.indices(grey.shape, np.float32)
    unit = canvas.lens.height_px
    distance = np.hypot((cols - lamp_x) / unit, (rows - lamp_y) / unit)
    # The lamp lights what stands near it, and its glare spreads in the lens and the damp air.
    under = np.hypot((cols - lamp_x) / unit / 1.7, (rows - lamp_y) / unit - 0.13)
    lit = 0.34 * np.exp(-((under / 0.17) ** 2)) * (canvas.far_m < _SKY_Z_M)
    glare = 215 * np.exp(-((distance / 0.013) ** 2)) + 26 / (1 + (distance / 0.05) ** 2)
    halo = cv2.GaussianBlur(canvas.glow, (0, 0), unit * 0.008) * 0.35
    sky = np.where(canvas.far_m >= _SKY_Z_M, 0.03, 0)
    night = grey * (_infrared(canvas.far_m) + lit + sky - 0.02) + canvas.glow + halo + glare
    tint = np.array((1.03, 1.0, 0.95), np.float32)
    warm = np.array((-0.16, 0.02, 0.14), np.float32) * (halo + canvas.glow + glare)[..., None]
    lit_night: Plane = (night[..., None] * tint + warm).astype(np.float32)
    return lit_night


def _sky(canvas: _Canvas) -> None:
    height, width = canvas.far_m.shape
    down = np.linspace(0, 1 / _HORIZON, height, dtype=np.float32)[:, None, None] ** 0.8
    top, low = (np.array(_rgb(code), np.float32) for code in (0x7FB0DC, 0xF3E9DC))
    sky = top + (low - top) * np.minimum(down, 1)
    cloud = np.zeros((height, width), np.float32)
    for octave in range(2, 7):
        grain = canvas.rng.random((2 << octave, 1 << octave), dtype=np.float32)
        cloud += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    cover = np.clip((cloud / 0.242 - 1.06) * 3.0, 0, 0.85)[..., None]
    white = np.array((252, 250, 248), np.float32)
    canvas.paint[:] = np.clip(sky + (white - sky) * cover, 0, 255)


def _street(canvas: _Canvas) -> None:
    hills = canvas.rng.uniform(0.8, 2.0, 46)
    clumps = [(-36 + 1.6 * i, 3.4 + 1.6 * r, 1.3 + r) for i, r in enumerate(hills)]
    canvas.leaves(clumps, 30, (0x7C977F, 0x8BA688, 0x9CB493), 0.5, 1300)
    for house in _HOUSES:
        _house(canvas, house)
    x, y, z = _LAMP
    canvas.box((x + 0.55, x + 0.67), (0, y), z, 0x4A5157)
    canvas.box((x, x + 0.67), (y + 0.02, y + 0.12), z, 0x4A5157)
    canvas.box((x - 0.22, x + 0.2), (y - 0.06, y + 0.12), z, 0x5A6268)


def _house(canvas: _Canvas, house: _House) -> None:
    left, width, eaves, ridge, wall, roof, door = house
    z, right = 19.0, left + width
    chimney = left + 0.72 * width
    canvas.box((chimney, chimney + 0.9), (eaves, ridge + 0.9), z, 0x8A6152)
    canvas.box((chimney - 0.08, chimney + 0.98), (ridge + 0.75, ridge + 0.95), z, 0x6B4B42)
    canvas.box((left, right), (0, eaves), z, wall)
    over = ((left - 0.3, eaves - 0.1, z), (right + 0.3, eaves - 0.1, z))
    canvas.fill((*over, (right - 1.3, ridge, z), (left + 1.3, ridge, z)), roof)
    sun = ((left - 0.3, eaves - 0.1, z), (left + 0.4 * width, eaves, z), (left + 1.3, ridge, z))
    canvas.soft(sun, 0xFFE9C8, 0.13, 0.9)
    eave = ((left, eaves - 0.1), (right, eaves - 0.1), (right, eaves - 0.75), (left, eaves - 0.75))
    canvas.soft([(px, py, z) for px, py in eave], 0x1C2430, 0.34, 0.16)
    far_side = ((right, 0), (right, eaves), (right - 1.2, eaves), (right - 0.8, 0))
    canvas.soft([(px, py, z) for px, py in far_side], 0x1C2430, 0.16, 0.3)
    for floor, low in enumerate((0.95, 3.15)):
        for slot in range(3):
            middle = left + width * (0.2 + 0.3 * slot)
            if floor == 0 and slot == 1:
                canvas.box((middle - 0.62, middle + 0.62), (0, 2.35), z, 0xEFEAE0)
                canvas.box((middle - 0.48, middle + 0.48), (0, 2.2), z, door)
                canvas.box((middle - 0.3, middle + 0.3), (1.6, 2.0), z, 0xA9C2CC, 40)
                continue
            lit = 125.0 if canvas.rng.random() < 0.36 else 2.0  # noqa: PLR2004 - a third are home
            canvas.box((middle - 0.78, middle + 0.78), (low - 0.1, low + 1.4), z, 0xF2EEE6)
            canvas.box((middle - 0.68, middle + 0.68), (low, low + 1.3), z, 0x5F7886, lit)
            pane = (
                (middle - 0.68, low + 1.3, z),
                (middle + 0.4, low + 1.3, z),
                (middle - 0.68, low, z),
            )
            canvas.soft(pane, 0xCFE3EE, 0.5, 0.05)
            for side in (-0.68, 0.44):
                canvas.box((middle + side, middle + side + 0.24), (low, low + 1.3), z, 0xD9D3C6, lit / 2)
            canvas.box((middle - 0.04, middle + 0.04), (low, low + 1.3), z, 0xF2EEE6)


def _ground(canvas: _Canvas) -> None:
    """Colour what lies flat, pixel by pixel, by where on the ground it is."""
    height, width = canvas.far_m.shape
    top = math.ceil(canvas.lens.at((0, 0, 19.0))[1])
    rows = np.arange(top, height, dtype=np.float32)[:, None] + 0.5
    z = _FOCAL * height * _LENS_Y_M / (rows - _HORIZON * height)
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - width / 2) * z / (_FOCAL * height)
    z = np.broadcast_to(z, x.shape)
    off = x - _path_x_m(z)
    tile = cv2.GaussianBlur(canvas.rng.random((512, 512), dtype=np.float32), (0, 0), 1.1) - 0.5

    def grain(per_m_x: float, per_m_z: float) -> Plane:
        at_x, at_z = (x + 40) * np.float32(per_m_x), z * np.float32(per_m_z)
        looked = cv2.remap(tile, at_x % 511, at_z % 511, cv2.INTER_LINEAR)
        return looked.astype(np.float32, copy=False)

    def ink(code: int) -> Plane:
        return np.array(_rgb(code), np.float32)

    far = np.clip((z - 1.5) / 6.5, 0, 1)[..., None]
    blades = 1.1 * grain(80, 95) * np.clip(4 / z, 0.3, 1) + 0.6 * grain(24, 30) + 0.5 * grain(3, 4)
    mown = 0.035 * np.tanh(6 * np.sin(x * 3.6 + 0.5))
    paint = ink(0x567F3C) * (1 - far) + ink(0x8FAE5A) * far
    paint *= (1 + 1.15 * blades + mown)[..., None]

    row = np.floor(z / 0.52)
    along, across = z / 0.52 - row, off / 0.42 + 0.5 * (row % 2)
    column = np.floor(across)
    foot = np.clip(1.3 * z / (_FOCAL * height), 0.013, 0.09)
    edge = np.minimum(
        np.minimum(along, 1 - along) * 0.52 * 2.2,
        np.minimum(across - column, 1 - across + column) * 0.42,
    )
    tone = canvas.rng.uniform(-0.09, 0.09, (16, 16)).astype(np.float32)[
        row.astype(int) % 16, column.astype(int) % 16
    ]
    stone = ink(0xC9BBA6) * (1 + tone + 0.55 * grain(38, 30) + 0.3 * grain(5, 5))[..., None]
    joint = np.clip(edge / foot, 0, 1)[..., None]
    stone = ink(0x8B8070) * (1 - joint) + stone * joint
    ragged = np.abs(off) - 0.66 - 0.16 * grain(14, 9)
    grassy = np.clip(ragged / np.maximum(foot, 0.02) + 0.5, 0, 1)[..., None]
    paint = stone * (1 - grassy) + paint * grassy
    # Soil of the bed before the fence, pavement, road, the pavement across.
    strips = (
        # from and to z, and at least so far from the path's middle, m
        (7.2, 8.2, 0.75, 0x6A5A45),
        (8.2, 10.2, 0.0, 0xB9B4AB),
        (10.2, 16.0, 0.0, 0x6F7377),
        (16.0, 19.1, 0.0, 0xBDB7AA),
    )
    for start, end, clear, code in strips:
        band = ((z >= start) & (z < end) & (np.abs(off) >= clear))[..., None]
        paint = np.where(band, ink(code) * (1 + 0.4 * grain(12, 6))[..., None], paint)
    canvas.paint[top:] = np.clip(paint, 0, 255)
    canvas.far_m[top:] = z
    canvas.glow[top:] = 0


def _car(canvas: _Canvas) -> None:
    z, x = 14.2, -6.9
    body = (
        (0.05, 0.3), (0.0, 0.62), (0.12, 0.86), (0.95, 0.95), (1.55, 1.42), (1.8, 1.49),
        (2.9, 1.48), (3.2, 1.4), (3.85, 0.98), (4.2, 0.9), (4.28, 0.55), (4.22, 0.3),
    )  # fmt: skip
    glass = ((1.2, 0.96), (1.68, 1.38), (2.86, 1.38), (3.1, 1.32), (3.6, 0.98))
    canvas.soft(_pool(x + 2.15, z, 2.3, 0.9), 0x10141A, 0.6, 0.18)
    canvas.fill([(x + px, py, z) for px, py in body], 0x4E7A8C)
    canvas.fill([(x + px, py, z) for px, py in glass], 0x2B3A44)
    canvas.box((x + 2.22, x + 2.32), (0.9, 1.42), z, 0x4E7A8C)
    canvas.soft([(x + 0.1, 0.3, z), (x + 4.2, 0.3, z), (x + 4.2, 0.6, z), (x, 0.6, z)], 0x0E1A22, 0.4, 0.1)
    canvas.soft([(x + 0.2, 0.9, z), (x + 4.1, 0.9, z), (x + 4.1, 0.97, z)], 0xE6F2F5, 0.5, 0.04)
    for hub in (0.88, 3.42):
        canvas.fill(_disc(x + hub, 0.33, 0.34, 0.34, z), 0x1E2123)
        canvas.fill(_disc(x + hub, 0.33, 0.19, 0.19, z), 0xA9AFB2)


def _garden(canvas: _Canvas) -> None:
    x, _, z, radius = _CROWN
    canvas.soft(_pool(x + 1.0, z - 0.3, 1.75, 0.75), 0x16240F, 0.5, 0.28)
    fence = _FENCE_Z_M
    for rail in (0.24, 0.6):
        for xs in ((-14.0, _GATE_X_M - 0.75), (_GATE_X_M + 0.75, 14.0)):
            canvas.box(xs, (rail, rail + 0.07), fence, 0xD8D6CF)
    for picket in np.arange(-14, 14, 0.15).tolist():
        if abs(picket + 0.05 - _GATE_X_M) > 0.8:  # noqa: PLR2004 - the gate stands open
            tip = (picket + 0.05, 0.86, fence), (picket, 0.78, fence), (picket, 0.03, fence)
            canvas.fill((*tip, (picket + 0.1, 0.03, fence), (picket + 0.1, 0.78, fence)), 0xF3F1EA)
    canvas.soft([(-14, 0, fence), (14, 0, fence), (14, 0.2, fence), (-14, 0.2, fence)], 0x2A2A20, 0.35, 0.07)
    blooms = (0x8E7BB5, 0xE9E4EF, 0xD77C93, 0xF0C75E, 0x8E7BB5)
    for side in (-1, 1):
        beds = _GATE_X_M + side * canvas.rng.uniform(2.0, 11.0, 90)
        canvas.leaves([(bx, 0.12, 0.17) for bx in beds], 7.7, (0x3F5B33, 0x5C7C42), 0.09, 420)
        canvas.leaves([(bx, 0.24, 0.16) for bx in beds], 7.6, blooms, 0.035, 60)
        yew_x = _GATE_X_M + side * _YEW_M
        canvas.soft(_pool(yew_x + 0.35, 7.7, 0.8, 0.35), 0x16240F, 0.55, 0.12)
        column = [(yew_x, 0.35 + 0.12 * i, 0.48 - 0.014 * max(0, i - 8) ** 1.6) for i in range(15)]
        canvas.leaves(column, 7.8, (0x26402B, 0x335536, 0x456B42, 0x5B8150), 0.06, 900)
    trunk = ((-0.2, 0.0), (-0.11, 0.5), (-0.1, 2.9), (0.1, 2.9), (0.11, 0.5), (0.2, 0.0))
    canvas.fill([(x + px, py, z) for px, py in trunk], 0x6E5844)
    canvas.soft(
        [(x + 0.03, 0, z), (x + 0.2, 0, z), (x + 0.1, 2.9, z), (x + 0.02, 2.9, z)],
        0x20160F,
        0.5,
        0.03,
    )
    clumps = [(x + radius * cx, _CROWN[1] + radius * cy, radius * r) for cx, cy, r in _CLUMPS]
    canvas.leaves(clumps, z, (0x3C5A2E, 0x4C7036, 0x648A40, 0x83A64E, 0xA5C063), 0.085, 1500)


def _porch(canvas: _Canvas) -> None:
    """Add what is too near to be sharp: a tub of lavender, a post of the porch, its eaves."""
    z = 2.3
    right = canvas.lens.width_px / 2 / canvas.lens.px(1.0, z)  # the frame's edge, m
    x = right - 0.42
    canvas.soft(_pool(x + 0.12, z, 0.42, 0.2), 0x14180F, 0.6, 0.05)
    tub = ((-0.24, 0.52), (0.24, 0.52), (0.18, 0.0), (-0.18, 0.0))
    canvas.soft([(x + px, py, z) for px, py in tub], 0xB5694A, 1.0, 0.005, z)
    canvas.soft(
        [(x + 0.05, 0, z), (x + 0.2, 0, z), (x + 0.26, 0.5, z), (x + 0.1, 0.5, z)],
        0x3A1C12,
        0.5,
        0.05,
    )
    canvas.soft(
        [(x - 0.27, 0.46, z), (x + 0.27, 0.46, z), (x + 0.27, 0.54, z), (x - 0.27, 0.54, z)],
        0xC47A58,
        1,
        0.005,
        z,
    )
    canvas.leaves(
        [(x, 0.68, 0.2), (x - 0.14, 0.64, 0.15), (x + 0.15, 0.65, 0.15)],
        z,
        (0x50683F, 0x708A5A, 0x8FA578),
        0.03,
        260,
    )
    canvas.leaves(
        [(x, 0.86, 0.19), (x - 0.17, 0.8, 0.13), (x + 0.17, 0.8, 0.13)],
        z,
        (0x66579A, 0x8273B8, 0xA294D2),
        0.019,
        130,
    )
    z = 1.0
    side = canvas.lens.width_px / 2 / canvas.lens.px(1.0, z)
    top = _LENS_Y_M + _HORIZON / _FOCAL
    for left, right, low, code, alpha, blur_m in (
        (-side - 1, -side + 0.085, -1, 0xE9E4D8, 1.0, 0.008),
        (-side + 0.05, -side + 0.085, -1, 0x3A3630, 0.45, 0.014),
        (-side - 1, side + 1, top - 0.06, 0xD9D3C5, 1.0, 0.008),
        (-side - 1, side + 1, top - 0.04, 0x4A443C, 0.5, 0.03),
    ):
        bar = ((left, low, z), (right, low, z), (right, top + 1, z), (left, top + 1, z))
        canvas.soft(bar, code, alpha, blur_m, z if alpha == 1 else 0)


# --- what moves ---------------------------------------------------------------------------------


class _Crown:
    """The tree's crown in a light wind: the backdrop there, read a few pixels to the side."""

    def __init__(self, lens: _Lens) -> None:
        x, y, z, radius = _CROWN
        left, top = lens.at((x - 1.4 * radius, y + 1.4 * radius, z))
        right, low = lens.at((x + 1.4 * radius, y - 1.4 * radius, z))
        rows = slice(max(0, round(top)), max(0, round(low)))
        cols = slice(max(0, round(left)), max(0, round(right)))
        self._area = rows, cols
        mask: Plane = np.zeros((lens.height_px, lens.width_px), np.float32)
        for cx, cy, size in _CLUMPS:
            px, py = lens.at((x + cx * radius, y + cy * radius, z))
            grown = round(lens.px(size * radius * 1.12, z))
            cv2.circle(mask, (round(px), round(py)), grown, (1,), -1)
        cv2.GaussianBlur(mask, (0, 0), lens.px(0.1, z), dst=mask)
        mask = mask[self._area]
        grid: Plane = np.indices(mask.shape, np.float32)
        self._y: Plane = grid[0]
        self._x: Plane = grid[1]
        height = np.clip((lens.at((0, y - radius, z))[1] - rows.start - self._y) / lens.px(2, z), 0, 1)
        self._lean = mask * height * np.float32(lens.px(0.045, z))
        phase = (self._x + 1.7 * self._y) / np.float32(lens.px(0.2, z))
        ripple = mask * np.float32(lens.px(0.012, z))
        self._sines, self._cosines = ripple * np.sin(phase), ripple * np.cos(phase)
        self._map = np.empty_like(self._x)

    def bend(self, backdrop: Image, frame: Image, time_s: float) -> None:
        if not self._x.size:  # a narrow frame without the tree
            return
        gust = math.sin(0.9 * time_s) + 0.45 * math.sin(2.3 * time_s + 1) * math.sin(0.31 * time_s)
        cv2.scaleAdd(self._lean, gust, self._x, dst=self._map)
        cv2.scaleAdd(self._sines, math.cos(3.1 * time_s), self._map, dst=self._map)
        cv2.scaleAdd(self._cosines, math.sin(3.1 * time_s), self._map, dst=self._map)
        cv2.remap(
            backdrop[self._area], self._map, self._y, cv2.INTER_LINEAR, dst=frame[self._area],
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip


class _Brush:
    """Draw solids of the visitor into the frame, in the light of the hour."""

    def __init__(self, frame: Image, lens: _Lens, night: float) -> None:
        self.frame, self.lens, self.night = frame, lens, night

    def ink(self, code: int, z: float, gain: float = 1.0) -> Colour:
        blue, green, red = _rgb(code, gain)
        if not self.night:
            return blue - _PEDESTAL, green - _PEDESTAL, red - _PEDESTAL
        # Cloth and skin are paler in infrared than to the eye, and nearer to each other.
        grey = 30 + 0.85 * (0.11 * blue + 0.59 * green + 0.3 * red)
        grey *= float(_infrared(z)) * self.night
        day = 1 - self.night
        return (
            blue * day + grey * 1.03 - _PEDESTAL,
            green * day + grey - _PEDESTAL,
            red * day + grey * 0.95 - _PEDESTAL,
        )

    def sharp(self, z: float) -> bool:
        """Tell whether a millimetre at `z` is enough of a pixel to draw the finest lines."""
        return self.lens.px(0.001, z) > 0.35  # noqa: PLR2004 - px

    def plate(self, points: Sequence[Point], code: int, gain: float = 1.0) -> None:
        """Fill a polygon; its light is that of its first corner."""
        corners = _corners([self.lens.at(point) for point in points])
        cv2.fillPoly(self.frame, [corners], self.ink(code, points[0][2], gain), cv2.LINE_AA, _SUB)

    def shape(self, middle: Point, outline: Outline, code: int, gain: float = 1.0) -> None:
        """Fill an outline (N x 2, m, up positive) that stands upright around `middle`."""
        z = middle[2]
        metre = self.lens.px(1 << _SUB, z)
        x, y = self.lens.at(middle)
        corners = outline * (metre, -metre) + (x * (1 << _SUB), y * (1 << _SUB))
        colour = self.ink(code, z, gain)
        cv2.fillPoly(self.frame, [corners.astype(np.int32)], colour, cv2.LINE_AA, _SUB)

    def ball(self, point: Point, rx: float, ry: float, code: int, gain: float = 1.0) -> None:
        x, y = self.lens.at(point)
        metre = self.lens.px(1 << _SUB, point[2])
        centre = round(x * (1 << _SUB)), round(y * (1 << _SUB))
        axes = round(rx * metre), round(ry * metre)
        colour = self.ink(code, point[2], gain)
        cv2.ellipse(self.frame, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, _SUB)

    def limb(
        self, ends: tuple[Point, Point], radii: tuple[float, float], code: int, gain: float = 1.0
    ) -> None:
        """Draw a rod with round ends, as wide at each end as its own distance makes it."""
        one = 1 << _SUB
        (ax, ay), (bx, by) = self.lens.at(ends[0]), self.lens.at(ends[1])
        ar, br = (self.lens.px(r, max(e[2], 0.1)) for e, r in zip(ends, radii, strict=True))
        colour = self.ink(code, (ends[0][2] + ends[1][2]) / 2, gain)
        for x, y, radius in ((ax, ay, ar), (bx, by, br)):
            spot = round(x * one), round(y * one)
            cv2.circle(self.frame, spot, round(radius * one), colour, -1, cv2.LINE_AA, _SUB)
        length = math.hypot(bx - ax, by - ay)
        if length <= abs(ar - br):
            return
        along, open_by = math.atan2(by - ay, bx - ax), math.acos((ar - br) / length)
        (c, s), (d, t) = ((math.cos(along + k), math.sin(along + k)) for k in (open_by, -open_by))
        sides = (
            (ax + ar * c, ay + ar * s), (bx + br * c, by + br * s),
            (bx + br * d, by + br * t), (ax + ar * d, ay + ar * t),
        )  # fmt: skip
        cv2.fillConvexPoly(self.frame, _corners(sides), colour, cv2.LINE_AA, _SUB)


class _Look(NamedTuple):
    coat: int
    trousers: int
    skin: int
    hair: int
    accent: int
    hem_m: float
    hat: Literal["none", "beanie", "cap"]
    long_hair: bool = False
    parcel: bool = False


_LOOKS: Final = (
    _Look(0xD9A036, 0x39434F, 0xE9BE9F, 0x5A3826, 0x2F7377, 0.62, "none", long_hair=True),
    _Look(0x2E4368, 0x2B2E36, 0xC48F68, 0x2A211D, 0xE8762C, 0.82, "cap", parcel=True),
    _Look(0x3E6A52, 0x4A4038, 0x8A5A3E, 0x1E1715, 0xB5483B, 0.66, "beanie"),
    _Look(0x8C3B4A, 0x3A3F4A, 0xF0CBB0, 0xB9B2AA, 0xE8DCC6, 0.7, "none"),
)

_WIDTHS: Final = (
    # of the coat: height above the ground and half its width, m
    (0.6, 0.262), (0.85, 0.232), (1.05, 0.2), (1.2, 0.212), (1.34, 0.228), (1.41, 0.2),
    (1.455, 0.12), (1.49, 0.07),
)  # fmt: skip
_NEAR_M, _STREET_M = 0.86, 8.7


class _Visitor:
    """One visitor at one moment of the visit: where each part of the body is, and its look.

    The body's own axes are its left to right as the lens sees it when faced, up, and forward.
    """

    def __init__(self, visit: int, into_s: float) -> None:
        self.look = _LOOKS[visit % len(_LOOKS)]
        self.side = -1 if visit % 2 else 1
        come, go = _ease(into_s, 0.9, 5.0), _ease(into_s, 11.7, 15.2)
        near = come - go
        self.z = _STREET_M + (_NEAR_M - _STREET_M) * near
        hidden = 1 - _ease(into_s, 0.1, 1.3) + _ease(into_s, 14.8, 15.9)
        behind_x = (_GATE_X_M + self.side * _YEW_M) * _STREET_M / _YEW_Z_M
        self.x = float(_path_x_m(self.z)) + (behind_x - _GATE_X_M) * hidden
        walked = (_STREET_M - _NEAR_M) * (come + go) + _YEW_M * (2 - hidden)
        self.pace = min(1.0, 8 * near * (1 - near) + 4 * hidden * (1 - hidden))
        self.stride = walked / 0.72 * math.pi
        turned = _ease(into_s, 11.0, 12.0) * math.pi
        aside = _ease(into_s, 7.6, 8.2) - _ease(into_s, 9.4, 10.0)
        self.yaw = turned - self.side * 3.8 * hidden * (1 - hidden)
        self.gaze = self.yaw + 0.5 * aside
        self.reach = _ease(into_s, 4.7, PRESS_AT_S - 0.2) - _ease(into_s, PRESS_AT_S + 0.5, 7.3)
        self.poke = _ease(into_s, PRESS_AT_S - 0.25, PRESS_AT_S) - _ease(into_s, 6.3, 6.5)
        self.lean = 0.012 * math.sin(1.3 * into_s) * (1 - self.pace)
        self.rise = 0.022 * abs(math.sin(self.stride)) * self.pace - 0.01
        self.blink = into_s % 2.9 < 0.12  # noqa: PLR2004 - s

    def draw(self, brush: _Brush, backdrop: Image, hides: Plane) -> None:
        """Draw from back to front; past the fence, put back what of the backdrop is before it."""
        facing = math.cos(self.yaw) > 0
        near_arm = -1 if math.sin(self.yaw) >= 0 else 1
        sideways = abs(math.sin(self.yaw)) > 0.3  # noqa: PLR2004 - far arm behind the coat
        self._shadow(brush)
        if self.look.parcel and not facing:
            self._parcel(brush)
        if self.z > 1:  # nearer than that they are below the frame
            self._legs(brush)
        if sideways:
            self._arm(brush, -near_arm)
        self._coat(brush, facing=facing)
        if self.look.parcel and facing:
            self._parcel(brush)
        if not sideways:
            self._arm(brush, -near_arm)
        self._head(brush, facing=facing)
        self._arm(brush, near_arm)
        if self.z > _FENCE_Z_M:
            left, top = (round(v) for v in brush.lens.at((self.x - 0.8, 2.1, self.z)))
            right, low = (round(v) for v in brush.lens.at((self.x + 0.8, 0, self.z)))
            area = slice(max(0, top), low + 2), slice(max(0, left), max(0, right))
            share = hides[area][..., None]
            brush.frame[area] = brush.frame[area] * (1 - share) + backdrop[area] * share

    def _at(self, right: float, up: float, ahead: float) -> Point:
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x = self.x + right * cos + ahead * sin + self.lean * up
        return x, up + self.rise, self.z - ahead * cos + right * sin

    def _shadow(self, brush: _Brush) -> None:
        left, top = brush.lens.at((self.x - 0.5, 0, self.z + 0.32))
        right, low = brush.lens.at((self.x + 0.85, 0, max(self.z - 0.36, 0.3)))
        x, y, w, h = round(left), round(top), round(right - left), round(low - top)
        height, width = brush.frame.shape[:2]
        x0, x1, y0, y1 = max(0, x), min(width, x + w), max(0, y), min(height, y + h)
        if x0 >= x1 or y0 >= y1:
            return
        shade = cv2.resize(_SHADOW, (w, h))[y0 - y : y1 - y, x0 - x : x1 - x]
        patch = brush.frame[y0:y1, x0:x1]
        cv2.multiply(patch, shade, dst=patch, scale=1 / 255)

    def _swing(self, side: int) -> tuple[float, float]:
        turn = self.stride + (math.pi if side > 0 else 0)
        return math.sin(turn) * self.pace, max(0.0, math.cos(turn)) * self.pace

    def _legs(self, brush: _Brush) -> None:
        for side in (-1, 1):
            swing, lift = self._swing(side)
            hip = self._at(0.085 * side, 0.88, 0)
            knee = self._at(0.1 * side, 0.5 + 0.04 * lift, 0.2 * swing + 0.12 * lift)
            ankle = self._at(0.1 * side, 0.1 + 0.1 * lift, 0.3 * swing)
            toe = self._at(0.115 * side, 0.05 + 0.08 * lift, 0.3 * swing + 0.13)
            gain = 0.86 if side > 0 else 1.0
            brush.limb((ankle, toe), (0.055, 0.05), 0x2A2422, gain)
            brush.limb((hip, knee), (0.105, 0.075), self.look.trousers, gain)
            brush.limb((knee, ankle), (0.075, 0.058), self.look.trousers, gain)

    def _strip(
        self,
        brush: _Brush,
        ys: tuple[float, float],
        ks: tuple[float, float],
        code: int,
        gain: float = 1.0,
    ) -> None:
        """Fill the coat between two heights and two shares, -1..1, of its half width."""
        up = ys[0] + _RUNGS * (ys[1] - ys[0])
        turned = abs(math.cos(self.yaw)) + 0.62 * abs(math.sin(self.yaw))
        half = np.interp(up, *_PROFILE) * min(1.0, turned)
        outline = np.empty((2 * len(up), 2))
        outline[: len(up), 0], outline[len(up) :, 0] = ks[0] * half, ks[1] * half[::-1]
        outline[: len(up), 1], outline[len(up) :, 1] = up, up[::-1]
        outline[:, 0] += self.lean * outline[:, 1]
        brush.shape((self.x, self.rise, self.z), outline, code, gain)

    def _coat(self, brush: _Brush, *, facing: bool) -> None:
        look, whole = self.look, (self.look.hem_m, 1.49)
        self._strip(brush, whole, (-1, 1), look.coat)
        self._strip(brush, whole, (-1, -0.84), look.coat, 1.07)
        for share, gain in ((0.2, 0.95), (0.46, 0.9), (0.66, 0.84), (0.83, 0.77)):
            self._strip(brush, whole, (share, 1), look.coat, gain)
        if look.hat == "cap":
            for low, code in ((1.19, look.accent), (1.155, 0xE4E7E8), (0.95, look.accent)):
                self._strip(brush, (low, low + 0.035), (-1, 0.54), code)
                self._strip(brush, (low, low + 0.035), (0.54, 1), code, 0.84)
        fold = 0.55 * math.sin(self.yaw)
        self._strip(brush, (look.hem_m, 1.46), (fold - 0.012, fold + 0.018), look.coat, 0.62)
        if not facing:
            return
        if look.hat != "cap":
            for button in (0.8, 0.95, 1.1, 1.25):
                brush.ball(self._at(0.028, button, 0), 0.012, 0.012, look.coat, 0.5)
        for side in (-1, 1):
            pocket = self._at(0.1 * side, 0.93, 0), self._at(0.165 * side, 0.99, 0)
            brush.limb(pocket, (0.005, 0.005), look.coat, 0.62)
            flap = (0.0, 1.395), (0.075, 1.37), (0.125, 1.455), (0.06, 1.5), (0.01, 1.44)
            collar = [self._at(side * x, y, 0) for x, y in flap]
            brush.plate([(x, y, self.z) for x, y, _ in collar], look.coat, 0.9 if side > 0 else 1.1)

    def _parcel(self, brush: _Brush) -> None:
        left, right, low, high = -0.1, 0.26, 1.0, 1.24
        ahead = 0.34
        front = [self._at(x, y, ahead) for x, y in ((left, low), (right, low), (right, high), (left, high))]
        top = [front[3], front[2], self._at(right, high, 0.12), self._at(left, high, 0.12)]
        for face, gain in ((front, 0.9), (top, 1.1)):
            colour = brush.ink(0xC39A6B, self.z, gain)
            corners = _corners([brush.lens.at(point) for point in face])
            cv2.fillPoly(brush.frame, [corners], colour, cv2.LINE_AA, _SUB)
        brush.plate(
            [self._at(x, y, ahead) for x, y in ((0.06, low), (0.1, low), (0.1, high), (0.06, high))],
            0xD9BF94,
        )
        label = (0.12, 1.12), (0.23, 1.12), (0.23, 1.2), (0.12, 1.2)
        brush.plate([self._at(x, y, ahead) for x, y in label], 0xF1EDE4)
        for line in (1.175, 1.155, 1.135):
            ends = self._at(0.135, line, ahead), self._at(0.2, line, ahead)
            brush.limb(ends, (0.003, 0.003), 0x6B6862)

    def _arm(self, brush: _Brush, side: int) -> None:
        look, gain = self.look, 0.8 if side > 0 else 1.03
        swing, _ = self._swing(-side)
        shoulder = self._at(0.178 * side, 1.375, 0)
        elbow = self._at(0.262 * side, 1.1, 0.1 * swing - 0.02)
        wrist = self._at(0.262 * side, 0.88, 0.3 * swing + 0.05)
        if side > 0 and look.parcel:
            elbow, wrist = self._at(0.3, 1.09, 0.1), self._at(0.235, 1.03, 0.33)
        if side < 0 and self.reach > 0:
            elbow = _between(elbow, (self.x - 0.3, 1.13, 0.68), self.reach)
            wrist = _between(wrist, (self.x + 0.0, 1.275, 0.37), self.reach)
        brush.limb((shoulder, elbow), (0.074, 0.062), look.coat, gain)
        brush.limb((elbow, wrist), (0.062, 0.047), look.coat, gain * 1.03)
        if side < 0 and self.reach > 0.5:  # noqa: PLR2004 - near enough to see a hand
            self._hand(brush, wrist)
            return
        palm = _between(elbow, wrist, 1.3)
        brush.limb((wrist, palm), (0.036, 0.038), look.skin, gain)
        brush.limb((_between(elbow, wrist, 0.94), wrist), (0.05, 0.049), look.coat, gain * 0.9)

    def _hand(self, brush: _Brush, wrist: Point) -> None:
        """Draw the hand at the bell, under the lens: a loose fist and one finger held out."""
        x, y, z = wrist
        skin = self.look.skin
        fist = x + 0.02, y + 0.026, z - 0.075
        cuff = _between(wrist, fist, -0.3), _between(wrist, fist, 0.12)
        brush.limb(cuff, (0.052, 0.05), self.look.coat, 0.86)
        brush.limb((_between(wrist, fist, 0.15), fist), (0.037, 0.035), skin, 0.84)
        fx, fy, fz = fist
        brush.limb((fist, (fx + 0.002, fy - 0.012, fz - 0.01)), (0.035, 0.033), skin, 0.93)
        for finger, gain in ((2, 0.84), (1, 0.9), (0, 0.96)):
            drop = fy - 0.004 - 0.0145 * finger
            ends = (fx - 0.021, drop, fz - 0.02), (fx + 0.017, drop - 0.002, fz - 0.026)
            if brush.sharp(self.z):
                brush.limb(ends, (0.0128, 0.0118), skin, gain - 0.17)
            brush.limb(ends, (0.0118, 0.0108), skin, gain)
        thumb = (fx + 0.026, fy + 0.004, fz), (fx + 0.014, fy - 0.012, fz - 0.04)
        brush.limb(thumb, (0.0152, 0.0112), skin, 0.74)
        brush.limb(thumb, (0.014, 0.01), skin, 0.92)
        knuckle = fx - 0.008, fy + 0.02, fz - 0.01
        tip = fx - 0.012, fy + 0.008, fz - 0.06 - 0.04 * self.poke
        brush.limb((knuckle, tip), (0.0146, 0.0112), skin, 0.86)
        brush.limb((knuckle, tip), (0.0134, 0.01), skin, 1.03)
        nx, ny, nz = tip
        brush.ball((nx, ny - 0.003, nz), 0.0062, 0.005, skin, 1.12)

    def _head(self, brush: _Brush, *, facing: bool) -> None:
        look = self.look
        x, y, z = self._at(0, 1.622, 0)
        rx, ry = 0.083, 0.116
        if look.long_hair:
            brush.ball((x, y - 0.045, z), 0.117, 0.158, look.hair, 0.85)
        brush.limb(((x, 1.45 + self.rise, z), (x, y - 0.05, z)), (0.052, 0.05), look.skin, 0.76)
        if look.hat != "cap":
            scarf = (x - 0.062, 1.475 + self.rise, z), (x + 0.062, 1.475 + self.rise, z)
            brush.limb(scarf, (0.04, 0.04), look.accent, 0.95)
            if facing:
                for left, low, gain in ((0.03, 1.2, 0.7), (0.0, 1.24, 0.82)):
                    ends = (
                        (left, 1.49),
                        (left + 0.058, 1.49),
                        (left + 0.07, low),
                        (left + 0.006, low),
                    )
                    tail = [(x + px, py + self.rise, z) for px, py in ends]
                    brush.plate(tail, look.accent, gain)
        if math.cos(self.gaze) > 0.2:  # noqa: PLR2004 - some of the face still shows
            shift = 0.05 * math.sin(self.gaze)
            ears = rx * math.cos(self.gaze)
            for side in (-1, 1):
                brush.ball((x + side * ears, y - 0.01, z), 0.016, 0.026, look.skin, 0.83)
            brush.ball((x, y, z), rx, ry, look.skin)
            for moon, gain in zip(_MOONS, (0.95, 0.89, 0.83), strict=True):
                brush.shape((x, y, z), moon, look.skin, gain)
            if self.z < 5:  # noqa: PLR2004 - farther off a face is a few pixels
                self._face(brush, (x + shift, y, z))
            self._hair(brush, (x, y, z), shift)
        else:
            brush.ball((x, y + 0.008, z), rx * 1.08, ry * 1.06, look.hair)
        self._hat(brush, (x, y, z), facing=facing)

    def _face(self, brush: _Brush, middle: Point) -> None:
        x, y, z = middle
        look = self.look
        flat = math.cos(self.gaze)
        for side in (-flat, flat):
            eye = x + 0.032 * side, y + 0.004, z
            if self.blink:
                brush.limb(
                    ((eye[0] - 0.012, eye[1], z), (eye[0] + 0.012, eye[1], z)),
                    (0.002, 0.002),
                    look.skin,
                    0.5,
                )
            else:
                brush.ball(eye, 0.0145, 0.0088, 0xF4EFEA)
                brush.ball(
                    (eye[0] + 0.05 * (self.gaze - self.yaw) * 0.2, eye[1], z),
                    0.0078,
                    0.0082,
                    0x33241C,
                )
                if brush.sharp(z):
                    corner, crest = 0.015, (eye[0], y + 0.014, z)
                    for end in (eye[0] - corner, eye[0] + corner):
                        brush.limb(((end, y + 0.009, z), crest), (0.002, 0.0028), look.skin, 0.42)
            brow = (x + 0.017 * side, y + 0.03, z), (x + 0.05 * side, y + 0.031, z)
            brush.limb(brow, (0.0052, 0.003), look.hair, 0.9)
            brush.ball((x + 0.045 * side, y - 0.03, z), 0.016, 0.011, look.skin - 0x000C0C, 0.97)
        brush.limb(((x + 0.006, y - 0.002, z), (x + 0.008, y - 0.034, z)), (0.005, 0.0105), look.skin, 0.86)
        brush.limb(((x - 0.001, y + 0.004, z), (x, y - 0.032, z)), (0.006, 0.0105), look.skin, 1.04)
        brush.shape(middle, _SMILE, 0xA9574F, 0.6 + 0.4 * (look.skin >> 16) / 255)

    def _hair(self, brush: _Brush, middle: Point, shift: float) -> None:
        fringe = np.add(_FRINGE, (0.4 * shift, 0))
        brush.shape(middle, np.concatenate((_CROP, fringe)), self.look.hair)
        brush.shape(middle, _GLOSS, self.look.hair, 1.12)

    def _hat(self, brush: _Brush, middle: Point, *, facing: bool) -> None:
        x, y, z = middle
        if self.look.hat == "none":
            return
        code = self.look.accent if self.look.hat == "beanie" else self.look.coat
        for dome, gain in zip(_DOMES, (1, 0.92, 0.84), strict=True):
            brush.shape(middle, dome, code, gain)
        if self.look.hat == "beanie":
            brush.ball((x, y + 0.158, z), 0.026, 0.024, 0xEFE3D2)
            brush.limb(((x - 0.073, y + 0.052, z), (x + 0.073, y + 0.052, z)), (0.026, 0.026), code, 0.82)
        elif facing:
            badge = (x - 0.022, y + 0.1, z), (x + 0.022, y + 0.1, z)
            brush.limb(badge, (0.014, 0.014), self.look.accent)
            brush.limb(((x - 0.062, y + 0.046, z), (x + 0.062, y + 0.046, z)), (0.016, 0.016), code, 0.6)


def _between(start: Point, end: Point, share: float) -> Point:
    x, y, z = (a + (b - a) * share for a, b in zip(start, end, strict=True))
    return x, y, z


def _smooth_profile() -> tuple[Outline, Outline]:
    up, half = (np.array(column) for column in zip(*_WIDTHS, strict=True))
    fine = np.linspace(up[0], up[-1], 90)
    rough = np.pad(np.interp(fine, up, half), 4, mode="edge")
    return fine, np.convolve(rough, np.ones(9) / 9, mode="valid")


def _soft_shadow() -> Image:
    rows, cols = np.mgrid[-1:1:64j, -1:1:64j]
    dark = 0.62 * np.clip(1 - np.hypot(rows, cols), 0, 1) ** 0.9
    return np.repeat(np.rint(255 * (1 - dark))[..., None], 3, axis=2).astype(np.uint8)


def _arc(width: float, rise: Sequence[float]) -> Outline:
    """Trace from left to right; `rise` is a polynomial in -1..1, lowest power first."""
    across = np.linspace(-1, 1, 11)
    return np.stack((width * across, np.polynomial.Polynomial(rise)(across)), axis=1)


def _oval(rx: float, ry: float, start: float, end: float) -> Outline:
    turns = np.linspace(start, end, 22)
    return np.stack((rx * np.cos(turns), ry * np.sin(turns)), axis=1)


_PROFILE: Final = _smooth_profile()
_RUNGS: Final = np.linspace(0, 1, 16)
_SHADOW: Final = _soft_shadow()
_SMILE: Final = np.concatenate((_arc(0.027, (-0.062, 0, 0.007)), _arc(0.027, (-0.072, 0, 0.017))[::-1]))
_CROP: Final = np.add(_oval(0.0905, 0.13, -0.12, math.pi + 0.12), (0, 0.012))
_FRINGE: Final = _arc(0.084, (0.074, -0.016, -0.028))
_GLOSS: Final = np.concatenate((_arc(0.055, (0.1, 0, -0.018)), _arc(0.055, (0.108, 0, -0.02))[::-1])) - (
    0.02,
    0,
)
_MOONS: Final = tuple(
    np.concatenate((_oval(0.083, 0.116, -1.5, 1.5), _oval(0.083 * inner, 0.116, 1.5, -1.5)))
    for inner in (0.45, 0.68, 0.86)
)
_CAP: Final = np.add(np.maximum(_oval(0.094, 0.105, -0.12, math.pi + 0.12), (-1, 0)), (0, 0.045))
_DOMES: Final = tuple(_CAP[_CAP[:, 0] > share * 0.094] for share in (-2, 0.45, 0.75))
