#!/usr/bin/python3
"""A real RTSP server for the tests: loops an H.264 or H.265 MP4 over rtsp://127.0.0.1:PORT/door.

    rtsp_server.py door.mp4 [--codec h265] [--audio aac] [--port 8554] [--seconds 60] [--sdp-only]

Runs with the system's Python, which has the typelibs (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0,
gstreamer1.0-plugins-good). Prints its address once it listens; ends by itself, so that a test that dies
leaves nothing behind. With `--sdp-only` the parameter sets stand in the SDP and nowhere in the stream,
as with some cameras. With `--audio` the file's sound is served too; `--pictures 40` ends the pictures after
so many, while the sound goes on.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402  (the versions come first)

LEAD_NS = 1_000_000_000  # no decoding time may be below zero
SOUNDS = {
    "aac": ("aacparse ! audio/mpeg,stream-format=raw", "rtpmp4gpay"),
    "opus": ("opusparse", "rtpopuspay"),
    "alaw": ("identity", "rtppcmapay"),
}


class Clip:
    """One track's access units in an MP4: (bytes, decoding time, presentation time) in nanoseconds."""

    def __init__(self, path: Path, track: str, parser: str, payloader: str) -> None:
        self.units: list[tuple[bytes, int, int]] = []
        self.payloader = payloader
        self.caps = None
        pipeline = Gst.parse_launch(
            f"filesrc name=file ! qtdemux name=demux demux.{track} ! queue max-size-bytes=0 max-size-time=0 "
            f"! {parser} ! appsink name=sink sync=false"
        )
        pipeline.get_by_name("file").set_property("location", str(path))
        sink = pipeline.get_by_name("sink")
        pipeline.set_state(Gst.State.PLAYING)
        while (sample := sink.emit("pull-sample")) is not None:
            buffer = sample.get_buffer()
            self.caps = sample.get_caps()
            data = buffer.extract_dup(0, buffer.get_size())
            # Where the file's edit list puts it: the tracks need not begin at the same number.
            played = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
            if played == Gst.CLOCK_TIME_NONE:
                continue  # in front of the beginning
            ahead = 0 if buffer.dts == Gst.CLOCK_TIME_NONE else buffer.pts - buffer.dts
            self.units.append((data, LEAD_NS + played - ahead, LEAD_NS + played))
        pipeline.set_state(Gst.State.NULL)
        if self.caps is None:
            sys.exit(f"{path}: not an MP4 with a track {track} for {parser}")
        self.step_ns = self.units[1][1] - self.units[0][1]
        self.length_ns = self.step_ns * len(self.units)


class LoopFactory(GstRtspServer.RTSPMediaFactory):
    """One pipeline that all clients share; created again when the first of them connects."""

    def __init__(self, video: Clip, sound: Clip | None, pictures: int) -> None:
        super().__init__()
        self.clips = [video]
        self.pictures = pictures
        self.length_ns = video.length_ns
        if sound:
            # What outlasts the pictures would overlap the next turn.
            end_ns = LEAD_NS + self.length_ns
            sound.units = [unit for unit in sound.units if unit[1] + sound.step_ns <= end_ns]
            self.clips.append(sound)
        self.set_shared(True)

    def do_create_element(self, _url: Any) -> Any:
        pipeline = Gst.parse_launch(
            " ".join(
                f"appsrc name=src{number} format=time ! {clip.payloader} name=pay{number} pt={96 + number}"
                for number, clip in enumerate(self.clips)
            )
        )
        for number, clip in enumerate(self.clips):
            source = pipeline.get_by_name(f"src{number}")
            source.set_property("caps", clip.caps)
            source.set_property("max-bytes", 1)  # asks for one unit at a time
            last = self.pictures if number == 0 else sys.maxsize
            source.connect("need-data", self._feed, clip, iter(range(last)))
        return pipeline

    def _feed(self, source: Any, _length: int, clip: Clip, numbers: Any) -> None:
        number = next(numbers, None)
        if number is None:
            return
        turn, index = divmod(number, len(clip.units))
        data, dts, pts = clip.units[index]
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.dts = dts + turn * self.length_ns
        buffer.pts = pts + turn * self.length_ns
        buffer.duration = clip.step_ns
        source.emit("push-buffer", buffer)


def main() -> None:
    """Serve until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--codec", choices=["h264", "h265"], default="h264")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (default)")
    parser.add_argument("--seconds", type=int, default=60, help="end after so long (default 60)")
    parser.add_argument(
        "--audio", choices=sorted(SOUNDS), help="serve the file's sound, which is of this kind"
    )
    parser.add_argument("--pictures", type=int, default=sys.maxsize, help="the pictures end after so many")
    parser.add_argument("--sdp-only", action="store_true", help="no parameter sets in the stream")
    given = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(given.port))
    # Not the payloader's config-interval: that puts them in front of every slice of a keyframe.
    form = {"h264": "avc", "h265": "hvc1"}[given.codec] if given.sdp_only else "byte-stream"
    parser_of_video = (
        f"{given.codec}parse config-interval={0 if given.sdp_only else -1} "
        f"! video/x-{given.codec},stream-format={form},alignment=au"
    )
    video = Clip(given.file, "video_0", parser_of_video, f"rtp{given.codec}pay")
    sound = Clip(given.file, "audio_0", *SOUNDS[given.audio]) if given.audio else None
    factory = LoopFactory(video, sound, given.pictures)
    server.get_mount_points().add_factory("/door", factory)
    if not server.attach(None):
        sys.exit(f"port {given.port} is taken")
    loop = GLib.MainLoop()
    GLib.timeout_add_seconds(given.seconds, loop.quit)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/door", flush=True)  # noqa: T201
    loop.run()


if __name__ == "__main__":
    main()
