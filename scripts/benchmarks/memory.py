"""The memory that recording needs: the ring alone, and the peak of the whole daemon."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.benchmarks import rig
from tests.support.broker import broker
from tests.support.videos import draw_video

PRE_ROLL_S, POST_ROLL_S = 10, 10
FPS, KBPS, DRAWN_S = 30, 8000, 12

# A minute of 1080p15 at 4 Mbit/s into a ring with 10 s of pre-roll, each packet its own bytes, a keyframe
# 8 times as many as another picture.
RING = """
import json
import os
from pathlib import Path

import av

from device.events import Packet, VideoFormat
from device.daemon.wiring import RING_SLACK_US
from device.store.ring import RingBuffer

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

FPS, GOP = 15, 30
part = 4_000_000 // 8 * GOP // FPS // (GOP + 7)
form = VideoFormat(codec="h264", width_px=1920, height_px=1080, epoch=1)
ring = RingBuffer(keep_us=10_000_000 + RING_SLACK_US, limit_bytes=16_000_000)
av.Packet(b"x" * part)
before_bytes, most_bytes = resident_bytes(), 0
for number in range(60 * FPS):
    data = av.Packet(os.urandom(part if number % GOP else 8 * part))
    us = number * 1_000_000 // FPS
    ring.writer().append(Packet(data=data, size_bytes=data.size, pts_us=us, dts_us=us, duration_us=66_667,
                       is_keyframe=number % GOP == 0, format=form))
    most_bytes = max(most_bytes, ring.size_bytes)
print(json.dumps({"held": most_bytes, "resident": resident_bytes() - before_bytes}))
"""


def ring() -> dict[str, float]:
    """Return the most bytes that the ring held, and what the process grew by; MB (10^6 bytes)."""
    done = subprocess.run([sys.executable, "-c", RING], capture_output=True, check=True)
    return {f"{name}_mb": round(count / 1e6, 1) for name, count in json.loads(done.stdout).items()}


def daemon() -> dict[str, float]:
    """Record 1080p30 at 8 Mbit/s, 10 s of pre-roll; return the peak (VmHWM) and a bare Python's, MB."""
    with tempfile.TemporaryDirectory() as directory, broker(Path(directory)) as port:
        folder = Path(directory)
        main = draw_video(
            folder / "main.mp4", width_px=1920, seconds=DRAWN_S, keyframe_s=2, kbps=KBPS, fps=FPS
        )
        clips = {"pre_roll_s": PRE_ROLL_S, "post_roll_s": POST_ROLL_S}
        camera = {"kind": "stream", "stream": {"url": str(main)}}
        doorbell = rig.BenchDoorbell(folder, port, camera, motion={"enabled": False}, clips=clips).live()
        try:
            time.sleep(PRE_ROLL_S + 10)  # a full ring
            doorbell.press()
            time.sleep(POST_ROLL_S + 3)
            peak_mb = rig.rss_mb(doorbell.process.pid, "VmHWM")
            listed = doorbell.json("clips", "list")
        finally:
            doorbell.stop()
        if [clip["duration_s"] >= PRE_ROLL_S + POST_ROLL_S - 1 for clip in listed] != [True]:
            raise SystemExit(f"bench: one whole clip was to be recorded, not {listed}")
    bare = f"{rig.LIBRARIES}\nfrom pathlib import Path\nprint(Path('/proc/self/status').read_text())"
    done = subprocess.run([sys.executable, "-c", bare], capture_output=True, check=True, text=True)
    bare_mb = int(done.stdout.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    return {"peak_mb": round(peak_mb, 1), "bare_mb": round(bare_mb, 1)}
