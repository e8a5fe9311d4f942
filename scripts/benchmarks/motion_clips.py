"""The clips that motion detectors are compared on, and how their pictures are shown."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.benchmarks.motion_rules import Truth

Luma = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One clip of a folder with truth.json. `zone` is a polygon in pixels, or None for the whole picture."""

    name: str
    path: Path
    truth: Truth
    zone: tuple[tuple[float, float], ...] | None
    tags: tuple[str, ...]
    camera: bool
    """Made by a camera, at least in part."""

    def mask(self, width_px: int, height_px: int) -> NDArray[np.bool_] | None:
        """Return the zone: bool, height x width, True inside."""
        if self.zone is None:
            return None
        inside = np.zeros((height_px, width_px), np.uint8)
        cv2.fillPoly(inside, [np.round(np.array(self.zone)).astype(np.int32)], (1,))
        return inside > 0


def clips(folder: Path, only: tuple[str, ...] = ()) -> list[Clip]:
    """Return the clips that `folder`/truth.json names; SystemExit says what is missing."""
    listing = folder / "truth.json"
    if not listing.is_file():
        raise SystemExit(
            f"bench: {listing} is not there; --data needs a folder with truth.json and its clips"
        )
    paths = {path.stem: path for path in folder.rglob("*.mp4")}
    rows: dict[str, Any] = json.loads(listing.read_text())
    wanted = [name for name in sorted(rows) if name.startswith(only or ("",))]
    missing = [name for name in wanted if name not in paths]
    if missing or not wanted:
        raise SystemExit(f"bench: clips of {listing} that are not there: {', '.join(missing) or 'all'}")
    return [_clip(name, paths[name], rows[name]) for name in wanted]


def _clip(name: str, path: Path, row: dict[str, Any]) -> Clip:
    zone = row.get("zone")
    return Clip(
        name=name,
        path=path,
        truth=Truth(
            seconds=row["dur"],
            events=tuple(sorted((event[0], event[1]) for event in row["events"])),
            ignored=tuple((start, end) for start, end in row.get("ignore", [])),
        ),
        zone=None if zone is None else tuple((x, y) for x, y in zone),
        tags=tuple(row.get("tags", [])),
        camera=row.get("source", "procedural") != "procedural",
    )


def pictures(clip: Clip, *, noise_levels: float = 0.0, fps: float = 0.0) -> Iterator[tuple[int, Luma]]:
    """Yield (microseconds, luma with 0 outside the zone) of each picture.

    `noise_levels` puts back sensor noise (standard deviation), drawn for each clip by its name; `fps` thins.
    """
    rng = np.random.default_rng(zlib.crc32(clip.name.encode()))
    bank: NDArray[np.int16] | None = None
    outside: NDArray[np.bool_] | None = None
    due_us = -(10**18)
    for at_us, luma in _decoded(clip.path):
        if fps and at_us < due_us:
            continue
        due_us = at_us + int(1e6 / fps) - 10_000 if fps else due_us
        shown = luma
        if noise_levels:
            if bank is None:
                bank = np.rint(rng.standard_normal((6, *luma.shape)) * noise_levels).astype(np.int16)
            drawn = np.roll(bank[rng.integers(6)], rng.integers(luma.shape[1]), 1)
            shown = np.clip(drawn + luma, 0, 255).astype(np.uint8)
        if clip.zone is not None and outside is None:
            inside = clip.mask(luma.shape[1], luma.shape[0])
            outside = None if inside is None else ~inside
        if outside is not None:
            shown[outside] = 0
        yield at_us, shown


def _decoded(path: Path) -> Iterator[tuple[int, Luma]]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "SLICE"
        for frame in file.decode(stream):
            plane: Any = frame.planes[0]
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            # A copy: the plane is the decoder's own reference picture.
            yield round((frame.time or 0.0) * 1e6), rows[: frame.height, : frame.width].copy()
