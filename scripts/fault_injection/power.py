"""Power cuts on real ext4: log each block write of a run, and rebuild the disks that a cut may leave.

There is a cut at each flush, with everything that was flushed. More cuts are drawn between two flushes, with
everything that was flushed and some writes of the disk's cache, one of them torn. The kernel mounts each such disk,
which repairs it as at boot, and the real storage worker starts on it.
"""

import argparse
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.fault_injection.block_log import DISCARD, FLUSH, FUA, MARK, Entry, entries, logged_disk
from scripts.fault_injection.fresh_disk import MOUNT, CannotMount, attached, command, mounted, unmount
from scripts.fault_injection.planted_bugs import PLANTS
from scripts.fault_injection.promises import Promises, verdict
from scripts.fault_injection.simulate import Tally, ram, say
from tests.support.processes import shared

DISK_BYTES = 24 << 20
BETWEEN = 4
TORN_BYTES = 4096
"""Flash programs whole pages, and ext4 takes its blocks for whole; `simulate` tears files finer."""
START = "start"
"""The mark behind which the empty file system is whole."""


def record(plant: str | None, log_path: Path) -> None:
    """Run the workload on an empty ext4 whose writes are logged to `log_path`."""
    if os.geteuid():
        raise SystemExit("faults: power needs root, to mount: sudo scripts/faults power")
    with (
        tempfile.TemporaryDirectory() as directory,
        logged_disk(Path(directory), log_path, DISK_BYTES) as disk,
    ):
        mountpoint = Path(directory, "mnt")
        mountpoint.mkdir()
        command("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk.device)
        command("mount", *MOUNT, disk.device, str(mountpoint))
        try:
            os.sync()
            with disk.marks.open("ab", buffering=0) as marks:
                marks.write(f"{START}\n".encode())
            command_line = [
                sys.executable,
                "-m",
                "scripts.fault_injection.process_runs",
                str(mountpoint / "state"),
                str(disk.marks),
            ]
            done = subprocess.run(
                [*command_line, *([plant] if plant else [])], stderr=subprocess.PIPE, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"faults: the workload failed: {done.stderr[-2000:]}")
        finally:
            unmount(mountpoint)


def replay(log_path: Path, *, between: int, every: int, seed: int, jobs: int) -> Tally:
    """Cut at each `every`-th flush and `between` times before it; check what is left."""
    tally = Tally(operations=sum(1 for _ in entries(log_path)))
    parts = [(log_path, between, every, seed, part, jobs) for part in range(jobs)]
    for found in shared(replay_part, parts, jobs, begin=_quiet):
        tally.add(found)
    return tally


def _quiet() -> None:
    logging.disable(logging.CRITICAL)  # repairs are routine here


def replay_part(log_path: Path, between: int, every: int, seed: int, part: int, parts: int) -> Tally:
    """Cut at each `parts`-th of these flushes."""
    with tempfile.TemporaryDirectory(dir=ram()) as directory, log_path.open("rb") as log:
        disk = _Disk(Path(directory), log.fileno())
        cached: list[Entry] = []
        flushes, begun = 0, False
        for number, entry in enumerate(entries(log_path)):
            if entry.flags & MARK:
                if begun and entry.text.startswith("{"):  # dm-log-writes leaves one of its own at the end
                    disk.promises.hear(entry.text)
                begun = begun or entry.text == START
            elif not entry.flags & (FLUSH | FUA):
                cached.append(entry)
            else:
                flushes += begun
                mine = begun and flushes % every == 0 and flushes // every % parts == part
                dice = random.Random(seed * 1_000_003 + number)  # noqa: S311
                for draw in range(between if mine and cached else 0):
                    disk.cut(f"before entry {number}, draw {draw}", cached, dice)
                for request in [*cached, entry]:
                    disk.lay(request)
                cached = []
                if mine:
                    disk.cut(f"behind entry {number}", [], dice)
        return disk.tally


class _Disk:
    """The image up to the last flush, and the disks after a cut."""

    def __init__(self, folder: Path, log_fd: int) -> None:
        self.promises = Promises()
        self.tally = Tally()
        self._folder = folder
        self._log_fd = log_fd
        self._image = folder / "disk"
        with self._image.open("wb") as file:
            file.truncate(DISK_BYTES)

    def lay(self, entry: Entry, image: Path | None = None, length: int | None = None) -> None:
        """Carry out one request, or its first `length` bytes."""
        length = entry.length if length is None else length
        with (image or self._image).open("r+b", buffering=0) as file:
            data = bytes(length) if entry.flags & DISCARD else os.pread(self._log_fd, length, entry.at)
            os.pwrite(file.fileno(), data, entry.offset)

    def cut(self, where: str, cached: Sequence[Entry], dice: random.Random) -> None:
        """Cut the power now, with some of the disk's cache written; start on what is left."""
        self.tally.drawn += 1
        image = self._folder / f"cut-{self.tally.drawn}"
        shutil.copyfile(self._image, image)
        written = [entry for entry in cached if dice.random() < 0.5]  # a coin
        for entry in written[:-1]:
            self.lay(entry, image)
        for entry in written[-1:]:
            self.lay(entry, image, TORN_BYTES * dice.randint(0, entry.length // TORN_BYTES))
        self.tally.count(where, self._start_on(image))
        image.unlink()

    def _start_on(self, image: Path) -> list[str]:
        mountpoint = image.with_name(f"{image.name}.mnt")
        mountpoint.mkdir()
        try:
            with attached(image) as device, mounted(image, device, mountpoint):
                return verdict(mountpoint / "state", self.promises)
        except CannotMount as error:
            return [str(error)]
        finally:
            mountpoint.rmdir()


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `power`."""
    parser = subparsers.add_parser(
        "power", help="power cuts by the thousand, on real ext4", description=__doc__
    )
    parser.add_argument(
        "--between", type=int, default=BETWEEN, help="cuts drawn before each flush (%(default)s)"
    )
    parser.add_argument("--every", type=int, default=1, help="only each Nth flush (default %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="seed of the draw (default: random)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--plants", action="store_true", help="also plant each known bug; each must be detected"
    )
    parser.add_argument("--plant", choices=PLANTS, help="plant only this bug")
    parser.add_argument("--log", type=Path, help="cut this log of dm-log-writes instead of recording one")
    parser.add_argument(
        "--repeat", type=int, default=0, metavar="N", help="repeat N times, each with a new recording"
    )
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="M", help="with --repeat: M runs in parallel"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the results; return 1 if a promise was broken, or a planted bug was not detected."""
    seed = random.SystemRandom().randrange(1 << 20) if given.seed is None else given.seed
    print(f"seed {seed}")
    if given.repeat:
        return int(_repeat(given, seed))
    how = {"seed": seed, "jobs": given.jobs}
    tally = trial(given.plant, given.log, between=given.between, every=given.every, **how)
    say(given.plant or "as it is, on ext4", tally)
    status = tally.broken > 0 or not tally.states
    for name, plant in PLANTS.items() if given.plants else ():
        if plant.hidden_by_ext4:
            print(f"planted: {plant.what}\n  not tried: {plant.hidden_by_ext4}")
            continue
        tally = trial(name, None, between=given.between, every=max(given.every, 4), **how)
        say(f"planted: {plant.what}", tally)
        status |= not tally.broken
    return int(status)


def _repeat(given: argparse.Namespace, seed: int) -> bool:
    """Print a line for each run, and their sum; return whether one failed."""

    def once(number: int) -> Tally | str:
        try:
            return trial(
                given.plant,
                given.log,
                between=given.between,
                every=given.every,
                seed=seed + number,
                jobs=given.jobs,
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001  (the other runs continue; it is printed)
            return f"{type(error).__name__}: {error}"

    began_s, states, broken, failed, loads = time.monotonic(), 0, 0, 0, list[float]()
    with ThreadPoolExecutor(given.at_once) as side_by_side:
        for number, found in enumerate(side_by_side.map(once, range(given.repeat))):
            loads.append(os.getloadavg()[0])
            where = f"run {number + 1} of {given.repeat}, seed {seed + number}, load {loads[-1]:.0f}"
            if isinstance(found, str):
                failed += 1
                print(f"{where}: could not be checked: {found}", flush=True)
                continue
            states, broken = states + found.states, broken + (found.broken > 0)
            print(
                f"{where}: {found.states} states in {found.seconds:.0f} s, {found.broken} break a promise",
                *found.examples, sep="\n  ", flush=True,
            )  # fmt: skip
    print(
        f"{given.repeat} runs, {states:,} states in {time.monotonic() - began_s:.0f} s at a load of"
        f" {min(loads):.0f} to {max(loads):.0f}: {broken} broke a promise, {failed} could not be checked"
    )
    return broken + failed > 0


def trial(plant: str | None, log: Path | None, *, between: int, every: int, seed: int, jobs: int) -> Tally:
    """Record, unless there is a log, and replay. Keep a log on which a promise was broken, and print its path."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=ram()) as directory:
        recorded = log or Path(directory, "log")
        if log is None:
            record(plant, recorded)
        tally = replay(recorded, between=between, every=every, seed=seed, jobs=jobs)
        if tally.broken and log is None and plant is None:  # the seed alone does not bring it back
            copy = Path(tempfile.mkdtemp(prefix="doorbelld-power-"), "log")
            shutil.copyfile(recorded, copy)
            tally.examples.append(f"to reproduce: scripts/faults power --log {copy} --seed {seed}")
    tally.seconds = time.monotonic() - began_s
    return tally
