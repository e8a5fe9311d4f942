"""Makes a ZIP archive while it is sent: one piece of one file is in memory, and nothing is written to the disk.

The files are stored as they are (clips are compressed already), with their size behind them (APPNOTE 4.3.9), since an
archive that is sent cannot be changed afterwards.
"""

import time
import zipfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

PIECE_BYTES = 1 << 18
BIG_BYTES = 1 << 31
"""From this size on a file gets the fields of ZIP64; zipfile has to know before it is written."""


class Member(NamedTuple):
    """A file of the archive, open for reading; it is closed once it is sent. `wall_us` is the time that it gets."""

    name: str
    wall_us: int
    size_bytes: int
    file: BinaryIO


class _Pieces:
    """What zipfile has written and was not taken yet. Without `seek` and `tell`, so that it never goes back."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken


def zipped(members: Iterable[Member]) -> Iterator[bytes]:
    """Yield the archive in pieces. The next member is asked for when the one before is sent. Raises OSError."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # write is enough
        for member in members:
            info = zipfile.ZipInfo(member.name, time.localtime(member.wall_us / 1e6)[:6])
            info.external_attr = 0o600 << 16
            with member.file, archive.open(info, "w", force_zip64=member.size_bytes >= BIG_BYTES) as target:
                while piece := member.file.read(PIECE_BYTES):
                    target.write(piece)
                    yield pieces.take()
            yield pieces.take()
    yield pieces.take()
