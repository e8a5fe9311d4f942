"""Copies a clip with the privacy masks burnt in: the video is encoded again, the sound copied."""

import glob
import hashlib
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from device.media.encoder import configure_copy, fraction_of
from device.media.masks import Masks
from device.motion.zones import Points
from device.store.ffmpeg_errors import plain_errors

CRF = 20
"""x264's quality; 20 is hardly distinguishable from the source."""


def masked_copy(source: Path, target: Path, masks: Masks) -> None:
    """Write `target` (an MP4 that can be played while it is copied) from `source`, masked in every picture.

    Time stamps stay the same. Raises OSError or ValueError; `target` is incomplete then.
    """
    with plain_errors():
        _copy(source, target, masks)


def _copy(source: Path, target: Path, masks: Masks) -> None:
    with (
        av.open(str(source)) as old,
        av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as new,
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


MAX_COPIES = 3
"""Maximum number of masked copies; they stay so that a player can seek."""


class MaskedCopies:
    """A cache of masked copies for the page, made on the thread that asks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._making = threading.Lock()

    def copy_of(self, clip: Path, polygons: Sequence[Points]) -> Path:
        """Return a masked copy of a clip, made now if need be. Raises OSError, ValueError."""
        digest = hashlib.sha256(json.dumps(polygons).encode()).hexdigest()[:12]
        copy = self._folder / f"{clip.stem}.{digest}.mp4"
        with self._making:
            if copy.exists():
                return copy
            self._folder.mkdir(exist_ok=True)
            oldest_first = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
            for old in oldest_first[: max(0, len(oldest_first) - MAX_COPIES + 1)]:
                old.unlink()
            growing = copy.with_suffix(".growing")
            try:
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
