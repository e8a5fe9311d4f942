"""Bytes written to disk per byte of clip."""

import re
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benches import rig

TRIES = 5
TITLE = "store: bytes written to disk per byte of clip, 1080p15 at 4 Mbit/s"
KEPT = re.compile(r"clip_kept .*?bytes=(\d+) written_bytes=(\d+)")
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
            clips={"pre_roll_s": 5, "post_roll_s": 8},
        ).live()
        try:
            time.sleep(6)
            before = _write_bytes(daemon.process.pid)
            for _ in range(tries):
                daemon.press()
                time.sleep(SPACING_S)
            after = _write_bytes(daemon.process.pid)
            kept = KEPT.findall(daemon.log.read_text())
        finally:
            daemon.stop()
    clip_bytes, written_bytes = sum(int(k[0]) for k in kept), sum(int(k[1]) for k in kept)
    return {
        "tries": len(kept),
        "bare": {"bytes": clip_bytes},
        "doorbelld": {"clip_writer_bytes": written_bytes, "process_bytes": after - before},
        "ratio": {
            "clip_writer": round(written_bytes / clip_bytes, 6),
            "process": round((after - before) / clip_bytes, 4),
        },
    }


def _write_bytes(pid: int) -> int:
    """Return what the kernel counts as written to storage for a process, in whole pages."""
    return int(Path(f"/proc/{pid}/io").read_text().partition("\nwrite_bytes:")[2].split()[0])


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    ours, ratio = result["doorbelld"], result["ratio"]
    return [
        f"clips        {result['bare']['bytes']:>12,} bytes in {result['tries']} clips",
        f"clip writer  {ours['clip_writer_bytes']:>12,} bytes   ratio {ratio['clip_writer']}",
        f"process      {ours['process_bytes']:>12,} bytes   ratio {ratio['process']}   (with index and log)",
    ]
