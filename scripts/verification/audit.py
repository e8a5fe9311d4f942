"""`scripts/prove audit`: a released clip has no place for anything but its pictures and its sound.

Changes released clips at random, and audits each: bits and bytes of the whole file and of its headers, fields of the
tables, boxes and pictures that are inserted, removed, duplicated or exchanged, and bits in slices with every length
and table repaired. The doorbell's audit, which knows what the encoder made, must pass none. The audit of the file
alone, as a recipient can run it, passes some bits of macroblocks and of sound: both files are decoded, and those that
change nothing that is seen or heard are listed. They are other codings of the same picture, of which the decoder reads
every bit.
"""

import argparse
import random
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from device.release.audit import Promise, audit
from device.release.clip_cutter import cut
from tests.support.films import film, nothing, promise, wanted
from tests.support.h264_violations import H264_FORGERIES, bits_of, nal, unit_of
from tests.support.mp4_violations import MP4_FORGERIES, SOUND_FORGERIES
from tests.support.processes import shared
from tests.support.surgery import Box, taken_apart, together
from tests.support.violations import STBL, VIOLATIONS, samples_of, with_samples

Mutation = Callable[[bytes, random.Random], bytes]
US = 1_000_000


@dataclass(slots=True)
class Found:
    """How the mutations of one part ended."""

    refused: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    unseen: list[str] = field(default_factory=list)
    doorbell: list[str] = field(default_factory=list)
    """What the doorbell's own audit passed."""


@dataclass(frozen=True, slots=True)
class Good:
    """A released clip, and what its doorbell promises of it."""

    name: str
    content: bytes
    promise: Promise


def released(folder: Path, *, small: bool = False) -> list[Good]:
    """Cut clips of several kinds."""
    found = []
    kinds: Sequence[tuple[str, dict[str, Any]]] = (
        ("plain", {"seconds": 1.5 if small else 3}),
        ("with sound", {"seconds": 1.5, "sound": "aac"}),
        ("noisy", {"seconds": 1.5, "noise": 12}),
        ("portrait", {"seconds": 1.0, "shape_px": (180, 320), "noise": 4}),
    )
    for name, how in kinds:
        source = film(folder / f"{name}.mp4", **how)
        of = wanted(source, 0, 60 * US, audio="sound" in how)
        target = folder / f"{name}-cut.mp4"
        digest = cut(source, target, of, nothing)
        given = promise(of, digest)
        content = target.read_bytes()
        if not audit(target, given, []).good:
            raise SystemExit(f"prove audit: the clip {name} does not pass as it is")
        found.append(Good(name, content, given))
    return found


# --- mutations ------------------------------------------------------------------------------------


def flip_anywhere(data: bytes, dice: random.Random) -> bytes:
    """Flip one bit of the file."""
    return _flipped(data, dice.randrange(len(data)), dice)


def flip_in_headers(data: bytes, dice: random.Random) -> bytes:
    """Flip one bit outside the media."""
    begin, end = data.index(b"mdat") + 4, data.rindex(b"moov") - 4
    place = dice.randrange(len(data) - (end - begin))
    return _flipped(data, place if place < begin else place + end - begin, dice)


def _flipped(data: bytes, place: int, dice: random.Random) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def field_of_headers(data: bytes, dice: random.Random) -> bytes:
    """Write another 32-bit number into the tables."""
    place = dice.randrange(data.rindex(b"moov"), len(data) - 4)
    value = dice.choice((0, 1, 0xFFFFFFFF, dice.randrange(1 << 32), dice.randrange(1 << 8)))
    return data[:place] + struct.pack(">I", value) + data[place + 4 :]


def bytes_inserted(data: bytes, dice: random.Random) -> bytes:
    """Insert some bytes."""
    place = dice.randrange(len(data) + 1)
    return data[:place] + dice.randbytes(dice.randrange(1, 30)) + data[place:]


def bytes_removed(data: bytes, dice: random.Random) -> bytes:
    """Remove some bytes."""
    place = dice.randrange(len(data))
    return data[:place] + data[place + dice.randrange(1, 30) :]


def boxes_changed(data: bytes, dice: random.Random) -> bytes:
    """Insert, remove, duplicate or exchange boxes; lengths fit."""
    file = taken_apart(data)
    outer = dice.choice([box for box in _all(file) if box.inner])
    place = dice.randrange(len(outer.inner))
    match dice.randrange(4):
        case 0:
            outer.inner.insert(
                place, Box(dice.choice((b"free", b"udta", b"uuid", b"skip")), dice.randbytes(9))
            )
        case 1:
            outer.inner.pop(place)
        case 2:
            outer.inner.insert(place, outer.inner[place])
        case _:
            outer.inner[0], outer.inner[place] = outer.inner[place], outer.inner[0]
    return together(file)


def _all(box: Box) -> list[Box]:
    return [box, *(found for inner in box.inner for found in _all(inner))]


def pictures_changed(data: bytes, dice: random.Random) -> bytes:
    """Duplicate, exchange, remove or replace pictures; tables fit."""
    return _with_samples(data, dice, _other_pictures)


def _other_pictures(samples: list[bytes], dice: random.Random) -> None:
    one, other = dice.randrange(len(samples)), dice.randrange(len(samples))
    match dice.randrange(4):
        case 0:
            samples.insert(one, samples[other])
        case 1:
            samples[one], samples[other] = samples[other], samples[one]
        case 2:
            samples.pop(one)
        case _:
            samples[one] = samples[other]


def units_changed(data: bytes, dice: random.Random) -> bytes:
    """Append a slice, a NAL unit of any kind, or bytes, to a picture; tables fit."""
    return _with_samples(data, dice, _other_units)


def _other_units(samples: list[bytes], dice: random.Random) -> None:
    one = dice.randrange(len(samples))
    match dice.randrange(4):
        case 0:
            samples[one] += dice.choice(samples)
        case 1:
            samples[one] = nal(bytes([dice.randrange(256)]) + dice.randbytes(9)) + samples[one]
        case 2:
            samples[one] = nal(samples[one][4:] + dice.randbytes(dice.randrange(1, 20)))
        case _:
            samples[one] = nal(bytes([dice.randrange(256)]) + samples[one][5:])


def slice_bits(data: bytes, dice: random.Random) -> bytes:
    """Flip, insert or remove bits of a slice, escape it again, and let the tables fit."""
    return _with_samples(data, dice, _other_bits)


def _other_bits(samples: list[bytes], dice: random.Random) -> None:
    one = dice.randrange(len(samples))
    bits = bits_of(samples[one][5:]).rstrip("0")[:-1]
    count, place = dice.randrange(1, 9), dice.randrange(len(bits))
    match dice.randrange(4):
        case 0:
            bits = bits[:place] + "01"[bits[place] == "0"] + bits[place + 1 :]
        case 1:
            bits = bits[:place] + f"{dice.randrange(1 << count):0{count}b}" + bits[place:]
        case 2:
            bits = bits[:place] + bits[place + count :]
        case _:
            bits += f"{dice.randrange(1 << count):0{count}b}"
    samples[one] = nal(unit_of(samples[one][4:5], bits + "1"))


def _with_samples(
    data: bytes, dice: random.Random, change: Callable[[list[bytes], random.Random], None]
) -> bytes:
    file = taken_apart(data)
    samples, mdat = samples_of(file), file.find(b"mdat").content
    sound = mdat[sum(map(len, samples)) :]
    change(samples, dice)
    with_samples(file, samples)
    if sound:
        file.find(b"mdat").content += sound
        table = file.find(b"moov").inner[2].find(*STBL[2:], b"stco")
        table.content = table.content[:8] + struct.pack(">I", 36 + sum(map(len, samples)))
    return together(file)


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__.replace("_", " "): mutation
    for mutation in (
        flip_anywhere, flip_in_headers, field_of_headers, bytes_inserted, bytes_removed, boxes_changed,
        pictures_changed, units_changed, slice_bits,
    )
}  # fmt: skip


# --- judging --------------------------------------------------------------------------------------


def mutated(goods: Sequence[Good], numbers: Sequence[int], seed: int) -> Found:
    """Try the mutations of these numbers."""
    found = Found()
    with tempfile.TemporaryDirectory() as directory:
        path, original = Path(directory, "changed.mp4"), Path(directory, "good.mp4")
        names = list(MUTATIONS)
        for number in numbers:
            dice = random.Random(seed * 1_000_003 + number)  # noqa: S311
            good, name = goods[number % len(goods)], names[number // len(goods) % len(names)]
            changed = MUTATIONS[name](good.content, dice)
            if changed == good.content:
                continue
            path.write_bytes(changed)
            if not audit(path, None, []).good:
                found.refused[name] += 1
                continue
            if audit(path, good.promise, []).good:
                found.doorbell.append(f"{number}: {name} of the clip {good.name}")
            original.write_bytes(good.content)
            if shown(path) == shown(original):
                found.unseen.append(f"{number}: {name} of the clip {good.name}")
            else:
                found.shown[name] += 1
    return found


def shown(path: Path) -> list[bytes]:
    """Return every picture and all sound, decoded."""
    with av.open(str(path)) as file:
        found = [frame.to_ndarray().tobytes() for frame in file.decode(file.streams.video[0])]
    with av.open(str(path)) as file:
        if file.streams.audio:
            found += [frame.to_ndarray().tobytes() for frame in file.decode(file.streams.audio[0])]
    return found


def planted(goods: Sequence[Good]) -> tuple[int, list[str]]:
    """Audit every planted violation; return their number, and those that passed."""
    tried, passed = 0, []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "bad.mp4")
        for good, operations in (
            (goods[0], VIOLATIONS | H264_FORGERIES | MP4_FORGERIES),
            (goods[1], SOUND_FORGERIES),
        ):
            promised = Promise(
                frames=good.promise.frames, length_us=good.promise.length_us, sound=good.promise.sound
            )
            for what, operation in operations.items():
                tried += 1
                path.write_bytes(operation(good.content))
                if audit(path, promised, []).good:
                    passed.append(what)
    return tried, passed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this proof's options."""
    parser.add_argument(
        "--mutations", type=int, default=10_000, metavar="N", help="how many (default 10,000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")


def main(arguments: argparse.Namespace) -> int:
    """Run the proof; print what was tried and what passed."""
    with tempfile.TemporaryDirectory() as directory:
        goods = released(Path(directory))
    tried, passed = planted(goods)
    print(f"planted violations: {tried} tried, {len(passed)} passed{''.join(f'; {what}' for what in passed)}")
    jobs = max(1, arguments.jobs)
    shares = [(goods, range(part, arguments.mutations, jobs), arguments.seed) for part in range(jobs)]
    whole = Found()
    for found in shared(mutated, shares, jobs):
        whole.refused += found.refused
        whole.shown += found.shown
        whole.unseen += found.unseen
        whole.doorbell += found.doorbell
    for name in MUTATIONS:
        print(
            f"  {name:<18} refused {whole.refused[name]:>6}   passed, and seen or heard {whole.shown[name]:>5}"
        )
    print(
        f"mutations: {whole.refused.total()} refused; {whole.shown.total()} pass the audit of the file alone and "
        f"change what is seen or heard; {len(whole.unseen)} pass it and code the same pictures otherwise; "
        f"{len(whole.doorbell)} pass the doorbell's own audit"
    )
    for line in [*whole.unseen[:20], *whole.doorbell[:20]]:
        print(f"  {line}")
    return 1 if passed or whole.doorbell else 0
