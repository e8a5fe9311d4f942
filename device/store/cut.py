"""What of a clip lies in a span (packets are counted), and pictures of it (decoded to be looked at)."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from device.consent.offer import Cut
from device.policy.jpeg import masked_jpeg
from device.policy.masks import Masks
from device.store.index import ClipRow
from device.store.plain_errors import plain_errors

QUALITY = 80
_AV_US = 1_000_000


def cut_of(folder: Path, row: ClipRow, start_us: int, end_us: int) -> Cut | None:
    """Return the inward cut of a clip: the first keyframe at or after the start to the last picture that is
    over by the end; None if no whole picture lies between. Unix microseconds. Raises OSError, ValueError.
    """
    first_us = last_us = 0
    frames = 0
    for pts_us, until_us, is_keyframe in _pictures(folder / row.file_name):
        if row.started_wall_us + pts_us < start_us or row.started_wall_us + until_us > end_us:
            continue
        if not frames:
            if not is_keyframe:
                continue
            first_us = pts_us
        frames += 1
        last_us = until_us
    if not frames:
        return None
    return Cut(
        clip_id=row.clip_id,
        sha256=row.sha256,
        clock=row.clock,
        start_us=row.started_wall_us + first_us,
        end_us=row.started_wall_us + last_us,
        first_us=first_us,
        last_us=last_us,
        frames=frames,
    )


def picture_at(path: Path, at_us: int, masks: Masks) -> bytes:
    """Return JPEG of the picture shown at a time in a clip's file, masked. Raises OSError, ValueError."""
    with plain_errors(), av.open(str(path)) as file:
        video: Any = file.streams.video[0]
        video.codec_context.thread_count = 1
        begin_us = int((video.start_time or 0) * (video.time_base or 0) * _AV_US)
        file.seek(max(0, begin_us + at_us), backward=True)
        shown: Any = None
        for frame in file.decode(video):
            late = frame.pts is not None and frame.pts * frame.time_base * _AV_US - begin_us > at_us
            if shown is not None and late:
                break
            shown = frame
    if shown is None:
        raise ValueError(f"{path.name}: no picture can be decoded")
    return masked_jpeg(shown, masks, QUALITY)


def _pictures(path: Path) -> Iterator[tuple[int, int, bool]]:
    """Yield start and end in the file, microseconds from its first picture, and whether it is a keyframe; in
    the order in which they are shown.
    """
    with plain_errors(), av.open(str(path)) as file:
        video = file.streams.video[0]
        tick = (video.time_base or Fraction(1)) * _AV_US
        found = sorted(
            (int(packet.pts * tick), int((packet.duration or 0) * tick), packet.is_keyframe)
            for packet in file.demux(video)
            if packet.pts is not None
        )
    for place, (pts_us, duration_us, is_keyframe) in enumerate(found):
        until_us = found[place + 1][0] if place + 1 < len(found) else pts_us + duration_us
        yield pts_us - found[0][0], until_us - found[0][0], is_keyframe
