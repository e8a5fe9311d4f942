"""Measure the writes that reach a disk: a real ext4 on a loop device, and the kernel's count of written sectors."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECTOR_BYTES = 512


class Disk:
    """A mounted ext4 of its own."""

    def __init__(self, device: str, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self._device = device

    def written_bytes(self) -> int:
        """Return how many bytes were written to the device so far, all that was owed to it synced."""
        os.sync()
        # Field 7 of Documentation/block/stat.rst: sectors written.
        fields = Path(f"/sys/block/{Path(self._device).name}/stat").read_text().split()
        return int(fields[6]) * SECTOR_BYTES


@contextmanager
def disk(folder: Path, size_bytes: int) -> Iterator[Disk]:
    """Make such a disk in a sparse file. Needs root and loop devices; see `why_not`."""
    image, mountpoint = folder / "disk.img", folder / "disk"
    mountpoint.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    device = _run("losetup", "--find", "--show", str(image))
    try:
        _run("mount", "-o", "noatime", device, str(mountpoint))
        try:
            yield Disk(device, mountpoint)
        finally:
            _run("umount", str(mountpoint))
    finally:
        _run("losetup", "--detach", device)
        image.unlink()


def why_not() -> str:
    """Return why no disk can be made here, "" if one can."""
    return (
        ""
        if os.geteuid() == 0
        else "a file system of its own can only be mounted by root: sudo scripts/bench"
    )


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
