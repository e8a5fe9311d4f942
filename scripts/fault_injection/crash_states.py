"""Model the states of a folder after a power cut, on a disk that stores no more than it must.

The guarantees are weaker than those of any file system that a Pi boots from:

- What was written to a file since its last fsync may be there or not, each write independently, in any order,
  and a write may be torn at a sector. A lost write that made the file longer may leave zeros, or nothing.
- A name (made, moved, removed) is safe once its folder was synced, and not when the file was. What was done
  in one folder since then survives up to some point, in order; each folder independently. A move is one step.
- A folder and a file do not wait for each other: a name may survive whose bytes did not, and the other way
  round.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product

from scripts.fault_injection.syscalls import (
    Enter,
    Leave,
    Mark,
    Move,
    Operation,
    Sync,
    SyncFolder,
    Truncate,
    Write,
)

SECTOR_BYTES = 512
EVERY_SUBSET_OF = 4
"""`every` tries each subset of so many unsynced writes of a file; of more, each prefix and each one."""

Change = Write | Truncate
Fate = tuple[int, int]
"""The fate of a change: one of the three below, or (1, n): only the first n bytes of a write survive."""
LOST, KEPT, ZEROS = (0, 0), (1, 0), (2, 0)


@dataclass(slots=True)
class _File:
    durable: bytes = b""
    version: int = 0
    """The number of syncs."""
    pending: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class _Folder:
    durable: dict[str, int | None] = field(default_factory=dict)
    """Name → file, or None for a folder."""
    pending: list[tuple[int, Enter | Leave | Move]] = field(default_factory=list)
    """With the number of the operation, by which the two halves of a move find each other."""


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


@dataclass(frozen=True, slots=True)
class CrashState:
    """One outcome: for each name its file's number, version, and the fate of each unsynced change."""

    folders: tuple[str, ...]
    files: tuple[tuple[str, int, int, tuple[Fate, ...]], ...]


class Disk:
    """Follow the operations; give the possible states after a cut at this moment."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._folders: dict[str, _Folder] = {"": _Folder()}
        self._number = 0

    def apply(self, operation: Operation) -> None:
        """Take the next operation of the workload."""
        self._number += 1
        match operation:
            case Write() | Truncate():
                self._files[operation.file].pending.append(operation)
            case Sync(file=number):
                file = self._files[number]
                file.durable = laid(file.durable, file.pending, [KEPT] * len(file.pending))
                file.version += 1
                file.pending = []
            case SyncFolder(folder=path):
                self._sync_folder(path)
            case Enter(path=path, file=number):
                if number is None:
                    self._folders[path] = _Folder()
                else:
                    self._files[number] = _File()
                self._folders[_split(path)[0]].pending.append((self._number, operation))
            case Leave(path=path):
                self._folders[_split(path)[0]].pending.append((self._number, operation))
            case Move(source=source, target=target):
                for folder in {_split(source)[0], _split(target)[0]}:
                    self._folders[folder].pending.append((self._number, operation))
            case Mark():
                pass

    def _sync_folder(self, path: str) -> None:
        counts = self._together({path: len(self._folders[path].pending)})
        names = self._namespace(counts)
        for name, count in counts.items():
            folder = self._folders[name]
            folder.durable, folder.pending = names[name], folder.pending[count:]

    def _together(self, counts: dict[str, int]) -> dict[str, int]:
        """Return how much of each folder's pending survives: of a move both halves or none."""
        counts = {path: counts.get(path, 0) for path in self._folders}
        while True:
            done = {n for path, count in counts.items() for n, _ in self._folders[path].pending[:count]}
            more = {
                path: 1 + max((i for i, (n, _) in enumerate(folder.pending) if n in done), default=-1)
                for path, folder in self._folders.items()
            }
            if all(more[path] <= counts[path] for path in counts):
                return counts
            counts = {path: max(counts[path], more[path]) for path in counts}

    def _namespace(self, counts: dict[str, int]) -> dict[str, dict[str, int | None]]:
        names = {path: dict(folder.durable) for path, folder in self._folders.items()}
        steps = {n: step for path, count in counts.items() for n, step in self._folders[path].pending[:count]}
        for _, step in sorted(steps.items()):
            match step:
                case Enter(path=path, file=number):
                    folder, name = _split(path)
                    names[folder][name] = number
                case Leave(path=path):
                    folder, name = _split(path)
                    names[folder].pop(name, None)
                case Move(source=source, target=target):
                    (from_folder, from_name), (to_folder, to_name) = _split(source), _split(target)
                    # The file has a name to move from: what made it came first in the same folder.
                    names[to_folder][to_name] = names[from_folder].pop(from_name)
        return names

    # --- outcomes ---------------------------------------------------------------------------------

    def as_it_is(self) -> CrashState:
        """Return the state after a kill -9: everything that was written, because the kernel keeps running."""
        counts = {path: len(folder.pending) for path, folder in self._folders.items()}
        return self._state(counts, lambda changes: [KEPT] * len(changes))

    def draw(self, dice: random.Random) -> CrashState:
        """Return one outcome at random, the extremes often among them."""
        counts = {}
        for path, folder in self._folders.items():
            most = len(folder.pending)
            counts[path] = dice.choice((0, most, dice.randint(0, most))) if most else 0
        return self._state(counts, lambda changes: _drawn(changes, dice))

    def every(self) -> Iterator[CrashState]:
        """Yield the outcomes one by one (see EVERY_SUBSET_OF; torn are the last writes of prefixes)."""
        busy = [path for path, folder in self._folders.items() if folder.pending]
        changed = [number for number, file in self._files.items() if file.pending]
        for chosen in product(*(range(len(self._folders[path].pending) + 1) for path in busy)):
            counts = dict(zip(busy, chosen, strict=True))
            for fates in product(*(_all_fates(self._files[number].pending) for number in changed)):
                fate_of = {id(self._files[n].pending): fate for n, fate in zip(changed, fates, strict=True)}
                yield self._state(counts, partial(_looked_up, fate_of))

    def _state(self, counts: dict[str, int], fates: Callable[[list[Change]], Sequence[Fate]]) -> CrashState:
        names = self._namespace(self._together(counts))
        folders, files, waiting = [], [], [""]
        while waiting:
            folder = waiting.pop()
            for name, number in sorted(names[folder].items()):
                path = f"{folder}/{name}" if folder else name
                if number is None:
                    folders.append(path)
                    waiting.append(path)
                else:
                    file = self._files[number]
                    files.append((path, number, file.version, tuple(fates(file.pending))))
        return CrashState(tuple(folders), tuple(files))

    def content(self, number: int, fates: tuple[Fate, ...]) -> bytes:
        """Return what a file holds in an outcome of this moment."""
        file = self._files[number]
        return laid(file.durable, file.pending, fates) if fates else file.durable


def _looked_up(fate_of: dict[int, tuple[Fate, ...]], changes: list[Change]) -> Sequence[Fate]:
    return fate_of.get(id(changes), ())


def _drawn(changes: list[Change], dice: random.Random) -> list[Fate]:
    if not changes:
        return []
    style = dice.choice(("lost", "kept", "prefix", "prefix", "each", "each"))
    if style in ("lost", "kept"):
        return [LOST if style == "lost" else KEPT] * len(changes)
    if style == "prefix":
        count = dice.randint(0, len(changes) - 1)
        rest = [dice.choice((LOST, LOST, ZEROS))] * (len(changes) - count - 1)
        return [*[KEPT] * count, _torn(changes[count], dice), *rest]
    kept_in_ten = dice.choice((2, 5, 8, 9))
    return [_one_fate(change, kept_in_ten, dice) for change in changes]


def _one_fate(change: Change, kept_in_ten: int, dice: random.Random) -> Fate:
    if dice.randrange(10) < kept_in_ten:
        return dice.choice((KEPT, KEPT, KEPT, _torn(change, dice)))
    return dice.choice((LOST, LOST, ZEROS))


def _torn(change: Change, dice: random.Random) -> Fate:
    offsets = _tears(change)
    return (1, dice.choice(offsets)) if offsets else KEPT


def _tears(change: Change) -> list[int]:
    """Return after how many bytes a write may be torn: where a sector of the file ends."""
    if isinstance(change, Truncate):
        return []
    first = SECTOR_BYTES - change.offset % SECTOR_BYTES
    return list(range(first, len(change.data), SECTOR_BYTES))


def _all_fates(changes: list[Change]) -> list[tuple[Fate, ...]]:
    count = len(changes)
    if count <= EVERY_SUBSET_OF:
        fates = set(product((LOST, KEPT, ZEROS), repeat=count))
    else:
        one_lost = [tuple(LOST if i == j else KEPT for i in range(count)) for j in range(count)]
        one_kept = [tuple(KEPT if i == j else LOST for i in range(count)) for j in range(count)]
        fates = {tuple([KEPT] * n + [LOST] * (count - n)) for n in range(count + 1)} | {*one_lost, *one_kept}
    for n, change in enumerate(changes):
        tears = _tears(change)
        for offset in {tears[0], tears[len(tears) // 2], tears[-1]} if tears else ():
            fates.add(tuple([KEPT] * n + [(1, offset)] + [LOST] * (count - n - 1)))
    return sorted(fates)


def laid(durable: bytes, changes: list[Change], fates: Sequence[Fate]) -> bytes:
    """Return a file's bytes after some of its changes."""
    content = bytearray(durable)
    for change, fate in zip(changes, fates, strict=True):
        if isinstance(change, Truncate):
            if fate == KEPT:
                del content[change.size :]
                content += bytes(change.size - len(content))
            continue
        if fate == ZEROS:
            content += bytes(max(0, change.offset + len(change.data) - len(content)))
        elif fate != LOST:
            data = change.data[: fate[1] or None]
            content += bytes(max(0, change.offset - len(content)))
            content[change.offset : change.offset + len(data)] = data
    return bytes(content)
