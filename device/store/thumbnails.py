"""Masked thumbnails of clips for the page, made by the storage worker when it is idle.

They are a cache: not synced, counted to their clip's space on disk, and deleted with it. One that is missing, was
truncated by a power cut or has other masks than the clip has by now is made again on request.
"""

import logging
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from device.media.jpeg import jpeg_of
from device.media.mask_history import digest_of
from device.media.masks import Masks, all_masks
from device.store.files import labelled_jpeg
from device.store.index import ClipRow, Index
from device.store.layout import Layout
from device.store.mask_record import masks_in

log = logging.getLogger(__name__)

WIDTH_PX = 320
QUALITY = 70
MAX_WISHES = 300
POSITIONS = (0.0, 0.3, 0.5, 0.7)
"""The positions in a clip (0 to 1) where a keyframe is decoded: each costs some ten milliseconds."""
LOOKED_AT_US = 40_000_000
"""How far into a long clip to look: the visitor is there by then."""


def picture_of(clip: Path, masks: Masks) -> bytes:
    """Return a masked JPEG of the keyframe that differs most from the first, since a visitor is on it.

    Raises OSError, ValueError or av.error.FFmpegError if nothing can be decoded.
    """
    best: tuple[float, NDArray[Any]] | None = None
    first: NDArray[np.float32] | None = None
    with av.open(str(clip)) as file:  # egress: local
        video = file.streams.video[0]
        video.codec_context.skip_frame = "NONKEY"
        video.codec_context.thread_count = 1
        video.codec_context.options = {"skip_loop_filter": "all"}  # invisible at this size
        seen_pts: set[int | None] = set()
        for position in POSITIONS:
            file.seek(int(position * min(file.duration or 0, LOOKED_AT_US)))
            frame = next(file.decode(video), None)
            if frame is None or frame.pts in seen_pts:
                continue
            seen_pts.add(frame.pts)
            height_px = max(2, round(frame.height * WIDTH_PX / frame.width) & ~1)
            planes = frame.reformat(WIDTH_PX, height_px, "yuv420p", interpolation="AREA").to_ndarray()
            masks.burn_yuv420(planes)
            coarse = cv2.resize(planes[:height_px], (40, 24), interpolation=cv2.INTER_AREA).astype(np.float32)
            first = coarse if first is None else first
            # A change of the whole picture is the light; a change of a part is a visitor.
            apart = float(np.std(coarse - first))
            if best is None or apart > best[0]:
                best = (apart, planes)
    if best is None:
        raise ValueError("no keyframe in it")
    return jpeg_of(best[1], QUALITY)


class Thumbnails:
    """Requests for thumbnails, the newest first. Belongs to the storage worker's thread.

    `masks`: those of now, which are drawn into each beside those of the clip.
    """

    def __init__(self, layout: Layout, masks: Masks) -> None:
        self._layout = layout
        self._masks = masks
        self._wishes: deque[str] = deque(maxlen=MAX_WISHES)
        self._hopeless: set[str] = set()

    def wish(self, clip_id: str) -> None:
        """Request a thumbnail."""
        if clip_id in self._hopeless:
            return
        with suppress(ValueError):
            self._wishes.remove(clip_id)
        self._wishes.append(clip_id)

    def __bool__(self) -> bool:
        return bool(self._wishes)

    def make_next(self, index: Index) -> None:
        """Make one thumbnail. Raises sqlite3.Error."""
        if not self._wishes:
            return
        row = index.find(self._wishes.pop())
        if row is None or row.doomed:
            return
        path, clip = self._layout.thumbnail(row.clip_id), self._layout.clips / row.file_name
        try:
            masks = all_masks(masks_in(clip), self._masks.polygons)
            data = labelled_jpeg(picture_of(clip, Masks(masks)), digest_of(masks))
            self._layout.thumbnails.mkdir(exist_ok=True)
            had_bytes = _disk_bytes(path)
            part = path.with_suffix(".new")
            part.write_bytes(data)
            part.replace(path)
        except (OSError, ValueError, av.error.FFmpegError, cv2.error) as error:
            log.warning("thumbnail_failed id=%s error=%s", row.clip_id, error)
            self._hopeless.add(row.clip_id)
            return
        index.grow(row.clip_id, _disk_bytes(path) - had_bytes)

    def forget(self, row: ClipRow) -> None:
        """Delete the thumbnail of a deleted clip."""
        with suppress(OSError):
            self._layout.thumbnail(row.clip_id).unlink()

    def clear(self) -> None:
        """Delete every thumbnail: a rebuilt index does not count them."""
        with suppress(OSError):
            for path in self._layout.thumbnails.iterdir():
                path.unlink()


def _disk_bytes(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
