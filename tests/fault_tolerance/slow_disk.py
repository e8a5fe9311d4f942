"""A disk that is slow or fails: a folder, passed through FUSE by a process that does as a file says.

    python slow_disk.py FOLDER MOUNTPOINT CONTROL

CONTROL holds a JSON object: `fsync_s` and `write_s` delay, `fail` names operations (read, write, fsync) that
end with EIO. It is read at each of them. Needs root and libfuse.
"""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.dev_processes import GaveUp, Process, wait_for

TIMES = ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")
PLAIN = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_ino")


class SlowDisk:
    """What is mounted, from the test's side."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self.be()

    def be(self, *, fsync_s: float = 0, write_s: float = 0, fail: tuple[str, ...] = ()) -> None:
        """Be so from the next operation on; with nothing named, be well."""
        draft = self._control.with_suffix(".new")
        draft.write_text(json.dumps({"fsync_s": fsync_s, "write_s": write_s, "fail": fail}))
        draft.rename(self._control)


@contextmanager
def slow_disk(folder: Path, mountpoint: Path) -> Iterator[SlowDisk]:
    """Mount `folder` at `mountpoint`; both exist."""
    control = folder.with_suffix(".control")
    disk = SlowDisk(control)
    server = Process([sys.executable, __file__, folder, mountpoint, control])
    try:
        try:
            wait_for("the mount", lambda: os.path.ismount(mountpoint))
        except GaveUp as error:
            raise RuntimeError(
                f"no FUSE file system; it needs root and libfuse: apt install fuse3: {error}"
            ) from error
        yield disk
    finally:
        disk.be()
        subprocess.run(["umount", "-l", mountpoint], check=False)
        server.end()


def serve(folder: Path, mountpoint: str, control: Path) -> None:
    """Be the file system until it is unmounted."""
    import mfusepy  # needs libfuse at import

    def real(path: str) -> str:
        return f"{folder}{path}"

    def meet(operation: str) -> None:
        """Wait and fail as the control file says."""
        orders = json.loads(control.read_text())
        time.sleep(orders.get(f"{operation}_s", 0))
        if operation in orders["fail"]:
            raise mfusepy.FuseOSError(errno.EIO)

    class Files(mfusepy.Operations):
        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            found = os.lstat(real(path))
            times = {name.removesuffix("_ns"): getattr(found, name) for name in TIMES}
            return {**times, **{name: getattr(found, name) for name in PLAIN}}

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *os.listdir(real(path))]

        def open(self, path: str, flags: int) -> int:
            return os.open(real(path), flags)

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            return os.open(real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            meet("read")
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            meet("write")
            return os.pwrite(fh, data, offset)

        def truncate(self, path: str, length: int, fh: int | None = None) -> None:
            meet("write")
            os.truncate(real(path) if fh is None else fh, length)

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            meet("fsync")
            return 0

        fsyncdir = fsync

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def unlink(self, path: str) -> None:
            os.unlink(real(path))

        def rename(self, old: str, new: str) -> None:
            os.rename(real(old), real(new))

        def mkdir(self, path: str, mode: int) -> None:
            os.mkdir(real(path), mode)

        def rmdir(self, path: str) -> None:
            os.rmdir(real(path))

        def chmod(self, path: str, mode: int) -> None:
            os.chmod(real(path), mode)

        def chown(self, path: str, uid: int, gid: int) -> None:
            os.chown(real(path), uid, gid)

        def utimens(self, path: str, times: tuple[int, int]) -> int:
            os.utime(real(path), ns=times)
            return 0

        def statfs(self, path: str) -> dict[str, int]:
            found = os.statvfs(real(path))
            return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    # Threads: an fsync that takes its time holds up nobody else.
    mfusepy.FUSE(Files(), mountpoint, foreground=True, nothreads=False, fsname="doorbelld-slow")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
