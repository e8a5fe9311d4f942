"""Files that are damaged, or changed by hand (FAULTS F10, F13); see also tests/store/test_reconcile.py."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from device.events import ClipDropped
from device.store.event_log import EventLogReader
from device.store.index import Index
from server.dev_processes import wait_for
from tests.fault_tolerance.storage_run import StorageRun, Time
from tests.support.broker import Listener
from tests.support.doorbell import Doorbell

Make = Callable[..., Doorbell]


def filled(state: Path, clips: int = 4) -> list[str]:
    """Live a little; return the names of the clips that are kept."""
    run = StorageRun(state)
    run.pass_s(3)
    for _ in range(clips):
        run.visit(2, raised=True)
    run.storage_worker.close()
    return sorted(path.name for path in (state / "clips").iterdir())


def overwrite(path: Path, *, from_page: int, pages: int = 1) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(min(from_page * 4096, size - 4096))
        file.write(b"\xa5" * 4096 * pages)


def zero_a_leaf(path: Path) -> None:
    """Damage the last page only: the root of whatever table or index was made last."""
    overwrite(path, from_page=path.stat().st_size // 4096 - 1)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "the header": lambda path: overwrite(path, from_page=0),
    "the second page": lambda path: overwrite(path, from_page=1),
    "the last page": zero_a_leaf,
    "all but the header": lambda path: overwrite(path, from_page=1, pages=path.stat().st_size // 4096 - 1),
    "truncated behind the header": lambda path: os.truncate(path, 4096),
    "truncated in the middle": lambda path: os.truncate(path, path.stat().st_size // 2),
    "text": lambda path: path.write_text("Dear diary,\n" * 1000),
    "a few bytes": lambda path: path.write_bytes(b"SQLite format 3\0xyz"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_moved_aside_and_rebuilt_from_the_files(damage: str, tmp_path: Path) -> None:
    names = filled(tmp_path)
    DAMAGES[damage](tmp_path / "index.db")
    broken = (tmp_path / "index.db").read_bytes()
    run = StorageRun(tmp_path, Time(500_000_000), event=100)
    assert [row.file_name for row in run.rows()] == names
    assert run.findings() == []
    aside = min(tmp_path.glob("index.db.corrupt-*"))  # beside it may lie its -wal and -shm
    assert aside.read_bytes() == broken
    run.pass_s(2)
    run.visit(2)
    assert len(run.rows()) == len(names) + 1
    assert "index_failed" not in run.faults()
    run.storage_worker.close()


def test_an_index_that_is_damaged_while_the_doorbell_runs_is_rebuilt_and_the_clip_continues(
    tmp_path: Path,
) -> None:
    names = filled(tmp_path)
    run = StorageRun(tmp_path, Time(500_000_000), event=100)
    run.pass_s(2)
    # As a card does it: behind SQLite's back. Its cache of pages is let go with another writer's change.
    index = tmp_path / "index.db"
    other = sqlite3.connect(index, isolation_level=None)
    other.execute("UPDATE clip SET lost_packets = 1")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    overwrite(index, from_page=1, pages=index.stat().st_size // 4096 - 1)
    run.visit(4, raised=True)
    assert len(run.rows()) == len(names) + 1
    assert run.findings() == []
    assert run.faults() == {}
    assert len(list(tmp_path.glob("index.db.corrupt-*"))) >= 1
    run.storage_worker.close()


def test_a_log_that_is_damaged_while_the_doorbell_runs_is_replaced_and_no_fact_is_lost(
    tmp_path: Path,
) -> None:
    run = StorageRun(tmp_path)
    run.pass_s(2)
    run.visit(2)
    path = tmp_path / "log.db"
    other = sqlite3.connect(path, isolation_level=None)
    (last,) = other.execute("SELECT max(seq) FROM fact").fetchone()
    other.execute("UPDATE fact SET late = 1")  # the storage worker's cache of pages is let go
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    overwrite(path, from_page=1, pages=path.stat().st_size // 4096 - 1)
    run.visit(2)
    run.visit(2)
    run.storage_worker.close()
    assert "log_damaged" in run.faults()
    assert "log_failed" not in run.faults()
    reader = EventLogReader(path)
    rows = reader.latest(100)
    reader.close()
    assert list(tmp_path.glob("log.db.corrupt-*"))
    # If no number could be read they begin at 1; what was to be written at the time is there all the same.
    first = rows[0].payload["n"]
    assert [row.payload["n"] for row in rows] == list(range(first, first + len(rows)))
    assert first == last + 1


def test_stars_that_can_be_read_from_a_damaged_index_are_kept(tmp_path: Path) -> None:
    filled(tmp_path)
    run = StorageRun(tmp_path, Time(500_000_000), event=100)
    run.star(run.rows()[0].clip_id)
    run.storage_worker.close()
    starred = [row.clip_id for row in run.rows() if row.protected]
    assert len(starred) == 1
    with sqlite3.connect(tmp_path / "index.db") as index:
        (page,) = index.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'clip_by_start'").fetchone()
    overwrite(tmp_path / "index.db", from_page=page - 1, pages=1)
    rerun = StorageRun(tmp_path, Time(600_000_000))
    assert list(tmp_path.glob("index.db.corrupt-*"))
    assert [row.clip_id for row in rerun.rows() if row.protected] == starred
    rerun.storage_worker.close()


def test_a_disk_that_cannot_be_read_briefly_does_not_count_as_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stars live in the index alone: it must not be given up for an error that passes."""
    filled(tmp_path)
    run = StorageRun(tmp_path, Time(500_000_000))
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ

    def fail(*_: object) -> None:
        raise failed

    with monkeypatch.context() as patch:
        patch.setattr(Index, "totals", fail)
        with pytest.raises(SystemExit):
            StorageRun(tmp_path / "other", Time(500_000_000))
        assert list((tmp_path / "other").glob("*.corrupt-*")) == []
        run.pass_s(6)
        assert "index_failed" in run.faults()
    run.pass_s(6)
    assert run.faults() == {}
    assert list(tmp_path.glob("*.corrupt-*")) == []
    run.storage_worker.close()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_is_moved_aside_and_no_number_is_used_twice(damage: str, tmp_path: Path) -> None:
    filled(tmp_path)
    reader = EventLogReader(tmp_path / "log.db")
    last = reader.latest(1)[0].seq
    reader.close()
    DAMAGES[damage](tmp_path / "log.db")
    run = StorageRun(tmp_path, Time(500_000_000), event=100)
    run.pass_s(2)
    run.visit(2)
    run.storage_worker.close()
    text = run.faults().get("log_damaged", "")
    reader = EventLogReader(tmp_path / "log.db")
    numbers = [row.seq for row in reader.latest(100)]
    if not list(tmp_path.glob("log.db.corrupt-*")):
        assert text == ""
        assert numbers[-1] > last, "the damage touched nothing that was in use"
    elif "begin at 1 again" not in text:
        assert f"goes on at {last + 1}" in text
        assert min(numbers) == last + 1
        with sqlite3.connect(tmp_path / "log.db") as new:
            assert new.execute("SELECT acked_seq FROM sent").fetchone() == (last,)
    else:
        assert min(numbers) == 1
    reader.close()


def mess(clips: Path, names: list[str], elsewhere: Path) -> None:
    """Do to a folder of four clips what a hand can do; the last clip is left alone."""
    elsewhere.write_bytes((clips / names[0]).read_bytes())
    stranger = names[0].replace("_press_", "_motion_")
    os.mkfifo(clips / stranger.replace("0001_", "0009_"))
    os.mkfifo(clips / "pipe")
    (clips / stranger.replace("0001_", "000A_")).symlink_to(elsewhere)
    (clips / (stranger.replace("0001_", "000B_") + ".part")).symlink_to(elsewhere)
    (clips / "dangling").symlink_to(clips / "nowhere")
    (clips / "holidays").mkdir()
    (clips / "holidays" / "sea.jpg").write_text("sea")
    giant = clips / stranger.replace("0001_", "000C_")
    giant.write_bytes(elsewhere.read_bytes())
    os.truncate(giant, 1 << 40)
    (clips / names[0]).unlink()
    (clips / names[1]).unlink()
    os.mkfifo(clips / names[1])
    os.truncate(clips / names[2], 1000)


def test_foreign_files_are_moved_aside_unread_and_nothing_is_deleted(tmp_path: Path) -> None:
    names = filled(tmp_path)
    clips, elsewhere = tmp_path / "clips", tmp_path / "elsewhere.mp4"
    mess(clips, names, elsewhere)
    content = elsewhere.read_bytes()
    before = {path.name for path in clips.iterdir()}
    run = StorageRun(tmp_path, Time(500_000_000), event=100)
    assert [row.file_name for row in run.rows()] == [names[3]]
    assert run.findings() == []
    assert {path.name for path in clips.iterdir()} == {names[3]}
    assert {path.name for path in (tmp_path / "quarantine").iterdir()} == before - {names[3]}
    assert (tmp_path / "quarantine" / "holidays" / "sea.jpg").read_text() == "sea"
    assert elsewhere.read_bytes() == content, "what a symlink names is not touched"
    texts = [fact.text for fact in run.facts if isinstance(fact, ClipDropped)]
    assert any(text.endswith("its file is gone") for text in texts)
    run.pass_s(2)
    run.visit(2)
    assert len(run.rows()) == 2
    run.storage_worker.close()


@pytest.mark.long
def test_files_that_are_changed_under_a_running_daemon_are_reported_by_check_and_repaired_at_the_next_start(
    doorbell: Make, listener: Listener
) -> None:
    door = doorbell(clips={"pre_roll_s": 0, "post_roll_s": 1}).start()
    state = door.state / "state"
    for count in range(1, 4):
        door.ring()
        door.clips(count)
    first, second, third = (Path(clip["file"]) for clip in door.clips(3))
    first.unlink()
    second.unlink()
    os.mkfifo(second)
    (state / "clips" / "pipe").symlink_to(second)
    (state / "clips" / "sea.jpg").write_text("sea")

    done = door.run("check", "--deep")
    assert done.returncode == 1
    for words in (
        f"its file {first} is gone", "its file is no ordinary file", "pipe: no ordinary file",
        "sea.jpg: no row knows this file", "3 clips", "4 to repair",
    ):  # fmt: skip
        assert words in done.stdout
    verified = door.run("clips", "verify")
    assert verified.stdout.endswith("3 clips: 1 as recorded\n")
    clip_id = door.json("clips", "list")[1]["id"]
    assert "no ordinary file" in door.run("clips", "export", clip_id, str(door.state / "copy.mp4")).stderr

    door.ring()
    wait_for("the next clip", lambda: len(listener.log("clip_kept")) == 4)
    assert door.stop() == 0
    door.start()
    assert door.clips(2)[0]["file"] == str(third)
    assert {path.name for path in (state / "quarantine").iterdir()} == {second.name, "pipe", "sea.jpg"}
    assert door.run("check", "--deep").returncode == 0
    assert door.stop() == 0
