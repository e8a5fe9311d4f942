"""Small films to cut: drawn here, in every form that a camera of ours can send."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from device.media.frame_selection import Picture, inside, pictures
from device.release.audit import Promise
from device.release.clip_cutter import Wanted, cut

FPS = 15
US = 1_000_000


def film(
    path: Path,
    *,
    codec: str = "libx264",
    b_frames: int = 0,
    sound: str | None = None,
    seconds: float = 6,
    keyframe_every: int = 15,
    params: str = "",
    shape_px: tuple[int, int] = (320, 180),
    noise: int = 0,
) -> Path:
    """Write a film of which each picture shows its own number, as bits in squares of 20 pixels."""
    with av.open(str(path), "w", format="mp4") as file:
        stream: Any = file.add_stream(codec, rate=FPS)
        (stream.width, stream.height), stream.pix_fmt = shape_px, "yuv420p"
        dice = np.random.default_rng(1)
        stream.gop_size = keyframe_every
        if codec == "libx265":
            stream.codec_context.codec_tag = "hvc1"
            inner = f"log-level=error:bframes={b_frames}:open-gop=0"
            stream.options = {"preset": "ultrafast", "x265-params": inner + params}
        else:
            stream.options = {
                "preset": "ultrafast",
                "sc_threshold": "0",
                "bf": str(b_frames),
                "x264-params": params,
            }
        heard: Any = None
        if sound:
            heard = file.add_stream(sound, rate=48_000)
            heard.layout = "mono"
        done = 0
        for number in range(int(seconds * FPS)):
            shown = np.resize(drawn(number), shape_px[::-1]) if shape_px != (320, 180) else drawn(number)
            if noise:
                shown = (shown + dice.integers(-noise, noise + 1, shown.shape)).clip(0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="gray")))
            if heard:
                count = (number + 1) * 48_000 // FPS - done
                wave = (np.sin(np.arange(done, done + count) * 0.05) * 9000).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 48_000, done, Fraction(1, 48_000)
                file.mux(heard.encode(frame))
                done += count
        file.mux(stream.encode())
        if heard:
            file.mux(heard.encode())
    return path


def drawn(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    picture = np.full((180, 320), 90, np.uint8)
    for bit in range(10):
        picture[20:60, 20 + 28 * bit : 40 + 28 * bit] = 230 if number >> bit & 1 else 20
    return picture


def numbers(path: Path) -> list[int]:
    """Decode a film, any damage an error; return the numbers of its pictures in the order they are shown."""
    found: list[int] = []
    with av.open(str(path), options={"err_detect": "explode"}) as file:
        for frame in file.decode(video=0):
            grey = frame.to_ndarray(format="gray")
            found.append(
                sum(bool(grey[30:50, 24 + 28 * bit : 36 + 28 * bit].mean() > 125) << bit for bit in range(10))
            )
    return found


def coded(path: Path) -> list[Picture]:
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        found = [(p.pts, p.duration or 0, p.is_keyframe) for p in file.demux(video) if p.pts is not None]
        return pictures(found, video.time_base)


def wanted(path: Path, start_us: int, end_us: int, **more: Any) -> Wanted:
    """Return what an offer of a span would ask for."""
    found = coded(path)
    chosen = [found[index] for index in inside(found, start_us, end_us)]
    return Wanted(
        first_us=min(picture.from_us for picture in chosen),
        last_us=max(picture.until_us for picture in chosen),
        frames=len(chosen),
        **more,
    )


def promise(of: Wanted, media_sha256: str | None = None) -> Promise:
    return Promise(
        frames=of.frames, length_us=of.last_us - of.first_us, sound=of.audio, media_sha256=media_sha256
    )


def nothing(_part: float) -> None: ...


def made(folder: Path, source: Path, of: Wanted) -> Path:
    target = folder / f"{source.stem}-cut.mp4"
    target.unlink(missing_ok=True)
    cut(source, target, of, nothing)
    return target
