"""A clip's first picture against the moment asked for, with real keyframe spacings."""

import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.benchmarks import rig
from tests.support.broker import broker
from tests.support.videos import draw_video

TRIES = 6
TITLE = "preroll: how long before the moment asked for (3 s before the press) a clip begins; s"
SPACINGS_S = (1, 2, 4)
PRE_ROLL_S = 3.0


def measure(tries: int) -> dict[str, Any]:
    """Press at `tries` places in the groups of pictures, for each keyframe spacing."""
    rows = {}
    for spacing_s in SPACINGS_S:
        with tempfile.TemporaryDirectory() as directory, broker(Path(directory)) as port:
            folder = Path(directory)
            video = draw_video(folder / "v.mp4", width_px=640, seconds=16, keyframe_s=spacing_s, kbps=500)
            daemon = rig.BenchDoorbell(
                folder,
                port,
                {"kind": "stream", "stream": {"url": str(video)}},
                motion={"enabled": False},
                clips={"pre_roll_s": PRE_ROLL_S, "post_roll_s": 1},
            ).live()
            try:
                time.sleep(PRE_ROLL_S + 2 * spacing_s)
                presses = []
                for number in range(tries):
                    presses.append(_wall_s(daemon.ask("POST", "/ring")["occurred_at"]))
                    time.sleep(3 + spacing_s * (number + 1) / tries)
                time.sleep(1)
                starts = sorted(_wall_s(clip["started_at"]) for clip in daemon.json("clips", "list"))
            finally:
                daemon.stop()
        margins_s = [press_s - PRE_ROLL_S - start_s for press_s, start_s in zip(presses, starts, strict=True)]
        rows[f"{spacing_s} s"] = {"least_s": round(min(margins_s), 3), "most_s": round(max(margins_s), 3)}
    return {"tries": tries, "rows": rows}


def _wall_s(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    return [
        f"keyframe every {spacing}: from {row['least_s']:.3f} to {row['most_s']:.3f} before"
        for spacing, row in result["rows"].items()
    ]
