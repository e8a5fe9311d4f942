"""The auditor's own reading of an MP4: every byte of it has one value that it may have, or is counted.

Written from ISO/IEC 14496-12, not from the writer. What can differ between two clips is the picture's size, the number
of pictures, how long each of them is shown, the length of each, the parameter sets, and whether there is sound.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class Violation(Exception):
    """A promise that is not proved; the message is a sentence."""


@dataclass(slots=True)
class Bytes:
    """A stretch of bytes that has to be read to its end."""

    data: bytes
    what: str
    offset: int = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raises Violation if there are too few."""
        if size < 0 or self.offset + size > len(self.data):
            raise Violation(f"{self.what} is cut short")
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def number(self, size: int = 4) -> int:
        """Return the next big-endian number."""
        return int.from_bytes(self.take(size), "big")

    def must_be(self, value: bytes, name: str) -> None:
        """Take bytes that can only be these."""
        found = self.take(len(value))
        if found != value:
            raise Violation(f"{self.what}: {name} is {found.hex()}, it must be {value.hex()}")

    def must_count(self, value: int, name: str, size: int = 4) -> None:
        """Take a number that can only be this."""
        found = self.number(size)
        if found != value:
            raise Violation(f"{self.what}: {name} is {found}, it must be {value}")

    def must_end(self) -> None:
        """Raise Violation if something is left over."""
        if self.offset != len(self.data):
            raise Violation(f"{self.what} has {len(self.data) - self.offset} bytes too many")


@dataclass(slots=True)
class AuditedFile:
    """What a parsed file says. Places are bytes from its beginning."""

    size: int
    media: tuple[int, int] = (0, 0)
    width_px: int = 0
    height_px: int = 0
    frames: int = 0
    step_ticks: int = 0
    """How long each picture is shown; VIDEO_TICKS are a second."""
    keys: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes of each picture."""
    sps: bytes = b""
    pps: bytes = b""
    sound_samples: int = 0
    boxes: list[str] = field(default_factory=list)

    @property
    def length_ticks(self) -> int:
        """How long all pictures are shown."""
        return self.frames * self.step_ticks

    def pictures(self) -> Iterator[tuple[int, int]]:
        """Yield where each picture begins and ends."""
        begin = self.media[0]
        for size in self.sizes:
            yield begin, begin + size
            begin += size


VIDEO_TICKS = 90_000
SOUND_HZ = 16_000
MIN_STEP_TICKS, MAX_STEP_TICKS = 90, 900_000
"""A millisecond; ten seconds."""
_SOUND_BYTES = 2
_MACROBLOCK_PX = 16
_MAX_SET_BYTES = 64
_FTYP = b"isom" + (512).to_bytes(4, "big") + b"isom" + b"iso6" + b"mp41"
_UNITY = b"".join(value.to_bytes(4, "big") for value in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
_NO_TIMES = bytes(8)
_MAX_MOOV_BYTES = 64_000_000


def read_file(data: Callable[[int, int], bytes], size: int) -> AuditedFile:
    """Read a file's boxes; `data` returns the bytes from one place to another. Raises Violation."""
    file = AuditedFile(size=size)
    ftyp_end = _top(data, 0, b"ftyp", file)
    ftyp = Bytes(data(8, ftyp_end), "ftyp")
    ftyp.must_be(_FTYP, "its content")
    ftyp.must_end()
    mdat_end = _top(data, ftyp_end, b"mdat", file)
    file.media = ftyp_end + 8, mdat_end
    moov_end = _top(data, mdat_end, b"moov", file)
    if moov_end - mdat_end > _MAX_MOOV_BYTES:
        raise Violation("box moov is larger than that of any clip")
    _moov(Bytes(data(mdat_end + 8, moov_end), "moov"), file)
    if moov_end != size:
        raise Violation(f"{size - moov_end} bytes lie behind the last box")
    return file


def _top(data: Callable[[int, int], bytes], offset: int, kind: bytes, file: AuditedFile) -> int:
    head = data(offset, min(offset + 8, file.size))
    if len(head) < 8 or head[4:] != kind:
        found = f"box {_name(head[4:])}" if len(head) == 8 else f"{len(head)} bytes"
        raise Violation(f"{found} at byte {offset}, where box {_name(kind)} must be")
    length = int.from_bytes(head[:4], "big")
    if length < 8 or offset + length > file.size:
        raise Violation(f"box {_name(kind)} says that it has {length} bytes; the file does not")
    file.boxes.append(_name(kind))
    return offset + length


def _name(kind: bytes) -> str:
    return kind.decode() if kind.isascii() and kind.decode("ascii").isprintable() else kind.hex()


@contextmanager
def _box(
    outer: Bytes, kind: bytes, file: AuditedFile, *, full: bool = True, flags: int = 0
) -> Iterator[Bytes]:
    """Open the next box, which must be of a kind, and demand that it is read to its end."""
    if outer.offset == len(outer.data):
        raise Violation(f"box {outer.what}/{_name(kind)} is missing")
    length, found = outer.number(), outer.take(4)
    if found != kind:
        raise Violation(f"box {outer.what}/{_name(found)} is where box {_name(kind)} must be")
    box = Bytes(outer.take(length - 8), f"{outer.what}/{_name(kind)}")
    file.boxes.append(box.what)
    if full:
        box.must_count(flags, "version and flags")
    yield box
    box.must_end()


def _moov(moov: Bytes, file: AuditedFile) -> None:
    with _box(moov, b"mvhd", file) as mvhd:
        mvhd.must_be(_NO_TIMES, "when it was made")
        mvhd.must_count(VIDEO_TICKS, "timescale")
        length = mvhd.number()
        mvhd.must_be(b"\0\1\0\0\1\0" + bytes(10) + _UNITY + bytes(24), "rate, volume and matrix")
        next_track = mvhd.number()
    tracks = 1
    _video(moov, file)
    if moov.offset < len(moov.data):
        tracks = 2
        _sound(moov, file)
    moov.must_end()
    if length != file.length_ticks:
        raise Violation(f"moov/mvhd: length is {length}, that of the pictures is {file.length_ticks}")
    if next_track != tracks + 1:
        raise Violation(f"moov/mvhd: next track is {next_track}, it must be {tracks + 1}")
    media = file.media[1] - file.media[0]
    samples = sum(file.sizes) + file.sound_samples * _SOUND_BYTES
    if media != samples:
        raise Violation(f"mdat has {media} bytes, and the samples {samples}: {abs(media - samples)} differ")


def _video(moov: Bytes, file: AuditedFile) -> None:
    with _box(moov, b"trak", file, full=False) as trak:
        length, width, height = _tkhd(trak, file, 1, bytes(2))
        if width & 0xFFFF or height & 0xFFFF:
            raise Violation("moov/trak/tkhd: width or height is not a whole number")
        file.width_px, file.height_px = width >> 16, height >> 16
        if not width or not height or file.width_px % _MACROBLOCK_PX or file.height_px % _MACROBLOCK_PX:
            raise Violation(
                f"moov/trak/tkhd: {file.width_px} x {file.height_px} pixels are not whole macroblocks of 16"
            )
        with _media(trak, file, VIDEO_TICKS, b"vide") as (media_length, minf):
            with _box(minf, b"vmhd", file, flags=1) as vmhd:
                vmhd.must_be(bytes(8), "mode and colour")
            _dinf(minf, file)
            with _box(minf, b"stbl", file, full=False) as stbl:
                _video_tables(stbl, file)
    if length != file.length_ticks or media_length != file.length_ticks:
        raise Violation("moov/trak: a length is not that of the pictures")


def _video_tables(stbl: Bytes, file: AuditedFile) -> None:
    with _box(stbl, b"stsd", file) as stsd:
        stsd.must_count(1, "number of sample entries")
        with _box(stsd, b"avc1", file, full=False) as avc1:
            avc1.must_be(bytes(6) + b"\0\1" + bytes(16), "reserved fields")
            avc1.must_count(file.width_px, "width", 2)
            avc1.must_count(file.height_px, "height", 2)
            fixed = b"\0\x48\0\0\0\x48\0\0" + bytes(4) + b"\0\1" + bytes(32) + b"\0\x18\xff\xff"
            avc1.must_be(fixed, "resolution, name and depth")
            with _box(avc1, b"avcC", file, full=False) as avcc:
                _parameter_sets(avcc, file)
    with _box(stbl, b"stts", file) as stts:
        stts.must_count(1, "number of durations (all pictures are shown equally long)")
        file.frames, file.step_ticks = stts.number(), stts.number()
        if not file.frames or not MIN_STEP_TICKS <= file.step_ticks <= MAX_STEP_TICKS:
            raise Violation(f"{stts.what}: {file.frames} pictures of {file.step_ticks} ticks each")
    with _box(stbl, b"stss", file) as stss:
        file.keys = [stss.number() for _ in range(stss.number())]
    _chunk(stbl, file, file.frames)
    with _box(stbl, b"stsz", file) as stsz:
        stsz.must_count(0, "common size")
        stsz.must_count(file.frames, "number of samples")
        file.sizes = [stsz.number() for _ in range(file.frames)]
    with _box(stbl, b"stco", file) as stco:
        stco.must_count(1, "number of chunks")
        stco.must_count(file.media[0], "place of the first picture")


def _parameter_sets(avcc: Bytes, file: AuditedFile) -> None:
    avcc.must_be(b"\1", "version")
    profile = avcc.take(3)
    avcc.must_be(b"\xff", "length of lengths")
    for count, name in ((b"\xe1", "SPS"), (b"\1", "PPS")):
        avcc.must_be(count, f"number of {name}")
        length = avcc.number(2)
        if not 0 < length <= _MAX_SET_BYTES:
            raise Violation(f"{avcc.what}: {name} has {length} bytes")
        if name == "SPS":
            file.sps = avcc.take(length)
        else:
            file.pps = avcc.take(length)
    if file.sps[1:4] != profile:
        raise Violation(f"{avcc.what}: its profile is not that of its parameter set")


def _sound(moov: Bytes, file: AuditedFile) -> None:
    expected = file.length_ticks * SOUND_HZ // VIDEO_TICKS
    with _box(moov, b"trak", file, full=False) as trak:
        length, width, height = _tkhd(trak, file, 2, b"\1\0")
        if width or height:
            raise Violation("moov/trak/tkhd: sound has a width or height")
        with _media(trak, file, SOUND_HZ, b"soun") as (media_length, minf):
            with _box(minf, b"smhd", file) as smhd:
                smhd.must_be(bytes(4), "balance")
            _dinf(minf, file)
            with _box(minf, b"stbl", file, full=False) as stbl:
                _sound_tables(stbl, file, expected)
    if media_length != expected or length != expected * VIDEO_TICKS // SOUND_HZ:
        raise Violation("moov/trak: a length is not that of the sound")


def _sound_tables(stbl: Bytes, file: AuditedFile, expected: int) -> None:
    with _box(stbl, b"stsd", file) as stsd:
        stsd.must_count(1, "number of sample entries")
        with _box(stsd, b"sowt", file, full=False) as sowt:
            sowt.must_be(bytes(6) + b"\0\1" + bytes(8), "reserved fields")
            sowt.must_be(b"\0\1\0\x10" + bytes(4), "channels and bits of a sample")
            sowt.must_count(SOUND_HZ << 16, "rate")
    with _box(stbl, b"stts", file) as stts:
        stts.must_count(1, "number of durations")
        # As long as the pictures, to the sample.
        stts.must_count(expected, "number of samples")
        stts.must_count(1, "duration of a sample")
    _chunk(stbl, file, expected)
    with _box(stbl, b"stsz", file) as stsz:
        stsz.must_count(_SOUND_BYTES, "size of a sample")
        stsz.must_count(expected, "number of samples")
    with _box(stbl, b"stco", file) as stco:
        stco.must_count(1, "number of chunks")
        stco.must_count(file.media[0] + sum(file.sizes), "place of the sound")
    file.sound_samples = expected


def _tkhd(trak: Bytes, file: AuditedFile, number: int, volume: bytes) -> tuple[int, int, int]:
    """Return length, width and height as the track's header has them."""
    with _box(trak, b"tkhd", file, flags=3) as tkhd:
        tkhd.must_be(_NO_TIMES, "when it was made")
        tkhd.must_count(number, "number of the track")
        tkhd.must_be(bytes(4), "a reserved field")
        length = tkhd.number()
        tkhd.must_be(bytes(12), "reserved fields, layer and group")
        tkhd.must_be(volume + bytes(2) + _UNITY, "volume and matrix")
        return length, tkhd.number(), tkhd.number()


@contextmanager
def _media(trak: Bytes, file: AuditedFile, ticks: int, kind: bytes) -> Iterator[tuple[int, Bytes]]:
    """Open a track's media; yield its length and the box that has its tables."""
    with _box(trak, b"mdia", file, full=False) as mdia:
        with _box(mdia, b"mdhd", file) as mdhd:
            mdhd.must_be(_NO_TIMES, "when it was made")
            mdhd.must_count(ticks, "timescale")
            length = mdhd.number()
            mdhd.must_be(b"\x55\xc4\0\0", "language")
        with _box(mdia, b"hdlr", file) as hdlr:
            hdlr.must_be(bytes(4) + kind + bytes(12), "kind of the track")
            hdlr.must_be(b"\0", "name")
        with _box(mdia, b"minf", file, full=False) as minf:
            yield length, minf


def _dinf(minf: Bytes, file: AuditedFile) -> None:
    with _box(minf, b"dinf", file, full=False) as dinf, _box(dinf, b"dref", file) as dref:
        dref.must_be(b"\0\0\0\1" + b"\0\0\0\x0curl \0\0\0\1", "location of the media")


def _chunk(stbl: Bytes, file: AuditedFile, samples: int) -> None:
    with _box(stbl, b"stsc", file) as stsc:
        for value, name in ((1, "number of runs"), (1, "first chunk"), (samples, "samples"), (1, "entry")):
            stsc.must_count(value, name)
