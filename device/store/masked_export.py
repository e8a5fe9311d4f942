"""Copies a clip with the privacy masks burnt in: the video is encoded again, the sound copied."""

import ctypes
import glob
import json
import os
import signal
import subprocess  # egress: local
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from device.media.encoder import configure_copy, fraction_of
from device.media.mask_history import Polygon, digest_of
from device.media.masks import Masks
from device.motion.zones import Points
from device.store.ffmpeg_errors import plain_errors
from device.system.core_dumps import forbid_core_dumps

CRF = 20
"""x264's quality; 20 is hardly distinguishable from the source."""
BEAT_S = 1.0
NICENESS = 19
PR_SET_PDEATHSIG = 1
"""prctl(2)."""


def masked_copy(source: Path, target: Path, masks: Masks) -> None:
    """Write `target` (an MP4 that can be played while it is copied) from `source`, masked in every picture.

    Time stamps stay the same. Raises OSError or ValueError; `target` is incomplete then.
    """
    with plain_errors():
        _copy(source, target, masks)


def _copy(source: Path, target: Path, masks: Masks) -> None:
    with (
        av.open(str(source)) as old,  # egress: local
        av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as new,  # egress: local
    ):
        video = old.streams.video[0]
        encoder: Any = new.add_stream("libx264", rate=video.average_rate or 15)
        width_px, height_px = video.codec_context.width & ~1, video.codec_context.height & ~1
        configure_copy(
            encoder.codec_context,
            width_px=width_px,
            height_px=height_px,
            time_base=fraction_of(video.time_base) or Fraction(1, 90_000),
            rate=fraction_of(video.average_rate) or Fraction(15),
            crf=CRF,
        )
        encoder.time_base = video.time_base
        sounds = {stream.index: new.add_stream_from_template(stream) for stream in old.streams.audio[:1]}
        for packet in old.demux([video, *old.streams.audio[:1]]):
            sound = sounds.get(packet.stream.index)
            if sound is not None:
                if packet.dts is not None:
                    packet.stream = sound
                    new.mux(packet)
                continue
            frames: Any = packet.decode()
            for frame in frames:
                even = frame.reformat(width_px, height_px, "yuv420p")
                new.mux(encoder.encode(masks.covered(even)))
        new.mux(encoder.encode(None))


def masked_copy_apart(
    source: Path, target: Path, polygons: Sequence[Points], beat: Callable[[], None]
) -> None:
    """Do the same in a process of low priority; `beat` is called every second. Raises OSError, ValueError."""
    command = [sys.executable, "-P", "-m", "device.store.masked_export", str(source), str(target)]
    with subprocess.Popen(  # noqa: S603  (this very program)
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        words: str | None = json.dumps(polygons)
        try:
            while True:
                try:
                    _, trouble = process.communicate(words, timeout=BEAT_S)
                    break
                except subprocess.TimeoutExpired:
                    words = None
                    beat()
        finally:
            process.kill()  # nothing happens if it has ended
    if process.returncode:
        raise ValueError(trouble.strip()[-200:] or f"the process ended with status {process.returncode}")


MAX_COPIES = 3
"""Maximum number of masked copies; they stay so that a player can seek."""


class MaskedCopies:
    """A cache of masked copies in a folder that others may use, too; made on the thread that asks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._making = threading.Lock()

    def copy_of(
        self, clip: Path, polygons: Sequence[Polygon], beat: Callable[[], None] | None = None
    ) -> Path:
        """Return a masked copy of a clip, made now if need be. Raises OSError, ValueError.

        With `beat`, which is called every second, nobody waits for it: it is made in a process of low priority.
        """
        copy = self._folder / f"{clip.stem}.{digest_of(polygons)}.mp4"
        with self._making:
            if copy.exists():
                return copy
            self._folder.mkdir(exist_ok=True)
            oldest_first = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
            for old in oldest_first[: max(0, len(oldest_first) - MAX_COPIES + 1)]:
                old.unlink(missing_ok=True)
            growing = copy.with_suffix(f".{threading.get_native_id()}.growing")
            try:
                if beat:
                    masked_copy_apart(clip, growing, polygons, beat)
                else:
                    masked_copy(clip, growing, Masks(polygons))
                growing.rename(copy)
            finally:
                growing.unlink(missing_ok=True)
            return copy


def forget_copies(folder: Path, file_name: str) -> None:
    """Delete the masked copies of a clip that is deleted."""
    for copy in folder.glob(f"{glob.escape(Path(file_name).stem)}.*"):
        with suppress(OSError):
            copy.unlink()


def main() -> int:
    """`python -m device.store.masked_export CLIP TARGET`, with the polygons as JSON on stdin."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # without its daemon it has no business
        os.nice(NICENESS)
    os.umask(0o077)
    forbid_core_dumps()
    try:
        masked_copy(Path(sys.argv[1]), Path(sys.argv[2]), Masks(json.load(sys.stdin)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (whoever started it reads this)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
