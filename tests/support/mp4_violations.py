"""More violations: in the boxes and tables of a released clip, and in its sound.

What cannot be seen from outside is repaired: lengths and tables agree.
"""

import struct
from collections.abc import Callable, Sequence

from tests.support.h264_violations import TEXT
from tests.support.surgery import Box, operated, patched, taken_apart, together
from tests.support.violations import (
    FULL,
    GPS,
    STBL,
    Operation,
    offset_chunks,
    runs_of_durations,
    sizes,
    step_of,
)

MVHD, MDHD, TKHD = (b"moov", b"mvhd"), (b"moov", b"trak", b"mdia", b"mdhd"), (b"moov", b"trak", b"tkhd")
MP4_FORGERIES: dict[str, Operation] = {}


def add(what: str, change: Callable[[Box], None]) -> None:
    assert what not in MP4_FORGERIES
    MP4_FORGERIES[what] = operated(change)


# --- boxes ----------------------------------------------------------------------------------------------


def patch(path: Sequence[bytes], offset: int, content: bytes) -> Callable[[Box], None]:
    return lambda file: patched(file.find(*path), offset, content)


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def set_timescale(file: Box, path: Sequence[bytes]) -> None:
    patched(file.find(*path), 12, u32(20_261_124))


@operated
def dated(file: Box) -> None:
    set_timescale(file, MVHD)
    set_timescale(file, MDHD)


MP4_FORGERIES["the timescale is a date"] = dated
add("the film's timescale is a date", lambda file: set_timescale(file, MVHD))
add("the media's timescale is a date", lambda file: set_timescale(file, MDHD))
for what, path, offset, content in (
    ("the next track", MVHD, 96, b"\0\0\0\3"),
    ("the film's rate", MVHD, 20, b"\0\2\0\0"),
    ("the film's volume", MVHD, 24, b"\0\1"),
    ("the film's length", MVHD, 16, b"Anna"),
    ("version 1", MVHD, 0, b"\1"),
    ("flags of the film", MVHD, 1, b"GPS"),
    ("the track's number", TKHD, 12, b"\0\0\0\2"),
    ("the track's length", TKHD, 20, b"\0\1\0\0"),
    ("the track's layer", TKHD, 32, b"\0\1"),
    ("the track's group", TKHD, 34, b"\0\7"),
    ("the track's volume", TKHD, 36, b"\1\0"),
    ("a matrix of another size", TKHD, 40, b"\0\2\0\0"),
    ("a width with a fraction", TKHD, 78, b"\0\1"),
    ("another width of the track", TKHD, 76, struct.pack(">I", 336 << 16)),
    ("another height of the track", TKHD, 80, struct.pack(">I", 176 << 16)),
    ("no width", TKHD, 76, bytes(4)),
    ("the media's length", MDHD, 16, b"\0\1\0\0"),
    ("a quality of the media", MDHD, 22, b"\0\1"),
    ("changed, in the film's header", MVHD, 8, u32(3_872_000_000)),
    ("changed, in the media's header", MDHD, 8, u32(3_872_000_000)),
    ("a kind of handler", (b"moov", b"trak", b"mdia", b"hdlr"), 4, b"mhlr"),
    ("a colour of the pictures' mode", (b"moov", b"trak", b"mdia", b"minf", b"vmhd"), 6, b"RGBRGB"),
    ("no flag of the pictures' mode", (b"moov", b"trak", b"mdia", b"minf", b"vmhd"), 3, b"\0"),
    ("media elsewhere", (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), 19, b"\0"),
    ("a vendor", (*STBL, b"stsd"), 16 + 8 + 4, b"Anna"),
    ("quality", (*STBL, b"stsd"), 16 + 8 + 8, b"\0\0\1\0"),
    ("another width of the entry", (*STBL, b"stsd"), 16 + 24, b"\1\x50"),
    ("another resolution", (*STBL, b"stsd"), 16 + 28, b"\0\x49"),
    ("two pictures a sample", (*STBL, b"stsd"), 16 + 40, b"\0\2"),
    ("another depth", (*STBL, b"stsd"), 16 + 74, b"\0\x20"),
    ("another data reference", (*STBL, b"stsd"), 16 + 6, b"\0\2"),
    ("lengths of two bytes", (*STBL, b"stsd"), 16 + 78 + 8 + 4, b"\xfd"),
    ("reserved bits of avcC", (*STBL, b"stsd"), 16 + 78 + 8 + 5, b"\x01"),
    ("another profile in avcC", (*STBL, b"stsd"), 16 + 78 + 8 + 1, b"M"),
    ("another first chunk", (*STBL, b"stsc"), 8, u32(2)),
    ("another entry of the chunk", (*STBL, b"stsc"), 16, u32(2)),
    ("fewer samples in the chunk", (*STBL, b"stsc"), 12, u32(44)),
    ("the first picture elsewhere", (*STBL, b"stco"), 8, u32(60)),
    ("a common size", (*STBL, b"stsz"), 4, u32(100)),
    ("a larger first picture", (*STBL, b"stsz"), 12, u32(1 << 20)),
    ("a picture of nothing", (*STBL, b"stsz"), 12, u32(0)),
    ("one keyframe at another picture", (*STBL, b"stss"), 12, u32(32)),
    ("an order of keyframes", (*STBL, b"stss"), 8, u32(31) + u32(1)),
    ("flags of a table", (*STBL, b"stts"), 1, b"GPS"),
):
    add(f"{what} changed", patch(path, offset, content))
add(
    "durations spell a text",
    lambda file: runs_of_durations(file, [(1, 6000 + byte) for byte in (GPS * 3)[:45]]),
)
add(
    "durations of whole steps spell a text",
    lambda file: runs_of_durations(file, [(1, 6000 * (byte % 8 + 1)) for byte in (GPS * 3)[:45]]),
)
add(
    "one run of durations as two",
    lambda file: runs_of_durations(file, [(20, step_of(file)), (25, step_of(file))]),
)
add("a text as duration", lambda file: runs_of_durations(file, [(45, TEXT >> 8)]))
add("pictures in no time", lambda file: runs_of_durations(file, [(45, 1)]))


@operated
def two_chunks(file: Box) -> None:
    table = file.find(*STBL)
    begin = struct.unpack_from(">I", table.find(b"stco").content, 8)[0]
    table.find(b"stsc").content = FULL + struct.pack(">I6I", 2, 1, 20, 1, 2, 25, 1)
    table.find(b"stco").content = FULL + struct.pack(">III", 2, begin, begin + sum(sizes(file)[:20]))


MP4_FORGERIES["two chunks"] = two_chunks


@operated
def offsets_of_zero(file: Box) -> None:
    file.find(*STBL).inner.insert(2, Box(b"ctts", FULL + struct.pack(">III", 1, 45, 0)))


MP4_FORGERIES["offsets from decoding to showing"] = offsets_of_zero


def inserted(path: Sequence[bytes], index: int, box: Box, shift: int = 0) -> Callable[[Box], None]:
    def change(file: Box) -> None:
        outer = file.find(*path) if path else file
        outer.inner.insert(index, box)
        if shift:
            offset_chunks(file, shift)

    return change


ELST = FULL + u32(1) + u32(90_000) + u32(6000) + u32(1 << 16)
INSERTED: tuple[tuple[str, tuple[bytes, ...], int, Box], ...] = (
    ("an edit list", (b"moov", b"trak"), 1, Box(b"edts", Box(b"elst", ELST).written())),
    ("an object descriptor", (b"moov",), 1, Box(b"iods", FULL + GPS)),
    ("a reference between tracks", (b"moov", b"trak"), 1, Box(b"tref", Box(b"cdsc", u32(1)).written())),
    ("an aperture", (b"moov", b"trak"), 1, Box(b"tapt", GPS)),
    ("a longer language", (b"moov", b"trak", b"mdia"), 1, Box(b"elng", FULL + b"en-GB\0")),
    ("a header of nothing", (b"moov", b"trak", b"mdia", b"minf"), 0, Box(b"nmhd", FULL)),
    ("dependent samples", (*STBL,), 2, Box(b"sdtp", FULL + bytes(45))),
    ("shadow keyframes", (*STBL,), 3, Box(b"stsh", FULL + u32(0))),
    ("degradation", (*STBL,), 6, Box(b"stdp", FULL + bytes(90))),
    ("padding bits", (*STBL,), 6, Box(b"padb", FULL + u32(0))),
    ("a group's description", (*STBL,), 6, Box(b"sgpd", FULL + b"roll" + u32(0))),
    ("auxiliary information", (*STBL,), 6, Box(b"saiz", FULL + GPS)),
    ("fragments to come", (b"moov",), 2, Box(b"mvex", Box(b"trex", FULL + u32(1) * 5).written())),
    ("an index of segments", (), 2, Box(b"sidx", FULL + GPS)),
    ("a fragment behind", (), 3, Box(b"moof", Box(b"mfhd", FULL + u32(1)).written())),
    ("producer's time", (), 3, Box(b"prft", FULL + GPS)),
    ("a second mdat", (), 3, Box(b"mdat", GPS)),
    ("a preview", (), 3, Box(b"pnot", GPS)),
    ("a box of zeros", (), 3, Box(bytes(4), GPS)),
)
for what, place, index, box in INSERTED:
    add(what, inserted(place, index, box))
add("a wide box in front of mdat", inserted((), 1, Box(b"wide"), shift=8))
add("tables in another order", lambda file: file.find(*STBL).inner.reverse())
add("the header behind the track", lambda file: file.find(b"moov").inner.reverse())


@operated
def extended(file: Box) -> None:
    """Put a box for the shape of pixels behind avcC."""
    entry = file.find(*STBL, b"stsd")
    entry.content += Box(b"pasp", u32(1) + u32(1)).written()
    patched(entry, 8, u32(len(entry.content) - 8))


MP4_FORGERIES["a pixel's shape in the sample entry"] = extended


@operated
def long_mdat(file: Box) -> None:
    """Write the length of mdat as 64 bits."""
    mdat = file.find(b"mdat")
    mdat.content = struct.pack(">Q", len(mdat.content) + 16) + mdat.content
    offset_chunks(file, 8)


def with_64_bits(data: bytes) -> bytes:
    changed = long_mdat(data)
    at = changed.index(b"mdat") - 4
    return changed[:at] + u32(1) + changed[at + 4 :]


MP4_FORGERIES["a length of 64 bits"] = with_64_bits
MP4_FORGERIES["a box up to the end"] = lambda data: (
    data[: data.rindex(b"moov") - 4] + bytes(4) + data[data.rindex(b"moov") :]
)


# --- sound ----------------------------------------------------------------------------------------------

SOUND_FORGERIES: dict[str, Operation] = {}


def sound_table(file: Box, *path: bytes) -> Box:
    return file.find(b"moov").inner[2].find(*path)


def sounding(what: str) -> Callable[[Callable[[Box], None]], None]:
    def keep(change: Callable[[Box], None]) -> None:
        SOUND_FORGERIES[what] = operated(change)

    return keep


SSTBL = (b"mdia", b"minf", b"stbl")
for what, inner, offset, content in (
    ("stereo", (*SSTBL, b"stsd"), 16 + 16, b"\0\2"),
    ("eight bits", (*SSTBL, b"stsd"), 16 + 18, b"\0\x08"),
    ("another rate", (*SSTBL, b"stsd"), 16 + 24, b"\x1f\x40"),
    ("a fraction of the rate", (*SSTBL, b"stsd"), 16 + 26, b"\0\1"),
    ("a packet's size", (*SSTBL, b"stsd"), 16 + 22, b"\0\1"),
    ("a vendor of sound", (*SSTBL, b"stsd"), 16 + 12, b"Anna"),
    ("another codec", (*SSTBL, b"stsd"), 12, b"twos"),
    ("packets of AAC", (*SSTBL, b"stsd"), 12, b"mp4a"),
    ("a longer duration", (*SSTBL, b"stts"), 12, u32(2)),
    ("fewer samples", (*SSTBL, b"stts"), 8, u32(1000)),
    ("samples of four bytes", (*SSTBL, b"stsz"), 4, u32(4)),
    ("another place", (*SSTBL, b"stco"), 8, u32(40)),
    ("a balance", (b"mdia", b"minf", b"smhd"), 4, b"\0\1"),
    ("no volume", (b"tkhd",), 36, b"\0\0"),
    ("a width", (b"tkhd",), 76, struct.pack(">I", 16 << 16)),
    ("a timescale", (b"mdia", b"mdhd"), 12, u32(48_000)),
    ("a language", (b"mdia", b"mdhd"), 20, b"\x15\xc7"),
    ("a name", (b"mdia", b"hdlr"), 24, b"A"),
):
    SOUND_FORGERIES[what] = operated(
        lambda file, inner=inner, offset=offset, content=content: patched(  # type: ignore[misc]
            sound_table(file, *inner), offset, content
        )
    )


@sounding("one sample more than the pictures last")
def _(file: Box) -> None:
    more_sound(file, b"An")


@sounding("a text as sound behind the pictures")
def _(file: Box) -> None:
    more_sound(file, GPS)


def more_sound(file: Box, text: bytes) -> None:
    file.find(b"mdat").content += text
    samples = struct.unpack_from(">I", sound_table(file, *SSTBL, b"stts").content, 8)[0] + len(text) // 2
    for kind, offset in ((b"stts", 8), (b"stsz", 8), (b"stsc", 12)):
        patched(sound_table(file, *SSTBL, kind), offset, u32(samples))
    patched(sound_table(file, b"mdia", b"mdhd"), 16, u32(samples))
    patched(sound_table(file, b"tkhd"), 20, u32(samples * 45 // 8))


@sounding("bytes between pictures and sound")
def _(file: Box) -> None:
    count = sum(sizes(file))
    mdat = file.find(b"mdat")
    mdat.content = mdat.content[:count] + GPS + mdat.content[count:]
    table = sound_table(file, *SSTBL, b"stco")
    patched(table, 8, u32(struct.unpack_from(">I", table.content, 8)[0] + len(GPS)))


@sounding("a second track of sound")
def _(file: Box) -> None:
    moov = file.find(b"moov")
    moov.inner.append(taken_apart(together(file)).find(b"moov").inner[2])


@sounding("sound in front of the pictures")
def _(file: Box) -> None:
    moov = file.find(b"moov")
    moov.inner[1], moov.inner[2] = moov.inner[2], moov.inner[1]
