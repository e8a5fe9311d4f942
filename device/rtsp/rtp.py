"""RTP packets of H.264 (RFC 6184), H.265 (RFC 7798), AAC (RFC 3640) and Opus (RFC 7587), and RTCP sender reports.

Pure: bytes in, bytes out. The camera's units are split where they are too large, and otherwise unchanged.
"""

import re
import secrets
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise

PICTURE_TYPE, SOUND_TYPE = 96, 97
PICTURE_HZ = 90_000
MAX_PAYLOAD_BYTES = 1_400
"""With the headers of RTP, UDP and IPv6 it fits into an Ethernet frame."""
_START = re.compile(rb"\x00\x00\x01")
_RTP = struct.Struct(">BBHII")
_REPORT = struct.Struct(">BBHIIIIII")
NTP_OF_1970_S = 2_208_988_800


def units_of(data: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B picture."""
    starts = [match.start() for match in _START.finditer(data)]
    # The zero byte of a long start code, and trailing ones, are no part of a unit.
    return [data[begin + 3 : end].rstrip(b"\0") for begin, end in pairwise([*starts, len(data)])]


def unit_type(unit: bytes, codec: str) -> int:
    """Return the type of a NAL unit (H.264 table 7-1, H.265 table 7-1)."""
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def picture_payloads(units: Sequence[bytes], codec: str) -> Iterator[tuple[bytes, bool]]:
    """Yield RTP payloads of one picture, and whether each is the last."""
    split = _split_h264 if codec == "h264" else _split_hevc
    filled = [unit for unit in units if unit]
    for index, unit in enumerate(filled):
        pieces = [unit] if len(unit) <= MAX_PAYLOAD_BYTES else list(split(unit))
        for number, piece in enumerate(pieces):
            yield piece, index == len(filled) - 1 and number == len(pieces) - 1


def _split_h264(unit: bytes) -> Iterator[bytes]:
    """Yield FU-A packets (RFC 6184, 5.8)."""
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 31
    for begin, end, mark in _pieces(len(unit), 1, MAX_PAYLOAD_BYTES - 2):
        yield bytes((indicator, mark | kind)) + unit[begin:end]


def _split_hevc(unit: bytes) -> Iterator[bytes]:
    """Yield fragmentation units (RFC 7798, 4.4.3)."""
    kind = unit[0] >> 1 & 63
    head = bytes((unit[0] & 0x81 | 49 << 1, unit[1]))
    for begin, end, mark in _pieces(len(unit), 2, MAX_PAYLOAD_BYTES - 3):
        yield head + bytes((mark | kind,)) + unit[begin:end]


def _pieces(size: int, begin: int, step: int) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end, and the bits S and E of a fragment's header."""
    first = begin
    for at in range(begin, size, step):
        end = min(at + step, size)
        yield at, end, (0x80 if at == first else 0) | (0x40 if end == size else 0)


def sound_payload(data: bytes, codec: str) -> bytes:
    """Return the RTP payload of one packet of sound: for AAC with one AU header (RFC 3640, 3.3.6)."""
    return data if codec == "opus" else struct.pack(">HH", 16, len(data) << 3) + data


class RtpTrack:
    """Numbers and stamps the packets of one track of one session."""

    def __init__(self, payload_type: int, rate_hz: int) -> None:
        self.ssrc = secrets.randbits(32)
        self.sequence = secrets.randbits(16)
        self._type = payload_type
        self._rate_hz = rate_hz
        self._offset = secrets.randbits(32)
        self._packets = self._bytes = 0

    def stamp(self, pts_us: int) -> int:
        """Return the RTP timestamp of a time on the monotonic clock."""
        return (pts_us * self._rate_hz // 1_000_000 + self._offset) & 0xFFFF_FFFF

    def packet(self, payload: bytes, pts_us: int, *, last: bool) -> bytes:
        """Return one RTP packet (RFC 3550, 5.1)."""
        marked = self._type | (0x80 if last else 0)
        head = _RTP.pack(0x80, marked, self.sequence, self.stamp(pts_us), self.ssrc)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self._packets += 1
        self._bytes += len(payload)
        return head + payload

    def report(self, pts_us: int, wall_us: int) -> bytes:
        """Return a sender report (RFC 3550, 6.4.1) with a source description: which RTP time was which wall time."""
        seconds, rest_us = divmod(wall_us, 1_000_000)
        report = _REPORT.pack(
            0x80, 200, 6, self.ssrc, (seconds + NTP_OF_1970_S) & 0xFFFF_FFFF, (rest_us << 32) // 1_000_000,
            self.stamp(pts_us), self._packets & 0xFFFF_FFFF, self._bytes & 0xFFFF_FFFF,
        )  # fmt: skip
        name = b"\x01\x08doorbell\x00\x00"  # CNAME, and the end of the list
        return report + struct.pack(">BBHI", 0x81, 202, 1 + len(name) // 4, self.ssrc) + name
