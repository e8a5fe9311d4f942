"""Violations, planted one by one into a clip that would pass: each must be caught.

What is planted is made to look right wherever it can: lengths are put in order, tables agree.
"""

import struct
from collections.abc import Callable

from tests.support.surgery import Box, operated, patched, taken_apart, together

GPS = b"+48.8584+002.2945/"
FULL = bytes(4)

Operation = Callable[[bytes], bytes]
VIOLATIONS: dict[str, Operation] = {}


def planted(what: str) -> Callable[[Operation], Operation]:
    def keep(operation: Operation) -> Operation:
        VIOLATIONS[what] = operation
        return operation

    return keep


def on_boxes(what: str) -> Callable[[Callable[[Box], None]], Callable[[Box], None]]:
    def keep(change: Callable[[Box], None]) -> Callable[[Box], None]:
        VIOLATIONS[what] = operated(change)
        return change

    return keep


STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
SPS, PPS, SEI, AUD, FILLER, IDR = 7, 8, 6, 9, 12, 5


def sizes(file: Box) -> list[int]:
    content = file.find(*STBL, b"stsz").content
    return list(struct.unpack_from(f">{struct.unpack_from('>I', content, 8)[0]}I", content, 12))


def with_samples(file: Box, samples: list[bytes]) -> None:
    """Put other pictures into the one track of a file, tables and lengths with them."""
    table, trak = file.find(*STBL), file.find(b"moov", b"trak")
    count, step = len(samples), step_of(file)
    keys = range(1, count + 1, 30)
    table.find(b"stsz").content = FULL + struct.pack(f">II{count}I", 0, count, *map(len, samples))
    table.find(b"stts").content = FULL + struct.pack(">III", 1, count, step)
    table.find(b"stss").content = FULL + struct.pack(f">I{len(keys)}I", len(keys), *keys)
    table.find(b"stsc").content = FULL + struct.pack(">IIII", 1, 1, count, 1)
    file.find(b"mdat").content = b"".join(samples)
    lasting(trak, file, count * step)


def lasting(trak: Box, file: Box, ticks: int) -> None:
    """Say that a film lasts so long, wherever that is said."""
    patched(trak.find(b"mdia", b"mdhd"), 16, struct.pack(">I", ticks))
    patched(trak.find(b"tkhd"), 20, struct.pack(">I", ticks))
    patched(file.find(b"moov", b"mvhd"), 16, struct.pack(">I", ticks))


def step_of(file: Box) -> int:
    return int(struct.unpack_from(">I", file.find(*STBL, b"stts").content, 12)[0])


def samples_of(file: Box) -> list[bytes]:
    data, found, offset = file.find(b"mdat").content, [], 0
    for size in sizes(file):
        found.append(data[offset : offset + size])
        offset += size
    return found


def unit(kind: int, content: bytes) -> bytes:
    return struct.pack(">IB", len(content) + 1, kind | 0x60) + content


# --- boxes ------------------------------------------------------------------------------------------


@on_boxes("a udta box with a place")
def _(file: Box) -> None:
    file.find(b"moov").inner.append(Box(b"udta", Box(b"\xa9xyz", b"\0\x12\x15\xc7" + GPS).written()))


@on_boxes("a udta box in the track")
def _(file: Box) -> None:
    file.find(b"moov", b"trak").inner.append(Box(b"udta", b"x"))


@on_boxes("an empty udta box")
def _(file: Box) -> None:
    file.find(b"moov").inner.append(Box(b"udta"))


@on_boxes("a meta box")
def _(file: Box) -> None:
    file.find(b"moov").inner.append(Box(b"meta", FULL + b"Anna"))


@on_boxes("an XMP uuid box at the end")
def _(file: Box) -> None:
    file.inner.append(Box(b"uuid", bytes(16) + b"<x:xmpmeta>"))


@on_boxes("a free box at the end")
def _(file: Box) -> None:
    file.inner.append(Box(b"free", GPS))


@on_boxes("an empty free box")
def _(file: Box) -> None:
    file.inner.insert(1, Box(b"free"))
    offset_chunks(file, 8)


def offset_chunks(file: Box, by: int) -> None:
    table = file.find(*STBL, b"stco")
    count = struct.unpack_from(">I", table.content, 4)[0]
    offsets = struct.unpack_from(f">{count}I", table.content, 8)
    table.content = table.content[:8] + struct.pack(f">{count}I", *(offset + by for offset in offsets))


@on_boxes("a skip box in front")
def _(file: Box) -> None:
    file.inner.insert(0, Box(b"skip", GPS))
    offset_chunks(file, 8 + len(GPS))


@on_boxes("a second moov")
def _(file: Box) -> None:
    file.inner.append(file.find(b"moov"))


@on_boxes("a second mdat that nothing points at")
def _(file: Box) -> None:
    file.inner.append(Box(b"mdat", GPS))


@on_boxes("fragments behind the film")
def _(file: Box) -> None:
    file.inner.append(Box(b"moof", Box(b"mfhd", FULL + b"\0\0\0\1").written()))


@on_boxes("an edit list that hides frames")
def _(file: Box) -> None:
    edits = FULL + struct.pack(">IIiI", 1, 90_000, 90_000, 0x10000)
    file.find(b"moov", b"trak").inner.insert(1, Box(b"edts", Box(b"elst", edits).written()))


@on_boxes("a second track")
def _(file: Box) -> None:
    moov = file.find(b"moov")
    other = taken_apart(together(file)).find(b"moov", b"trak")
    patched(other.find(b"tkhd"), 12, struct.pack(">I", 2))
    moov.inner.append(other)
    patched(moov.find(b"mvhd"), 96, struct.pack(">I", 3))


@on_boxes("a track of timed text")
def _(file: Box) -> None:
    moov = file.find(b"moov")
    other = taken_apart(together(file)).find(b"moov", b"trak")
    patched(other.find(b"tkhd"), 12, struct.pack(">I", 2))
    patched(other.find(b"mdia", b"hdlr"), 8, b"text")
    moov.inner.append(other)
    patched(moov.find(b"mvhd"), 96, struct.pack(">I", 3))


@on_boxes("a colour box in the sample entry")
def _(file: Box) -> None:
    entry = file.find(*STBL, b"stsd")
    length = struct.unpack_from(">I", entry.content, 8)[0]
    extra = Box(b"colr", b"nclx" + bytes(7)).written()
    patched(entry, 8, struct.pack(">I", length + len(extra)))
    entry.content += extra


@on_boxes("two sample entries")
def _(file: Box) -> None:
    entry = file.find(*STBL, b"stsd")
    entry.content = FULL + struct.pack(">I", 2) + entry.content[8:] * 2


@on_boxes("a table of sample groups")
def _(file: Box) -> None:
    file.find(*STBL).inner.append(Box(b"sbgp", FULL + b"rolla" + bytes(3)))


@on_boxes("a table twice")
def _(file: Box) -> None:
    table = file.find(*STBL)
    table.inner.insert(1, table.find(b"stts"))


@on_boxes("a missing table")
def _(file: Box) -> None:
    table = file.find(*STBL)
    table.inner.remove(table.find(b"stsc"))


@on_boxes("bytes behind the entries of a table")
def _(file: Box) -> None:
    file.find(*STBL, b"stts").content += GPS


@planted("a trailing box")
def _(data: bytes) -> bytes:
    return data + Box(b"wide", GPS).written()


@planted("bytes behind the last box")
def _(data: bytes) -> bytes:
    return data + GPS


@planted("four bytes behind the last box")
def _(data: bytes) -> bytes:
    return data + b"gps!"


@planted("data between boxes")
def _(data: bytes) -> bytes:
    file = taken_apart(data)
    file.inner[1].content += GPS  # inside mdat, behind the last sample
    return together(file)


@on_boxes("data in front of the first sample")
def _(file: Box) -> None:
    file.find(b"mdat").content = GPS + file.find(b"mdat").content
    offset_chunks(file, len(GPS))


@planted("data between samples")
def _(data: bytes) -> bytes:
    file = taken_apart(data)
    first = sizes(file)[0]
    mdat, table = file.find(b"mdat"), file.find(*STBL)
    begin = struct.unpack_from(">I", table.find(b"stco").content, 8)[0]
    mdat.content = mdat.content[:first] + GPS + mdat.content[first:]
    count = len(sizes(file))
    table.find(b"stsc").content = FULL + struct.pack(">I6I", 2, 1, 1, 1, 2, count - 1, 1)
    table.find(b"stco").content = FULL + struct.pack(">III", 2, begin, begin + first + len(GPS))
    return together(file)


@planted("a box that is longer than the file")
def _(data: bytes) -> bytes:
    file = taken_apart(data)
    offset = len(data) - len(file.find(b"moov").written())
    return data[:offset] + struct.pack(">I", 1 << 30) + data[offset + 4 :]


@planted("a file that is cut short")
def _(data: bytes) -> bytes:
    return data[:-20]


# --- fields that could hold something else ----------------------------------------------------------


@on_boxes("when it was made, in the film's header")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"mvhd"), 4, struct.pack(">I", 3_872_000_000))


@on_boxes("when it was made, in the track's header")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"trak", b"tkhd"), 8, struct.pack(">I", 3_872_000_000))


@on_boxes("when it was made, in the media's header")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"trak", b"mdia", b"mdhd"), 4, struct.pack(">I", 3_872_000_000))


@on_boxes("a name in the handler")
def _(file: Box) -> None:
    file.find(b"moov", b"trak", b"mdia", b"hdlr").content = (
        file.find(b"moov", b"trak", b"mdia", b"hdlr").content[:-1] + b"Anna's door\0"
    )


@on_boxes("text in reserved fields of the handler")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"trak", b"mdia", b"hdlr"), 12, b"48.858,2.294")


@on_boxes("text in reserved fields of the film's header")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"mvhd"), 72, b"48.8584,2.2945 .")


@on_boxes("a language")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"trak", b"mdia", b"mdhd"), 20, b"\x11\xc7")


@on_boxes("a rotation")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"trak", b"tkhd"), 40, struct.pack(">I", 1))


@on_boxes("a name of the compressor")
def _(file: Box) -> None:
    patched(file.find(*STBL, b"stsd"), 8 + 8 + 42, b"\x0bAnna's door")


@on_boxes("media in another file")
def _(file: Box) -> None:
    file.find(b"moov", b"trak", b"mdia", b"minf", b"dinf").inner[0].content = (
        FULL + struct.pack(">I", 1) + Box(b"url ", FULL + b"https://x.example\0").written()
    )


@planted("another brand")
def _(data: bytes) -> bytes:
    return data[:8] + b"Anna" + data[12:]


@on_boxes("flags that no one reads")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"trak", b"tkhd"), 1, b"\x47\x50\x53")


# --- pictures and times -----------------------------------------------------------------------------


@on_boxes("an extra frame at the end")
def _(file: Box) -> None:
    samples = samples_of(file)
    with_samples(file, [*samples, samples[-1]])


@on_boxes("an extra frame in the middle")
def _(file: Box) -> None:
    samples = samples_of(file)
    with_samples(file, [*samples[:5], samples[4], *samples[5:]])


@on_boxes("a frame less")
def _(file: Box) -> None:
    with_samples(file, samples_of(file)[:-1])


@on_boxes("two pictures in one sample")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[-1] += samples[-2]
    with_samples(file, samples)


@on_boxes("an SEI with a GPS string")
def _(file: Box) -> None:
    samples = samples_of(file)
    text = bytes([5, 16 + len(GPS)]) + bytes(16) + GPS + b"\x80"
    samples[0] = unit(SEI, text) + samples[0]
    with_samples(file, samples)


@on_boxes("an SEI behind the picture")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[3] += unit(SEI, b"\x05\x01x\x80")
    with_samples(file, samples)


@on_boxes("filler")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[2] += unit(FILLER, b"\xff" * 40 + b"\x80")
    with_samples(file, samples)


@on_boxes("a delimiter")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[2] = unit(AUD, b"\xf0") + samples[2]
    with_samples(file, samples)


@on_boxes("a unit of an unknown type")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[1] += unit(30, GPS)
    with_samples(file, samples)


@on_boxes("parameter sets in a sample")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[0] = unit(PPS, b"\xee\x3c\x80") + samples[0]
    with_samples(file, samples)


@on_boxes("zeros behind a slice")
def _(file: Box) -> None:
    samples = samples_of(file)
    last = samples[-1]
    samples[-1] = struct.pack(">I", len(last) - 4 + 30) + last[4:] + bytes(30)
    with_samples(file, samples)


@on_boxes("cabac zero words behind a slice")
def _(file: Box) -> None:
    samples = samples_of(file)
    last = samples[-1]
    samples[-1] = struct.pack(">I", len(last) - 4 + 9) + last[4:] + b"\0\0\3" * 3
    with_samples(file, samples)


@on_boxes("an empty unit")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[1] += bytes(4)
    with_samples(file, samples)


@on_boxes("bytes behind the units of a sample")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[1] += b"gps"
    with_samples(file, samples)


@on_boxes("a beginning that needs earlier pictures")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[0] = samples[1]
    with_samples(file, samples)


@on_boxes("a parameter set with something behind it")
def _(file: Box) -> None:
    grow_avcc(file, 8, lambda sps: sps + GPS)


@on_boxes("a third kind of parameter set")
def _(file: Box) -> None:
    entry = file.find(*STBL, b"stsd")
    offset = entry.content.index(b"avcC")
    length = struct.unpack_from(">I", entry.content, offset - 4)[0]
    patched(entry, offset - 4, struct.pack(">I", length + len(GPS)))
    patched(entry, 8, struct.pack(">I", struct.unpack_from(">I", entry.content, 8)[0] + len(GPS)))
    entry.content += GPS


def grow_avcc(file: Box, at: int, change: Callable[[bytes], bytes]) -> None:
    entry = file.find(*STBL, b"stsd")
    offset = entry.content.index(b"avcC") + 4
    length = struct.unpack_from(">H", entry.content, offset + at - 2)[0]
    begin = offset + at
    old = entry.content[begin : begin + length]
    new = change(old)
    by = len(new) - len(old)
    entry.content = (
        entry.content[: begin - 2] + struct.pack(">H", len(new)) + new + entry.content[begin + length :]
    )
    for where in (8, offset - 8):
        patched(entry, where, struct.pack(">I", struct.unpack_from(">I", entry.content, where)[0] + by))


@on_boxes("a picture that is shown for longer")
def _(file: Box) -> None:
    runs_of_durations(file, [(len(sizes(file)) - 1, step_of(file)), (1, 900_000)])


def runs_of_durations(file: Box, runs: list[tuple[int, int]]) -> None:
    table = file.find(*STBL, b"stts")
    table.content = FULL + struct.pack(">I", len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)
    lasting(file.find(b"moov", b"trak"), file, sum(count * ticks for count, ticks in runs))


@on_boxes("a film that says that it is shorter than it is")
def _(file: Box) -> None:
    patched(file.find(b"moov", b"mvhd"), 16, struct.pack(">I", 90_000))


@on_boxes("a picture that is never shown")
def _(file: Box) -> None:
    table = file.find(*STBL)
    count = len(sizes(file))
    offsets = FULL[:0] + b"\1\0\0\0" + struct.pack(">IIiIi", 2, count - 1, 0, 1, 9_000_000)
    table.inner.insert(2, Box(b"ctts", offsets))


@on_boxes("two pictures at one time")
def _(file: Box) -> None:
    table = file.find(*STBL)
    count, step = len(sizes(file)), step_of(file)
    offsets = (
        b"\1\0\0\0" + struct.pack(">I", 2) + struct.pack(">Ii", count - 1, 0) + struct.pack(">Ii", 1, -step)
    )
    table.inner.insert(2, Box(b"ctts", offsets))


@on_boxes("keyframes that are not there")
def _(file: Box) -> None:
    file.find(*STBL, b"stss").content = FULL + struct.pack(">III", 2, 1, 100_000)


@on_boxes("a sample of nothing")
def _(file: Box) -> None:
    samples = samples_of(file)
    samples[1] = b""
    with_samples(file, samples)


@on_boxes("another codec")
def _(file: Box) -> None:
    entry = file.find(*STBL, b"stsd")
    entry.content = entry.content.replace(b"avc1", b"mjpg").replace(b"avcC", b"mjpC")


@on_boxes("a damaged picture")
def _(file: Box) -> None:
    mdat = file.find(b"mdat")
    first = sizes(file)[0]
    patched(mdat, first // 2, b"\xa5" * 60)
