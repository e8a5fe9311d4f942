"""The folders between doorbelld and its courier: their only interface.

    in/     written by the courier: what it heard, unparsed, in bundles (000000000017.in), how it is
            (`status.json`)
    out/    written by doorbelld: settings for the courier, which bundles it has read (`read`)

Parcels have files of their own in both (device/spool/parcels.py), and `doorbell doctor` asks and is answered in
`doctor.json`. A bundle is written to a name that nobody reads,
synced, renamed, and the folder is synced. Its writer prunes it once the reader names it in a file of the
reader's own. Nothing in a folder is believed: not that it is a file, nor whose, nor its size, nor its number. A
number is a name and an order, never a position: the reader keeps which of the names that are there it has read. So no
name, however large, hides what comes after it. Standard library alone: the courier's whole world is built from
this.
"""

import base64
import binascii
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from device.system.durable_files import write_durably

MAX_ITEM_BYTES = 1_048_576
"""A feed's document; what comes over MQTT is cut off far below."""
MAX_BUNDLE_BYTES = 4_194_304
MAX_IN_BYTES = 33_554_432
MAX_BUNDLES = 4_096
MAX_NAMES = 3 * MAX_BUNDLES
"""That are looked at in a folder of the other: more than an honest one ever has."""
SETTINGS, READ, STATUS, DOCTOR = "settings.json", "read", "status.json", "doctor.json"
_NAME = re.compile(r"([0-9]{12})\.in")
_NUMBERS = 10**12
_REPORT = re.compile(r"[0-9a-f]{64}\.report")  # of device/spool/parcels.py
_SOURCE = re.compile(rb"[a-z0-9][a-z0-9:-]{0,63}")
_MAX_SMALL_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that was heard: from where (`request`, `notice`, `feed:NAME`), and its bytes."""

    source: str
    content: bytes


class Unreadable(Exception):
    """A file in the spool is not what its writer writes; `word` is a reason's (consent/reasons.py)."""

    def __init__(self, word: str, name: str) -> None:
        super().__init__(f"{name}: {word}")
        self.word = word
        self.name = name


def size_in_bundle(item: Item) -> int:
    """Return how many bytes an item takes in a bundle."""
    return len(item.source) + 2 + (len(item.content) + 2) // 3 * 4


def bundle(items: Iterable[Item]) -> bytes:
    """Return some items as the lines of a file."""
    return b"".join(item.source.encode() + b" " + base64.b64encode(item.content) + b"\n" for item in items)


def items_of(content: bytes, name: str) -> list[Item]:
    """Return the items of a bundle. Raises Unreadable unless every line is one."""
    items = []
    for line in content.splitlines():
        source, space, coded = line.partition(b" ")
        try:
            raw = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            raise Unreadable("broken_file", name) from None
        if not space or not _SOURCE.fullmatch(source) or len(raw) > MAX_ITEM_BYTES:
            raise Unreadable("broken_file", name)
        items.append(Item(source=source.decode(), content=raw))
    if content and not content.endswith(b"\n"):
        raise Unreadable("broken_file", name)
    return items


def write_small(folder: Path, name: str, content: bytes, *, mode: int = 0o640) -> None:
    """Replace a small file of one's own folder, durably. Raises OSError."""
    write_durably(folder / name, content, mode=mode)


def read_small(folder: Path, name: str) -> bytes | None:
    """Return a small file of the other's folder, None while there is none. Raises Unreadable, OSError."""
    try:
        return _read(folder, name, _MAX_SMALL_BYTES)
    except FileNotFoundError:
        return None


class SpoolWriter:
    """The writing side of `in/`: the courier's."""

    def __init__(self, folder: Path, reader_folder: Path) -> None:
        """Take the folder over; what an earlier run half wrote goes, and what is no bundle. Raises OSError."""
        self._folder = folder
        self._reader_folder = reader_folder
        self._sizes: dict[int, int] = {}
        self.obstacle = ""
        """Why something in the folder could not be removed; "" if nothing is in the way."""
        for path in list(folder.iterdir()):
            name = path.name
            match = _NAME.fullmatch(name)
            found = path.lstat()
            if match and stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BUNDLE_BYTES:
                self._sizes[int(match[1])] = found.st_size
            elif match or name.startswith(".") or not stat.S_ISREG(found.st_mode):
                self._remove(name)
        self._last = max([*self._read(), *self._sizes], default=0)

    def prune(self) -> None:
        """Remove what was read. Raises OSError if the folder cannot be read."""
        self.obstacle = ""
        for number in self._read():
            # Also what this run did not write: the reader has seen it, and waits until it is gone.
            if number in self._sizes or os.path.lexists(self._folder / _name(number)):
                self._remove(_name(number))
                self._sizes.pop(number, None)

    def has_room(self, size_bytes: int) -> bool:
        """Return whether so many bytes more may lie in the folder."""
        return len(self._sizes) < MAX_BUNDLES and sum(self._sizes.values()) + size_bytes <= MAX_IN_BYTES

    def put(self, content: bytes) -> None:
        """Write a bundle, durably. Raises OSError: then nothing of it is there."""
        taken = {*self._read(), *self._sizes}
        number = self._last
        while True:
            number = number % (_NUMBERS - 1) + 1  # after the last number comes the first
            if number not in taken and not os.path.lexists(self._folder / _name(number)):
                break
        write_small(self._folder, _name(number), content)
        self._sizes[number] = len(content)
        self._last = number

    def _remove(self, name: str) -> None:
        """Remove anything, also a folder. One that stays does not stop the others."""
        path = self._folder / name
        try:
            if stat.S_ISDIR(path.lstat().st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            self.obstacle = f"{name}: {error.strerror}"

    def _read(self) -> list[int]:
        try:
            return numbers_read(self._reader_folder)
        except (OSError, Unreadable):
            return []


class SpoolReader:
    """The reading side of `in/`, for doorbelld. It writes nothing there."""

    def __init__(self, folder: Path, own_folder: Path) -> None:
        self._folder = folder
        self._own_folder = own_folder
        self._read: set[int] = set()
        """The numbers that were read and are still in the folder: `MAX_BUNDLES` at most."""
        with suppress(OSError, Unreadable):
            self._read = set(numbers_read(own_folder))

    def waiting(self) -> list[int]:
        """Return the numbers of the bundles that wait, oldest first. Raises OSError."""
        # The lowest ones: more than an honest folder has wait until those are gone.
        there = sorted(number for number, _ in _bundles(self._folder))[:MAX_BUNDLES]
        self._read.intersection_update(there)
        return [number for number in there if number not in self._read]

    def unpruned(self) -> int:
        """Return how many bundles are still there that were read before the last look."""
        return len(self._read)

    def open(self, number: int) -> bytes:
        """Return a bundle's bytes. Raises Unreadable, OSError."""
        return _read(self._folder, _name(number), MAX_BUNDLE_BYTES)

    def strangers(self) -> Iterator[str]:
        """Yield names in the folder that no courier writes. Raises OSError."""
        with os.scandir(self._folder) as entries:
            for entry in islice(entries, MAX_NAMES):
                ours = entry.name in (STATUS, DOCTOR) or _NAME.fullmatch(entry.name)
                ours = ours or _REPORT.fullmatch(entry.name)
                if not ours and not entry.name.startswith("."):
                    yield entry.name

    def status(self) -> tuple[int, bytes] | None:
        """Return a mark that changes with each report of the courier, and the last report; None without one.

        The mark is the file's time, which the courier can set as it likes: compare it, and measure time with another
        clock. Raises Unreadable, OSError.
        """
        try:
            with open_plain(self._folder, STATUS) as file:
                content = file.read(_MAX_SMALL_BYTES + 1)
                mark = os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None
        if len(content) > _MAX_SMALL_BYTES:
            raise Unreadable("too_large", STATUS)
        return mark, content

    def done(self, number: int) -> None:
        """Name a bundle as read, so that the courier removes it. Raises OSError."""
        self._read.add(number)
        lines = "\n".join(str(each) for each in sorted(self._read)[:MAX_BUNDLES])
        write_small(self._own_folder, READ, lines.encode())


def numbers_read(folder: Path) -> list[int]:
    """Return the numbers in the reader's `read`. Raises Unreadable unless all are some, OSError."""
    words = (read_small(folder, READ) or b"").split()
    if len(words) > MAX_BUNDLES or not all(re.fullmatch(rb"[0-9]{1,12}", word) for word in words):
        raise Unreadable("broken_file", READ)
    return [int(word) for word in words]


def _name(number: int) -> str:
    return f"{number:012d}.in"


def _bundles(folder: Path) -> Iterator[tuple[int, str]]:
    with os.scandir(folder) as entries:
        for entry in islice(entries, MAX_NAMES):
            if match := _NAME.fullmatch(entry.name):
                yield int(match[1]), entry.name


def open_plain(folder: Path, name: str) -> BinaryIO:
    """Open an ordinary file of the folder's owner; a link or a pipe is never followed.

    Raises Unreadable, OSError.
    """
    path = folder / name
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise Unreadable("not_a_file", name)
    # Meanwhile it may have become another: O_NOFOLLOW, no waiting, and a second look.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        _check(os.fstat(file.fileno()), folder, name)
    except BaseException:
        file.close()
        raise
    return file


def _check(found: os.stat_result, folder: Path, name: str) -> None:
    # No link at all: it was replaced since it was opened, and is whole all the same.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise Unreadable("not_a_file", name)
    if found.st_uid != folder.stat().st_uid:
        raise Unreadable("wrong_owner", name)


def _read(folder: Path, name: str, largest: int) -> bytes:
    with open_plain(folder, name) as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise Unreadable("too_large", name)
        content = file.read(largest + 1)
    if len(content) > largest:
        raise Unreadable("too_large", name)
    return content
