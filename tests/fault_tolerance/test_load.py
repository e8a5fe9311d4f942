"""Much to send and much to look through (FAULTS F20), and a quota under pressure (F7)."""

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from device.cli.client import ask
from device.policy.episode import CloseClip, OpenClip
from device.policy.limit_hold import HOLD_US
from device.store.clip_name import ClipName
from device.store.event_log import EventLog
from device.store.files import sha256_of
from device.store.index import Index
from device.store.messages import NewFact
from device.store.reconcile import row_for
from device.system.clock import SystemClock
from server.dev_processes import wait_for
from tests.fault_tolerance.storage_run import LIMIT_BYTES, StorageRun, Time
from tests.support.broker import Broker, Listener
from tests.support.doorbell import Doorbell
from tests.support.videos import make_video

Make = Callable[..., Doorbell]
CLOCK = SystemClock()


def test_five_thousand_rows_that_wait_are_sent_in_order_while_a_press_stays_live(
    doorbell: Make, broker: Broker, listener: Listener
) -> None:
    door = doorbell()
    state = door.state / "state"
    state.mkdir()
    event_log = EventLog(state / "log.db", boot_id="earlier", keep_rows=100_000)
    facts = [
        NewFact(kind="motion_started", mono_us=0, wall_us=n, clock="synchronised", late=True, fields={"n": n})
        for n in range(5000)
    ]
    event_log.write(facts, [], None)
    event_log.close()
    from_s = time.monotonic()
    door.start(camera=False)
    wait_for("the connection", lambda: ask(door.state, "GET", "/status")["mqtt"]["state"] == "up")
    took_s: list[float] = []
    behind: list[int] = []
    overtook = []
    while not took_s or behind[-1] > 0:
        before, pressed_s = len(listener.of("press")), time.monotonic()
        behind.append(5000 - len(listener.of("log")))
        ask(door.state, "POST", "/ring")
        wait_for("the press", lambda before=before: len(listener.of("press")) > before)  # type: ignore[misc]
        took_s.append(time.monotonic() - pressed_s)
        overtook.append(behind[-1] - 5000 + len(listener.of("log")))
        time.sleep(0.1)  # longer than the bounce of a press
    print(f"5,000 rows in {time.monotonic() - from_s:.1f} s; presses with so many to come: {behind}")
    print(f"worst press of {len(took_s)}: {max(took_s):.3f} s")
    print(f"rows that came between a press and its ring: {overtook}")
    assert max(behind) > 0
    assert max(overtook) < 2500, "a press waits for no row of the log, however long that takes"
    seqs = [row["seq"] for row in listener.log()]
    assert list(dict.fromkeys(seqs))[:5000] == list(range(1, 5001)), "in order, none missing"
    rows = wait_for("the presses", lambda: r if len(r := listener.log("press")) == len(took_s) else None)
    assert not any(row["late"] for row in rows)


@pytest.mark.long
def test_the_bell_does_not_wait_for_a_year_of_clips_to_be_looked_through(
    doorbell: Make, listener: Listener
) -> None:
    """100,000 rows with their files: hard links to a few, as links to one file are limited."""
    door = doorbell()
    clips = door.state / "state" / "clips"
    clips.mkdir(parents=True)
    first = ClipName(started_wall_us=0, event_id="01KA" + "0" * 22, cause="motion", clock="unsynchronised")
    model = make_video(door.state / first.file_name, seconds=1)
    row = row_for(first, model, duration_us=1_000_000, sha256=sha256_of(model))
    Index(door.state / "state" / "index.db").close()
    names = []
    for number in range(100_000):
        if number % 30_000 == 0:
            model = model.with_name(f"{number}.mp4")
            model.write_bytes((door.state / first.file_name).read_bytes())
        name = ClipName(
            started_wall_us=number * 300_000_000, event_id=first.event_id, cause="motion",
            clock="unsynchronised",
        )  # fmt: skip
        (clips / name.file_name).hardlink_to(model)
        names.append((name.clip_id, name.file_name, name.started_wall_us))
    with sqlite3.connect(door.state / "state" / "index.db") as index:
        index.executemany(
            "INSERT INTO clip (clip_id, event_id, cause, file_name, started_wall_us, duration_us, clock, "
            "boot_id, started_mono_us, size_bytes, disk_bytes, sha256, lost_packets, protected, doomed) "
            "VALUES (?, ?, 'motion', ?, ?, 1000000, 'unsynchronised', '', 0, ?, 1, ?, 0, 0, 0)",
            [(a, first.event_id, b, c, row.size_bytes, row.sha256) for a, b, c in names],
        )
    from_s = time.monotonic()
    door.start(camera=False)
    live_s = time.monotonic() - from_s
    ask(door.state, "POST", "/ring")
    assert ask(door.state, "GET", "/status")["storage"]["clips"] == 0, "the scan goes on meanwhile"
    wait_for("the scan", lambda: ask(door.state, "GET", "/status")["storage"]["clips"] >= 100_000)
    scanned_s = time.monotonic() - from_s
    print(f"bell live after {live_s:.2f} s, 100,000 clips looked through after {scanned_s:.2f} s")
    assert live_s < 10
    from_s = time.monotonic()
    assert len(ask(door.state, "GET", "/clips")) == 1000
    print(f"the newest 1,000 are listed in {time.monotonic() - from_s:.3f} s")
    wait_for("the press", lambda: listener.of("press"))
    assert door.stop() == 0


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def test_the_clips_never_take_more_than_the_limit_and_what_is_being_written(tmp_path: Path) -> None:
    run = StorageRun(tmp_path)
    run.pass_s(3)
    limit_bytes, most, largest = LIMIT_BYTES, 0, 0
    for _ in range(15):
        event_id = run.event_id()
        run.order(OpenClip(event_id=event_id, cause="press", from_us=run.wall.now_us - 1_000_000))
        for _ in range(8):
            run.pass_s(0.5)
            most = max(most, disk_bytes(tmp_path / "clips"))
        run.order(CloseClip(event_id=event_id, until_us=run.wall.now_us))
        run.pass_s(0.5)
        most = max(most, disk_bytes(tmp_path / "clips"))
        largest = max(largest, *(row.disk_bytes for row in run.rows()))
    assert len(run.clips) == 15
    print(f"limit {limit_bytes}, most {most}, largest clip {largest}")
    assert limit_bytes - largest <= most <= limit_bytes + largest
    run.storage_worker.close()


@pytest.mark.mount
def test_files_of_others_push_out_the_oldest_clips_until_the_reserve_is_free_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "doorbelld", folder], check=True)
    try:
        run = StorageRun(folder, limit_bytes=100_000_000, reserve_bytes=2_000_000)
        run.pass_s(3)
        for _ in range(15):  # each deletion also takes about half of a clip's bytes, for the index's journal
            run.visit(3)
        before = run.rows()
        hog = folder / "hog"
        disk = os.statvfs(folder)
        free_bytes = disk.f_bavail * disk.f_frsize
        hog.write_bytes(bytes(free_bytes - 2_000_000 + 100_000))
        run.pass_s(6)
        left = run.rows()
        assert 0 < len(left) < len(before)
        assert left == before[-len(left) :], "the oldest went"
        assert os.statvfs(folder).f_bavail * disk.f_frsize >= 2_000_000
        assert run.faults() == {}
        assert hog.exists()
        with hog.open("ab") as file:
            file.write(bytes(1_500_000))
        run.pass_s(6)
        assert run.rows() == []
        assert "storage_full" in run.faults(), "there is nothing left that may go"
        hog.unlink()
        run.visit(3)
        run.pass_s(6)
        assert len(run.rows()) >= 1
        assert run.faults() == {}
        run.storage_worker.close()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_limit_that_is_lowered_over_a_restart_waits_for_an_hour_and_is_held(tmp_path: Path) -> None:
    run = StorageRun(tmp_path)
    run.pass_s(3)
    for _ in range(6):
        run.visit(3)
    run.storage_worker.close()
    before = run.rows()
    rerun = StorageRun(tmp_path, Time(500_000_000), event=100, limit_bytes=150_000)
    rerun.pass_s(1)
    assert rerun.rows() == before
    rerun.wall.now_us += HOLD_US
    rerun.skip_to_now()
    rerun.pass_s(60)
    left = rerun.rows()
    assert 0 < len(left) < len(before)
    assert left == before[-len(left) :], "the oldest went"
    assert disk_bytes(tmp_path / "clips") <= 150_000
    assert rerun.findings() == []
    rerun.storage_worker.close()
