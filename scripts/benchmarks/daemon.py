"""The whole daemon on a 1080p15 H.264 file with a 360p substream, beside the minimal program for the same work."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks import rig
from tests.support.broker import broker
from tests.support.videos import draw_video

TRIES = 3
TITLE = "daemon: processor seconds per minute of 1080p15 with a 360p15 substream"
WINDOW_S = 60
WARM_UP_S = 15

# Reads both files in real time, as a camera would send them, and decodes the small one; nothing else.
FLOOR = """
import sys, threading, time
import av

def look(path, decode):
    zero_s = time.monotonic()
    turn_s = 0.0
    while True:
        with av.open(path) as file:
            video = file.streams.video[0]
            video.codec_context.thread_count = 1
            for packet in file.demux(video):
                if packet.dts is None:
                    continue
                due_s = zero_s + turn_s + float(packet.dts * packet.time_base)
                time.sleep(max(0.0, due_s - time.monotonic()))
                if decode:
                    video.codec_context.decode(packet)
            turn_s += float(video.duration * video.time_base)

threading.Thread(target=look, args=(sys.argv[2], True), daemon=True).start()
look(sys.argv[1], False)
"""


def measure(tries: int) -> dict[str, Any]:
    """Let both run side by side for `tries` minutes; a visitor comes every 30 s and is recorded."""
    minutes: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as directory, broker(Path(directory)) as port:
        folder = Path(directory)
        main = draw_video(folder / "main.mp4", width_px=1920, seconds=30, keyframe_s=2, kbps=4000)
        sub = draw_video(folder / "sub.mp4", width_px=640, seconds=30, keyframe_s=2, kbps=500)
        floor = subprocess.Popen([sys.executable, "-c", FLOOR, main, sub])
        stream = {"url": str(main), "substream_url": str(sub)}
        daemon = rig.BenchDoorbell(folder, port, {"kind": "stream", "stream": stream}).live()
        try:
            time.sleep(WARM_UP_S)
            for _ in range(tries):
                before = rig.cpu_s(daemon.process.pid), rig.cpu_s(floor.pid)
                time.sleep(WINDOW_S)
                after = rig.cpu_s(daemon.process.pid), rig.cpu_s(floor.pid)
                minutes.append((after[0] - before[0], after[1] - before[1]))
            threads = _by_thread(daemon.process.pid)
            memory = rig.rss_mb(daemon.process.pid), rig.rss_mb(floor.pid)
            clips = len(daemon.json("clips", "list"))
            drops = daemon.json("status")["camera_drops"]
        finally:
            floor.kill()
            floor.wait(10)
            daemon.stop()
    return {
        "tries": tries,
        "doorbelld": {"cpu_s": statistics.median(m[0] for m in minutes), "rss_mb": round(memory[0], 1)},
        "bare": {"cpu_s": statistics.median(m[1] for m in minutes), "rss_mb": round(memory[1], 1)},
        "ratio": {"cpu_s": round(statistics.median(m[0] / m[1] for m in minutes), 2)},
        "minutes": [{"doorbelld": round(m[0], 2), "bare": round(m[1], 2)} for m in minutes],
        "share_by_thread": threads,
        "clips": clips,
        "luma_drops": drops,
    }


def _by_thread(pid: int) -> dict[str, float]:
    """Return the share of each thread in the processor time since the start, the largest first."""
    spent_ns: dict[str, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        spent_ns[name] = spent_ns.get(name, 0) + int((task / "schedstat").read_text().split()[0])
    whole_ns = sum(spent_ns.values())
    shares = {name: round(ns / whole_ns, 3) for name, ns in spent_ns.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    return [
        *(
            f"{who:<10} {result[who]['cpu_s']:>6.2f} s a minute   resident {result[who]['rss_mb']:>6.1f} MB"
            for who in ("bare", "doorbelld")
        ),
        f"ratio      {result['ratio']['cpu_s']:>6.2f}",
        "shares     " + ", ".join(f"{name} {share:.0%}" for name, share in result["share_by_thread"].items()),
        f"{result['clips']} clips kept, {result['luma_drops']} small pictures dropped",
    ]
