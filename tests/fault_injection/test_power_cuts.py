"""The power is cut at every step of the real store, and at each the disk keeps as little as it may."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from scripts.fault_injection import power
from scripts.fault_injection.block_log import MARK, entries, logged_disk
from scripts.fault_injection.crash_states import Disk
from scripts.fault_injection.fresh_disk import NotThisDisk, attached, mounted
from scripts.fault_injection.planted_bugs import PLANTS
from scripts.fault_injection.promises import Promises, verdict
from scripts.fault_injection.simulate import simulate, write_state
from scripts.fault_injection.syscalls import Enter, Move, Operation, Sync, SyncFolder, Write

SEED = 11
BUSY_S = 400
"""Ten seconds of work, beside thirty others on two cores."""


def outcomes(disk: Disk, tmp_path: Path) -> set[frozenset[tuple[str, bytes]]]:
    """Write each outcome to a folder and read it back."""
    found = set()
    for number, state in enumerate(disk.every()):
        folder = tmp_path / str(number)
        write_state(disk, state, folder, tmp_path)
        found.add(frozenset((path.name, path.read_bytes()) for path in folder.iterdir()))
    return found


def after(*operations: Operation) -> Disk:
    disk = Disk()
    for operation in operations:
        disk.apply(operation)
    return disk


def test_unsynced_bytes_may_be_lost_while_their_name_survives(tmp_path: Path) -> None:
    disk = after(Enter("a", 1), Write(1, 0, b"x" * 1024))
    assert outcomes(disk, tmp_path) == {
        frozenset(),
        frozenset({("a", b"")}),
        frozenset({("a", b"x" * 512)}),
        frozenset({("a", b"x" * 1024)}),
        frozenset({("a", bytes(1024))}),
    }


def test_a_file_that_was_synced_with_its_folder_survives(tmp_path: Path) -> None:
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
def test_a_planted_bug_is_found() -> None:
    assert simulate("log-normal", states=500, seed=SEED, jobs=2).broken > 0


@pytest.mark.long
@pytest.mark.strace
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PLANTS)
def test_every_planted_bug_is_found(name: str) -> None:
    assert simulate(name, states=4000, seed=SEED, jobs=2).broken > 0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the workload's writes to an ext4."""
    log = tmp_path_factory.mktemp("recorded") / "log"
    power.record(None, log)
    return log


@contextmanager
def mounts_copied() -> Iterator[None]:
    """Somebody makes a mount namespace: it holds all that is mounted now."""
    hold = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo held; exec sleep 600"]
    with subprocess.Popen(hold, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"held\n"
            yield
        finally:
            holder.kill()


@pytest.mark.fuse
@pytest.mark.mount
@pytest.mark.timeout(BUSY_S)
def test_the_store_keeps_its_promises_on_ext4(recorded: Path) -> None:
    tally = power.trial(None, recorded, between=2, every=30, seed=SEED, jobs=2)
    assert tally.states > 50
    assert tally.examples == []


@pytest.mark.fuse
@pytest.mark.mount
@pytest.mark.timeout(BUSY_S)
def test_a_disk_that_is_still_mounted_is_not_used_for_the_next_cut(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each mount is copied while it is looked at, and the copy lives until the next one is looked at.
    copies = [ExitStack()]

    def looked_at(state_dir: Path, promises: Promises) -> list[str]:
        copies.append(ExitStack())
        copies[-1].enter_context(mounts_copied())
        copies[-2].close()
        return verdict(state_dir, promises)

    monkeypatch.setattr(power, "verdict", looked_at)
    try:
        tally = power.replay_part(recorded, 1, 90, SEED, 0, 1)
    finally:
        copies[-1].close()
    assert tally.states > 15
    assert tally.examples == []


@pytest.mark.mount
def test_a_mount_that_did_not_read_the_disk_is_an_error(tmp_path: Path) -> None:
    image, first, second = (tmp_path / name for name in ("image", "first", "second"))
    image.write_bytes(bytes(power.DISK_BYTES))
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    first.mkdir()
    second.mkdir()
    with attached(image) as device, mounted(image, device, first):
        with pytest.raises(NotThisDisk), mounted(image, device, second):
            pass
        assert not second.is_mount()


@pytest.mark.fuse
@pytest.mark.mount
def test_a_log_is_complete_although_the_disk_is_still_mounted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with ExitStack() as copies, logged_disk(tmp_path, log, 1 << 20) as disk:
        copies.enter_context(mounts_copied())
        with disk.marks.open("ab", buffering=0) as marks:
            marks.write(b"one\n")
    assert [entry.text for entry in entries(log) if entry.flags & MARK] == ["one"]


@pytest.mark.fuse
@pytest.mark.mount
@pytest.mark.timeout(BUSY_S)
def test_a_planted_bug_is_found_on_ext4(tmp_path: Path) -> None:
    assert power.trial("log-normal", None, between=2, every=30, seed=SEED, jobs=2).broken > 0
