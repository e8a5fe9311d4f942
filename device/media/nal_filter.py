"""The NAL units of an H.264 or H.265 stream that may leave: slices and the parameter sets that they need.

It lists what is allowed, not what is forbidden: supplemental information (SEI, where cameras put text,
serial numbers and positions), delimiters and filler are dropped; an unknown unit refuses the whole clip.
Sources: ITU-T H.264 7.4.1, H.265 7.4.2; ISO/IEC 14496-15 5.3.3 (avcC), 8.3.3 (hvcC).
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LENGTH_BYTES = 4
_START_CODE = b"\x00\x00\x01"
_AVCC_SETS, _HVCC_ARRAYS = 5, 22


class NotAllowed(ValueError):
    """A stream holds something that must not leave and cannot be dropped; the message is for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """NAL unit types of one codec."""

    slices: frozenset[int]
    sets: tuple[int, ...]
    dropped: frozenset[int]


KINDS = {
    # Coded slices (1, 5); SPS, PPS; SEI, delimiter, ends of sequence and stream, filler.
    "h264": Kinds(slices=frozenset({1, 5}), sets=(7, 8), dropped=frozenset({6, 9, 10, 11, 12})),
    # Coded slices, IRAP from 16 on; VPS, SPS, PPS; delimiter, ends, filler, SEI before and behind.
    "hevc": Kinds(
        slices=frozenset([*range(10), *range(16, 22)]),
        sets=(32, 33, 34),
        dropped=frozenset({35, 36, 37, 38, 39, 40}),
    ),
}


@dataclass(slots=True)
class Scrubber:
    """Keeps the allowed units of each picture, and the parameter sets. One for each stream."""

    codec: str
    sets: dict[int, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.codec not in KINDS:
            raise NotAllowed(f"{self.codec} is not one of the codecs that may leave (H.264, H.265)")
        self.sets = {kind: [] for kind in KINDS[self.codec].sets}

    def header(self, extradata: bytes) -> bytes:
        """Learn the parameter sets of a stream's header (avcC, hvcC or Annex B); return its first bytes."""
        if extradata[:1] == b"\x01":
            units = _in_avcc(extradata) if self.codec == "h264" else _in_hvcc(extradata)
            self._learn(units)
            return extradata[: _HVCC_ARRAYS - 1]
        self._learn(in_annex_b(extradata))
        return b""

    def picture(self, units: Iterable[bytes]) -> bytes:
        """Return the allowed units of a picture, each preceded by its length. Raises NotAllowed."""
        kinds = KINDS[self.codec]
        kept = bytearray()
        for unit in units:
            kind = self._kind(unit)
            if kind in kinds.slices:
                kept_unit = _without_filler(unit)
                kept += struct.pack(">I", len(kept_unit)) + kept_unit
            elif kind in kinds.sets:
                self._same(kind, unit)
            elif kind not in kinds.dropped:
                raise NotAllowed(f"the video holds a unit of type {kind}, which is not known to be a picture")
        if not kept:
            raise NotAllowed("a picture of the video is empty")
        return bytes(kept)

    def _kind(self, unit: bytes) -> int:
        if not unit:
            raise NotAllowed("the video holds an empty unit")
        return unit[0] & 31 if self.codec == "h264" else unit[0] >> 1 & 63

    def _learn(self, units: Iterable[bytes]) -> None:
        for unit in units:
            known = self.sets.get(self._kind(unit))
            if known is not None and unit not in known:
                known.append(unit)

    def _same(self, kind: int, unit: bytes) -> None:
        """Drop a set that is in the header already. A new one would change the meaning of what follows."""
        known = self.sets[kind]
        if unit in known:
            return
        if known:
            raise NotAllowed(
                "the camera changed its settings within the clip; an exact cut can be made of it"
            )
        known.append(unit)


def _without_filler(unit: bytes) -> bytes:
    """Return a slice without the zeros that a constant-rate encoder appends (cabac_zero_word)."""
    end = len(unit)
    while unit.endswith(b"\0\0\3", 0, end) or unit.endswith(b"\0", 0, end):
        end -= 3 if unit.endswith(b"\0\0\3", 0, end) else 1
    return unit[:end]


def in_sample(data: bytes) -> Iterator[bytes]:
    """Yield the units of a picture as it is in MP4: each preceded by its length. Raises NotAllowed."""
    offset = 0
    while offset < len(data):
        (length,) = struct.unpack_from(">I", data.ljust(offset + LENGTH_BYTES, b"\0"), offset)
        offset += LENGTH_BYTES
        if not length or offset + length > len(data):
            raise NotAllowed("a picture of the video is torn")
        yield data[offset : offset + length]
        offset += length


def in_annex_b(data: bytes) -> Iterator[bytes]:
    """Yield the units of a byte stream: between start codes (H.264 annex B)."""
    for part in data.split(_START_CODE)[1:]:
        unit = part.rstrip(b"\0")
        if unit:
            yield unit


def _in_avcc(header: bytes) -> Iterator[bytes]:
    offset = _AVCC_SETS
    for mask in (31, 255):
        count = header[offset] & mask
        offset += 1
        for _ in range(count):
            (length,) = struct.unpack_from(">H", header, offset)
            yield header[offset + 2 : offset + 2 + length]
            offset += 2 + length


def _in_hvcc(header: bytes) -> Iterator[bytes]:
    offset = _HVCC_ARRAYS + 1
    for _ in range(header[_HVCC_ARRAYS]):
        (count,) = struct.unpack_from(">H", header, offset + 1)
        offset += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", header, offset)
            yield header[offset + 2 : offset + 2 + length]
            offset += 2 + length
