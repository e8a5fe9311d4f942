"""A parcel: an archive of manifest and clips, padded to a size class, sealed for one recipient.

The archive is ustar (POSIX.1-1988) without names, times or owners; the seal is age (age-encryption.org/v1)
with X25519. Whoever sees a parcel on its way learns its size class, and so about how much video it holds: see
docs/consent.md.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pyrage

MIB = 1 << 20


def size_class(size_bytes: int) -> int:
    """Return the size that an archive is padded to: 1, 1.5, 2, 3, 4, 6, 8 … MiB."""
    step = MIB
    while step < size_bytes:
        if step * 3 // 2 >= size_bytes:
            return step * 3 // 2
        step *= 2
    return step


def archive(target: Path, files: Iterable[tuple[str, Path]]) -> None:
    """Write files under names of our own into an archive, padded; each is deleted once it is in it."""
    with target.open("xb") as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, path in files:
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.mtime = path.stat().st_size, 0o644, 0
                with path.open("rb") as content:
                    tar.addfile(member, content)
                path.unlink()
        out.truncate(size_class(out.tell()))


def seal(plain: Path, sealed: Path, age: str) -> tuple[str, int]:
    """Seal an archive, durably; return SHA-256 (hex) and size in bytes."""
    with plain.open("rb") as file, sealed.open("xb") as out:
        pyrage.encrypt_io(file, out, [pyrage.x25519.Recipient.from_str(age)])
        out.flush()
        os.fsync(out.fileno())
    with sealed.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), sealed.stat().st_size
