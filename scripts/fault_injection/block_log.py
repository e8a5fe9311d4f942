"""A log of the writes to a disk, in the format of the kernel's dm-log-writes (drivers/md/dm-log-writes.c).

`LoggedDisk` makes such a log without device-mapper: a file in a FUSE file system of one process, with a loop
device on it. What the kernel writes to the loop device is written down, and a flush is an fsync of the file.
"""

import errno
import os
import stat
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from scripts.fault_injection.fresh_disk import attached
from tests.support.processes import spawn_context

MAGIC, VERSION, SECTOR_BYTES = 0x6A736677736872, 1, 512
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
PATIENCE_S = 60
LEAVE_S = 2
"""How long to wait for the file system to end once its log is complete."""
END = "end of the log"
"""Written to `marks`, this line ends the log, even if something still holds the file system."""
_SUPER, _ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. Bytes; `at` is the offset of the payload in the log."""

    flags: int
    offset: int
    length: int
    at: int
    text: str


def entries(path: Path) -> Iterator[Entry]:
    """Read a log. Raises ValueError if the file is not one."""
    with path.open("rb") as file:
        magic, version, count, sector = _SUPER.unpack(file.read(_SUPER.size))
        if (magic, version) != (MAGIC, VERSION):
            raise ValueError(f"{path} is not a log of dm-log-writes")
        at = sector
        for _ in range(count):
            file.seek(at)
            head = file.read(sector)
            first, sectors, flags, text_length = _ENTRY.unpack_from(head)
            at += sector
            text = head[_ENTRY.size : _ENTRY.size + text_length].decode() if flags & MARK else ""
            yield Entry(flags, first * sector, sectors * sector, at, text)
            if not flags & (DISCARD | MARK):
                at += sectors * sector


class _Log:
    """Writes entries, and their number at the end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0
        file.write(bytes(SECTOR_BYTES))

    def add(self, flags: int, *, offset: int = 0, data: bytes = b"", text: str = "") -> None:
        if self._file.closed:  # a mount that somebody else still holds
            return
        head = (
            _ENTRY.pack(offset // SECTOR_BYTES, len(data) // SECTOR_BYTES, flags, len(text)) + text.encode()
        )
        if len(head) > SECTOR_BYTES or offset % SECTOR_BYTES or len(data) % SECTOR_BYTES:
            raise ValueError(f"an entry of {len(head)} bytes at {offset} for {len(data)} bytes of data")
        self._file.write(head.ljust(SECTOR_BYTES, b"\0") + data)
        self._count += 1

    def close(self) -> None:
        self._file.seek(0)
        self._file.write(_SUPER.pack(MAGIC, VERSION, self._count, SECTOR_BYTES))
        self._file.close()


def _serve(mountpoint: Path, log_path: Path, size_bytes: int) -> None:
    """Serve the file system until it is unmounted: `disk`, and `marks`, whose lines go into the log."""
    import mfusepy  # needs libfuse at import

    content, line, log = bytearray(size_bytes), bytearray(), _Log(log_path.open("wb"))

    class Files(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path: str, *_: Any) -> dict[str, Any]:
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
            if path not in ("/disk", "/marks"):
                raise mfusepy.FuseOSError(errno.ENOENT)
            size = size_bytes if path == "/disk" else 0
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": size}

        def readdir(self, *_: Any) -> list[str]:
            return [".", "..", "disk", "marks"]

        def read(self, path: str, size: int, offset: int, *_: Any) -> bytes:
            return bytes(content[offset : offset + size]) if path == "/disk" else b""

        def write(self, path: str, data: bytes, offset: int, *_: Any) -> int:
            if path == "/marks":
                line.extend(data)  # the kernel may hand over a line in two parts
                if line.endswith(b"\n"):
                    text = line.decode().strip()
                    line.clear()
                    if text == END:
                        log.close()
                    else:
                        log.add(MARK, text=text)
            else:
                content[offset : offset + len(data)] = data
                log.add(0, offset=offset, data=data)
            return len(data)

        def fsync(self, *_: Any) -> int:
            log.add(FLUSH)
            return 0

        def truncate(self, *_: Any) -> int:
            return 0

    mfusepy.FUSE(Files(), str(mountpoint), foreground=True, nothreads=True, fsname="doorbelld-trial")


@dataclass(frozen=True, slots=True)
class LoggedDisk:
    """A loop device whose writes and flushes are logged, and the file for marks."""

    device: str
    marks: Path


@contextmanager
def logged_disk(folder: Path, log_path: Path, size_bytes: int) -> Iterator[LoggedDisk]:
    """Make such a disk; the log is complete at exit. Needs root, libfuse and loop devices."""
    mountpoint = folder / "fuse"
    mountpoint.mkdir()
    server = spawn_context().Process(target=_serve, args=(mountpoint, log_path, size_bytes), daemon=True)
    server.start()
    try:
        until_s = time.monotonic() + PATIENCE_S
        while not os.path.ismount(mountpoint):
            if not server.is_alive() or time.monotonic() > until_s:
                raise SystemExit("faults: no FUSE file system; it needs root and libfuse: apt install fuse3")
            time.sleep(0.05)
        with attached(mountpoint / "disk") as device:
            yield LoggedDisk(device, mountpoint / "marks")
        with (mountpoint / "marks").open("ab", buffering=0) as marks:
            marks.write(f"{END}\n".encode())
    finally:
        subprocess.run(["umount", "--lazy", mountpoint], check=False)
        server.join(LEAVE_S)
        server.kill()
        server.join()
