"""The auditor's own reading of what is inside samples: pictures of H.264 and H.265, headers, sound.

Sources: ITU-T H.264 7.3 and annex E, H.265 7.3.1.2 and 7.3.6.1, ISO/IEC 14496-15 and 14496-3.
"""

from collections.abc import Iterator

from device.release.audit_boxes import Bytes, Violation

_AVC_SLICES, _AVC_IDR = {1, 5}, 5
_HEVC_SLICES, _HEVC_IRAP = {*range(10), *range(16, 22)}, range(16, 22)
_MAX_SET = 256
"""Bytes of a parameter set: an honest one has some dozens."""
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128}
_MAX_ASC = 8
_FILL, _DATA = 6, 4
"""Elements of an AAC packet that hold no sound (ISO/IEC 14496-3, table 4.71)."""


class Bits:
    """The bits of a unit, without the bytes that keep start codes out (H.264 7.4.1.1)."""

    def __init__(self, unit: bytes, what: str) -> None:
        plain, zeros = bytearray(), 0
        for byte in unit:
            if zeros >= 2 and byte == 3:
                zeros = 0
                continue
            zeros = 0 if byte else zeros + 1
            plain.append(byte)
        self._bits = "".join(f"{byte:08b}" for byte in plain)
        self._what = what
        self._place = 0

    def u(self, count: int) -> int:
        """Return an unsigned number of so many bits."""
        part = self._bits[self._place : self._place + count]
        if len(part) < count:
            raise Violation(f"{self._what} is cut short")
        self._place += count
        return int(part, 2) if part else 0

    def ue(self) -> int:
        """Return an Exp-Golomb number (H.264 9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise Violation(f"{self._what} holds a number that is too large")
        return (1 << zeros) - 1 + self.u(zeros)

    def more(self) -> bool:
        """Return whether there is data before the end (more_rbsp_data)."""
        return self._bits[self._place :].rstrip("0") != "1"

    def must_end(self) -> None:
        """Raise Violation unless one bit and zeros up to the byte's end are all that is left."""
        rest = self._bits[self._place :]
        if rest[:1] != "1" or "1" in rest[1:] or len(rest) > 8:
            raise Violation(f"{self._what} has {len(rest)} bits behind its end")


def avc_header(config: bytes) -> None:
    """Prove that an avcC holds parameter sets that are read to their last bit. Raises Violation."""
    parser = Bytes(config, "avcC")
    parser.must_be(b"\1", "version")
    profile = parser.take(3)
    parser.must_be(b"\xff", "length of lengths")
    for mask, check, kind in ((0x1F, _avc_sps, 7), (0xFF, _avc_pps, 8)):
        count = parser.number(1)
        if mask == 0x1F and count & 0xE0 != 0xE0:
            raise Violation("avcC: reserved bits are not set")
        if not count & mask:
            raise Violation("avcC holds no parameter set of a kind")
        for _ in range(count & mask):
            unit = parser.take(parser.number(2))
            if not unit or len(unit) > _MAX_SET or unit[0] & 0x9F != kind:
                raise Violation(f"avcC: {len(unit)} bytes that are no parameter set")
            if kind == 7 and unit[1:4] != profile:
                raise Violation("avcC: its profile is not that of its parameter set")
            check(Bits(unit[1:], f"parameter set {kind}"))
    if profile[0] == 100:  # High
        parser.must_be(b"\xfd\xf8\xf8\0", "chroma and depth")
    parser.must_end()


def _avc_sps(bits: Bits) -> None:
    profile = bits.u(8)
    bits.u(16)
    bits.ue()
    if profile in _HIGH:
        if bits.ue() == 3:
            bits.u(1)
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            raise Violation("a parameter set holds scaling lists, which nobody here looks into")
    bits.ue()
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.ue()
        bits.ue()
        for _ in range(min(bits.ue(), 256)):
            bits.ue()
    bits.ue()
    bits.u(1)
    bits.ue()
    bits.ue()
    if not bits.u(1):
        bits.u(1)
    bits.u(1)
    if bits.u(1):
        for _ in range(4):
            bits.ue()
    if bits.u(1):
        _vui(bits)
    bits.must_end()


def _vui(bits: Bits) -> None:
    if bits.u(1) and bits.u(8) == 255:  # a sample's shape of its own
        bits.u(32)
    if bits.u(1):
        bits.u(1)
    if bits.u(1):
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    if bits.u(1):
        bits.ue()
        bits.ue()
    if bits.u(1):
        bits.u(65)
    rates = [_hrd(bits) if bits.u(1) else False, _hrd(bits) if bits.u(1) else False]
    if any(rates):
        bits.u(1)
    bits.u(1)
    if bits.u(1):
        bits.u(1)
        for _ in range(6):
            bits.ue()


def _hrd(bits: Bits) -> bool:
    count = bits.ue() + 1
    if count > 32:
        raise Violation("a parameter set holds more buffers than there are")
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(20)
    return True


def _avc_pps(bits: Bits) -> None:
    bits.ue()
    bits.ue()
    bits.u(2)
    if bits.ue():
        raise Violation("a parameter set splits the picture in groups, which nobody here looks into")
    bits.ue()
    bits.ue()
    bits.u(3)
    for _ in range(3):
        bits.ue()
    bits.u(3)
    if bits.more():
        bits.u(1)
        if bits.u(1):
            raise Violation("a parameter set holds scaling lists, which nobody here looks into")
        bits.ue()
    bits.must_end()


def hevc_header(config: bytes) -> None:
    """Prove that an hvcC holds the three kinds of parameter sets and nothing else. Raises Violation.

    The sets are bounded, not read to their last bit.
    """
    parser = Bytes(config, "hvcC")
    parser.must_be(b"\1", "version")
    parser.take(12)
    for reserved in (0xF0, None, 0xFC, 0xFC, 0xF8, 0xF8):
        if reserved is not None and parser.data[parser.offset] & reserved != reserved:
            raise Violation("hvcC: reserved bits are not set")
        parser.take(1)
    parser.must_be(b"\0\0\x0f\3", "rate, layers and number of arrays")
    for kind in (32, 33, 34):
        parser.must_be(bytes([0x80 | kind]), "kind of array")
        count = parser.number(2)
        if not 0 < count <= 16:
            raise Violation(f"hvcC: {count} parameter sets of a kind")
        for _ in range(count):
            unit = parser.take(parser.number(2))
            if len(unit) > _MAX_SET or len(unit) < 3 or unit[0] >> 1 != kind or unit[-1] == 0:
                raise Violation(f"hvcC: {len(unit)} bytes that are no parameter set")
    parser.must_end()


def picture(sample: bytes, *, codec: str, is_first: bool) -> None:
    """Prove that a sample is slices of one picture and nothing else. Raises Violation."""
    begun = 0
    for unit in _units(sample):
        if codec == "avc1":
            kind, allowed, random = unit[0] & 31, _AVC_SLICES, unit[0] & 31 == _AVC_IDR
            begins, forbidden = len(unit) > 1 and unit[1] & 0x80 == 0x80, unit[0] & 0x80
        else:
            kind, allowed, random = unit[0] >> 1 & 63, _HEVC_SLICES, unit[0] >> 1 & 63 in _HEVC_IRAP
            begins, forbidden = len(unit) > 2 and unit[2] & 0x80 == 0x80, unit[0] & 0x80
        if kind not in allowed or forbidden:
            raise Violation(f"a sample holds a unit of type {kind}, which is no slice of a picture")
        if unit[-1] == 0 or unit.endswith(b"\0\0\3"):
            raise Violation("a slice is followed by filler")
        if is_first and not random:
            raise Violation("the first picture needs an earlier one")
        begun += begins
        if not begun:
            raise Violation("a sample begins in the middle of a picture")
    if begun != 1:
        raise Violation(f"a sample holds {begun} pictures")


def _units(sample: bytes) -> Iterator[bytes]:
    parser = Bytes(sample, "a sample")
    while parser.left:
        unit = parser.take(parser.number(4))
        if not unit:
            raise Violation("a sample holds an empty unit")
        yield unit


def sound_header(config: bytes) -> None:
    """Prove that the header of sound says what kind it is and no more. Raises Violation."""
    parser = Bytes(config, "esds")
    parser.must_be(bytes(4), "version and flags")
    parser.must_be(b"\3", "tag")
    if parser.number(1) != parser.left:
        raise Violation("esds: its descriptor does not fill it")
    parser.must_be(bytes(3) + b"\4", "stream")
    decoder = Bytes(parser.take(parser.number(1)), "esds")
    decoder.must_be(b"\x40\x15" + bytes(11) + b"\5", "decoder")
    length = decoder.number(1)
    if not 2 <= length <= _MAX_ASC or length != decoder.left:
        raise Violation("esds: the decoder's own header is too long")
    parser.must_be(b"\6\1\2", "layer")
    parser.must_end()


def sound(sample: bytes) -> None:
    """Prove that a packet of AAC does not begin with something else than sound. Raises Violation."""
    if sample[0] >> 5 in (_FILL, _DATA):
        raise Violation("a packet of sound begins with something else")
