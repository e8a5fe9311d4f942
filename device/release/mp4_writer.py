"""An MP4 that holds pictures, perhaps sound, and the tables to find them. It can hold nothing else.

Three boxes: ftyp, mdat, moov. No creation time, no name, no edit list, no user data, no free space. Written
from nothing, for a muxer made for everybody writes what everybody might want. Source: ISO/IEC 14496-12;
sample entries: 14496-15 (avc1, hvc1), 14496-14 (mp4a).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import BinaryIO, Literal

from device.media.nal_filter import NotAllowed

MOVIE_TICKS = 90_000
MAX_BYTES = 0xFFFF_FFFF
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_MDAT_HEAD = 8
_HIGH_PROFILE = 100


@dataclass(slots=True)
class Mp4Track:
    """One track: what it is, and of each sample its length, times and whether a player may begin at it."""

    kind: Literal["video", "sound"]
    ticks: int
    """Units of a second that times are counted in."""
    entry: bytes
    """The sample entry: codec and its header."""
    width_px: int = 0
    height_px: int = 0
    sizes: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    """From the sample's decoding time to the next one's."""
    offsets: list[int] = field(default_factory=list)
    """From decoding to showing."""
    keys: list[bool] = field(default_factory=list)
    chunks: list[tuple[int, int]] = field(default_factory=list)
    """Where a run of samples begins in the file, and how many it has."""


class Mp4Writer:
    """Writes samples in the order in which they come, and at the end the tables.

    Raises OSError, NotAllowed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tracks: list[Mp4Track] = []
        self._last: Mp4Track | None = None
        head = _box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso6mp41")
        self._mdat = len(head)
        self._at = self._mdat + _MDAT_HEAD
        file.write(head + struct.pack(">I", _MDAT_HEAD) + b"mdat")

    def add_track(self, track: Mp4Track) -> Mp4Track:
        """Add a track."""
        self._tracks.append(track)
        return track

    def add(
        self, track: Mp4Track, sample: bytes, *, duration: int, offset: int = 0, key: bool = True
    ) -> None:
        """Add a sample to a track."""
        if self._at + len(sample) > MAX_BYTES:
            raise NotAllowed("a clip of more than 4 GB cannot be sent; shorten it")
        if self._last is not track:
            track.chunks.append((self._at, 0))
            self._last = track
        begin, count = track.chunks[-1]
        track.chunks[-1] = (begin, count + 1)
        self._file.write(sample)
        self._at += len(sample)
        track.sizes.append(len(sample))
        track.durations.append(duration)
        track.offsets.append(offset)
        track.keys.append(key)

    def close(self) -> None:
        """Write the tables, and how long `mdat` is."""
        tracks = [track for track in self._tracks if track.sizes]
        longest = max(sum(track.durations) * MOVIE_TICKS // track.ticks for track in tracks)
        self._file.write(
            _box(
                b"moov",
                _mvhd(longest, len(tracks) + 1),
                *(_trak(track, number) for number, track in enumerate(tracks, 1)),
            )
        )
        self._file.seek(self._mdat)
        self._file.write(struct.pack(">I", self._at - self._mdat))


# --- sample entries -------------------------------------------------------------------------------


def avc1(width_px: int, height_px: int, sets: dict[int, list[bytes]]) -> bytes:
    """Return the sample entry of H.264: its parameter sets and nothing else."""
    sps, pps = sets[7], sets[8]
    if not sps or not pps:
        raise NotAllowed("the video has no header (SPS, PPS)")
    config = b"\x01" + sps[0][1:4] + b"\xff" + bytes([0xE0 | len(sps)]) + _sized(sps)
    config += bytes([len(pps)]) + _sized(pps)
    if sps[0][1] == _HIGH_PROFILE:
        config += b"\xfd\xf8\xf8\x00"  # 4:2:0, eight bits, no extension: what this profile can only be
    return _visual(b"avc1", width_px, height_px, _box(b"avcC", config))


def hvc1(width_px: int, height_px: int, sets: dict[int, list[bytes]], head: bytes) -> bytes:
    """Return the sample entry of H.265: its parameter sets; `head` are the first 21 bytes of its hvcC."""
    if not all(sets.values()) or len(head) != 21:  # ISO/IEC 14496-15, 8.3.3.1.2
        raise NotAllowed("the video has no header (VPS, SPS, PPS)")
    arrays = b"".join(
        bytes([0x80 | kind]) + struct.pack(">H", len(units)) + _sized(units) for kind, units in sets.items()
    )
    # Behind profile and depths: frame rate unknown, one layer, lengths of four bytes.
    config = head[:19] + b"\0\0\x0f" + bytes([len(sets)]) + arrays
    return _visual(b"hvc1", width_px, height_px, _box(b"hvcC", config))


def mp4a(channels: int, rate_hz: int, header: bytes) -> bytes:
    """Return the sample entry of AAC; `header` is its AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
    specific = _descriptor(5, header)
    decoder = _descriptor(4, b"\x40\x15" + bytes(3) + bytes(8) + specific)
    stream = _descriptor(3, bytes(3) + decoder + _descriptor(6, b"\x02"))
    return _audio(b"mp4a", channels, rate_hz, _full(b"esds", stream))


def _visual(kind: bytes, width_px: int, height_px: int, config: bytes) -> bytes:
    fields = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", width_px, height_px)
    fields += struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32) + struct.pack(">Hh", 24, -1)
    return _box(kind, fields, config)


def _audio(kind: bytes, channels: int, rate_hz: int, config: bytes) -> bytes:
    fields = bytes(6) + struct.pack(">H", 1) + bytes(8)
    fields += struct.pack(">HHII", channels, 16, 0, rate_hz << 16)
    return _box(kind, fields, config)


def _descriptor(tag: int, content: bytes) -> bytes:
    if len(content) > 127:  # one byte of length: seven bits
        raise NotAllowed("the sound's header is too long")
    return bytes([tag, len(content)]) + content


def _sized(units: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(unit)) + unit for unit in units)


# --- boxes ----------------------------------------------------------------------------------------


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def _full(kind: bytes, content: bytes, *, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), content)


def _mvhd(duration: int, next_track: int) -> bytes:
    fields = (
        struct.pack(">IIII", 0, 0, MOVIE_TICKS, duration) + struct.pack(">IH", 0x10000, 0x100) + bytes(10)
    )
    return _full(b"mvhd", fields + _MATRIX + bytes(24) + struct.pack(">I", next_track))


def _trak(track: Mp4Track, number: int) -> bytes:
    video = track.kind == "video"
    length = sum(track.durations)
    tkhd = struct.pack(">IIIII", 0, 0, number, 0, length * MOVIE_TICKS // track.ticks) + bytes(8)
    tkhd += struct.pack(">HHHH", 0, 0, 0 if video else 0x100, 0) + _MATRIX
    tkhd += struct.pack(">II", track.width_px << 16, track.height_px << 16)
    mdhd = struct.pack(">IIIIHH", 0, 0, track.ticks, length, 0x55C4, 0)  # "und"
    hdlr = bytes(4) + (b"vide" if video else b"soun") + bytes(12) + b"\0"
    media = _full(b"vmhd", bytes(8), flags=1) if video else _full(b"smhd", bytes(4))
    data = _box(b"dinf", _full(b"dref", struct.pack(">I", 1) + _full(b"url ", b"", flags=1)))
    return _box(
        b"trak",
        _full(b"tkhd", tkhd, flags=3),
        _box(
            b"mdia",
            _full(b"mdhd", mdhd),
            _full(b"hdlr", hdlr),
            _box(b"minf", media, data, _box(b"stbl", *_tables(track))),
        ),
    )


def _tables(track: Mp4Track) -> Iterable[bytes]:
    yield _full(b"stsd", struct.pack(">I", 1) + track.entry)
    yield _full(b"stts", _runs(track.durations, ">II"))
    if any(track.offsets):
        yield _full(b"ctts", _runs(track.offsets, ">Ii"), version=1)
    if not all(track.keys):
        keys = [number for number, key in enumerate(track.keys, 1) if key]
        yield _full(b"stss", struct.pack(f">I{len(keys)}I", len(keys), *keys))
    yield _full(b"stsc", _chunk_runs([count for _, count in track.chunks]))
    yield _full(b"stsz", struct.pack(f">II{len(track.sizes)}I", 0, len(track.sizes), *track.sizes))
    offsets = [offset for offset, _ in track.chunks]
    yield _full(b"stco", struct.pack(f">I{len(offsets)}I", len(offsets), *offsets))


def _runs(values: Sequence[int], form: str) -> bytes:
    runs = [(len(list(group)), value) for value, group in groupby(values)]
    return struct.pack(">I", len(runs)) + b"".join(struct.pack(form, *run) for run in runs)


def _chunk_runs(counts: Sequence[int]) -> bytes:
    rows = [
        (number, count, 1)
        for number, count in enumerate(counts, 1)
        if number == 1 or count != counts[number - 2]
    ]
    return struct.pack(">I", len(rows)) + b"".join(struct.pack(">III", *row) for row in rows)
