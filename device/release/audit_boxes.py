"""The auditor's own reading of an MP4: a box that is not listed, or not as listed, is a violation.

Written from ISO/IEC 14496-12, not from the writer: every byte of the file is accounted for, every field that
could hold something else has one value that it may have.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


class Violation(Exception):
    """A promise that is not proved; the message is a sentence."""


@dataclass(slots=True)
class Bytes:
    """A stretch of bytes that has to be read to its end."""

    data: bytes
    what: str
    offset: int = 0

    def number(self, size: int, *, signed: bool = False) -> int:
        """Return the next big-endian number."""
        return int.from_bytes(self.take(size), "big", signed=signed)

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raises Violation if there are too few."""
        if size < 0 or self.offset + size > len(self.data):
            raise Violation(f"{self.what} is cut short")
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def must_be(self, value: bytes, of_what: str) -> None:
        """Take bytes that can only be these."""
        found = self.take(len(value))
        if found != value:
            raise Violation(f"{self.what}: {of_what} is {found.hex()}, it must be {value.hex()}")

    def must_end(self) -> None:
        """Raise Violation if something is left over."""
        if self.offset != len(self.data):
            raise Violation(f"{self.what} has {len(self.data) - self.offset} bytes too many")

    @property
    def left(self) -> int:
        """How many bytes are still to be read."""
        return len(self.data) - self.offset


@dataclass(slots=True)
class AuditedTrack:
    """The tables of one track."""

    number: int = 0
    handler: bytes = b""
    ticks: int = 0
    length: int = 0
    movie_length: int = 0
    codec: str = ""
    config: bytes = b""
    width_px: int = 0
    height_px: int = 0
    durations: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    keys: list[int] | None = None
    sizes: list[int] = field(default_factory=list)
    chunk_runs: list[tuple[int, int, int]] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)

    @property
    def is_video(self) -> bool:
        """Whether it holds pictures."""
        return self.handler == b"vide"

    def samples(self) -> Iterator[tuple[int, int]]:
        """Yield where each sample begins and how long it is. Raises Violation if the tables disagree."""
        if not self.chunk_runs or self.chunk_runs[0][0] != 1:
            raise Violation("stsc does not begin with the first chunk")
        firsts = [run[0] for run in self.chunk_runs]
        if firsts != sorted(set(firsts)) or firsts[-1] > len(self.chunks):
            raise Violation("stsc names chunks that are out of order, or that do not exist")
        sizes = iter(self.sizes)
        run = 0
        for chunk, begin in enumerate(self.chunks, 1):
            if run + 1 < len(self.chunk_runs) and self.chunk_runs[run + 1][0] == chunk:
                run += 1
            _, count, description = self.chunk_runs[run]
            if description != 1 or not count:
                raise Violation("stsc names another sample entry, or an empty chunk")
            for _ in range(count):
                size = next(sizes, None)
                if not size:
                    raise Violation("the chunks hold more samples than there are sizes, or an empty one")
                yield begin, size
                begin += size  # noqa: PLW2901  (the next sample follows this one)
        if next(sizes, None) is not None:
            raise Violation("there are sizes of samples that lie in no chunk")


@dataclass(slots=True)
class AuditedFile:
    """A parsed file: the tracks, the range of the media, and every box's path in order."""

    size: int
    media: tuple[int, int] = (0, 0)
    movie_ticks: int = 0
    movie_length: int = 0
    next_track: int = 0
    tracks: list[AuditedTrack] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)


_FTYP = b"isom" + (512).to_bytes(4, "big") + b"isom" + b"iso6" + b"mp41"
_UNITY = b"".join(value.to_bytes(4, "big") for value in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
_NO_TIMES = bytes(8)
_DREF = bytes(4) + b"\0\0\0\1" + b"\0\0\0\x0curl \0\0\0\1"
_MAX_MOOV = 64_000_000


def read_file(data: Callable[[int, int], bytes], size: int) -> AuditedFile:
    """Read a file's boxes; `data` returns the bytes from one place to another. Raises Violation."""
    file = AuditedFile(size=size)
    offset, kinds = 0, []
    while offset < size:
        head = data(offset, min(offset + 8, size))
        if len(head) < 8:
            raise Violation(f"{len(head)} bytes lie behind the last box")
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if length < 8 or offset + length > size:
            raise Violation(f"box {_name(kind)} says that it has {length} bytes; the file does not")
        kinds.append(kind)
        file.boxes.append(_name(kind))
        if kind == b"mdat":
            file.media = offset + 8, offset + length
        elif kind in (b"ftyp", b"moov"):
            if length > _MAX_MOOV:
                raise Violation(f"box {_name(kind)} is larger than any honest one")
            content = Bytes(data(offset + 8, offset + length), _name(kind))
            if kind == b"ftyp":
                content.must_be(_FTYP, "its content")
                content.must_end()
            else:
                _moov(content, file)
        offset += length
    if kinds != [b"ftyp", b"mdat", b"moov"]:
        raise Violation(
            f"the boxes are {', '.join(map(_name, kinds)) or 'none'}; they must be ftyp, mdat, moov"
        )
    return file


def _name(kind: bytes) -> str:
    return kind.decode("latin-1") if kind.isascii() and kind.decode("ascii").isprintable() else kind.hex()


def _children(inside: Bytes, file: AuditedFile) -> Iterator[tuple[bytes, Bytes]]:
    while inside.left:
        length, kind = inside.number(4), inside.take(4)
        path = f"{inside.what}/{_name(kind)}"
        file.boxes.append(path)
        yield kind, Bytes(inside.take(length - 8), path)


def _only(
    inside: Bytes, file: AuditedFile, kinds: Sequence[bytes], maybe: Sequence[bytes] = ()
) -> Iterator[tuple[bytes, Bytes]]:
    """Yield children of these kinds, in this order, each once (one of `maybe` may be missing), no other."""
    last = -1
    for kind, content in _children(inside, file):
        if kind not in kinds:
            raise Violation(f"box {content.what} is not one that may be there")
        index = kinds.index(kind)
        if index <= last:
            raise Violation(f"box {content.what} is there twice, or out of order")
        if missing := [name for name in kinds[last + 1 : index] if name not in maybe]:
            raise Violation(f"box {inside.what}/{_name(missing[0])} is missing")
        last = index
        yield kind, content
        content.must_end()
    if missing := [name for name in kinds[last + 1 :] if name not in maybe]:
        raise Violation(f"box {inside.what}/{_name(missing[0])} is missing")


def _full(content: Bytes, *, version: int = 0, flags: int = 0) -> Bytes:
    content.must_be((version << 24 | flags).to_bytes(4, "big"), "version and flags")
    return content


def _moov(moov: Bytes, file: AuditedFile) -> None:
    has_header = False
    for kind, content in _children(moov, file):
        if kind == b"mvhd" and not has_header and not file.tracks:
            has_header = True
            _full(content).must_be(_NO_TIMES, "when it was made")
            file.movie_ticks, file.movie_length = content.number(4), content.number(4)
            content.must_be(b"\0\1\0\0\1\0" + bytes(10) + _UNITY + bytes(24), "rate, volume and matrix")
            file.next_track = content.number(4)
        elif kind == b"trak" and has_header:
            track = AuditedTrack()
            file.tracks.append(track)
            for inner, part in _only(content, file, (b"tkhd", b"mdia")):
                _tkhd(part, track) if inner == b"tkhd" else _mdia(part, track, file)
        else:
            raise Violation(f"box {content.what} is not one that may be there")
        content.must_end()
    moov.must_end()


def _tkhd(content: Bytes, track: AuditedTrack) -> None:
    _full(content, flags=3).must_be(_NO_TIMES, "when it was made")
    track.number = content.number(4)
    content.must_be(bytes(4), "a reserved field")
    track.movie_length = content.number(4)
    content.must_be(bytes(8) + bytes(4), "reserved fields, layer and group")
    volume = content.take(2)
    content.must_be(bytes(2) + _UNITY, "matrix")
    width, height = content.number(4), content.number(4)
    if width & 0xFFFF or height & 0xFFFF:
        raise Violation(f"{content.what}: width or height is no whole number")
    track.width_px, track.height_px = width >> 16, height >> 16
    if volume != (b"\0\0" if track.width_px else b"\1\0"):
        raise Violation(f"{content.what}: volume is {volume.hex()}")


def _mdia(mdia: Bytes, track: AuditedTrack, file: AuditedFile) -> None:
    for kind, content in _only(mdia, file, (b"mdhd", b"hdlr", b"minf")):
        if kind == b"mdhd":
            _full(content).must_be(_NO_TIMES, "when it was made")
            track.ticks, track.length = content.number(4), content.number(4)
            content.must_be(b"\x55\xc4\0\0", "language")
        elif kind == b"hdlr":
            _full(content).must_be(bytes(4), "a reserved field")
            track.handler = content.take(4)
            if track.handler not in (b"vide", b"soun"):
                raise Violation(f"a track is of the kind {track.handler!r}: neither pictures nor sound")
            content.must_be(bytes(13), "name")
        else:
            head, fixed, flags = (b"vmhd", bytes(8), 1) if track.is_video else (b"smhd", bytes(4), 0)
            for inner, part in _only(content, file, (head, b"dinf", b"stbl")):
                if inner == head:
                    _full(part, flags=flags).must_be(fixed, "mode or balance")
                elif inner == b"dinf":
                    for _, dref in _only(part, file, (b"dref",)):
                        dref.must_be(_DREF, "location of the media")
                else:
                    _stbl(part, track, file)


def _stbl(stbl: Bytes, track: AuditedTrack, file: AuditedFile) -> None:
    kinds = (b"stsd", b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco")
    for kind, content in _only(stbl, file, kinds, (b"ctts", b"stss")):
        track.seen.add(kind)
        _full(content, version=1 if kind == b"ctts" else 0)
        if kind == b"stsd":
            content.must_be(b"\0\0\0\1", "number of sample entries")
            length, codec = content.number(4), content.take(4)
            _entry(Bytes(content.take(length - 8), f"{content.what}/{_name(codec)}"), codec, track, file)
            continue
        if kind == b"stsz":
            content.must_be(bytes(4), "common size")
        count = content.number(4)
        match kind:
            case b"stts" | b"ctts":
                values = track.durations if kind == b"stts" else track.offsets
                for _ in range(count):
                    repeat, value = content.number(4), content.number(4, signed=kind == b"ctts")
                    if not repeat or len(values) + repeat > _MAX_MOOV:
                        raise Violation(f"{content.what}: a run of {repeat} samples")
                    values += [value] * repeat
            case b"stsc":
                track.chunk_runs = [
                    (content.number(4), content.number(4), content.number(4)) for _ in range(count)
                ]
            case _:
                numbers = [content.number(4) for _ in range(count)]
                if kind == b"stsz":
                    track.sizes = numbers
                elif kind == b"stco":
                    track.chunks = numbers
                else:
                    track.keys = numbers


def _entry(content: Bytes, codec: bytes, track: AuditedTrack, file: AuditedFile) -> None:
    file.boxes.append(content.what)
    configs = {b"avc1": b"avcC", b"hvc1": b"hvcC"} if track.is_video else {b"mp4a": b"esds"}
    if codec not in configs:
        raise Violation(f"the codec {_name(codec)} is not one that may leave")
    content.must_be(bytes(6) + b"\0\1", "reserved fields")
    if track.is_video:
        content.must_be(bytes(16), "reserved fields")
        shape = content.number(2), content.number(2)
        if shape != (track.width_px, track.height_px):
            raise Violation(f"{content.what}: its size is not that of the track")
        fixed = b"\0\x48\0\0\0\x48\0\0" + bytes(4) + b"\0\1" + bytes(32) + b"\0\x18\xff\xff"
        content.must_be(fixed, "resolution, name and depth")
    else:
        content.must_be(bytes(8), "reserved fields")
        if content.number(2) not in (1, 2):
            raise Violation(f"{content.what}: neither mono nor stereo")
        content.must_be(b"\0\x10" + bytes(4), "sample size")
        content.take(2)  # the rate: whole Hertz, whatever they are
        content.must_be(bytes(2), "a fraction of the rate")
    for _, config in _only(content, file, (configs[codec],)):
        track.config = config.take(config.left)
    content.must_end()
    track.codec = codec.decode()
