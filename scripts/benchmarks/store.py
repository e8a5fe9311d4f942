"""The cost of the store: bytes on the disk per byte of clip, syncs, deletions, memory, and growth."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.benchmarks import block, freeing, growth, memory, rig
from tests.support.broker import broker
from tests.support.videos import draw_video

TRIES = 5
TITLE = "store: 1080p15 at 4 Mbit/s unless said otherwise"
LINE = re.compile(r"^(\S+) \w+ \S+ (press|clip_kept) (.*)$", re.MULTILINE)
KEPT = re.compile(r"bytes=(\d+) written_bytes=(\d+)")
POST_ROLL_S = 8
CLIP_S = 60
DISK_BYTES = 2_000_000_000
SPACING_S = 14  # a clip is 5 s before the press and 8 after; the next is another


def measure(tries: int) -> dict[str, Any]:
    """Make `tries` clips with the daemon, as many on a disk that is watched; then all the rest."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory, broker(Path(directory)) as port:
        folder = Path(directory)
        main = draw_video(folder / "main.mp4", width_px=1920, seconds=20, keyframe_s=2, kbps=4000)
        daemon = rig.BenchDoorbell(
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
            text = daemon.log_path.read_text()
            lines = LINE.findall(text)
            sizes = [KEPT.findall(rest)[0] for _, kind, rest in lines if kind == "clip_kept"]
        finally:
            daemon.stop()
    clip_bytes, written_bytes = sum(int(k[0]) for k in sizes), sum(int(k[1]) for k in sizes)
    return {
        "tries": len(sizes),
        "bare": {"bytes": clip_bytes},
        "doorbelld": {"clip_writer_bytes": written_bytes, "process_bytes": after - before},
        "closed_ms": _closed_ms([(when, kind) for when, kind, _ in lines]),
        "ratio": {
            "clip_writer": round(written_bytes / clip_bytes, 6),
            "process": round((after - before) / clip_bytes, 4),
        },
        "disk": _disk(tries),
        "memory": {"ring": memory.ring(), "daemon": memory.daemon()},
        "growth_ms": growth.measure(),
    }


def _disk(tries: int) -> dict[str, Any]:
    """Return what reaches a real ext4 for `tries` clips of a minute, and what freeing a gigabyte takes."""
    if why := block.why_not():
        return {"why_not": why}
    with (
        tempfile.TemporaryDirectory(dir=Path.cwd()) as directory,
        block.disk(Path(directory), DISK_BYTES) as disk,
    ):
        traced = Path(directory) / "syncs"
        _record(disk.mountpoint / "warm", 0, traced)
        opening = _syncs(traced)
        before = disk.written_bytes()
        clips = _record(disk.mountpoint / "state", tries, traced)
        written_bytes = disk.written_bytes() - before
        clip_bytes = sum(int(clip["bytes"]) for clip in clips)
        bare = disk.mountpoint / "plain"
        before = disk.written_bytes()
        with bare.open("wb", buffering=0) as file:
            for _ in range(clip_bytes // 500_000):
                file.write(b"\x5a" * 500_000)
            os.fsync(file.fileno())
        bare_bytes = disk.written_bytes() - before
        written = bare.stat().st_size
        syncs = _syncs(traced)
        return {
            "clips": len(clips),
            "clip_s": round(statistics.mean(clip["seconds"] for clip in clips), 1),
            "amplification": round(written_bytes / clip_bytes, 4),
            "bare_amplification": round(bare_bytes / written, 4),
            "syncs_a_clip": None if syncs is None else round((syncs - (opening or 0)) / len(clips), 1),
            "freeing": freeing.measure(disk.mountpoint),
        }


def _record(state: Path, clips: int, traced: Path) -> list[dict[str, float]]:
    """Run hours.py in a process of its own; its syncs are counted if there is strace(1)."""
    strace = shutil.which("strace")
    options = ["-f", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync", "-o", str(traced)]
    done = subprocess.run(
        [
            *([strace, *options, "--"] if strace else []),
            *(sys.executable, "-m", "scripts.benchmarks.hours", str(state), str(clips), str(CLIP_S)),
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _syncs(traced: Path) -> int | None:
    """Return how many calls strace counted, SQLite's too; None without strace."""
    if not traced.exists():
        return None
    rows = [line.split() for line in traced.read_text().splitlines()]
    return sum(int(row[3]) for row in rows if row and row[-1] in ("fsync", "fdatasync"))


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


def _write_bytes(pid: int) -> int:
    """Return what the kernel counts as written to storage for a process, in whole pages."""
    return int(Path(f"/proc/{pid}/io").read_text().partition("\nwrite_bytes:")[2].split()[0])


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    ours, ratio, closed = result["doorbelld"], result["ratio"], result["closed_ms"]
    ring, daemon = result["memory"]["ring"], result["memory"]["daemon"]
    return [
        f"episode's end → clip kept: median {closed['median']} ms, worst {closed['worst']} ms",
        f"clips        {result['bare']['bytes']:>12,} bytes in {result['tries']} clips",
        f"clip writer  {ours['clip_writer_bytes']:>12,} bytes   ratio {ratio['clip_writer']}",
        f"process      {ours['process_bytes']:>12,} bytes   ratio {ratio['process']}   (with index and log)",
        *_disk_table(result["disk"]),
        f"ring, 10 s of pre-roll: {ring['held_mb']} MB held, the process grew by {ring['resident_mb']} MB",
        f"daemon at 1080p30, 8 Mbit/s: peak {daemon['peak_mb']} MB   (its libraries: {daemon['bare_mb']} MB)",
        "ms with so many clips, median" + "".join(f"{clips:>12}" for clips in _counts(result)),
        *(
            f"{step:<29}" + "".join(f"{found[clips]:>12}" for clips in _counts(result))
            for step, found in result["growth_ms"].items()
        ),
    ]


def _counts(result: dict[str, Any]) -> list[str]:
    return list(next(iter(result["growth_ms"].values())))


def _disk_table(disk: dict[str, Any]) -> list[str]:
    if "why_not" in disk:
        return [f"block device: not measured, {disk['why_not']}"]
    free, waits = disk["freeing"], disk["freeing"]["order_waits_ms"]
    syncs = "not counted, no strace" if disk["syncs_a_clip"] is None else disk["syncs_a_clip"]
    of_bare, clip_ms, bare_ms = disk["bare_amplification"], free["clip_ms"], free["bare_ms"]
    return [
        f"block device {disk['amplification']} bytes a byte of clip   (a plain file: {of_bare})",
        f"             {disk['clips']} clips of {disk['clip_s']} s; fsync and fdatasync a clip: {syncs}",
        f"1 GB freed   in {free['whole_s']} s, {free['clips']} clips",
        f"  a clip     median {clip_ms['median']} ms, worst {clip_ms['worst']} ms",
        f"  bare       median {bare_ms['median']} ms, worst {bare_ms['worst']} ms",
        f"  an order   median {waits['median']} ms, worst {waits['worst']} ms   ({waits['orders']} of them)",
    ]
