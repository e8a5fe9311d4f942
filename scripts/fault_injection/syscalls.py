"""Record the system calls on files of a workload, SQLite's included, in order, with strace(1)."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "openat,creat,close,write,pwrite64,lseek,ftruncate,fsync,fdatasync,sync_file_range,fallocate,"
    "rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,mkdir,mkdirat,rmdir,"
    "truncate,writev,pwritev,pwritev2,sendfile,copy_file_range,io_uring_enter,dup,dup2,dup3"
)
"""All calls that change files and folders, also those not handled below, so that they raise an error."""
REBUILT = "-shm"
"""SQLite's shared memory is mapped, so no call shows its writes; SQLite rebuilds it after a crash."""
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*?),? <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>,? ?(.*)$")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A new length for a file."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync(2) or fdatasync(2) of a file has returned."""

    file: int


@dataclass(frozen=True, slots=True)
class SyncFolder:
    """fsync(2) of a folder has returned."""

    folder: str


@dataclass(frozen=True, slots=True)
class Enter:
    """A folder has a new name in it: a `file` that was made or, if None, a folder."""

    path: str
    file: int | None


@dataclass(frozen=True, slots=True)
class Leave:
    """unlink(2)."""

    path: str


@dataclass(frozen=True, slots=True)
class Move:
    """rename(2)."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line that the workload wrote to its marks."""

    line: str


Operation = Write | Truncate | Sync | SyncFolder | Enter | Leave | Move | Mark


def record(command: list[str], state_dir: Path, marks: Path) -> list[Operation]:
    """Run a command that works in `state_dir` and writes its marks to `marks`; return its operations."""
    strace = shutil.which("strace")
    if strace is None:
        raise SystemExit("faults: strace is needed to record system calls: sudo apt install strace")
    with tempfile.NamedTemporaryFile("r", encoding="ascii", suffix=".strace") as trace:
        options = [
            "-f",
            "--seccomp-bpf",
            "-xx",
            "-s",
            "16777216",
            "-e",
            f"trace={CALLS}",
            "-e",
            "signal=none",
        ]
        done = subprocess.run(
            [strace, *options, "-o", trace.name, "--", *command],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"faults: the workload failed under strace ({done.returncode}): {done.stderr[-2000:]}"
            )
        return list(_Reader(state_dir, marks).operations(_whole_lines(trace)))


def _whole_lines(trace: Iterator[str]) -> Iterator[tuple[str, str, int]]:
    """Yield (call, arguments, result) of each call that succeeded, at the moment that it returned."""
    begun: dict[str, str] = {}
    for line in trace:
        text = line.rstrip("\n")
        if match := _BEGUN.match(text):
            begun[match[1]] = f"{match[1]} {match[2]}({match[3]}"
            continue
        if match := _RESUMED.match(text):
            text = begun.pop(match[1]) + ("" if match[3].startswith(")") else ", ") + match[3]
        if (match := _LINE.match(text)) and match[4] != "?" and int(match[4]) >= 0:
            yield match[2], match[3], int(match[4])


def _text(quoted: str) -> bytes:
    if not (quoted.startswith('"') and quoted.endswith('"')):
        raise ValueError(f"strace cut an argument short: {quoted[:60]}")
    return bytes.fromhex(quoted[1:-1].replace("\\x", ""))


class _Reader:
    """Follows names and descriptors. The processes run one after another, so one table is enough."""

    def __init__(self, state_dir: Path, marks: Path) -> None:
        self._root = str(state_dir)
        self._marks = str(marks)
        self._names: dict[str, int] = {}
        self._open: dict[int, int | str] = {}
        self._position: dict[int, int] = {}
        self._files = 0

    def operations(self, calls: Iterator[tuple[str, str, int]]) -> Iterator[Operation]:
        for call, arguments, result in calls:
            yield from self._read(call, arguments.split(", "), result)

    def _inside(self, quoted: str) -> str | None:
        """Return a path below the state directory ("" for itself), or None."""
        path = _text(quoted).decode(errors="replace")
        if path == self._root:
            return ""
        ours = path.startswith(self._root + "/") and not path.endswith(REBUILT)
        return path.removeprefix(self._root + "/") if ours else None

    def _read(self, call: str, words: list[str], result: int) -> Iterator[Operation]:
        match call:
            case "openat":
                yield from self._opened(words[1], words[2], result)
            case "close":
                self._open.pop(int(words[0]), None)
            case "lseek":
                self._position[int(words[0])] = result
            case "write" | "pwrite64":
                yield from self._written(call, words, result)
            case "ftruncate" if isinstance(file := self._open.get(int(words[0])), int):
                yield Truncate(file, int(words[1]))
            case "fsync" | "fdatasync":
                descriptor = self._open.get(int(words[0]))
                if isinstance(descriptor, int):
                    yield Sync(descriptor)
                elif descriptor is not None and descriptor != self._marks:
                    yield SyncFolder(descriptor)
            case "mkdir" if (path := self._inside(words[0])) is not None:
                if path:  # the state directory itself is there before
                    yield Enter(path, None)
            case "unlink" if (path := self._inside(words[0])) is not None:
                del self._names[path]
                yield Leave(path)
            case "rmdir" if (path := self._inside(words[0])) is not None:
                yield Leave(path)
            case "link" if (source := self._inside(words[0])) is not None:
                target = self._inside(words[1])
                if target is None:
                    raise ValueError(f"{source} was linked out of the state directory")
                self._names[target] = self._names[source]
                yield Enter(target, self._names[source])
            case "rename" if (source := self._inside(words[0])) is not None:
                target = self._inside(words[1])
                if target is None:
                    raise ValueError(f"{source} was moved out of the state directory")
                self._names[target] = self._names.pop(source)
                yield Move(source, target)
            case "ftruncate" | "mkdir" | "rmdir" | "link" | "unlink" | "rename":
                return
            case _ if any(word.startswith('"') and self._inside(word) is not None for word in words):
                raise ValueError(f"{call} is not handled: {words[:3]}")
            case _ if words[0].isdecimal() and int(words[0]) in self._open:
                raise ValueError(f"{call} is not handled: {words[:3]}")

    def _opened(self, quoted: str, flags: str, fd: int) -> Iterator[Operation]:
        self._open.pop(fd, None)
        self._position[fd] = 0
        if _text(quoted).decode(errors="replace") == self._marks:
            self._open[fd] = self._marks
            return
        path = self._inside(quoted)
        if path is None:
            return
        if path not in self._names and "O_CREAT" in flags:
            self._files += 1
            self._names[path] = self._files
            yield Enter(path, self._files)
        elif "O_TRUNC" in flags:
            yield Truncate(self._names[path], 0)
        if "O_APPEND" in flags:
            raise ValueError(f"O_APPEND is not handled: {path}")
        self._open[fd] = self._names.get(path, path)

    def _written(self, call: str, words: list[str], count: int) -> Iterator[Operation]:
        fd = int(words[0])
        file = self._open.get(fd)
        if file is None:
            return
        data = _text(words[1])[:count]
        if file == self._marks:
            yield Mark(data.decode())
        elif isinstance(file, int):
            offset = int(words[3]) if call == "pwrite64" else self._position[fd]
            if call == "write":
                self._position[fd] += count
            yield Write(file, offset, data)
