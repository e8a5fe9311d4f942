#!/usr/bin/python3
"""A real RTSP server for the tests: loops an H.264 or H.265 MP4 over rtsp://127.0.0.1:PORT/door.

    rtsp_server.py door.mp4 [--codec h265] [--port 8554] [--seconds 60] [--sdp-only]

Runs with the system's Python, which has the typelibs (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good). Prints its address once it listens; ends by itself, so that a test that dies
leaves nothing behind. With `--sdp-only` the parameter sets stand in the SDP and nowhere in the stream,
as with some cameras.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  (the versions come first)


class Clip:
    """The access units of one MP4, as (bytes, decoding time, presentation time) in nanoseconds."""

    def __init__(self, path: Path, codec: str, *, sdp_only: bool) -> None:
        self.units: list[tuple[bytes, int, int]] = []
        self.codec = codec
        self.caps = None
        # Not the payloader's config-interval: that puts them in front of every slice of a keyframe.
        form = {"h264": "avc", "h265": "hvc1"}[codec] if sdp_only else "byte-stream"
        pipeline = Gst.parse_launch(
            f"filesrc name=file ! qtdemux ! {codec}parse config-interval={0 if sdp_only else -1} "
            f"! video/x-{codec},stream-format={form},alignment=au ! appsink name=sink sync=false"
        )
        pipeline.get_by_name("file").set_property("location", str(path))
        sink = pipeline.get_by_name("sink")
        pipeline.set_state(Gst.State.PLAYING)
        while (sample := sink.emit("pull-sample")) is not None:
            buffer = sample.get_buffer()
            self.caps = sample.get_caps()
            data = buffer.extract_dup(0, buffer.get_size())
            self.units.append((data, buffer.dts, buffer.pts))
        pipeline.set_state(Gst.State.NULL)
        if self.caps is None:
            sys.exit(f"{path}: not an MP4 with one {codec} stream")
        self.step_ns = self.units[1][1] - self.units[0][1]
        self.length_ns = self.step_ns * len(self.units)


class LoopFactory(GstRtspServer.RTSPMediaFactory):
    """One pipeline that all clients share; made anew when the first of them comes."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip
        self.set_shared(True)

    def do_create_element(self, _url: Any) -> Any:
        pipeline = Gst.parse_launch(f"appsrc name=src format=time ! rtp{self.clip.codec}pay name=pay0 pt=96")
        source = pipeline.get_by_name("src")
        source.set_property("caps", self.clip.caps)
        source.set_property("max-bytes", 1)  # asks for one unit at a time
        source.connect("need-data", self._feed, iter(range(sys.maxsize)))
        return pipeline

    def _feed(self, source: Any, _length: int, numbers: Any) -> None:
        turn, place = divmod(next(numbers), len(self.clip.units))
        data, dts, pts = self.clip.units[place]
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.dts = dts + turn * self.clip.length_ns
        buffer.pts = pts + turn * self.clip.length_ns
        buffer.duration = self.clip.step_ns
        source.emit("push-buffer", buffer)


def main() -> None:
    """Serve until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--codec", choices=["h264", "h265"], default="h264")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (default)")
    parser.add_argument("--seconds", type=int, default=60, help="end after so long (default 60)")
    parser.add_argument("--sdp-only", action="store_true", help="no parameter sets in the stream")
    given = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(given.port))
    factory = LoopFactory(Clip(given.file, given.codec, sdp_only=given.sdp_only))
    server.get_mount_points().add_factory("/door", factory)
    if not server.attach(None):
        sys.exit(f"port {given.port} is taken")
    loop = GLib.MainLoop()
    GLib.timeout_add_seconds(given.seconds, loop.quit)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/door", flush=True)  # noqa: T201
    loop.run()


if __name__ == "__main__":
    main()
