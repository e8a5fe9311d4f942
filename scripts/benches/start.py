"""Exec → the button is live, and the camera's first picture → a clip that grows."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benches import rig

TRIES = 20
TITLE = "start: exec → button live (bare: a Python that only imports the libraries); ms"


def measure(tries: int) -> dict[str, Any]:
    """Start the daemon again and again, each time in a new place, and press as soon as the button is live."""
    found: dict[str, list[int]] = {"doorbelld": [], "bare": []}
    clip_lags_us: list[int] = []
    with tempfile.TemporaryDirectory() as place:
        video = rig.draw_video(Path(place) / "main.mp4", width_px=1280, seconds=10, keyframe_s=2, kbps=2000)
        for number in range(tries):
            began_us = _now_us()
            subprocess.run([sys.executable, "-c", rig.LIBRARIES], check=True)
            found["bare"].append(_now_us() - began_us)
            folder = Path(place) / str(number)
            folder.mkdir()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
                ear.bind(str(folder / "notify"))
                ear.settimeout(30)
                os.environ["NOTIFY_SOCKET"] = str(folder / "notify")
                camera = {"kind": "stream", "stream": {"url": str(video)}}
                began_us = _now_us()
                daemon = rig.Daemon(folder, rig.free_port(), camera)
                while b"READY=1" not in ear.recv(4096):
                    pass
                found["doorbelld"].append(_now_us() - began_us)
                del os.environ["NOTIFY_SOCKET"]
                daemon.press()
                clip_lags_us.append(_clip_lag_us(daemon))
                daemon.stop()
    return {
        **rig.compared(found, tries),
        "first_clip": {
            "median_ms": statistics.median(clip_lags_us) / 1000,
            "worst_ms": max(clip_lags_us) / 1000,
        },
    }


def _clip_lag_us(daemon: rig.Daemon) -> int:
    """Return the time from the camera's first picture to the first bytes of a clip on disk."""
    live_us = 0
    for _ in range(4000):
        if not live_us and b"camera state=live" in daemon.log.read_bytes():
            live_us = _now_us()
        if live_us and any(
            part.stat().st_size for part in (daemon.state / "state" / "clips").glob("**/*.part")
        ):
            return _now_us() - live_us
        time.sleep(0.005)
    raise SystemExit(f"bench: no clip; the daemon's log:\n{daemon.log.read_text()}")


def _now_us() -> int:
    return time.monotonic_ns() // 1000


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    clip = result["first_clip"]
    lag = f"median {clip['median_ms']:.0f}, worst {clip['worst_ms']:.0f}"
    return [*rig.latency_table(result), f"camera's first picture → first bytes of a clip: {lag}"]
