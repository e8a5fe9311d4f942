"""Reads MP4 files that we wrote: boxes (ISO/IEC 14496-12), complete fragments, playable length."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

_HEADER_BYTES = 8
HEV1 = b"hev1"
"""The sample entry of H.265 that FFmpeg writes."""
_FAILURES = (OSError, ValueError, IndexError, av.error.FFmpegError)


def _box(file: BinaryIO, offset: int) -> tuple[int, bytes]:
    """Return the length and the kind of the box at `offset` (ISO/IEC 14496-12, 4.2)."""
    file.seek(offset)
    header = file.read(16)
    length = int.from_bytes(header[:4])
    return int.from_bytes(header[8:16]) if length == 1 else length, header[4:8]


def offset_in_moov(path: Path, text: bytes) -> int:
    """Return where a text is in a clip's `moov`, 0 if it is not there.

    The last `moov` counts: in a finished file the first one, written while it grew, is part of the media data.
    """
    size, offset, found_offset = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while offset + _HEADER_BYTES <= size:
            length, kind = _box(file, offset)
            if length < _HEADER_BYTES:
                break
            if kind == b"moov":
                file.seek(offset)
                found = file.read(length).find(text)
                found_offset = offset + found if found > 0 else 0
            offset += length
    return found_offset


ByteSpan = tuple[int, int]
"""Start and end, in bytes."""


def whole_fragments(path: Path) -> list[ByteSpan]:
    """Return the positions of the complete fragments of a truncated file.

    An `mdat` that ends inside the file, with its `moof` in front, is a complete fragment. A `moov` and an `mdat`
    without a `moof` are the first one, or all of a file that was closed. Nothing is decoded: what is in
    the boxes may still be damaged.
    """
    size, offset = path.stat().st_size, 0
    found: list[ByteSpan] = []
    begin: int | None = None
    bare: set[bytes] = set()
    with path.open("rb") as file:
        while offset + _HEADER_BYTES <= size:
            length, kind = _box(file, offset)
            offset += length
            if length < _HEADER_BYTES or offset > size:
                break
            if kind == b"moof":
                begin = offset - length
            elif kind == b"mdat" and begin is not None:
                found.append((begin, offset))
                begin = None
            elif not found:
                bare.add(kind)
                if bare >= {b"mdat", b"moov"}:
                    found.append((0, offset))
    return found


class _Beginning(io.RawIOBase):
    """The first bytes of a file, presented as the whole of it."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._end = end

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._end - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        return (
            self._file.seek(self._end + offset, 0)
            if whence == io.SEEK_END
            else self._file.seek(offset, whence)
        )

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def playable_us(path: Path, last: ByteSpan) -> int | None:
    """Return how long a clip plays up to the end of its `last` fragment; None if it is damaged.

    Every packet of video is checked: its NAL units have to fill it. A power cut may leave zeros instead of data
    in boxes that look complete. Source: ISO/IEC 14496-15, 4.3.3 (lengths in front of NAL units).
    """
    begin, end = last
    until, last_offset = 0, -1
    try:
        with (
            path.open("rb") as file,
            av.open(_Beginning(file, end), "r", format="mp4") as container,  # egress: local
        ):
            video = container.streams.video[0]
            for packet in container.demux(video):
                if packet.pts is not None:
                    if not _nal_units_fill(memoryview(packet)):
                        return None
                    until = max(until, packet.pts + (packet.duration or 0))
                    last_offset = max(last_offset, packet.pos or 0)
            base = video.time_base or Fraction(1, 90_000)
            duration_us = int((until - (video.start_time or 0)) * base * 1_000_000)
    except _FAILURES:
        return None
    # FFmpeg skips a fragment whose table is gone without an error.
    return duration_us if duration_us > 0 and last_offset >= begin else None


def _nal_units_fill(data: Any) -> bool:
    offset, size = 0, len(data)
    while offset + 4 < size:
        length = int.from_bytes(data[offset : offset + 4])
        if not length:
            return False
        offset += 4 + length
    return offset == size
