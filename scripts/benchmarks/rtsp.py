"""RTSP: first picture, delay beside the direct camera, and the process's memory, beside gst-rtsp-server."""

import hashlib
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import av

from scripts.benchmarks import rig
from server.dev_processes import Process, free_port, wait_for
from tests.support.rtsp_doorbell import rtsp_doorbell
from tests.support.videos import draw_video

TRIES = 10
TITLE = "rtsp: 1080p15 at 4 Mbit/s, a keyframe every 2 s, over TCP on loopback"
SERVER = Path(__file__).parents[2] / "tests/support/rtsp_server.py"
WATCH_S = 12.0
BARE = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer(service=sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory(shared=True)
factory.set_launch(f"( rtspsrc location={sys.argv[2]} protocols=tcp latency=0 ! rtph264depay ! rtph264pay name=pay0 )")
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
GLib.MainLoop().run()
"""
"""The least that gst-rtsp-server can be here: it repacks the camera's packets, with no authentication and no masks."""


def measure(tries: int) -> dict[str, Any]:
    """Read the camera directly, through doorbelld, and through gst-rtsp-server."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        video = draw_video(folder / "v.mp4", width_px=1920, seconds=16, keyframe_s=2, kbps=4000)
        camera_port, bare_port = free_port(), free_port()
        camera = f"rtsp://127.0.0.1:{camera_port}/door"
        command = [
            "/usr/bin/python3",
            str(SERVER),
            str(video),
            "--port",
            str(camera_port),
            "--seconds",
            "900",
        ]
        served = Process(command, log=folder / "camera.log")
        wait_for("the camera", lambda: "rtsp://" in (folder / "camera.log").read_text())
        door = rtsp_doorbell(folder / "d", {"kind": "stream", "stream": {"url": camera}})
        bare = subprocess.Popen(["/usr/bin/python3", "-c", BARE, str(bare_port), camera])
        door.start()
        try:
            ours = door.url(door.token())
            theirs = f"rtsp://127.0.0.1:{bare_port}/live"
            _open(ours).close()
            rows = {
                "doorbelld": _figures(ours, camera, tries, door.rtsp_process()),
                "gst-rtsp-server": _figures(theirs, camera, tries, bare.pid),
                "direct": {"first_ms": _first_ms(camera, tries)},
            }
        finally:
            bare.kill()
            door.stop()
            served.end()
    return {"tries": tries, "rows": rows}


def _figures(url: str, camera: str, tries: int, pid: int) -> dict[str, Any]:
    first_ms = _first_ms(url, tries)
    streams = [_open(url) for _ in range(4)]
    for stream in streams:
        next(stream.decode(video=0))
    memory = {
        f"{name}_mb": rig.rss_mb(pid, field)
        for name, field in (("rss", "VmRSS"), ("own", "RssAnon"), ("peak", "VmHWM"))
    }
    for stream in streams:
        stream.close()
    return {"first_ms": first_ms, "delay_ms": _delay_ms(url, camera), **memory}


def _open(url: str) -> Any:
    def tried() -> Any:
        with suppress(av.error.FFmpegError, OSError):
            return av.open(url, options={"rtsp_transport": "tcp"}, timeout=20)
        return None

    return wait_for("the stream", tried)


def _first_ms(url: str, tries: int) -> float:
    """Return the median time from the connection to the first decoded picture."""
    took_ms = []
    for _ in range(tries):
        began_s = time.monotonic()
        with av.open(url, options={"rtsp_transport": "tcp", "probesize": "500000"}, timeout=20) as stream:
            next(islice(stream.decode(video=0), 1))
            took_ms.append((time.monotonic() - began_s) * 1000)
    return round(median(took_ms), 1)


def _delay_ms(url: str, camera: str) -> dict[str, float]:
    """Return how much later the same packet comes through a server than from the camera itself."""
    came: list[dict[bytes, float]] = [{}, {}]

    def read(address: str, found: dict[bytes, float]) -> None:
        with av.open(address, options={"rtsp_transport": "tcp"}, timeout=20) as stream:
            end_s = time.monotonic() + WATCH_S
            for packet in stream.demux(video=0):
                # The last bytes of a unit are the picture's own; what comes before it may be packed otherwise.
                key = hashlib.sha256(bytes(packet)[-200:]).digest()
                found[key] = time.monotonic()
                if time.monotonic() > end_s:
                    return

    threads = [threading.Thread(target=read, args=pair) for pair in ((camera, came[0]), (url, came[1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late_ms = sorted((came[1][key] - came[0][key]) * 1000 for key in came[1] if key in came[0])
    late_ms = late_ms[len(late_ms) // 10 :]  # the first ones came from before the reader
    if not late_ms:
        sys.exit("no packet came both ways")
    return {"p50": round(median(late_ms), 1), "p95": round(late_ms[int(len(late_ms) * 0.95)], 1)}


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    lines = []
    for who, row in result["rows"].items():
        text = f"{who:<16} first picture {row['first_ms']:>7} ms"
        if "rss_mb" in row:
            delay = row["delay_ms"]
            text += f"   delay p50 {delay['p50']} p95 {delay['p95']} ms"
            text += f"   four clients: resident {row['rss_mb']:.1f} MB, its own {row['own_mb']:.1f} MB"
        lines.append(text)
    return lines
