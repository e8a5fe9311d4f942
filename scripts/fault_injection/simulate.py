"""Power cuts by the hundred thousand, simulated: many outcomes at every moment of a recorded run."""

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripts.fault_injection.crash_states import CrashState, Disk
from scripts.fault_injection.planted_bugs import PLANTS
from scripts.fault_injection.promises import Promises, verdict
from scripts.fault_injection.syscalls import Mark, Operation, record
from tests.support.processes import shared

STATES = 166_000
"""Drawn; about 100,000 of them differ."""
PLANT_STATES = 4_000
SAY_EVERY_S = 15
SAID = 3
"""Broken promises that are printed in full."""


@dataclass(slots=True)
class Tally:
    """The results of a run."""

    operations: int = 0
    drawn: int = 0
    states: int = 0
    """Checked; of simulated ones only different ones."""
    broken: int = 0
    examples: list[str] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def count(self, where: str, wrong: list[str]) -> None:
        """Take the verdict on one state."""
        self.states += 1
        if wrong:
            self.broken += 1
            self.why[_general(wrong[0])] += 1
            if len(self.examples) < SAID:
                self.examples.append(f"{where}: {'; '.join(wrong[:3])}")

    def add(self, other: "Tally") -> None:
        """Add the results of another process."""
        self.drawn += other.drawn
        self.states += other.states
        self.broken += other.broken
        self.examples += other.examples
        self.why += other.why


def ram() -> str | None:
    """Return a folder in memory, for what is written a hundred thousand times; None: the usual place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  (a name of its own is made in it)


def record_workload(plant: str | None) -> list[Operation]:
    """Run the workload once and return what it did."""
    with tempfile.TemporaryDirectory(dir=ram()) as directory:
        state_dir, marks = Path(directory, "state"), Path(directory, "marks")
        state_dir.mkdir()
        command = [sys.executable, "-m", "scripts.fault_injection.process_runs", str(state_dir), str(marks)]
        return record([*command, *([plant] if plant else [])], state_dir, marks)


def simulate(plant: str | None, *, states: int | None, seed: int, jobs: int) -> Tally:
    """Check about `states` outcomes of one recorded run, drawn with `seed`; None: all of the model."""
    began_s = time.monotonic()
    operations = record_workload(plant)
    tally = Tally(operations=len(operations))
    # Marks change no disk; each other operation is followed by a cut, drawn so many times.
    cuts = sum(not isinstance(o, Mark) for o in operations)
    draws = None if states is None else states / cuts
    parts = [(operations, draws, seed, part, jobs) for part in range(jobs)]
    for found in shared(_check_part, parts, jobs):
        tally.add(found)
    tally.seconds = time.monotonic() - began_s
    return tally


def _check_part(operations: list[Operation], draws: float | None, seed: int, part: int, parts: int) -> Tally:
    """Check the cuts behind every `parts`-th operation."""
    logging.disable(logging.CRITICAL)  # repairs are routine here
    tally, disk, promises, seen = Tally(), Disk(), Promises(), set[int]()
    said_s = time.monotonic()
    with tempfile.TemporaryDirectory(dir=ram()) as directory:
        scratch = Path(directory)
        for number, operation in enumerate(operations):
            disk.apply(operation)
            if part == 0 and time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                print(f"  … at operation {number} of {len(operations)}", file=sys.stderr)
            if isinstance(operation, Mark):
                promises.hear(operation.line)
            elif number % parts == part:
                for state in _outcomes(disk, draws, random.Random(seed * 1_000_003 + number)):  # noqa: S311
                    tally.drawn += 1
                    # The promises may have changed while the disk has not.
                    key = hash((state, len(promises.kept), len(promises.doomed), promises.facts))
                    if key not in seen:
                        seen.add(key)
                        _check(
                            tally,
                            disk,
                            state,
                            promises,
                            scratch,
                            f"after operation {number} of {len(operations)}",
                        )
    return tally


def _outcomes(disk: Disk, draws: float | None, dice: random.Random) -> Iterator[CrashState]:
    if draws is None:
        yield from disk.every()
    else:
        for _ in range(int(draws) + (dice.random() < draws % 1)):
            yield disk.draw(dice)


def _check(
    tally: Tally, disk: Disk, state: CrashState, promises: Promises, scratch: Path, where: str
) -> None:
    state_dir = scratch / "state"
    write_state(disk, state, state_dir, scratch)
    tally.count(where, verdict(state_dir, promises))
    shutil.rmtree(state_dir)


def _general(sentence: str) -> str:
    """Return a sentence without the names and numbers in it, to count it."""
    return " ".join(word for word in sentence.split() if not any(letter.isdigit() for letter in word))


def write_state(disk: Disk, state: CrashState, state_dir: Path, cache: Path) -> None:
    """Write an outcome to a real folder. Finished clips are never written to, so links will do for them."""
    state_dir.mkdir()
    for folder in state.folders:
        (state_dir / folder).mkdir()
    for path, number, version, fates in state.files:
        target = state_dir / path
        if path.endswith(".mp4") and not fates:
            cached = cache / f"{number}-{version}"
            if not cached.exists():
                cached.write_bytes(disk.content(number, fates))
            os.link(cached, target)
        else:
            target.write_bytes(disk.content(number, fates))


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `simulate`."""
    parser = subparsers.add_parser("simulate", help=__doc__)
    parser.add_argument(
        "--states", type=int, default=STATES, help="how many outcomes to draw (default %(default)s)"
    )
    parser.add_argument(
        "--all", action="store_true", help="check every outcome of the model instead (takes hours)"
    )
    parser.add_argument("--seed", type=int, default=None, help="seed of the draw (default: random)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--plants", action="store_true", help="also plant each known bug; each must be detected"
    )
    parser.add_argument("--plant", choices=PLANTS, help="plant only this bug")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the results; return 1 if a promise was broken, or a planted bug was not detected."""
    seed = random.SystemRandom().randrange(1 << 20) if given.seed is None else given.seed
    print(f"seed {seed}")
    status = 0
    states = None if given.all else given.states
    tally = simulate(given.plant, states=states, seed=seed, jobs=given.jobs)
    say(given.plant or "as it is", tally)
    status |= tally.broken > 0
    for name, plant in PLANTS.items() if given.plants else ():
        tally = simulate(name, states=min(given.states, PLANT_STATES), seed=seed, jobs=given.jobs)
        say(f"planted: {plant.what}", tally)
        status |= not tally.broken
    return int(status)


def say(title: str, tally: Tally) -> None:
    """Print one run."""
    print(
        f"{title}\n  {tally.states:,} states checked ({tally.drawn:,} drawn) "
        f"of {tally.operations:,} operations in {tally.seconds:.0f} s: {tally.broken:,} break a promise"
    )
    for sentence, count in tally.why.most_common(SAID):
        print(f"  {count:>7,} x {sentence}")
    for example in tally.examples[:1]:
        print(f"  for instance {example}")
    sys.stdout.flush()
