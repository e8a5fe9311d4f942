"""Kills and power cuts at every step of a release: never a byte without its entry, never an approval twice.

The path is recorded once, call by call. A kill -9 leaves the effect of all calls before it. Calls that change
nothing leave the same disk, so there is one kill after each call that changes something. A power cut may leave
less, in many variants (scripts/fault_injection/crash_states.py); some are drawn for each moment. A doorbell
starts on each such disk, is checked, and runs to the end.
"""

import logging
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from device.consent.offer import offer_hash
from device.consent.states import TABLE, State
from device.release.leak_scan import found_in, patterns
from scripts.fault_injection.crash_states import CrashState, Disk
from scripts.fault_injection.simulate import ram, write_state
from scripts.fault_injection.syscalls import Mark, Operation, record
from scripts.verification.release_path import FILM, carried
from tests.support.consent import ID, ConsentHarness, grants
from tests.support.processes import shared
from tests.support.release_backend import FakeReleaseBackend

WAYS = ("delivered", "withdrawn", "fails")
MAX_STEPS = 20
SAID = 5


@dataclass(slots=True)
class Found:
    """The results of the crashes of one path."""

    way: str
    calls: int = 0
    """That change the disk, from the approval on."""
    kills: int = 0
    cuts: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Add the results of another process."""
        self.kills += other.kills
        self.cuts += other.cuts
        self.wrong += other.wrong


def crash(way: str, *, cuts_a_call: int, seed: int, jobs: int, every: int = 1, plant: str = "") -> Found:
    """Crash one path at every call (or every so many); `plant` breaks a rule on it."""
    with tempfile.TemporaryDirectory(dir=ram()) as directory:
        folder, marks = Path(directory, "state"), Path(directory, "marks")
        folder.mkdir()
        command = [sys.executable, "-m", "scripts.verification.release_path", str(folder), str(marks), way]
        command += [plant] if plant else []
        operations = record(command, folder, marks)
    begin = next(
        n
        for n, operation in enumerate(operations)
        if isinstance(operation, Mark) and operation.line == "offered\n"
    )
    found = Found(way, calls=sum(not isinstance(operation, Mark) for operation in operations[begin:]))
    shares = [(way, operations, begin, cuts_a_call, seed, (part, jobs, every)) for part in range(jobs)]
    for result in shared(_part, shares, jobs):
        found.add(result)
    return found


def _part(
    way: str,
    operations: list[Operation],
    begin: int,
    cuts_a_call: int,
    seed: int,
    share: tuple[int, int, int],
) -> Found:
    logging.disable(logging.CRITICAL)
    part, parts, every = share
    found, disk, seen, marks = Found(way), Disk(), set[CrashState](), set[str]()
    with tempfile.TemporaryDirectory(dir=ram()) as directory:
        for number, operation in enumerate(operations):
            disk.apply(operation)
            if isinstance(operation, Mark):
                marks.add(operation.line.strip())
            elif number > begin and number % (parts * every) == part * every:
                dice = random.Random(seed * 1_000_003 + number)  # noqa: S311
                where = f"{way}, call {number - begin} of {len(operations) - begin}"
                drawn = [("cut", disk.draw(dice)) for _ in range(cuts_a_call)]
                for kind, state in [("kill", disk.as_it_is()), *drawn]:
                    if kind == "kill":
                        found.kills += 1
                    elif state in seen:
                        continue
                    else:
                        found.cuts += 1
                    seen.add(state)
                    write_state(disk, state, Path(directory, "state"), Path(directory))
                    wrong = verdict(Path(directory, "state"), marks, way)
                    shutil.rmtree(Path(directory, "state"))
                    found.wrong += [f"{where}, {kind}: {fault}" for fault in wrong]
    return found


def verdict(folder: Path, marks: set[str], way: str) -> list[str]:
    """Start a doorbell on the disk after a crash, let it run, and return a sentence for each error."""
    release_backend = FakeReleaseBackend()
    try:
        doorbell = ConsentHarness(folder, release_backend)
    except OSError as error:
        return [f"it cannot be started: {error}"]
    if not doorbell.consent_service.ledger_store.is_open:
        return ["the ledger is broken"]
    wrong = unproved(doorbell, folder)
    if wrong or not doorbell.states():
        return [*wrong, *([] if doorbell.states() else ["the request is gone"])]
    if "approved" in marks and doorbell.states() == ["offered"]:
        wrong.append("an approval that was given is gone")
    gone = "withdrawn" in marks
    given = {grant.sha256 for grant in grants(folder)}
    for turn in range(MAX_STEPS):
        doorbell.consent_service.release_worker.step()
        wrong += unproved(doorbell, folder)
        for grant in grants(folder):
            if gone:
                wrong.append(f"a grant stands at turn {turn} after the withdrawal")
            given.add(grant.sha256)
            carried(folder, grant)
        if not TABLE[State(doorbell.states()[0])]:
            doorbell.consent_service.release_worker.step()
            break
    entries = doorbell.ledger()
    handed = [entry["data"] for entry in entries if entry["data"].get("to") == "handed over"]
    if len(given) > 1 or len(handed) > 1:
        wrong.append(f"one approval let {len(given)} parcels go, handed over {len(handed)} times")
    state = doorbell.states()[0]
    if state != "offered" and TABLE[State(state)]:
        wrong.append(f"it stays {state}")
    if way == "delivered" and state not in ("offered", "delivered"):
        wrong.append(f"an approval came to nothing: {state}, {doorbell.consent_service.request(ID)['why']}")
    if (f"ended {state}" not in marks) and any(mark.startswith("ended") for mark in marks):
        wrong.append(f"it had ended, and is {state}")
    wrong += left_over(folder)
    doorbell.consent_service.ledger_store.close()
    return wrong


def unproved(doorbell: ConsentHarness, folder: Path) -> list[str]:
    """Return the grants without an entry that names approval, offer and destination."""
    entries = [entry["data"] for entry in doorbell.ledger() if entry["kind"] == "request"]
    approved = {step["offer_hash"]: step for step in entries if step["to"] == "approved"}
    wrong = []
    for grant in grants(folder):
        named = [step for step in entries if step["to"] == "handed over" and step["sha256"] == grant.sha256]
        if not named:
            wrong.append("a grant has no entry")
            continue
        yes = approved.get(named[0]["offer_hash"])
        if yes is None or offer_hash(yes["offer"]) != named[0]["offer_hash"]:
            wrong.append("a grant is for an offer that was not approved")
        elif named[0]["destination"] != {"kind": grant.kind, "origin": grant.origin}:
            wrong.append("a grant has another destination than its entry")
    return wrong


def left_over(folder: Path) -> list[str]:
    """Return the files of a parcel that are left at the end."""
    out = folder / "spool/out"
    paths = [path for path in out.iterdir() if path.suffix in (".parcel", ".grant")]
    releases = folder / "releases"
    paths += list(releases.iterdir()) if releases.exists() else []
    wrong = [f"{path.name} is left" for path in paths]
    for path in folder.rglob("*"):
        if path.is_file() and path.name != FILM and "ledger" not in path.name:
            with path.open("rb") as file:
                if found_in(file, patterns(["a face at Anna's door", "avc1"])):
                    wrong.append(f"{path.relative_to(folder)} holds footage")
    return wrong
