"""Stories of a disk that is full or broken, on real small file systems; which only root may mount."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.dev_processes import wait_for
from tests.support.broker import Listener
from tests.support.doorbell import Doorbell
from tests.support.videos import frames_of

Make = Callable[..., Doorbell]

pytestmark = pytest.mark.mount


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount 12 MB where the doorbell of the name `d` keeps its clips."""
    mountpoint = tmp_path / "d" / "state"
    mountpoint.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "doorbelld", mountpoint], check=True)
    yield mountpoint
    subprocess.run(["umount", "-l", mountpoint], check=True)


def faults(door: Doorbell) -> set[str]:
    return {fault["code"] for fault in door.status()["faults"]}


def rings(door: Doorbell, listener: Listener) -> None:
    before = len(listener.of("press"))
    door.ring()
    wait_for("the press", lambda: len(listener.of("press")) > before)


def test_the_bell_rings_on_a_full_disk_and_records_again_when_there_is_room(
    small_disk: Path, doorbell: Make, listener: Listener
) -> None:
    door = doorbell(storage={"reserve_bytes": 0, "limit_bytes": 10_000_000}).start()
    door.ring()
    wait_for("a clip to grow", lambda: list((small_disk / "clips").glob("*.part")))
    hog = small_disk / "hog"
    with hog.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(65536))
        except OSError:
            pass
    wait_for("a fault", lambda: faults(door) & {"storage_failed", "index_failed", "log_failed"})
    rings(door, listener)
    assert door.stop() == 0
    door.start()
    rings(door, listener)
    hog.unlink()

    def recorded() -> list[dict[str, Any]]:
        done = door.run("clips", "list", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else []

    for _ in range(6):
        door.ring()
        time.sleep(8)  # longer than a clip of one press, and than the disk's next try
        if clips := recorded():
            break
    assert clips
    assert all(frames_of(clip["file"]) > 0 for clip in clips)
    wait_for("the faults to go", lambda: not faults(door) - {"storage_full"})
    wait_for("what was cut off to be saved", lambda: not list((small_disk / "clips").glob("*.part")))
    assert door.stop() == 0
    assert door.run("check").returncode == 0


def test_the_bell_rings_on_a_card_that_became_read_only(
    small_disk: Path, doorbell: Make, listener: Listener
) -> None:
    door = doorbell().start()
    door.ring()
    wait_for("a clip to grow", lambda: list((small_disk / "clips").glob("*.part")))
    door.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    door.start(camera=False)
    wait_for("the fault", lambda: "storage_failed" in faults(door))
    rings(door, listener)
    assert door.stop() == 0
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
