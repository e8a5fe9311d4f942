"""Where a time span cuts a clip (counted in packets, not decoded), and single pictures of a clip."""

from pathlib import Path
from typing import Any

import av

from device.consent.offer import Cut
from device.media.frame_selection import Picture, inside, pictures
from device.media.jpeg import masked_jpeg
from device.media.masks import Masks
from device.media.mosaic import Blur
from device.store.ffmpeg_errors import plain_errors
from device.store.index import ClipRow

QUALITY = 80
_AV_US = 1_000_000


def cut_of(folder: Path, row: ClipRow, start_us: int, end_us: int) -> Cut | None:
    """Return the inward cut of a clip: the first picture at or after the start to the last picture that is over
    by the end; None if there is no whole picture between. Unix microseconds. Raises OSError, ValueError.
    """
    coded = _pictures(folder / row.file_name)
    zero_us = row.started_wall_us
    chosen = [coded[index] for index in inside(coded, start_us - zero_us, end_us - zero_us)]
    if not chosen:
        return None
    first_us = min(picture.from_us for picture in chosen)
    last_us = max(picture.until_us for picture in chosen)
    return Cut(
        clip_id=row.clip_id,
        sha256=row.sha256,
        clock=row.clock,
        start_us=row.started_wall_us + first_us,
        end_us=row.started_wall_us + last_us,
        first_us=first_us,
        last_us=last_us,
        frames=len(chosen),
    )


def picture_at(path: Path, at_us: int, masks: Masks, blur: Blur | None = None) -> bytes:
    """Return JPEG of the picture shown at a time in a clip's file, blurred and masked.

    Raises OSError, ValueError.
    """
    with plain_errors(), av.open(str(path)) as file:  # egress: local
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
    return masked_jpeg(shown, masks, QUALITY, blur)


def _pictures(path: Path) -> list[Picture]:
    with plain_errors(), av.open(str(path)) as file:  # egress: local
        video = file.streams.video[0]
        coded = [
            (packet.pts, packet.duration or 0, packet.is_keyframe)
            for packet in file.demux(video)
            if packet.pts is not None
        ]
        return pictures(coded, video.time_base)
