"""Exec → the button is live, and the camera's first picture → a clip that grows."""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks import rig
from server.dev_processes import free_port
from tests.support.videos import draw_video

TRIES = 20
TITLE = "start: exec → button live (bare: a Python that only imports the libraries); ms"


def measure(tries: int) -> dict[str, Any]:
    """Start the daemon again and again, each time in a new place, and press as soon as the button is live."""
    found: dict[str, list[int]] = {"doorbelld": [], "bare": []}
    clip_lags_us: list[int] = []
    with tempfile.TemporaryDirectory() as directory:
        video = draw_video(Path(directory) / "main.mp4", width_px=1280, seconds=10, keyframe_s=2, kbps=2000)
        for number in range(tries):
            began_us = _now_us()
            subprocess.run([sys.executable, "-c", rig.LIBRARIES], check=True)
            found["bare"].append(_now_us() - began_us)
            folder = Path(directory) / str(number)
            folder.mkdir()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
                ear.bind(str(folder / "notify"))
                ear.settimeout(30)
                os.environ["NOTIFY_SOCKET"] = str(folder / "notify")
                camera = {"kind": "stream", "stream": {"url": str(video)}}
                began_us = _now_us()
                daemon = rig.BenchDoorbell(folder, free_port(), camera)
                while b"READY=1" not in ear.recv(4096):
                    pass
                found["doorbelld"].append(_now_us() - began_us)
                del os.environ["NOTIFY_SOCKET"]
                pressed_us: list[int] = []
                press = threading.Thread(target=_press, args=(daemon, pressed_us))
                press.start()
                clip_us, live_us = _first_clip_us(daemon)
                press.join()
                clip_lags_us.append(clip_us - max(live_us, *pressed_us))
                daemon.stop()
    return {
        **rig.compared(found, tries),
        "first_clip": {
            "median_ms": statistics.median(clip_lags_us) / 1000,
            "worst_ms": max(clip_lags_us) / 1000,
        },
    }


def _press(daemon: rig.BenchDoorbell, pressed_us: list[int]) -> None:
    """Press by the command socket, which is answered once the page's thread is there."""
    pressed_us.append(daemon.press())


def _first_clip_us(daemon: rig.BenchDoorbell) -> tuple[int, int]:
    """Return when the first bytes of a clip were on disk, and when the camera's first picture came."""
    live_us = 0
    for _ in range(4000):
        if not live_us and b"camera state=live" in daemon.log_path.read_bytes():
            live_us = _now_us()
        if live_us and any(
            part.stat().st_size for part in (daemon.state / "state" / "clips").glob("**/*.part")
        ):
            return _now_us(), live_us
        time.sleep(0.005)
    raise SystemExit(f"bench: no clip; the daemon's log:\n{daemon.log_path.read_text()}")


def _now_us() -> int:
    return time.monotonic_ns() // 1000


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    clip = result["first_clip"]
    lag = f"median {clip['median_ms']:.0f}, worst {clip['worst_ms']:.0f}"
    return [
        *rig.latency_table(result),
        f"camera's first picture, or the press → first bytes of a clip: {lag}",
    ]
