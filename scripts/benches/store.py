"""Bytes written to disk per byte of clip."""

import re
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from device.store.index import ClipRow, Index
from scripts.benches import rig

TRIES = 5
TITLE = "store: bytes written to disk per byte of clip, 1080p15 at 4 Mbit/s"
LINE = re.compile(r"^(\S+) \w+ \S+ (press|clip_kept) (.*)$", re.MULTILINE)
KEPT = re.compile(r"bytes=(\d+) written_bytes=(\d+)")
POST_ROLL_S = 8
ROWS = 100_000
DAY_US = 86_400_000_000
SPACING_S = 14  # a clip is 5 s before the press and 8 after; the next is another


def measure(tries: int) -> dict[str, Any]:
    """Make `tries` clips; count what the clip writer wrote and what the kernel wrote for the process."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place, rig.broker(Path(place)) as port:
        folder = Path(place)
        main = rig.draw_video(folder / "main.mp4", width_px=1920, seconds=20, keyframe_s=2, kbps=4000)
        daemon = rig.Daemon(
            folder,
            port,
            {"kind": "stream", "stream": {"url": str(main)}},
            motion={"enabled": False},
            clips={"pre_roll_s": 5, "post_roll_s": POST_ROLL_S},
        ).live()
        try:
            time.sleep(6)
            before = _write_bytes(daemon.process.pid)
            for _ in range(tries):
                daemon.press()
                time.sleep(SPACING_S)
            after = _write_bytes(daemon.process.pid)
            text = daemon.log.read_text()
            lines = LINE.findall(text)
            kept = [KEPT.findall(rest)[0] for _, kind, rest in lines if kind == "clip_kept"]
        finally:
            daemon.stop()
        listed_ms = _list_a_day(folder / "index.db")
    clip_bytes, written_bytes = sum(int(k[0]) for k in kept), sum(int(k[1]) for k in kept)
    return {
        "tries": len(kept),
        "bare": {"bytes": clip_bytes},
        "doorbelld": {"clip_writer_bytes": written_bytes, "process_bytes": after - before},
        "closed_ms": _closed_ms([(when, kind) for when, kind, _ in lines]),
        "list_a_day_ms": listed_ms,
        "ratio": {
            "clip_writer": round(written_bytes / clip_bytes, 6),
            "process": round((after - before) / clip_bytes, 4),
        },
    }


def _closed_ms(lines: list[tuple[str, str]]) -> dict[str, float]:
    """Return from an episode's end (press + post-roll) to the clip under its name, with its row."""
    pressed_s, lags_ms = 0.0, []
    for when, kind in lines:
        moment_s = datetime.fromisoformat(when).timestamp()
        if kind == "press":
            pressed_s = moment_s
        else:
            lags_ms.append((moment_s - pressed_s - POST_ROLL_S) * 1e3)
    return {"median": round(statistics.median(lags_ms)), "worst": round(max(lags_ms))}


def _list_a_day(path: Path) -> float:
    """Return how long it takes to list a day of a year's index of 100,000 clips; the median of 20 days."""
    index = Index(path)
    for number in range(ROWS):
        index.add(_row(number))
    times_ms = []
    for day in range(100, 120):
        start_us = day * DAY_US
        began_s = time.perf_counter()
        rows = index.between(start_us, start_us + DAY_US)
        times_ms.append((time.perf_counter() - began_s) * 1e3)
        if len(rows) < ROWS / 400:
            raise SystemExit(f"bench: a day has {len(rows)} rows only")
    index.close()
    return round(statistics.median(times_ms), 2)


def _row(number: int) -> ClipRow:
    return ClipRow(
        clip_id=f"{number:06d}", event_id="E", cause="press", file_name=f"{number}.mp4",
        started_wall_us=number * 365 * DAY_US // ROWS, duration_us=20_000_000, clock="synchronised",
        boot_id="b", started_mono_us=0, size_bytes=10_000_000, disk_bytes=10_000_000, sha256="0" * 64,
    )  # fmt: skip


def _write_bytes(pid: int) -> int:
    """Return what the kernel counts as written to storage for a process, in whole pages."""
    return int(Path(f"/proc/{pid}/io").read_text().partition("\nwrite_bytes:")[2].split()[0])


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    ours, ratio, closed = result["doorbelld"], result["ratio"], result["closed_ms"]
    return [
        f"episode's end → clip kept: median {closed['median']} ms, worst {closed['worst']} ms",
        f"a day out of {ROWS:,} clips: {result['list_a_day_ms']} ms",
        f"clips        {result['bare']['bytes']:>12,} bytes in {result['tries']} clips",
        f"clip writer  {ours['clip_writer_bytes']:>12,} bytes   ratio {ratio['clip_writer']}",
        f"process      {ours['process_bytes']:>12,} bytes   ratio {ratio['process']}   (with index and log)",
    ]
