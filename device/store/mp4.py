"""What is in an MP4 file that we wrote: boxes (ISO/IEC 14496-12), whole fragments, how long it plays."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

_HEADER_BYTES = 8
_FAILURES = (OSError, ValueError, IndexError, av.error.FFmpegError)


def _box(file: BinaryIO, offset: int) -> tuple[int, bytes]:
    """Return the length and the kind of the box at `offset` (ISO/IEC 14496-12, 4.2)."""
    file.seek(offset)
    header = file.read(16)
    length = int.from_bytes(header[:4])
    return int.from_bytes(header[8:16]) if length == 1 else length, header[4:8]


def hev1_place(path: Path) -> int:
    """Return where the sample entry of an H.265 file says hev1, 0 if it does not.

    The last `moov` counts: of a finished file, the one in front while it grew is part of the media by then.
    """
    size, offset, place = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while offset + _HEADER_BYTES <= size:
            length, kind = _box(file, offset)
            if length < _HEADER_BYTES:
                break
            if kind == b"moov":
                file.seek(offset)
                found = file.read(length).find(b"hev1")
                place = offset + found if found > 0 else 0
            offset += length
    return place


ByteSpan = tuple[int, int]
"""From one byte up to another."""


def whole_fragments(path: Path) -> list[ByteSpan]:
    """Return where the whole fragments of a cut file lie.

    An `mdat` that ends inside the file, with its `moof` in front, is a whole fragment. A `moov` and an `mdat`
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
    """The first bytes of a file, as if it ended there."""

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
    """Return how long a clip plays up to the end of its `last` fragment; None if that is not sound.

    Every packet of video is looked at: its NAL units have to fill it. A power cut may leave zeros where data
    was written, in boxes that look whole. Source: ISO/IEC 14496-15, 4.3.3 (lengths in front of NAL units).
    """
    begin, end = last
    until, place = 0, -1
    try:
        with path.open("rb") as file, av.open(_Beginning(file, end), "r", format="mp4") as container:
            video = container.streams.video[0]
            for packet in container.demux(video):
                if packet.pts is not None:
                    if not _nal_units_fill(memoryview(packet)):
                        return None
                    until = max(until, packet.pts + (packet.duration or 0))
                    place = max(place, packet.pos or 0)
            base = video.time_base or Fraction(1, 90_000)
            duration_us = int((until - (video.start_time or 0)) * base * 1_000_000)
    except _FAILURES:
        return None
    # FFmpeg passes over a fragment whose table is gone, without a word.
    return duration_us if duration_us > 0 and place >= begin else None


def _nal_units_fill(data: Any) -> bool:
    place, size = 0, len(data)
    while place + 4 < size:
        length = int.from_bytes(data[place : place + 4])
        if not length:
            return False
        place += 4 + length
    return place == size
