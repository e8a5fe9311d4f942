"""Attach and mount a disk image once, and verify that the kernel mounted this image.

The kernel keeps a file system alive while anything holds it, and a mount that another process copied into a
namespace of its own (`unshare --mount`) is enough. A later mount of the same device, or of its file
with mount(8), then shows the old content, not that of the file. So each image is a new file on a free loop
device, and a mount that did not read this image is an error, not a result.
"""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOUNT = ("-t", "ext4", "-o", "noatime,commit=5")
PATIENCE_S = 60
MOUNT_COUNT_AT = 1024 + 52
"""`s_mnt_count` of ext4's superblock: who mounts a disk by reading it adds one there."""
_CONTROL = "/dev/loop-control"
_GET_FREE, _CONFIGURE, _AUTOCLEAR = 0x4C82, 0x4C0A, 4
_CONFIG = struct.Struct("=II5Q4I160s2Q8Q")
"""`struct loop_config` of linux/loop.h (5.8): descriptor, block size, `loop_info64`, reserved."""


class NotThisDisk(Exception):
    """The kernel mounted another disk than this image."""


class CannotMount(Exception):
    """The kernel refuses the disk."""


@contextmanager
def attached(image: Path) -> Iterator[str]:
    """Attach a file to a loop device that was free; yield the device's path.

    It goes with its last user: with this, or later, if somebody else still holds a mount of it.
    """
    backing = os.open(image, os.O_RDWR)
    try:
        device, fd = _configured(backing)
    finally:
        os.close(backing)
    try:
        yield device
    finally:
        os.close(fd)


def _configured(backing: int) -> tuple[str, int]:
    until_s = time.monotonic() + PATIENCE_S
    control = os.open(_CONTROL, os.O_RDWR)
    try:
        while True:
            device = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            try:
                fd = os.open(device, os.O_RDWR)
            except OSError:  # udev has not made the node yet
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.05)
                continue
            try:
                values = (backing, 0, *[0] * 5, 0, 0, 0, _AUTOCLEAR, b"", *[0] * 10)
                fcntl.ioctl(fd, _CONFIGURE, _CONFIG.pack(*values))
            except OSError:  # another process was quicker
                os.close(fd)
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.01)
            else:
                return device, fd
    finally:
        os.close(control)


@contextmanager
def mounted(image: Path, device: str, mountpoint: Path) -> Iterator[None]:
    """Mount the ext4 of a device that is backed by `image`. Raises CannotMount, NotThisDisk."""
    before = _mount_count(image)
    done = subprocess.run(
        ["mount", *MOUNT, device, mountpoint],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CannotMount(f"the file system cannot be mounted: {done.stderr.strip()}")
    try:
        if mountpoint.stat().st_dev != Path(device).stat().st_rdev or _mount_count(image) <= before:
            raise NotThisDisk(
                f"the kernel mounted {device} without reading {image}: another mount of it is still alive"
            )
        yield
    finally:
        unmount(mountpoint)


def unmount(mountpoint: Path) -> None:
    """Unmount; if it is in use, which is an error, at least leave nothing behind."""
    try:
        command("umount", str(mountpoint))
    except SystemExit:
        subprocess.run(["umount", "--lazy", mountpoint], check=False)
        raise


def _mount_count(image: Path) -> int:
    with image.open("rb") as file:
        file.seek(MOUNT_COUNT_AT)
        return int.from_bytes(file.read(2), "little")


def command(*words: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"faults: {' '.join(words)}: {done.stderr.strip()}")
