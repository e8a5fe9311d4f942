"""Files that survive a power cut: sync the bytes, rename, sync the folder (rename(2), fsync(2)).

Files that a command writes for a person show pictures, requests or keys, and often go to a folder that others can
read. They are made by `new_private_file` or `replacing`, with PRIVATE as their mode.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
"""For its owner alone, whatever the umask is."""
PRIVATE_FOLDER = 0o700


def new_private_file(path: Path) -> BinaryIO:
    """Create a file that only its owner can read, and open it for writing. Raises FileExistsError, OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE), "wb")


def sync_folder(folder: Path) -> None:
    """Make a rename or unlink in `folder` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one folder; the bytes must be synced already. Raises OSError."""
    source.rename(target)
    sync_folder(target.parent)


def write_durably(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Replace a small file: after a power cut it is the old one or the new one, whole. Raises OSError."""
    with replacing(path, mode=mode) as file:
        file.write(content)


def copy_durably(source: Path, target: Path, *, mode: int = 0o640) -> None:
    """Copy a file of any size; after a power cut the copy is there whole or not at all. Raises OSError."""
    with source.open("rb") as original, replacing(target, mode=mode) as copy:
        shutil.copyfileobj(original, copy, 1 << 20)


def replace_file(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Replace a small file in one step, without a sync: for a folder in memory. Raises OSError."""
    with _written_beside(path, mode) as (part, file):
        file.write(content)
    part.rename(path)


@contextmanager
def replacing(path: Path, *, mode: int) -> Iterator[BinaryIO]:
    """Yield a new file that takes the place of `path` when it is complete. Raises OSError."""
    with _written_beside(path, mode) as (part, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
    rename_durably(part, path)


@contextmanager
def _written_beside(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)  # of a power cut, perhaps with another mode
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            yield part, file
    except BaseException:
        part.unlink(missing_ok=True)  # a full disk needs the space, and nobody knows this file
        raise
