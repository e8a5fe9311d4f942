"""The visitors of the drawn porch: the position of a visitor's body at a time of the visit, and its drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from device.camera.simulated import lens as stage
from device.camera.simulated.lens import SUB, Image, Lens, Plane, WorldPoint, ease, fixed, lit

Outline = NDArray[np.float64]  # N x 2, m, up positive, around a middle
Interval = tuple[float, float]


class Brush:
    """Draw solids of the visitor into the frame, in the light of the hour (`night`: 0..1)."""

    def __init__(self, frame: Image, lens: Lens, night: float) -> None:
        self.frame, self.lens, self.night = frame, lens, night

    def plate(self, points: Sequence[WorldPoint], code: int, gain: float = 1.0) -> None:
        """Fill a polygon; its light is that of its first corner."""
        colour = lit(code, points[0][2], gain, self.night)
        cv2.fillPoly(self.frame, [self.lens.corners(points)], colour, cv2.LINE_AA, SUB)

    def shape(self, middle: WorldPoint, outline: Outline, code: int, gain: float = 1.0) -> None:
        """Fill an upright outline around `middle`."""
        metre = self.lens.px(1, middle[2])
        corners = fixed(outline * (metre, -metre) + self.lens.at(middle))
        cv2.fillPoly(self.frame, [corners], lit(code, middle[2], gain, self.night), cv2.LINE_AA, SUB)

    def ball(self, middle: WorldPoint, rx: float, ry: float, code: int, gain: float = 1.0) -> None:
        """Fill an upright ellipse."""
        self.shape(middle, _RING * (rx, ry), code, gain)

    def limb(
        self, ends: tuple[WorldPoint, WorldPoint], radii: tuple[float, float], code: int, gain: float = 1.0
    ) -> None:
        """Draw a rod with round ends, as wide at each end as its own distance makes it."""
        rings = [self.lens.at(e) + _RING * self.lens.px(r, e[2]) for e, r in zip(ends, radii, strict=True)]
        hull = cv2.convexHull(fixed(np.concatenate(rings)))
        colour = lit(code, (ends[0][2] + ends[1][2]) / 2, gain, self.night)
        cv2.fillConvexPoly(self.frame, hull, colour, cv2.LINE_AA, SUB)


class _Look(NamedTuple):
    coat: int
    trousers: int
    skin: int
    hair: int
    accent: int  # the scarf, or the courier's stripes
    hem_m: float
    hat: int = 0
    long_hair: bool = False
    courier: bool = False


_LOOKS: Final = (
    _Look(0xD9A036, 0x39434F, 0xE9BE9F, 0x5A3826, 0x2F7377, 0.62, long_hair=True),
    _Look(0x2E4368, 0x2B2E36, 0xC48F68, 0x2A211D, 0xE8762C, 0.82, 0x2E4368, courier=True),
    _Look(0x3E6A52, 0x4A4038, 0x8A5A3E, 0x1E1715, 0xB5483B, 0.66, 0xB5483B),
    _Look(0x8C3B4A, 0x3A3F4A, 0xF0CBB0, 0xB9B2AA, 0xE8DCC6, 0.7),
)
_NEAR_M, _STREET_M = 0.86, 8.7


class Visitor:
    """One visitor at one moment, `since_press_s` from -6 to 10 since the finger touches the button.

    The body's own axes are its left to right as the lens sees it when faced, up, and forward.
    """

    def __init__(self, visit: int, since_press_s: float) -> None:
        t = since_press_s
        self.look = _LOOKS[visit % len(_LOOKS)]
        side = -1 if visit % 2 else 1  # of the gate, where the visitor waits behind a yew
        come, go = ease(t, -5.1, -1.0), ease(t, 5.7, 9.2)
        near, hidden = come - go, 1 - ease(t, -5.9, -4.7) + ease(t, 8.8, 9.9)
        self.z = _STREET_M + (_NEAR_M - _STREET_M) * near
        behind_x = (stage.GATE_X_M + side * stage.YEW_M) * _STREET_M / stage.YEW_Z_M
        self.x = float(stage.path_x_m(self.z)) + (behind_x - stage.GATE_X_M) * hidden
        walked = (_STREET_M - _NEAR_M) * (come + go) + stage.YEW_M * (2 - hidden)
        self.pace = min(1.0, 8 * near * (1 - near) + 4 * hidden * (1 - hidden))
        self.stride = walked / 0.72 * math.pi
        self.yaw = ease(t, 5.0, 6.0) * math.pi - side * 3.8 * hidden * (1 - hidden)
        self.gaze = self.yaw + 0.5 * (ease(t, 1.6, 2.2) - ease(t, 3.4, 4.0))
        self.facing = math.cos(self.yaw) > 0
        self.reach = ease(t, -1.3, -0.2) - ease(t, 0.5, 1.3)
        self.poke = ease(t, -0.25, 0) - ease(t, 0.3, 0.5)
        self.lean = 0.012 * math.sin(1.3 * t) * (1 - self.pace)
        self.rise = 0.022 * abs(math.sin(self.stride)) * self.pace - 0.01
        self.lids = 0.25 if (t + 1) % 2.9 < 0.12 else 1.0  # s, a blink

    def draw(self, brush: Brush, backdrop: Image, hides: Plane) -> None:
        """Draw from back to front; past the fence, put back what of the backdrop is before it."""
        near_arm = -1 if math.sin(self.yaw) >= 0 else 1
        sideways = abs(math.sin(self.yaw)) > 0.3  # far arm behind the coat
        self._shadow(brush)
        if self.z > 1:  # nearer than that they are below the frame
            self._legs(brush)
        if sideways:
            self._arm(brush, -near_arm)
        self._coat(brush)
        if self.look.courier and self.facing:  # what was brought stays at the door
            self._parcel(brush)
        if not sideways:
            self._arm(brush, -near_arm)
        self._head(brush)
        self._arm(brush, near_arm)
        if self.z > stage.FENCE_Z_M:
            (left, top), (right, low) = (brush.lens.at((self.x + k, 1 - k, self.z)) for k in (-1, 1))
            area = slice(max(0, round(top)), round(low) + 2), slice(max(0, round(left)), max(0, round(right)))
            share = hides[area][..., None]
            brush.frame[area] = brush.frame[area] * (1 - share) + backdrop[area] * share

    def _at(self, right: float, up: float, ahead: float) -> WorldPoint:
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x = self.x + right * cos + ahead * sin + self.lean * up
        return x, up + self.rise, self.z - ahead * cos + right * sin

    def _panel(
        self, left: float, right: float, low: float, high: float, ahead: float = 0
    ) -> list[WorldPoint]:
        return [self._at(x, y, ahead) for x, y in ((left, low), (right, low), (right, high), (left, high))]

    def _shadow(self, brush: Brush) -> None:
        left, top = brush.lens.at((self.x - 0.5, 0, self.z + 0.32))
        right, low = brush.lens.at((self.x + 0.85, 0, max(self.z - 0.36, 0.3)))
        x, y, w, h = round(left), round(top), round(right - left), round(low - top)
        ground = brush.frame[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)]
        if ground.size:
            rows, cols = ground.shape[:2]
            shade = cv2.resize(_SHADOW, (w, h))[max(0, -y) :, max(0, -x) :][:rows, :cols]
            cv2.multiply(ground, shade, dst=ground, scale=1 / 255)

    def _swing(self, side: int) -> tuple[float, float]:
        turn = self.stride + (math.pi if side > 0 else 0)
        return math.sin(turn) * self.pace, max(0.0, math.cos(turn)) * self.pace

    def _legs(self, brush: Brush) -> None:
        for side, gain in ((-1, 1.0), (1, 0.86)):
            swing, lift = self._swing(side)
            hip = self._at(0.085 * side, 0.88, 0)
            knee = self._at(0.1 * side, 0.5 + 0.04 * lift, 0.2 * swing + 0.12 * lift)
            ankle = self._at(0.1 * side, 0.1 + 0.1 * lift, 0.3 * swing)
            toe = self._at(0.115 * side, 0.05 + 0.08 * lift, 0.3 * swing + 0.13)
            brush.limb((ankle, toe), (0.055, 0.05), 0x2A2422, gain)
            brush.limb((hip, knee), (0.105, 0.075), self.look.trousers, gain)
            brush.limb((knee, ankle), (0.075, 0.058), self.look.trousers, gain)

    def _strip(self, brush: Brush, ys: Interval, ks: Interval, code: int, gain: float = 1.0) -> None:
        """Fill the coat between two heights and two shares, -1..1, of its half width."""
        up = np.linspace(*ys, 16)
        turned = abs(math.cos(self.yaw)) + 0.62 * abs(math.sin(self.yaw))
        half = np.interp(up, *_PROFILE) * min(1.0, turned)
        sides = [np.stack((k * half + self.lean * up, up), axis=1) for k in ks]
        brush.shape((self.x, self.rise, self.z), np.concatenate((sides[0], sides[1][::-1])), code, gain)

    def _coat(self, brush: Brush) -> None:
        look, whole = self.look, (self.look.hem_m, 1.49)
        self._strip(brush, whole, (-1, 1), look.coat)
        for share, gain in ((0.2, 0.95), (0.46, 0.9), (0.66, 0.84), (0.83, 0.77)):
            self._strip(brush, whole, (share, 1), look.coat, gain)
        if look.courier:
            for low, code in ((1.19, look.accent), (1.155, 0xE4E7E8), (0.95, look.accent)):
                self._strip(brush, (low, low + 0.035), (-1, 1), code, 0.94)
        fold = 0.55 * math.sin(self.yaw)
        self._strip(brush, (look.hem_m, 1.46), (fold - 0.012, fold + 0.018), look.coat, 0.62)
        if not self.facing:
            return
        for button in () if look.courier else (0.8, 0.95, 1.1, 1.25):
            brush.ball(self._at(0.028, button, 0), 0.012, 0.012, look.coat, 0.5)
        for side, gain in ((-1, 1.1), (1, 0.9)):
            pocket = self._at(0.1 * side, 0.93, 0), self._at(0.165 * side, 0.99, 0)
            brush.limb(pocket, (0.005, 0.005), look.coat, 0.62)
            flap = (0.0, 1.395), (0.075, 1.37), (0.125, 1.455), (0.06, 1.5), (0.01, 1.44)
            brush.plate([self._at(side * x, y, 0) for x, y in flap], look.coat, gain)

    def _parcel(self, brush: Brush) -> None:
        front, back = (self._panel(-0.1, 0.26, 1.0, 1.24, ahead) for ahead in (0.34, 0.12))
        brush.plate(front, 0xC39A6B, 0.9)
        brush.plate([front[3], front[2], back[2], back[3]], 0xC39A6B, 1.1)
        brush.plate(self._panel(0.06, 0.1, 1.0, 1.24, 0.34), 0xD9BF94)
        brush.plate(self._panel(0.12, 0.23, 1.12, 1.2, 0.34), 0xF1EDE4)

    def _arm(self, brush: Brush, side: int) -> None:
        look, gain = self.look, 0.8 if side > 0 else 1.03
        swing, _ = self._swing(-side)
        shoulder = self._at(0.178 * side, 1.375, 0)
        elbow = self._at(0.262 * side, 1.1, 0.1 * swing - 0.02)
        wrist = self._at(0.262 * side, 0.88, 0.3 * swing + 0.05)
        if side > 0 and look.courier:
            elbow, wrist = self._at(0.3, 1.09, 0.1), self._at(0.235, 1.03, 0.33)
        if side < 0:
            elbow = _between(elbow, (self.x - 0.3, 1.13, 0.68), self.reach)
            wrist = _between(wrist, (self.x, 1.275, 0.37), self.reach)
        pressing = side < 0 and self.reach > 0.5  # near enough to see a hand
        if not pressing:
            brush.limb((wrist, _between(elbow, wrist, 1.3)), (0.036, 0.038), look.skin, gain)
        brush.limb((shoulder, elbow), (0.074, 0.062), look.coat, gain)
        brush.limb((elbow, wrist), (0.062, 0.047), look.coat, gain * 1.03)
        if pressing:
            self._hand(brush, wrist)

    def _hand(self, brush: Brush, wrist: WorldPoint) -> None:
        """Draw the hand at the button, under the lens: a loose fist and one finger held out."""
        skin = self.look.skin
        x, y, z = fist = wrist[0] + 0.02, wrist[1] + 0.026, wrist[2] - 0.075
        cuff = _between(wrist, fist, -0.3), _between(wrist, fist, 0.12)
        brush.limb(cuff, (0.052, 0.05), self.look.coat, 0.86)
        brush.limb((_between(wrist, fist, 0.15), fist), (0.037, 0.036), skin, 0.9)
        tip = x - 0.012, y + 0.008, z - 0.06 - 0.04 * self.poke
        fingers = (_level((x - 0.002, y, z - 0.023), 0.019, -drop) for drop in (0.033, 0.0185, 0.004))
        thumb = (x + 0.026, y + 0.004, z), (x + 0.014, y - 0.012, z - 0.04)
        pointing = (x - 0.008, y + 0.02, z - 0.01), tip
        for part, gain in zip((*fingers, thumb, pointing), (0.84, 0.9, 0.96, 0.92, 1.03), strict=True):
            brush.limb(part, (0.0136, 0.0113), skin, gain - 0.17)
            brush.limb(part, (0.0125, 0.0102), skin, gain)
        brush.ball(tip, 0.0062, 0.005, skin, 1.12)

    def _head(self, brush: Brush) -> None:
        look = self.look
        x, y, z = middle = self._at(0, 1.622, 0)
        if look.long_hair:
            brush.ball((x, y - 0.045, z), 0.117, 0.158, look.hair, 0.85)
        brush.limb(((x, y - 0.172, z), (x, y - 0.05, z)), (0.052, 0.05), look.skin, 0.76)
        if not look.courier:
            brush.limb(_level(middle, 0.062, -0.147), (0.04, 0.04), look.accent, 0.95)
            if self.facing:
                brush.plate(self._panel(0.03, 0.095, 1.2, 1.49), look.accent, 0.7)
                brush.plate(self._panel(0.0, 0.062, 1.24, 1.49), look.accent, 0.82)
        if math.cos(self.gaze) > 0.2:  # some of the face still shows
            self._face(brush, middle)
        else:
            brush.ball((x, y + 0.008, z), 0.09, 0.123, look.hair)
        if not look.hat:
            return
        brush.shape(middle, _DOME, look.hat)
        brush.shape(middle, _DOME[_DOME[:, 0] > 0.05], look.hat, 0.88)  # the shaded side
        brush.limb(_level(middle, 0.07, 0.05), (0.022, 0.022), look.hat, 0.75)
        if not look.courier:
            brush.ball((x, y + 0.158, z), 0.026, 0.024, 0xEFE3D2)
        elif self.facing:
            brush.limb(_level(middle, 0.022, 0.1), (0.014, 0.014), look.accent)

    def _face(self, brush: Brush, middle: WorldPoint) -> None:
        x, y, z = middle
        skin, hair = self.look.skin, self.look.hair
        flat, shift = math.cos(self.gaze), 0.05 * math.sin(self.gaze)
        for side in (-0.083, 0.083):
            brush.ball((x + side * flat, y - 0.01, z), 0.016, 0.026, skin, 0.83)
        brush.ball(middle, 0.083, 0.116, skin)
        brush.shape(middle, _MOON, skin, 0.9)
        nose = x + shift
        for side in (-flat, flat):
            eye = nose + 0.032 * side
            brush.ball((eye, y + 0.004, z), 0.0145, 0.0088 * self.lids, 0xF4EFEA)
            brush.ball((eye + 0.2 * shift, y + 0.004, z), 0.0078, 0.0082 * self.lids, 0x33241C)
            brush.limb(_level((eye, y, z), 0.017, 0.031), (0.004, 0.004), hair, 0.9)
            brush.ball((nose + 0.045 * side, y - 0.03, z), 0.016, 0.011, skin - 0x000C0C, 0.97)
        brush.limb(((nose + 0.006, y - 0.002, z), (nose + 0.008, y - 0.034, z)), (0.005, 0.0105), skin, 0.86)
        brush.limb(((nose, y + 0.004, z), (nose, y - 0.032, z)), (0.006, 0.0105), skin, 1.04)
        brush.shape((nose, y - 0.053, z), _LIPS, 0xA9574F, 0.6 + 0.4 * (skin >> 16) / 255)
        brush.shape(middle, np.concatenate((_CROP, np.add(_FRINGE, (0.4 * shift, 0)))), hair)


def _between(start: WorldPoint, end: WorldPoint, share: float) -> WorldPoint:
    x, y, z = (a + (b - a) * share for a, b in zip(start, end, strict=True))
    return x, y, z


def _level(middle: WorldPoint, half_m: float, up_m: float) -> tuple[WorldPoint, WorldPoint]:
    x, y, z = middle
    return (x - half_m, y + up_m, z), (x + half_m, y + up_m, z)


def _oval(rx: float, ry: float, start: float, end: float) -> Outline:
    turns = np.linspace(start, end, 32)
    return np.stack((rx * np.cos(turns), ry * np.sin(turns)), axis=1)


_PROFILE: Final = (
    # of the coat: heights above the ground, and half its width there, m
    (0.6, 0.85, 1.05, 1.2, 1.3, 1.355, 1.39, 1.42, 1.45, 1.49),
    (0.262, 0.232, 0.202, 0.21, 0.22, 0.219, 0.204, 0.172, 0.13, 0.07),
)
_RING: Final = _oval(1, 1, 0, math.tau)
_SHADE: Final = 1 - 0.62 * np.clip(1 - np.hypot(*np.mgrid[-1:1:64j, -1:1:64j]), 0, 1)
_SHADOW: Final = np.repeat(np.rint(255 * _SHADE)[..., None], 3, axis=2).astype(np.uint8)
_LIPS: Final = np.concatenate((_oval(0.028, 0.022, 3.14, 6.28), _oval(0.028, 0.009, 6.28, 3.14)))
_CROP: Final = np.add(_oval(0.0905, 0.13, -0.12, math.pi + 0.12), (0, 0.012))
_FRINGE: Final = np.add(_oval(0.084, 0.036, math.pi, 0), (0, 0.042))
_MOON: Final = np.concatenate((_oval(0.083, 0.116, -1.5, 1.5), _oval(0.05, 0.116, 1.5, -1.5)))
_DOME: Final = np.add(np.maximum(_oval(0.094, 0.105, -0.12, math.pi + 0.12), (-1, 0)), (0, 0.045))
