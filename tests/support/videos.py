"""Videos for tests and benchmarks: a walking bar, flashes with beeps, the drawn porch."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from device.camera.simulated.porch import Porch


def make_video(
    path: Path, *, seconds: float, keyframe_every: int = 15, fps: int = 15, codec: str = "libx264"
) -> Path:
    """Write a bar that walks, as H.264 with B-frames or with another encoder of FFmpeg's."""
    # The index in front, so that it can be played over HTTP.
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as file:
        stream: Any = file.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
        elif codec == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=error:bframes=0"}
        else:
            stream.options = {"preset": "ultrafast", "sc_threshold": "0", "bf": "2"}
        stream.gop_size = keyframe_every
        for number in range(int(seconds * fps)):
            picture = np.full((180, 320, 3), 60, np.uint8)
            x = number * 4 % 280
            picture[40:140, x : x + 40] = 200
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path


def make_flashing(
    path: Path, *, sound: str, rate_hz: int = 48_000, seconds: float = 4, codec: str = "libx264"
) -> Path:
    """Write a dark picture that flashes once a second for a picture's time, and beeps as long as it does."""
    fps = 15
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = fps
        if codec == "libx264":
            # Matroska carries no decoding times, so no B-frames there; elsewhere they are the harder case.
            frames = "0" if path.suffix == ".mkv" else "2"
            stream.options = {"preset": "ultrafast", "sc_threshold": "0", "bf": frames}
        elif codec == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=error:bframes=0"}
        heard: Any = file.add_stream(sound, rate=rate_hz)
        heard.layout = "mono"
        file.metadata["title"] = heard.metadata["title"] = "Anna's door"  # what no clip may tell
        heard.metadata["language"] = "deu"
        done = 0
        for number in range(int(seconds * fps)):
            flash = number % fps == fps // 2
            picture = np.full((180, 320, 3), 250 if flash else 30, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            count = (number + 1) * rate_hz // fps - done
            wave = np.sin(np.arange(done, done + count) * (880 * np.pi / rate_hz)) * (20_000 if flash else 50)
            frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, done, Fraction(1, rate_hz)
            file.mux(heard.encode(frame))
            done += count
        file.mux(stream.encode())
        file.mux(heard.encode())
    return path


def frames_of(path: str) -> int:
    """Decode a whole clip; return how many pictures it has."""
    with av.open(path) as file:
        return sum(1 for _ in file.decode(file.streams.video[0]))


def flashes_and_beeps(path: Path | str) -> tuple[list[float], list[float]]:
    """Decode a whole clip, any damage an error; return when a flash and when a beep begins, in seconds."""
    strict = {"err_detect": "explode"}
    with av.open(str(path), options=strict) as file:
        frames = [(f.time, f.to_ndarray(format="gray").mean() > 128) for f in file.decode(video=0)]
    flashes = [time for time, bright in frames if bright and time is not None]
    beeps: list[float] = []
    loud_s = -1.0
    with av.open(str(path), options=strict) as file:
        for frame in file.decode(audio=0):
            heard = frame.to_ndarray()[0]
            full_scale = np.iinfo(heard.dtype).max if heard.dtype.kind == "i" else 1
            loud = np.flatnonzero(np.abs(heard.astype(np.float64)) > 0.2 * full_scale)
            for at in loud[:1]:
                begin_s = (frame.time or 0.0) + int(at) / frame.sample_rate
                if begin_s - loud_s > 0.3:
                    beeps.append(begin_s)
            if len(loud):
                loud_s = (frame.time or 0.0) + int(loud[-1]) / frame.sample_rate
    return flashes, beeps


def draw_video(
    path: Path, *, width_px: int, seconds: int, keyframe_s: float, kbps: int, fps: int = 15
) -> Path:
    """Draw the porch by day with a visitor, 16:9, as an H.264 file with a keyframe every `keyframe_s`."""
    height_px = width_px * 9 // 16
    porch = Porch(
        width_px=width_px, height_px=height_px, light="day", visit_every_s=max(16, seconds), first_visit_s=4
    )
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.bit_rate = kbps * 1000
        stream.gop_size = round(fps * keyframe_s)
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "scenecut=0"}
        for number in range(seconds * fps):
            frame = av.VideoFrame.from_ndarray(porch.draw(number / fps), format="bgr24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
