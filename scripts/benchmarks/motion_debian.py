"""Motion, the program that Debian calls `motion`, on the same clips: a real process that plays each file.

It plays in real time, so several run at once. Only its messages on standard error are used: start of
playback, start and end of an event, and end of the file. It opens no port.
"""

import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from scripts.benchmarks.motion_clips import Clip
from scripts.benchmarks.motion_rules import Span, joined

NAME = "Motion"
AT_ONCE = 12
GAP_S = 1
"""`event_gap`: seconds from the last movement to an event's end; the minimum that it accepts."""
PATIENCE_S = 25
BEGINS, STARTS, ENDS, OVER = " connected", "Motion detected - starting event", "End of event", "End of file"
WIDTH_PX, HEIGHT_PX = 640, 360


def installed() -> bool:
    """Return whether there is a `motion` to run."""
    return shutil.which("motion") is not None


def run(clips: list[Clip]) -> dict[str, list[Span]]:
    """Return what Motion tells of each clip, with its defaults, but for what keeps it quiet."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip((clip.name for clip in clips), pool.map(_play, clips), strict=True))


def _play(clip: Clip) -> list[Span]:
    with tempfile.TemporaryDirectory() as directory:
        config = _config(clip, Path(directory))
        # It would play the file again and again; timeout(1) ends it even if nobody is left to.
        patience_s = str(round(clip.truth.seconds + PATIENCE_S))
        command = ["timeout", "-k", "5", patience_s, "motion", "-n", "-c", str(config)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            return _told(process, clip)
        finally:
            process.terminate()
            process.wait(10)


def _told(process: subprocess.Popen[str], clip: Clip) -> list[Span]:
    began_s, started_s, spans = 0.0, None, list[Span]()
    assert process.stderr is not None  # noqa: S101  (it is a pipe)
    for line in process.stderr:
        now_s = time.monotonic()
        if BEGINS in line:
            began_s = now_s
        elif STARTS in line:
            started_s = now_s - began_s
        elif ENDS in line and started_s is not None:
            spans.append((started_s, max(started_s + 0.1, now_s - began_s - GAP_S)))
            started_s = None
        elif OVER in line:
            if started_s is not None:
                spans.append((started_s, clip.truth.seconds))
            return joined(spans)
    raise SystemExit(f"bench: {NAME} ended before {clip.name} did, with status {process.wait()}")


def _config(clip: Clip, folder: Path) -> Path:
    lines = [
        "daemon off",
        "log_level 7",
        f"target_dir {folder}",
        f"netcam_url file://{clip.path.resolve()}",
        f"width {WIDTH_PX}",
        f"height {HEIGHT_PX}",
        "framerate 15",
        f"event_gap {GAP_S}",
        "movie_output off",
        "picture_output off",
        "webcontrol_port 0",
        "stream_port 0",
    ]
    zone = clip.mask(WIDTH_PX, HEIGHT_PX)
    if zone is not None:
        mask = folder / "zone.pgm"
        cv2.imwrite(str(mask), np.where(zone, 255, 0).astype(np.uint8))
        lines.append(f"mask_file {mask}")
    config = folder / "motion.conf"
    config.write_text("\n".join(lines) + "\n")
    return config
