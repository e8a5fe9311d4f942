"""The power is cut at every step of the real store, and at each the disk keeps as little as it may."""

from pathlib import Path

import pytest

from scripts.trials.crash_states import Disk
from scripts.trials.plants import PLANTS
from scripts.trials.power import trial
from scripts.trials.simulate import lay_out, simulate
from scripts.trials.syscalls import Enter, Move, Operation, Sync, SyncFolder, Write

SEED = 11


def outcomes(disk: Disk, tmp_path: Path) -> set[frozenset[tuple[str, bytes]]]:
    """Write each outcome to a folder and read it back."""
    found = set()
    for number, state in enumerate(disk.every()):
        folder = tmp_path / str(number)
        lay_out(disk, state, folder, tmp_path)
        found.add(frozenset((path.name, path.read_bytes()) for path in folder.iterdir()))
    return found


def after(*operations: Operation) -> Disk:
    disk = Disk()
    for operation in operations:
        disk.apply(operation)
    return disk


def test_what_was_not_synced_may_be_there_or_not_and_a_name_without_its_bytes(tmp_path: Path) -> None:
    disk = after(Enter("a", 1), Write(1, 0, b"x" * 1024))
    assert outcomes(disk, tmp_path) == {
        frozenset(),
        frozenset({("a", b"")}),
        frozenset({("a", b"x" * 512)}),
        frozenset({("a", b"x" * 1024)}),
        frozenset({("a", bytes(1024))}),
    }


def test_what_was_synced_with_its_folder_stays(tmp_path: Path) -> None:
    disk = after(Enter("a", 1), Write(1, 0, b"x"), Sync(1), SyncFolder(""))
    assert outcomes(disk, tmp_path) == {frozenset({("a", b"x")})}


def test_a_synced_file_may_still_lose_its_name(tmp_path: Path) -> None:
    disk = after(Enter("a", 1), Write(1, 0, b"x"), Sync(1))
    assert outcomes(disk, tmp_path) == {frozenset(), frozenset({("a", b"x")})}


def test_a_move_is_one_step_and_may_come_before_the_bytes(tmp_path: Path) -> None:
    disk = after(Enter("a", 1), SyncFolder(""), Write(1, 0, b"x"), Move("a", "b"))
    assert outcomes(disk, tmp_path) == {
        frozenset({(name, content)}) for name in ("a", "b") for content in (b"", b"x", b"\0")
    }


@pytest.mark.strace
def test_the_store_keeps_its_promises_whatever_a_power_cut_leaves() -> None:
    tally = simulate(None, states=1500, seed=SEED, jobs=2)
    assert tally.states > 1000
    assert tally.examples == []


@pytest.mark.strace
@pytest.mark.parametrize("name", ["log-normal", "rename-first"])
def test_a_planted_bug_is_found(name: str) -> None:
    assert simulate(name, states=500, seed=SEED, jobs=2).broken > 0


@pytest.mark.long
@pytest.mark.strace
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PLANTS)
def test_every_planted_bug_is_found(name: str) -> None:
    assert simulate(name, states=4000, seed=SEED, jobs=2).broken > 0


@pytest.mark.fuse
@pytest.mark.mount
def test_the_store_keeps_its_promises_on_ext4(tmp_path: Path) -> None:
    tally = trial(None, None, between=2, every=30, seed=SEED, jobs=2)
    assert tally.states > 50
    assert tally.examples == []


@pytest.mark.fuse
@pytest.mark.mount
def test_a_planted_bug_is_found_on_ext4(tmp_path: Path) -> None:
    assert trial("log-normal", None, between=2, every=30, seed=SEED, jobs=2).broken > 0
