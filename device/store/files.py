"""Reads only ordinary files, and holds the lock of the state directory."""

import errno
import fcntl
import hashlib
import os
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from device.errors import StateError


def plain_size(path: Path) -> int | None:
    """Return the size of an ordinary file, None of anything else. Raises FileNotFoundError.

    A symlink is never followed, and a pipe never opened, which would block for ever.
    """
    found = path.lstat()
    return found.st_size if stat.S_ISREG(found.st_mode) else None


END_OF_JPEG = b"\xff\xd9"
"""The last two bytes of a complete JPEG (ITU-T T.81, B.1.1.3)."""


START_OF_JPEG, COMMENT = b"\xff\xd8", b"\xff\xfe"
"""The first two bytes of a JPEG and the marker of a comment (the same, B.1.1.3)."""


def labelled_jpeg(jpeg: bytes, label: str) -> bytes:
    """Return a JPEG with a comment in front of everything else."""
    return _beginning(label) + jpeg.removeprefix(START_OF_JPEG)


def _beginning(label: str) -> bytes:
    return START_OF_JPEG + COMMENT + (len(label) + 2).to_bytes(2) + label.encode()


def is_whole_jpeg(path: Path, label: str) -> bool:
    """Return whether a JPEG has this label and is complete: a power cut may truncate one that was not synced."""
    return _is_jpeg(path, _beginning(label))


def is_finished_jpeg(path: Path) -> bool:
    """Return whether an ordinary file is a complete JPEG."""
    return _is_jpeg(path, START_OF_JPEG)


def has_label(jpeg: bytes, label: str) -> bool:
    """Return whether a JPEG has this label."""
    return jpeg.startswith(_beginning(label))


def _is_jpeg(path: Path, beginning: bytes) -> bool:
    try:
        with open_plain(path) as file:
            if file.read(len(beginning)) != beginning:
                return False
            file.seek(-len(END_OF_JPEG), os.SEEK_END)
            return file.read() == END_OF_JPEG
    except OSError:
        return False


def open_plain(path: Path) -> BufferedReader:
    """Open an ordinary file for reading. Raises OSError, also for anything else."""
    if plain_size(path) is None:
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    return path.open("rb")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of an ordinary file in hex. Raises OSError."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class StateLock:
    """Allows one daemon for each state directory: an flock, which ends with the process, and the holder's pid."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock. Raises StateError if another daemon holds it or the folder cannot be used."""
        path = state_dir / "lock"
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            self._fd = self._open(path)
        except OSError as error:
            raise StateError(
                f"state directory {state_dir} cannot be used: {error.strerror}; "
                "make it writable for the user that runs doorbelld"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise StateError(
                f"another doorbelld (pid {holder}) runs on the state directory {state_dir}; "
                "stop it first, or give this one a state directory of its own"
            ) from None
        self._write(f"{os.getpid()}\n")

    @staticmethod
    def _open(path: Path) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.ENOSPC):
                raise
            # The card has failed, but the button works without storage. Lock the file of an earlier start, or
            # the folder itself.
            existing = path if path.exists() else path.parent
            return os.open(existing, os.O_RDONLY | os.O_CLOEXEC)

    def _write(self, pid: str) -> None:
        with suppress(OSError):  # the pid is only information; the lock counts
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, pid.encode(), 0)

    def close(self) -> None:
        """Release the state directory."""
        self._write("")
        os.close(self._fd)
