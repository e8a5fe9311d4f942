"""An MP4 that holds pictures, perhaps sound, and the tables to find them. It can hold nothing else.

Three boxes: ftyp, mdat, moov. No creation time, no name, no edit list, no user data, no free space. Pictures follow
each other at one pace, first all pictures, then all sound. Written from nothing, because a muxer that is made for
everybody writes what anybody might want. Source: ISO/IEC 14496-12; sample entries: 14496-15 (avc1), QuickTime (sowt).
"""

import hashlib
import struct
from typing import BinaryIO

from device.release.errors import NotAllowed

VIDEO_TICKS = 90_000
"""Ticks of a second, of the film and of its pictures."""
MAX_BYTES = 0xFFFF_FFFF
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_MDAT_HEAD = 8
_SAMPLE_BYTES = 2


class Mp4Writer:
    """Writes pictures and then sound as they come, and at the end the tables. Raises OSError, NotAllowed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sizes: list[int] = []
        self._keys: list[int] = []
        self._sound_bytes = 0
        self._digest = hashlib.sha256()
        head = _box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso6mp41")
        self._mdat = len(head)
        self._begin = self._at = self._mdat + _MDAT_HEAD
        file.write(head + struct.pack(">I", _MDAT_HEAD) + b"mdat")

    def add_picture(self, nal_unit: bytes, *, key: bool) -> None:
        """Add a picture that is one NAL unit; `key`: a player may begin at it."""
        self._sizes.append(4 + len(nal_unit))
        if key:
            self._keys.append(len(self._sizes))
        self._write(struct.pack(">I", len(nal_unit)) + nal_unit)

    def add_sound(self, samples: bytes) -> None:
        """Add samples of sound: 16 bits, little endian, mono. No picture can follow."""
        self._sound_bytes += len(samples)
        self._write(samples)

    def close(
        self, *, shape_px: tuple[int, int], sets: tuple[bytes, bytes], step_ticks: int, rate_hz: int
    ) -> str:
        """Write the tables. `shape_px`: width and height; `sets`: SPS and PPS; `step_ticks`: how long each picture
        is shown; `rate_hz`: of the sound. Return the SHA-256 of all samples.
        """
        length = len(self._sizes) * step_ticks
        tracks = [self._video(shape_px, sets, step_ticks)]
        if self._sound_bytes:
            tracks.append(self._sound(rate_hz))
        self._write(_box(b"moov", _mvhd(length, len(tracks) + 1), *tracks), of_media=False)
        self._file.seek(self._mdat)
        self._file.write(struct.pack(">I", _MDAT_HEAD + sum(self._sizes) + self._sound_bytes))
        return self._digest.hexdigest()

    def _write(self, data: bytes, *, of_media: bool = True) -> None:
        self._at += len(data)
        if self._at > MAX_BYTES:
            raise NotAllowed("a clip of more than 4 GB cannot be sent; shorten it")
        if of_media:
            self._digest.update(data)
        self._file.write(data)

    def _video(self, shape_px: tuple[int, int], sets: tuple[bytes, bytes], step_ticks: int) -> bytes:
        count = len(self._sizes)
        return _trak(
            1,
            b"vide",
            ticks=VIDEO_TICKS,
            length=count * step_ticks,
            shape_px=shape_px,
            tables=[
                _full(b"stsd", struct.pack(">I", 1) + _avc1(shape_px, sets)),
                _full(b"stts", struct.pack(">III", 1, count, step_ticks)),
                _full(b"stss", struct.pack(f">I{len(self._keys)}I", len(self._keys), *self._keys)),
                _full(b"stsc", struct.pack(">IIII", 1, 1, count, 1)),
                _full(b"stsz", struct.pack(f">II{count}I", 0, count, *self._sizes)),
                _full(b"stco", struct.pack(">II", 1, self._begin)),
            ],
        )

    def _sound(self, rate_hz: int) -> bytes:
        count = self._sound_bytes // _SAMPLE_BYTES
        fields = bytes(6) + struct.pack(">H", 1) + bytes(8) + struct.pack(">HHII", 1, 16, 0, rate_hz << 16)
        return _trak(
            2,
            b"soun",
            ticks=rate_hz,
            length=count,
            shape_px=(0, 0),
            tables=[
                _full(b"stsd", struct.pack(">I", 1) + _box(b"sowt", fields)),
                _full(b"stts", struct.pack(">III", 1, count, 1)),
                _full(b"stsc", struct.pack(">IIII", 1, 1, count, 1)),
                _full(b"stsz", struct.pack(">II", _SAMPLE_BYTES, count)),
                _full(b"stco", struct.pack(">II", 1, self._begin + sum(self._sizes))),
            ],
        )


def _avc1(shape_px: tuple[int, int], sets: tuple[bytes, bytes]) -> bytes:
    sps, pps = sets
    config = b"\x01" + sps[1:4] + b"\xff"
    for unit, count in ((sps, 0xE1), (pps, 1)):
        config += bytes([count]) + struct.pack(">H", len(unit)) + unit
    fields = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", *shape_px)
    fields += struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32) + struct.pack(">Hh", 24, -1)
    return _box(b"avc1", fields, _box(b"avcC", config))


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def _full(kind: bytes, content: bytes, *, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), content)


def _mvhd(length: int, next_track: int) -> bytes:
    fields = struct.pack(">IIII", 0, 0, VIDEO_TICKS, length) + struct.pack(">IH", 0x10000, 0x100) + bytes(10)
    return _full(b"mvhd", fields + _MATRIX + bytes(24) + struct.pack(">I", next_track))


def _trak(
    number: int, kind: bytes, *, ticks: int, length: int, shape_px: tuple[int, int], tables: list[bytes]
) -> bytes:
    video = kind == b"vide"
    tkhd = struct.pack(">IIIII", 0, 0, number, 0, length * VIDEO_TICKS // ticks) + bytes(8)
    tkhd += struct.pack(">HHHH", 0, 0, 0 if video else 0x100, 0) + _MATRIX
    tkhd += struct.pack(">II", shape_px[0] << 16, shape_px[1] << 16)
    mdhd = struct.pack(">IIIIHH", 0, 0, ticks, length, 0x55C4, 0)  # "und"
    head = _full(b"vmhd", bytes(8), flags=1) if video else _full(b"smhd", bytes(4))
    data = _box(b"dinf", _full(b"dref", struct.pack(">I", 1) + _full(b"url ", b"", flags=1)))
    return _box(
        b"trak",
        _full(b"tkhd", tkhd, flags=3),
        _box(
            b"mdia",
            _full(b"mdhd", mdhd),
            _full(b"hdlr", bytes(4) + kind + bytes(12) + b"\0"),
            _box(b"minf", head, data, _box(b"stbl", *tables)),
        ),
    )
