"""A porch drawn with exact truth: who comes, and what is nobody. Seeded, 640 x 360, through real H.264.

Light is added up in linear light, multiplied by the exposure, given the sensor's noise, and then curved, so
that a lamp, a cloud or a step of the exposure does to the picture what it does in a camera. Nothing is meant
to look pretty; it shall be as textured, as noisy and as uneven as a porch.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support.processes import shared

WIDTH_PX, HEIGHT_PX = 640, 360
KERB_PX = 116
"""Above it is the street, which is not watched."""
ZONE = ((0, KERB_PX), (WIDTH_PX, KERB_PX), (WIDTH_PX, HEIGHT_PX), (0, HEIGHT_PX))
MIN_PX = 60
"""Somebody is in view while so many of his pixels are in the zone."""

Picture = NDArray[np.float32]
Who = Callable[["Scene", float], Picture | None]
"""Draws somebody as he is at a time; returns (height, width, 2): reflectance and cover, or None."""
Light = Callable[["Scene", Picture, float], Picture]


def _texture(rng: np.random.Generator, *rows: int) -> Picture:
    size = (WIDTH_PX, HEIGHT_PX)
    layers = [
        cv2.resize(rng.normal(0, 1, (n, 2 * n)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        for n in rows
    ]
    total = np.asarray(sum(layers), np.float32)
    return np.asarray(total / total.std(), np.float32)


@dataclass
class Scene:
    """One clip to be drawn. `night` 0..1; `kbps` 0 means constant quality."""

    name: str
    seed: int
    seconds: float = 16
    fps: float = 12
    night: float = 0.0
    noise: float = 1.0
    kbps: int = 0
    keyframe_s: float = 2.0
    who: tuple[Who, ...] = ()
    lights: tuple[Light, ...] = ()
    tags: tuple[str, ...] = ()
    base: Picture = field(init=False)
    bush: Picture = field(init=False)

    def _paint(self) -> None:
        """Draw what stands still; when the clip is drawn, since listing the scenes shall cost nothing."""
        rng = np.random.default_rng(self.seed)
        rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
        base = 0.30 + 0.05 * _texture(rng, 6, 24, 90)  # lawn
        way = np.abs(columns - 300 - 0.15 * (rows - KERB_PX)) < 20 + 0.42 * (rows - KERB_PX)
        slabs = 0.5 + 0.03 * _texture(rng, 40, 160) - 0.12 * ((rows**1.2 % 34) < 2)
        base = np.where(way & (rows > KERB_PX), slabs, base)
        base = np.where(rows < KERB_PX, 0.26 + 0.02 * _texture(rng, 60), base)  # street
        base = np.where(
            rows < 78, 0.4 + 0.15 * np.sign(np.sin(columns / 37 + 1)) * (rows > 40), base
        )  # houses
        base = np.where(rows < 44, 0.75 - 0.002 * rows, base)  # sky
        bricks = (
            0.34
            + 0.03 * _texture(rng, 60)
            - 0.1 * (((rows % 16) < 2) | (((columns + 24 * (rows // 16 % 2)) % 48) < 2))
        )
        base = np.where(columns > 585 + 0.08 * rows, bricks, base)
        bush = np.exp(-(((columns - 105) / 95) ** 4) - ((rows - 215) / 70) ** 4)
        self.bush = (bush * (_texture(rng, 20, 60) > -0.8)).astype(np.float32)
        leaves = 0.16 + 0.08 * _texture(rng, 50, 120, 200)
        mixed = base * (1 - self.bush) + leaves * self.bush
        self.base = np.clip(cv2.GaussianBlur(mixed.astype(np.float32), (0, 0), 0.8), 0.02, 1)

    def frames(self) -> Any:
        """Yield (luma uint8, whether somebody is in the zone) of each frame."""
        self._paint()
        rng = np.random.default_rng(self.seed + 1)
        exposure: float | None = None
        for number in range(round(self.seconds * self.fps)):
            s = number / self.fps
            picture, somebody = self.base.copy(), []
            for draw in self.who:
                drawn = draw(self, s)
                if drawn is not None:
                    cover = drawn[..., 1:]
                    picture = picture * (1 - cover[..., 0]) + drawn[..., 0] * cover[..., 0]
                somebody.append(drawn is not None and int((drawn[KERB_PX:, :, 1] > 0.5).sum()) >= MIN_PX)
            picture = np.asarray(picture**2 * (1 - 0.97 * self.night), np.float32)
            for light in self.lights:
                picture = light(self, picture, s)
            wanted = min(0.16 / max(float(np.minimum(picture, 1).mean()), 1e-4), 20.0)
            exposure = wanted if exposure is None else exposure * (wanted / exposure) ** 0.05
            gained = np.asarray(picture * exposure)
            spread = self.noise * np.sqrt(np.maximum(gained, 0) * 1e-4 * exposure + (2e-3 * exposure) ** 2)
            gained = gained + spread * rng.standard_normal(gained.shape).astype(np.float32)
            yield np.asarray(16 + 219 * np.sqrt(np.clip(gained, 0, 1)), np.uint8), somebody


def _limb(
    layers: tuple[NDArray[np.uint8], Picture],
    a: tuple[float, float],
    b: tuple[float, float],
    wide: float,
    tone: float,
) -> None:
    start, end = (round(a[0] * 8), round(a[1] * 8)), (round(b[0] * 8), round(b[1] * 8))
    thick = max(1, round(wide))
    cv2.line(layers[0], start, end, 255, thick, cv2.LINE_AA, 3)
    cv2.line(layers[1], start, end, tone, thick, cv2.LINE_8, 3)


def _covered(layers: tuple[NDArray[np.uint8], Picture]) -> Picture:
    cover = cv2.GaussianBlur(layers[0], (3, 3), 0).astype(np.float32) / 255
    return np.dstack([layers[1], cover])


def _figure(x: float, feet: float, tall: float, step: float, coat: float, trousers: float) -> Picture:
    layers = (np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8), np.zeros((HEIGHT_PX, WIDTH_PX), np.float32))
    swing = 0.13 * math.sin(step) * tall
    hip, neck = (x, feet - 0.48 * tall), (x + 0.02 * tall, feet - 0.80 * tall)
    _limb(layers, hip, (x + swing, feet), 0.09 * tall, trousers)
    _limb(layers, hip, (x - swing, feet), 0.09 * tall, trousers * 0.8)
    _limb(layers, neck, hip, 0.21 * tall, coat)
    _limb(layers, neck, (x - 0.8 * swing - 0.1 * tall, feet - 0.5 * tall), 0.06 * tall, coat * 0.9)
    _limb(layers, neck, (x + 0.8 * swing + 0.1 * tall, feet - 0.5 * tall), 0.06 * tall, coat * 0.9)
    head = (round(x + 0.02 * tall), round(feet - 0.90 * tall))
    cv2.circle(layers[0], head, max(1, round(0.07 * tall)), 255, -1, cv2.LINE_AA)
    cv2.circle(layers[1], head, max(1, round(0.07 * tall)), 0.42, -1)
    return _covered(layers)


def walker(
    start_s: float, *, come_s: float = 5, stay_s: float = 2, coat: float = 0.6, trousers: float = 0.15
) -> Who:
    """Somebody who comes up the path, stands at the door, and goes."""

    def draw(scene: Scene, s: float) -> Picture | None:
        t = s - start_s
        if not 0 <= t <= 2 * come_s + stay_s:
            return None
        still = come_s < t < come_s + stay_s
        near = 1.0 if still else min(t, 2 * come_s + stay_s - t) / come_s
        feet = KERB_PX + 6 + 205 * near**1.5
        sway = 2 * math.sin(1.3 * t) if still else 0.0
        return _figure(
            300 + 0.2 * (feet - KERB_PX) + sway,
            feet,
            36 + 0.95 * (feet - KERB_PX),
            0 if still else 6.3 * t,
            coat,
            trousers,
        )

    return draw


def crosser(start_s: float, *, across_s: float, feet: float, tall: float, coat: float = 0.6) -> Who:
    """Somebody who walks across from left to right."""

    def draw(scene: Scene, s: float) -> Picture | None:
        part = (s - start_s) / across_s
        if not 0 <= part <= 1:
            return None
        return _figure(part * (WIDTH_PX + 2 * tall) - tall, feet, tall, 6.6 * (s - start_s), coat, 0.12)

    return draw


def cat(start_s: float, *, across_s: float = 4.5) -> Who:
    """A cat from right to left."""

    def draw(scene: Scene, s: float) -> Picture | None:
        part = (s - start_s) / across_s
        if not 0 <= part <= 1:
            return None
        layers = (np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8), np.zeros((HEIGHT_PX, WIDTH_PX), np.float32))
        x, y = WIDTH_PX + 50 - part * (WIDTH_PX + 100), 262.0
        _limb(layers, (x, y - 18), (x + 34, y - 18), 16, 0.1)
        _limb(layers, (x + 36, y - 20), (x + 56, y - 36), 5, 0.1)
        for leg in range(4):
            left = x + 11 * leg
            _limb(layers, (left, y - 14), (left + 6 * math.sin(12 * s + 1.6 * leg), y), 5, 0.09)
        cv2.circle(layers[0], (round(x - 8), round(y - 26)), 9, 255, -1, cv2.LINE_AA)
        cv2.circle(layers[1], (round(x - 8), round(y - 26)), 9, 0.12, -1)
        return _covered(layers)

    return draw


def street_car(start_s: float) -> Who:
    """A car in the street, which nobody asked about."""

    def draw(scene: Scene, s: float) -> Picture | None:
        part = (s - start_s) / 3.0
        if not 0 <= part <= 1:
            return None
        layers = (np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8), np.zeros((HEIGHT_PX, WIDTH_PX), np.float32))
        x = part * (WIDTH_PX + 240) - 120
        _limb(layers, (x - 36, 96), (x + 36, 96), 20, 0.7)
        _limb(layers, (x - 16, 84), (x + 16, 84), 12, 0.2)
        return _covered(layers)

    return draw


def _places() -> tuple[Picture, Picture]:
    rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    return rows, columns


def gusts(scene: Scene, light: Picture, s: float) -> Picture:
    """The bush sways, now more, now less."""
    rows, columns = _places()
    gust = 1 + 4 * max(0.0, math.sin(0.8 * s + scene.seed)) ** 2
    soft = cv2.GaussianBlur(scene.bush, (0, 0), 6)
    shift = gust * soft * np.sin(rows / 23 + columns / 41 + 3.4 * s)
    return np.asarray(
        cv2.remap(
            light, columns + shift, rows + 0.4 * shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        ),
        np.float32,
    )


def flag(scene: Scene, light: Picture, s: float) -> Picture:
    """A striped flag on a pole by the wall."""
    light[130:300, 498:502] = 0.05
    for column in range(70):
        top = 135 + 5 * column / 70 * math.sin(column / 9 - 6.1 * s)
        tone = 0.45 if column // 12 % 2 else 0.06
        light[round(top) : round(top) + 44, 502 + column] = tone * (1 + 0.3 * math.cos(column / 9 - 6.1 * s))
    return light


def cloud(scene: Scene, light: Picture, s: float) -> Picture:
    """The shadow of a cloud goes over."""
    _, columns = _places()
    edge = 1 / (1 + np.exp(-(columns - 95 * (s - 3) + 60 * np.sin(_places()[0] / 90)) / 45))
    return np.asarray(light * (0.45 + 0.55 * edge), np.float32)


def lamp(scene: Scene, light: Picture, s: float) -> Picture:
    """The porch lamp is on from 5 to 12 s."""
    rows, columns = _places()
    pool = np.exp(-(((columns - 330) / 300) ** 2) - ((rows - 350) / 190) ** 2)
    return np.asarray(light * (1 + 14 * pool * min(1, max(0, 10 * (s - 5)))) if s < 12 else light, np.float32)


def headlights(scene: Scene, light: Picture, s: float) -> Picture:
    """A car turns in the street and its lights sweep over the lawn."""
    rows, columns = _places()
    part = (s - 5) / 3.2
    if not 0 < part < 1:
        return light
    pool = np.exp(-(((columns - 720 + 800 * part) / 90) ** 2) - ((rows - 190) / 80) ** 2)
    return np.asarray(light * (1 + 9 * pool * math.sin(math.pi * part)), np.float32)


def exposure_step(scene: Scene, light: Picture, s: float) -> Picture:
    """The camera's exposure jumps and comes back slowly."""
    return light * np.float32(1 if s < 6 else 1 + 0.6 * math.exp(-0.4 * (s - 6)))


def infra_red(scene: Scene, light: Picture, s: float) -> Picture:
    """Dusk; at 7 s the filter clicks away and the camera's own lamp is on."""
    rows, columns = _places()
    if s < 7:
        return light * np.float32(1 - 0.05 * s)
    pool = np.exp(-(((columns - 320) / 280) ** 2) - ((rows - 320) / 200) ** 2)
    return np.asarray(light * (0.1 + 0.8 * pool), np.float32)


def rain(scene: Scene, light: Picture, s: float) -> Picture:
    """Streaks, others in each picture."""
    rng, streaks = np.random.default_rng(scene.seed * 1000 + round(100 * s)), np.zeros_like(light)
    for x, y, long in rng.uniform(0, 1, (180, 3)):
        start = (round(x * WIDTH_PX), round(y * HEIGHT_PX))
        cv2.line(
            streaks, start, (start[0] - 2, start[1] + 10 + round(24 * long)), 0.3 + 0.5 * long, 1, cv2.LINE_AA
        )
    return np.asarray(light + streaks * float(light.mean()), np.float32)


def snow(scene: Scene, light: Picture, s: float) -> Picture:
    """Flakes that fall and drift."""
    rng, flakes = np.random.default_rng(scene.seed), np.zeros_like(light)
    for x, y, fast, drift in rng.uniform(0, 1, (200, 4)):
        centre = (
            round((x * WIDTH_PX + 20 * math.sin(1.1 * s + 6 * drift) + 15 * s) % WIDTH_PX),
            round((y * HEIGHT_PX + (70 + 110 * fast) * s) % HEIGHT_PX),
        )
        cv2.circle(flakes, centre, 1 + round(1.8 * fast), 1.2, -1, cv2.LINE_AA)
    return np.asarray(light + flakes * float(light.mean()), np.float32)


def insect(scene: Scene, light: Picture, s: float) -> Picture:
    """Something flies past the lens, twice."""
    for begins_s, takes_s in ((4.0, 1.6), (9.0, 2.2)):
        part = (s - begins_s) / takes_s
        if 0 < part < 1:
            centre = (round(WIDTH_PX * part), round(200 + 110 * math.sin(8 * part) - 60 * part))
            body = np.zeros_like(light)
            cv2.ellipse(body, centre, (26, 12), 50 * math.sin(14 * part), 0, 360, 1.0, -1)
            light = np.asarray(
                light + 3 * float(light.mean()) * cv2.GaussianBlur(body, (0, 0), 3), np.float32
            )
    return light


def shake(scene: Scene, light: Picture, s: float) -> Picture:
    """Wind shakes the camera by a pixel or two."""
    turn = np.array([[1, 0, 1.6 * math.sin(11 * s)], [0, 1, 1.2 * math.sin(17 * s + 1)]], np.float32)
    return np.asarray(
        cv2.warpAffine(light, turn, (WIDTH_PX, HEIGHT_PX), borderMode=cv2.BORDER_REFLECT), np.float32
    )


def scenes() -> list[Scene]:
    """Return the drawn set."""
    return [
        Scene("calm_nobody", 11),
        Scene("calm_walker", 12, who=(walker(4),), tags=("walker",)),
        Scene("far_crosser", 13, who=(crosser(4, across_s=8, feet=168, tall=44),), tags=("far",)),
        Scene("near_crosser", 14, who=(crosser(5, across_s=5, feet=330, tall=210),), tags=("near",)),
        Scene("stander", 15, 20, who=(walker(3, come_s=4, stay_s=7),), tags=("stands",)),
        Scene("faint_walker", 16, who=(walker(4, coat=0.42, trousers=0.33),), lights=(gusts,),
              tags=("bush", "faint")),
        Scene("gusts_nobody", 17, lights=(gusts,), tags=("bush",)),
        Scene("flag_nobody", 18, lights=(flag,), tags=("flag",)),
        Scene("cloud_walker", 19, who=(walker(5),), lights=(cloud,), tags=("cloud",)),
        Scene("cloud_nobody", 20, lights=(cloud, gusts), tags=("cloud", "bush")),
        Scene("rain_nobody", 21, lights=(rain,), tags=("rain",)),
        Scene("snow_walker", 22, who=(walker(4),), lights=(snow,), tags=("snow",)),
        Scene("snow_night_nobody", 23, night=0.9, lights=(snow,), tags=("snow", "night")),
        Scene("cat_night", 24, night=0.9, noise=1.5, who=(cat(6),), tags=("night", "cat")),
        Scene("noise_nobody", 25, night=0.95, noise=2.5, tags=("night", "noise")),
        Scene("insect_night", 26, night=0.9, lights=(insect,), tags=("insect", "night")),
        Scene("headlights_nobody", 27, night=0.9, lights=(headlights,), tags=("headlights", "night")),
        Scene("lamp_walker", 28, 18, night=0.9, who=(walker(4),), lights=(lamp,), tags=("lamp", "night")),
        Scene("infra_red_nobody", 29, night=0.4, lights=(infra_red,), tags=("infra-red",)),
        Scene("infra_red_walker", 30, 18, night=0.4, who=(walker(5, come_s=4),), lights=(infra_red,),
              tags=("infra-red",)),
        Scene("exposure_nobody", 31, lights=(exposure_step,), tags=("exposure",)),
        Scene("street_only", 32, who=(street_car(4), street_car(10)), tags=("street",)),
        Scene("pulses_nobody", 33, kbps=90, keyframe_s=1, noise=1.5, lights=(gusts,),
              tags=("low bit rate", "bush")),
        Scene("shake_walker", 34, fps=15, who=(walker(5),), lights=(shake,), tags=("shake",)),
        Scene("shake_nobody", 35, fps=7, lights=(shake, gusts), tags=("shake", "bush")),
    ]  # fmt: skip


def draw(folder: Path, chosen: Sequence[str] | None = None, *, jobs: int = 1) -> Path:
    """Write the clips (all, or those named) and truth.json to `folder`; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [scene.name for scene in scenes() if chosen is None or scene.name in chosen]
    truth = dict(zip(names, shared(_draw, [(folder, name) for name in names], jobs), strict=True))
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return folder


def _draw(folder: Path, name: str) -> dict[str, Any]:
    # By name: the functions that draw are closures, which cannot go to another process.
    scene = next(scene for scene in scenes() if scene.name == name)
    return _write(scene, folder / f"{name}.mp4")


def _write(scene: Scene, path: Path) -> dict[str, Any]:
    seen: list[list[bool]] = []
    rate = round(scene.fps)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.options = {
            "preset": "veryfast",
            "bf": "0",
            "g": str(round(scene.keyframe_s * rate)),
            "threads": "1",
        }
        if scene.kbps:
            stream.bit_rate = scene.kbps * 1000
            stream.options |= {"maxrate": f"{scene.kbps}k", "bufsize": f"{scene.kbps}k"}
        else:
            stream.options |= {"crf": "27"}
        for luma, somebody in scene.frames():
            seen.append(somebody)
            frame = av.VideoFrame.from_ndarray(luma, format="gray").reformat(format="yuv420p")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    events = []
    for number, who in enumerate(scene.who):
        frames = [at for at, somebody in enumerate(seen) if somebody[number]]
        if frames and who.__qualname__.split(".")[0] != street_car.__name__:
            events.append(
                [round(frames[0] / scene.fps, 2), round((frames[-1] + 1) / scene.fps, 2), scene.name]
            )
    return {
        "fps": scene.fps,
        "dur": round(len(seen) / scene.fps, 2),
        "events": events,
        "ignore": [[0, 2.0]],
        "zone": [list(corner) for corner in ZONE],
        "tags": list(scene.tags),
        "source": "procedural",
    }
