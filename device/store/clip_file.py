"""One clip on its way to the disk: packets in, an MP4 out, nothing re-encoded.

While it grows it is fragmented, so that a power cut costs at most the fragment that is being written.
At close FFmpeg's "hybrid" mode appends an ordinary `moov` and turns the fragments into one `mdat` by
overwriting 8 bytes near the start. If a power cut made that patch durable and the `moov` not, the whole
clip would be unreadable: `_SyncedFile` syncs before any write that goes backwards.
"""

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

from device.errors import StoreError
from device.events import Packet, VideoFormat
from device.store.files import rename_durably, sha256_of, sync_folder

_TIME_BASE = Fraction(1, 90_000)
_FRAGMENT_US = 1_500_000
_BOX_HEADER = 8
_FAILURES = (OSError, ValueError, av.error.FFmpegError)
"""PyAV raises an OSError where there is an errno, else a child of FFmpegError and of what it likes."""


def _ticks(us: int) -> int:
    return us * 9 // 100


class _SyncedFile:
    """What PyAV writes through: unbuffered, counts its bytes, syncs before it writes backwards."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self.raw = os.fdopen(fd, "r+b", buffering=0)
        self.written_bytes = 0
        self.end_bytes = 0
        self._dirty = False

    def write(self, data: bytes) -> int:
        if self.raw.tell() < self.end_bytes:
            self.sync()
        left = memoryview(data)
        while left:
            count = self.raw.write(left)
            left = left[count:]
            self.written_bytes += count
        self._dirty = True
        self.end_bytes = max(self.end_bytes, self.raw.tell())
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.raw.seek(offset, whence)

    def tell(self) -> int:
        return self.raw.tell()

    def overwrite(self, place: int, data: bytes) -> None:
        """Replace some bytes of the finished file that are right before and after."""
        os.pwrite(self.raw.fileno(), data, place)
        self.written_bytes += len(data)
        self._dirty = True

    def sync(self) -> None:
        if self._dirty:
            os.fsync(self.raw.fileno())
            self._dirty = False


class ClipFile:
    """A growing clip of one video format; the first packet must be a keyframe.

    Every method may raise StoreError; what was synced before is still readable then.
    """

    def __init__(self, final_path: Path, video: VideoFormat) -> None:
        self.final_path = final_path
        self.part_path = final_path.with_name(final_path.name + ".part")
        self.video = video
        self.started_us: int | None = None
        self.ended_us = 0
        self._name_durable = False
        try:
            self._file = _SyncedFile(self.part_path)
            self._muxer = av.open(
                self._file,
                "w",
                format="mp4",
                options={
                    # +bitexact: no name and version of the muxer in the file.
                    "movflags": "+hybrid_fragmented+frag_keyframe",
                    "fflags": "+bitexact",
                    "frag_duration": str(_FRAGMENT_US),
                },
            )
            self._stream: Any = self._muxer.add_mux_stream(
                video.codec, width=video.width_px, height=video.height_px, time_base=_TIME_BASE
            )
        except _FAILURES as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> StoreError:
        return StoreError(f"clip {self.final_path.name}: {error}")

    def rename(self, final_path: Path) -> None:
        """Grow on under another name. A failure changes nothing: the name is only what a power cut leaves."""
        part_path = final_path.with_name(final_path.name + ".part")
        with suppress(OSError):
            self.part_path.rename(part_path)
            self.final_path, self.part_path = final_path, part_path
            self._name_durable = False

    def add(self, packet: Packet) -> None:
        """Copy one packet behind the others."""
        if self.started_us is None:
            self.started_us = packet.pts_us
            self._zero_us = packet.dts_us
        copy = av.Packet(packet.data)  # a reference to the same bytes with times of its own
        copy.stream = self._stream
        copy.time_base = _TIME_BASE
        copy.pts = _ticks(packet.pts_us - self._zero_us)
        copy.dts = _ticks(packet.dts_us - self._zero_us)
        copy.duration = _ticks(packet.duration_us)
        copy.is_keyframe = packet.is_keyframe
        try:
            self._muxer.mux_one(copy)
        except _FAILURES as error:
            raise self._error(error) from error
        self.ended_us = max(self.ended_us, packet.pts_us + packet.duration_us)

    def sync(self) -> None:
        """Make the fragments that are complete durable, and the name that they are found by."""
        try:
            self._file.sync()
            if not self._name_durable:
                sync_folder(self.part_path.parent)
                self._name_durable = True
        except OSError as error:
            raise self._error(error) from error

    @property
    def size_bytes(self) -> int:
        """How many bytes the file has now."""
        return self._file.end_bytes

    @property
    def written_bytes(self) -> int:
        """How many bytes were handed to the disk, overwritten ones counted twice."""
        return self._file.written_bytes

    def close(self, final_path: Path) -> str:
        """Finish, sync, rename to `final_path`, sync the folder; return the SHA-256 in hex."""
        try:
            self._muxer.close()
            if self.video.codec == "hevc" and (place := _hev1_place(self.part_path)):
                self._file.overwrite(place, b"hvc1")  # QuickTime plays no other, and PyAV cannot say it
            self._file.sync()
            self._file.raw.close()
            digest = sha256_of(self.part_path)
            rename_durably(self.part_path, final_path)
        except _FAILURES as error:
            raise self._error(error) from error
        return digest

    def abandon(self) -> None:
        """Let go after an error: the `.part` stays and is salvaged like after a power cut."""
        for close in (self._muxer.close, self._file.raw.close):
            try:
                close()
            except _FAILURES:
                continue


def _hev1_place(path: Path) -> int:
    """Return where the sample entry of a finished H.265 file says hev1, 0 if it does not.

    The last `moov` counts; the one that stood in front while the file grew is part of the media by then.
    """
    size, offset, place = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while offset + _BOX_HEADER <= size:
            length, kind = _box(file, offset)
            if length < _BOX_HEADER:
                break
            if kind == b"moov":
                file.seek(offset)
                found = file.read(length).find(b"hev1")
                place = offset + found if found > 0 else 0
            offset += length
    return place


def _box(file: BinaryIO, offset: int) -> tuple[int, bytes]:
    """Return the length and the kind of the box at `offset` (ISO/IEC 14496-12, 4.2)."""
    file.seek(offset)
    header = file.read(16)
    length = int.from_bytes(header[:4])
    return int.from_bytes(header[8:16]) if length == 1 else length, header[4:8]


def whole_fragments_bytes(path: Path) -> int:
    """Return how long a cut `.part` is up to the end of its last whole fragment; 0 if it has none.

    Walks the top-level boxes (ISO/IEC 14496-12, 4.2): an `mdat` that ends inside the file, behind
    its `moof`, is a whole fragment. An `mdat` without one, and a `moov`, are a file that was closed and
    not renamed yet. Nothing is decoded.
    """
    size = path.stat().st_size
    good = offset = 0
    in_fragment, bare = False, set[bytes]()
    with path.open("rb") as file:
        while offset + _BOX_HEADER <= size:
            length, kind = _box(file, offset)
            offset += length
            if length < _BOX_HEADER or offset > size:
                break
            if kind == b"moof":
                in_fragment = True
            elif kind == b"mdat" and in_fragment:
                good, in_fragment = offset, False
            else:
                bare.add(kind)
            if bare >= {b"mdat", b"moov"}:
                good = offset
    return good


def duration_us_of(path: Path) -> int | None:
    """Return how long a clip plays, or None if it cannot be read as a clip."""
    try:
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            base = video.time_base or _TIME_BASE
            ends = [p.pts + (p.duration or 0) for p in container.demux(video) if p.pts is not None]
            return int((max(ends) - (video.start_time or 0)) * base * 1_000_000) if ends else None
    except (*_FAILURES, IndexError):
        return None
