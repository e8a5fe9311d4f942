"""The folders in which previews and parcels are made: one a request, below the state directory."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


def erase(folder: Path) -> None:
    """Delete a folder of files, or what is there in its place. What cannot be deleted stays."""
    with suppress(OSError):
        if folder.is_dir() and not folder.is_symlink():
            erase_except(folder, ())
            folder.rmdir()
        else:
            folder.unlink(missing_ok=True)


def erase_except(folder: Path, kept: Collection[Path]) -> None:
    """Delete the files of a folder, except some. Raises OSError."""
    for path in list(folder.iterdir()):
        if path not in kept:
            path.unlink()
