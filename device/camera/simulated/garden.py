"""The static background of the drawn porch: the garden and its street, painted once by day and by night."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from device.camera.simulated import lens as stage
from device.camera.simulated.lens import SUB, Image, Lens, Pixels, Plane, WorldPoint, infrared, path_x_m, rgb

CROWN: Final = (-2.9, 3.55, 5.6, 1.45)
"""The tree's: x, y, z and radius, m."""

Flat = Sequence[tuple[float, float]]  # an upright outline: x and y, m

_HOUSES: Final = (
    # from x and so wide, eaves and ridge, m; wall, roof and door
    (-19.0, 8.2, 5.0, 7.9, 0xCDB59A, 0x7A5648, 0x3D5A6C),
    (-10.2, 7.4, 5.2, 8.4, 0xB9694F, 0x5A5560, 0x2F4A3E),
    (-2.4, 6.6, 4.9, 7.6, 0xE6DCC8, 0x87604C, 0x8E3B32),
    (4.6, 8.0, 5.3, 8.3, 0xA9B7B4, 0x55525C, 0xC9973F),
    (13.0, 8.4, 5.0, 7.9, 0xC98F6B, 0x74504A, 0x39496B),
)
_HOUSE_Z_M, _SKY_Z_M = 19.0, 900.0
_LAMP: Final = (4.3, 5.6, 16.8)
_STRIPS: Final = (
    # of the ground: from and to z, and at least so far from the path's middle, m
    (7.2, 8.2, 0.75, 0x6A5A45),  # the bed before the fence
    (8.2, 10.2, 0.0, 0xB9B4AB),
    (10.2, 16.0, 0.0, 0x6F7377),  # the road, between two pavements
    (16.0, 19.1, 0.0, 0xBDB7AA),
)


def paint(lens: Lens) -> tuple[Image, Image, Plane]:
    """Paint the garden by day and by night, and how much of each pixel hides the street (0..1)."""
    canvas = _Canvas(lens)
    for part in (_sky, _street, _ground, _car, _garden, _porch):
        part(canvas)
    pictures = (canvas.paint.astype(np.float32), _by_night(canvas))
    day, night = (np.clip(picture - stage.PEDESTAL, 0, 255).astype(np.uint8) for picture in pictures)
    return day, night, (canvas.far_m < stage.FENCE_Z_M + 0.1).astype(np.float32)


class _Canvas:
    """Colours, the distance of each pixel (m), and the light that it emits at night (0..255)."""

    def __init__(self, lens: Lens) -> None:
        shape = lens.height_px, lens.width_px
        self.lens, self.rng = lens, np.random.default_rng(11)
        self.paint: Image = np.zeros((*shape, 3), np.uint8)
        self._kept: Plane = np.full((*shape, 2), (_SKY_Z_M, 0), np.float32)
        self.far_m, self.glow = self._kept[..., 0], self._kept[..., 1]

    def fill(self, outline: Flat, z: float, code: int, glow: float = 0.0) -> None:
        corners = self._corners(outline, z)
        cv2.fillPoly(self.paint, [corners], rgb(code), cv2.LINE_AA, SUB)
        cv2.fillPoly(self._kept, [corners], (z, glow), cv2.LINE_8, SUB)

    def soft(self, outline: Flat, z: float, code: int, alpha: float, blur_m: float) -> None:
        """Lay a blurred patch over the paint: a shadow, or (with alpha 1) a thing out of focus."""
        mask = np.zeros(self.far_m.shape, np.uint8)
        cv2.fillPoly(mask, [self._corners(outline, z)], (255,), cv2.LINE_AA, SUB)
        reach = max(1, round(2.4 * self.lens.px(blur_m, z)))
        x, y, w, h = cv2.boundingRect(mask)
        area = slice(max(0, y - reach), y + h + reach), slice(max(0, x - reach), x + w + reach)
        # A triangular kernel of so many pixels either way: near a Gaussian, and cheap at any width.
        cover = cv2.stackBlur(mask[area], (2 * reach + 1, 2 * reach + 1)).astype(np.float32) / 255
        if alpha == 1:
            self.far_m[area] = 1 / ((1 - cover) / self.far_m[area] + cover / z)
        cover = cover[..., None] * np.float32(alpha)
        self.paint[area] = self.paint[area] * (1 - cover) + _ink(code) * cover

    def leaves(
        self, at: Sequence[WorldPoint], z: float, codes: Sequence[int], dab_m: float, most: int
    ) -> None:
        """Dab foliage over round clumps (x, y, radius), dark first, light last and to the sun."""
        middle = np.array(at)
        weight = middle[:, 2] ** 2 / np.sum(middle[:, 2] ** 2)
        for layer, code in enumerate(codes):
            lift = layer / len(codes)
            dabs = round(most * (1 - 0.65 * lift))
            x, y, radius = middle[self.rng.choice(len(middle), dabs, p=weight)].T
            reach = np.sqrt(self.rng.random(dabs)) * radius * (1 - 0.35 * lift)
            angle = self.rng.random(dabs) * math.tau
            x += reach * np.cos(angle) - 0.22 * lift * radius
            y += reach * np.sin(angle) + 0.26 * lift * radius
            size = self.lens.px(dab_m * (1 - 0.3 * lift) * (1 << SUB), z)
            sizes = (size * self.rng.uniform(0.55, 1.15, dabs)).astype(int)
            gains = self.rng.uniform(0.86, 1.14, dabs)
            spots = self._corners(np.stack((x, y), axis=1).tolist(), z)
            for spot, r, gain in zip(spots.tolist(), sizes.tolist(), gains.tolist(), strict=True):
                cv2.circle(self.paint, spot, r, rgb(code, gain), -1, cv2.LINE_AA, SUB)
                cv2.circle(self._kept, spot, r, (z, 0), -1, cv2.LINE_8, SUB)

    def _corners(self, outline: Flat, z: float) -> Pixels:
        return self.lens.corners([(x, y, z) for x, y in outline])


def _ink(code: int) -> Plane:
    return np.array(rgb(code), np.float32)


def _box(left: float, right: float, low: float, high: float) -> Flat:
    return (left, low), (right, low), (right, high), (left, high)


def _moved(outline: Flat, x: float) -> Flat:
    return [(x + px, py) for px, py in outline]


def _disc(x: float, y: float, rx: float, ry: float, corners: int = 48) -> Flat:
    turns = (math.tau * (i + 0.25) / corners for i in range(corners))
    return [(x + rx * math.cos(turn), y + ry * math.sin(turn)) for turn in turns]


def _by_night(canvas: _Canvas) -> Plane:
    grey = cv2.cvtColor(canvas.paint, cv2.COLOR_BGR2GRAY).astype(np.float32)
    unit = canvas.lens.height_px
    lamp_x, lamp_y = canvas.lens.at(_LAMP)
    height, width = grey.shape
    right = (np.arange(width, dtype=np.float32)[None, :] - np.float32(lamp_x)) / unit
    down = (np.arange(height, dtype=np.float32)[:, None] - np.float32(lamp_y)) / unit
    # The lamp lights the objects near it, and its glare spreads in the lens and the damp air.
    sky = canvas.far_m == _SKY_Z_M
    lit = np.where(sky, 0.03, 0.34 * np.exp(-((right / 0.29) ** 2)) * np.exp(-(((down - 0.13) / 0.17) ** 2)))
    apart = right**2 + down**2
    glare = 215 * np.exp(-apart / 0.013**2) + 26 / (1 + apart / 0.05**2)
    glow = canvas.glow + 0.35 * cv2.GaussianBlur(canvas.glow, (0, 0), unit * 0.008) + glare
    night = grey * (infrared(canvas.far_m) + lit - 0.02) + glow
    blue, green, red = 1.03 * night - 0.16 * glow, night + 0.02 * glow, 0.95 * night + 0.14 * glow
    return np.stack((blue, green, red), axis=-1, dtype=np.float32)


def _sky(canvas: _Canvas) -> None:
    height, width = canvas.far_m.shape
    down = np.linspace(0, 2.17, height, dtype=np.float32)[:, None, None] ** 0.8
    sky = _ink(0x7FB0DC) + (_ink(0xF3E9DC) - _ink(0x7FB0DC)) * np.minimum(down, 1)
    cloud = np.zeros((height, width), np.float32)
    for octave in range(2, 7):
        grain = canvas.rng.random((2 << octave, 1 << octave), dtype=np.float32)
        cloud += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    cover = np.clip((cloud / 0.242 - 1.06) * 3.0, 0, 0.85)[..., None]
    canvas.paint[:] = sky + (_ink(0xFAFAFA) - sky) * cover


def _street(canvas: _Canvas) -> None:
    hills = enumerate(canvas.rng.uniform(0.8, 2.0, 46).tolist())
    clumps = [(-36 + 1.6 * i, 3.4 + 1.6 * r, 1.3 + r) for i, r in hills]
    canvas.leaves(clumps, 30, (0x7C977F, 0x8BA688, 0x9CB493), 0.5, 1000)
    for house in _HOUSES:
        _house(canvas, *house)
    x, y, z = _LAMP
    canvas.fill(_box(x + 0.55, x + 0.67, 0, y + 0.12), z, 0x4A5157)
    canvas.fill(_box(x - 0.22, x + 0.67, y + 0.02, y + 0.12), z, 0x5A6268)


def _house(
    canvas: _Canvas, left: float, width: float, eaves: float, ridge: float, wall: int, roof: int, door: int
) -> None:
    z, right, chimney = _HOUSE_Z_M, left + width, left + 0.72 * width
    canvas.fill(_box(chimney, chimney + 0.9, eaves, ridge + 0.9), z, 0x8A6152)
    canvas.fill(_box(left, right, 0, eaves), z, wall)
    over = (left - 0.3, eaves - 0.1), (right + 0.3, eaves - 0.1), (right - 1.3, ridge), (left + 1.3, ridge)
    canvas.fill(over, z, roof)
    canvas.soft(
        ((left - 0.3, eaves), (left + 0.4 * width, eaves), (left + 1.3, ridge)), z, 0xFFE9C8, 0.13, 0.9
    )
    canvas.soft(_box(left, right, eaves - 0.75, eaves - 0.1), z, 0x1C2430, 0.34, 0.16)
    for slot, low in ((0, 0.95), (2, 0.95), (0, 3.15), (1, 3.15), (2, 3.15)):
        x, high = left + width * (0.2 + 0.3 * slot), low + 1.3
        lit = 125.0 if canvas.rng.random() < 0.36 else 2.0  # a third are home
        canvas.fill(_box(x - 0.78, x + 0.78, low - 0.1, high + 0.1), z, 0xF2EEE6)
        canvas.fill(_box(x - 0.68, x + 0.68, low, high), z, 0x5F7886, lit)
        canvas.fill(((x - 0.68, high), (x + 0.4, high), (x - 0.68, low)), z, 0x90A9B6, lit)
        for side in (-0.68, 0.44):
            canvas.fill(_box(x + side, x + side + 0.24, low, high), z, 0xD9D3C6, lit / 2)
        canvas.fill(_box(x - 0.04, x + 0.04, low, high), z, 0xF2EEE6)
    x = left + width / 2
    canvas.fill(_box(x - 0.62, x + 0.62, 0, 2.35), z, 0xEFEAE0)
    canvas.fill(_box(x - 0.48, x + 0.48, 0, 2.2), z, door)


def _ground(canvas: _Canvas) -> None:
    """Colour the ground, pixel by pixel, by its position."""
    height, width = canvas.far_m.shape
    top = math.ceil(canvas.lens.at((0, 0, _HOUSE_Z_M))[1])
    focal_px = np.float32(canvas.lens.px(1, 1))
    rows = np.arange(top, height, dtype=np.float32)[:, None] + 0.5
    z = np.repeat(canvas.lens.ground_z_m(rows), width, axis=1)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) * z / focal_px
    off = x - path_x_m(z)
    tile = cv2.GaussianBlur(canvas.rng.random((512, 512), dtype=np.float32), (0, 0), 1.1) - 0.5

    def grain(per_m_x: int, per_m_z: int) -> Plane:
        looked = cv2.remap(tile, x * per_m_x, z * per_m_z, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return looked.astype(np.float32, copy=False)

    far = np.clip((z - 1.5) / 6.5, 0, 1)[..., None]
    blades = 1.1 * grain(80, 95) * np.clip(4 / z, 0.3, 1) + 0.6 * grain(24, 30) + 0.5 * grain(3, 4)
    grass = (_ink(0x567F3C) * (1 - far) + _ink(0x8FAE5A) * far) * (1 + 1.15 * blades)[..., None]

    row = np.floor(z / 0.52)
    along, across = z / 0.52 - row, off / 0.42 + 0.5 * (row % 2)
    column = np.floor(across)
    across -= column
    edge = np.minimum(np.minimum(along, 1 - along) * 1.14, np.minimum(across, 1 - across) * 0.42)
    foot = np.clip(1.3 * z / focal_px, 0.013, 0.09)  # a little more than a pixel, m
    joint = np.clip(edge / foot, 0, 1)[..., None]
    tones = canvas.rng.uniform(0.91, 1.09, (16, 16)).astype(np.float32)
    tone = tones[row.astype(int) % 16, column.astype(int) % 16] + 0.55 * grain(38, 30) + 0.3 * grain(5, 5)
    stone = _ink(0x8B8070) * (1 - joint) + _ink(0xC9BBA6) * tone[..., None] * joint
    ragged = np.abs(off) - 0.66 - 0.16 * grain(14, 9)
    grassy = np.clip(ragged / np.maximum(foot, 0.02) + 0.5, 0, 1)[..., None]
    ground = stone * (1 - grassy) + grass * grassy
    rough = 1 + 0.4 * grain(12, 6)[..., None]
    for start, end, clear, code in _STRIPS:
        band = (z >= start) & (z < end) & (np.abs(off) >= clear)
        ground[band] = _ink(code) * rough[band]
    canvas.paint[top:] = np.clip(ground, 0, 255)
    canvas.far_m[top:], canvas.glow[top:] = z, 0


def _car(canvas: _Canvas) -> None:
    z, x = 14.2, -6.9
    body = (
        (0.05, 0.3), (0.0, 0.62), (0.12, 0.86), (0.95, 0.95), (1.55, 1.42), (1.8, 1.49),
        (2.9, 1.48), (3.2, 1.4), (3.85, 0.98), (4.2, 0.9), (4.28, 0.55), (4.22, 0.3),
    )  # fmt: skip
    glass = (1.2, 0.96), (1.68, 1.38), (2.86, 1.38), (3.1, 1.32), (3.6, 0.98)
    canvas.soft(_disc(x + 2.15, 0, 2.3, 0.1), z, 0x10141A, 0.6, 0.18)
    canvas.fill(_moved(body, x), z, 0x4E7A8C)
    canvas.fill(_moved(glass, x), z, 0x2B3A44)
    for hub in (x + 0.88, x + 3.42):
        canvas.fill(_disc(hub, 0.33, 0.34, 0.34), z, 0x1E2123)
        canvas.fill(_disc(hub, 0.33, 0.19, 0.19), z, 0xA9AFB2)


def _garden(canvas: _Canvas) -> None:
    gate_x, fence_z = stage.GATE_X_M, stage.FENCE_Z_M
    x, y, z, radius = CROWN
    canvas.soft(_disc(x + 1.0, 0, 1.75, 0.2), z, 0x16240F, 0.5, 0.28)
    for xs in ((-14.0, gate_x - 0.75), (gate_x + 0.75, 14.0)):
        canvas.fill(_box(*xs, 0.6, 0.67), fence_z, 0xD8D6CF)
    picket = (0.05, 0.86), (0.0, 0.78), (0.0, 0.03), (0.1, 0.03), (0.1, 0.78)
    for at in np.arange(-14, 14, 0.15).tolist():
        if abs(at + 0.05 - gate_x) > 0.8:  # the gate is open
            canvas.fill(_moved(picket, at), fence_z, 0xF3F1EA)
    canvas.soft(_box(-14, 14, 0, 0.2), fence_z, 0x2A2A20, 0.35, 0.07)
    blooms = (0x8E7BB5, 0xE9E4EF, 0xD77C93, 0xF0C75E, 0x8E7BB5)
    for side in (-1, 1):
        beds = (gate_x + side * canvas.rng.uniform(2.0, 11.0, 90)).tolist()
        canvas.leaves([(bx, 0.12, 0.17) for bx in beds], 7.7, (0x3F5B33, 0x5C7C42), 0.09, 400)
        canvas.leaves([(bx, 0.24, 0.16) for bx in beds], 7.6, blooms, 0.035, 60)
        yew_x = gate_x + side * stage.YEW_M
        canvas.soft(_disc(yew_x + 0.35, 0, 0.8, 0.06), 7.7, 0x16240F, 0.55, 0.12)
        column = [(yew_x, 0.35 + 0.12 * i, 0.48 - 0.014 * max(0, i - 8) ** 1.6) for i in range(15)]
        canvas.leaves(column, stage.YEW_Z_M, (0x26402B, 0x335536, 0x456B42, 0x5B8150), 0.06, 700)
    trunk = (-0.2, 0.0), (-0.11, 0.5), (-0.1, 2.9), (0.1, 2.9), (0.11, 0.5), (0.2, 0.0)
    canvas.fill(_moved(trunk, x), z, 0x6E5844)
    canvas.soft(_box(x + 0.03, x + 0.13, 0, 2.9), z, 0x20160F, 0.5, 0.03)
    clumps = [(px, py, radius * 0.5) for px, py in _disc(x, y, radius * 0.58, radius * 0.5, 9)]
    clumps.append((x, y, radius * 0.7))
    canvas.leaves(clumps, z, (0x3C5A2E, 0x4C7036, 0x648A40, 0x83A64E, 0xA5C063), 0.085, 1300)


def _porch(canvas: _Canvas) -> None:
    """Add the objects that are too near to be sharp: a tub of lavender, a post of the porch, its eaves."""
    z = 2.3
    x = canvas.lens.edge_m(z)[0] - 0.42
    tub = (-0.24, 0.52), (0.24, 0.52), (0.18, 0.0), (-0.18, 0.0)
    canvas.soft(_disc(x + 0.12, 0, 0.42, 0.13), z, 0x14180F, 0.6, 0.05)
    canvas.soft(_moved(tub, x), z, 0xB5694A, 1, 0.005)
    canvas.soft(_box(x + 0.08, x + 0.18, 0, 0.5), z, 0x3A1C12, 0.5, 0.05)
    canvas.soft(_box(x - 0.27, x + 0.27, 0.46, 0.54), z, 0xC47A58, 1, 0.005)
    leaf, flower = (0x50683F, 0x708A5A, 0x8FA578), (0x66579A, 0x8273B8, 0xA294D2)
    canvas.leaves([(x + dx, 0.66, 0.17) for dx in (0, -0.14, 0.15)], z, leaf, 0.03, 260)
    canvas.leaves(
        [(x + dx, 0.85 - abs(dx) / 3, 0.18 - abs(dx) / 3) for dx in (0, -0.17, 0.17)], z, flower, 0.019, 130
    )
    edge, top = canvas.lens.edge_m(1)
    for right, low, code, alpha, blur_m in (
        (-edge + 0.085, -1, 0xE9E4D8, 1.0, 0.008),
        (edge + 1, top - 0.06, 0xD9D3C5, 1.0, 0.008),
        (edge + 1, top - 0.04, 0x4A443C, 0.5, 0.03),
    ):
        canvas.soft(_box(-edge - 1, right, low, top + 1), 1, code, alpha, blur_m)
