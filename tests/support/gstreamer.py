"""GStreamer as an RTSP client, with the system's Python, which has its typelibs."""

import subprocess

from server.dev_processes import PATIENCE_S

PYTHON = "/usr/bin/python3"
PROGRAM = """
import sys
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
url, count = sys.argv[1], int(sys.argv[2])
pipeline = Gst.parse_launch(
    f"rtspsrc location={url} protocols=tcp latency=0 ! rtph264depay ! video/x-h264,alignment=au ! appsink name=sink"
)
pipeline.set_state(Gst.State.PLAYING)
found = 0
while found < count and pipeline.get_by_name("sink").emit("try-pull-sample", 10 * Gst.SECOND):
    found += 1
pipeline.set_state(Gst.State.NULL)
print(found)
"""


def frames_of(url: str, count: int) -> int:
    """Return how many of `count` pictures GStreamer receives from a stream."""
    command = [PYTHON, "-c", PROGRAM, url, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return int(done.stdout)
