"""Files that survive a power cut: sync the bytes, rename, sync the folder (rename(2), fsync(2))."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


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
    with _replaced(path, mode) as file:
        file.write(content)


def copy_durably(source: Path, target: Path, *, mode: int = 0o640) -> None:
    """Copy a file of any size; after a power cut the copy is there whole or not at all. Raises OSError."""
    with source.open("rb") as original, _replaced(target, mode) as copy:
        shutil.copyfileobj(original, copy, 1 << 20)


def replace_file(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Replace a small file in one step, without a sync: for a folder in memory. Raises OSError."""
    with _written_beside(path, mode) as (part, file):
        file.write(content)
    part.rename(path)


@contextmanager
def _replaced(path: Path, mode: int) -> Iterator[BinaryIO]:
    with _written_beside(path, mode) as (part, file):
        yield file
        file.flush()
        os.fsync(file.fileno())
    rename_durably(part, path)


@contextmanager
def _written_beside(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    part = path.with_name(f".{path.name}.new")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(fd, "wb") as file:
        yield part, file
