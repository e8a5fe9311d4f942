"""Tampering with the ledger is detected (invariant 10, the ledger's part)."""

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from device.consent_service.ledger import GENESIS, Ledger, LedgerBroken

WALL_US = 1_795_000_000_000_000


def a_ledger(path: Path, entries: int = 8) -> Ledger:
    ledger = Ledger(path)
    for number in range(entries):
        body = f"what {number} is about".encode() if number % 2 else None
        kind = "request" if number % 2 else "opened"
        at_us = WALL_US + number
        ledger.append(kind, {"number": number}, wall_us=at_us, clock="synchronised", body=body)
    return ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    a_ledger(tmp_path / "ledger.db").close()
    return tmp_path / "ledger.db"


def faults(path: Path, head: str | None = None) -> list[str]:
    ledger = Ledger(path, read_only=True)
    try:
        return list(ledger.faults(head))
    finally:
        ledger.close()


def test_each_entry_follows_from_the_one_before(path: Path) -> None:
    ledger = Ledger(path, read_only=True)
    entries = list(ledger.entries())
    assert [entry.seq for entry in entries] == list(range(1, 9))
    assert [entry.prev for entry in entries] == [GENESIS, *(entry.hash for entry in entries[:-1])]
    assert entries[-1].hash == ledger.head
    assert faults(path, ledger.head) == []
    assert faults(path, entries[2].hash) == []


def test_a_ledger_goes_on_where_it_ended(path: Path) -> None:
    ledger = Ledger(path)
    before = ledger.head
    entry = ledger.append("opened", {}, wall_us=WALL_US, clock="synchronised")
    assert (entry.seq, entry.prev) == (9, before)
    assert faults(path, before) == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entry SET text = '{}' WHERE seq = 3",
        "DELETE FROM entry WHERE seq = 8",
        "UPDATE body SET bytes = x'00'",
        "INSERT OR REPLACE INTO entry VALUES (3, 'a', 'b')",
    ],
)
def test_an_entry_cannot_be_changed_or_taken_away_in_passing(path: Path, sql: str) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(sql)


def tampered(path: Path, *statements: str) -> None:
    """Do what somebody does who owns the file: the triggers first."""
    db = sqlite3.connect(path)
    triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        db.execute(statement)
    for _, sql in triggers:
        db.execute(sql)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE entry SET text = replace(text, '\"number\":2', '\"number\":3') WHERE seq = 3",
            "entry 3 was changed",
        ),
        ("UPDATE entry SET hash = 'x' WHERE seq = 3", "entry 3 was changed"),
        ("DELETE FROM entry WHERE seq = 3", "entry 3 is missing"),
        ("UPDATE entry SET seq = 100 WHERE seq = 8", "entry 8 is missing"),
        ("UPDATE entry SET text = 'no JSON' WHERE seq = 5", "entry 5 cannot be read"),
        ("UPDATE entry SET text = text || ' ' WHERE seq = 5", "entry 5 is not canonical"),
        ("DELETE FROM body", "what entry 2 (request) is about is gone"),
        ("UPDATE body SET bytes = x'00'", "what entry 2 (request) is about was changed"),
    ],
)
def test_a_changed_ledger_file_is_detected(path: Path, statement: str, message: str) -> None:
    tampered(path, statement)
    assert any(message in fault for fault in faults(path)), faults(path)
    with pytest.raises(LedgerBroken):
        Ledger(path).prove()


def test_missing_triggers_are_reported(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TRIGGER entry_stays")
    db.close()
    assert any("entry_stays" in fault for fault in faults(path))


def test_a_rewritten_history_has_another_head(path: Path) -> None:
    """The chain alone does not show it, because a writer can rewrite the whole file. The published head does."""
    head = Ledger(path, read_only=True).head
    db = sqlite3.connect(path)
    rows = db.execute("SELECT seq, text FROM entry ORDER BY seq").fetchall()
    statements, prev = [], GENESIS
    for seq, text in rows:
        entry = json.loads(text)
        if seq == 3:
            entry["data"] = {"number": 99}
        entry["prev"] = prev
        canonical = rfc8785.dumps(entry)
        prev = hashlib.sha256(canonical).hexdigest()
        quoted = canonical.decode().replace("'", "''")
        change = f"text = '{quoted}', hash = '{prev}'"
        statements.append(f"UPDATE entry SET {change} WHERE seq = {seq}")  # noqa: S608  (the file is ours)
    db.close()
    tampered(path, *statements)
    assert faults(path) == []
    assert any("rolled back" in fault for fault in faults(path, head))


def test_a_rollback_is_detected_by_the_published_head(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = a_ledger(path, 5)
    ledger.close()
    shutil.copy(path, tmp_path / "backup.db")
    ledger = Ledger(path)
    head = ledger.append("opened", {}, wall_us=WALL_US, clock="synchronised").hash
    ledger.close()
    shutil.copy(tmp_path / "backup.db", path)
    assert faults(path) == []
    assert any("rolled back" in fault for fault in faults(path, head))


def test_a_step_that_could_not_be_written_did_not_happen(path: Path) -> None:
    ledger = Ledger(path)
    before = ledger.head, ledger.length
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ledger._db.execute("PRAGMA busy_timeout = 1")  # noqa: SLF001
    with pytest.raises(LedgerBroken):
        ledger.append_all([("opened", {}, None), ("opened", {}, None)], wall_us=WALL_US, clock="synchronised")
    other.execute("ROLLBACK")
    assert (ledger.head, ledger.length) == before
    assert faults(path) == []


def test_refusals_are_counted_and_the_first_hundred_are_kept(path: Path) -> None:
    ledger = Ledger(path)
    for number in range(30):
        bodies = [("not_json", "", f"{number} {index}".encode()) for index in range(10)]
        ledger.count_refused({"not_json": 10, "expired": 1}, bodies, WALL_US + number)
    assert {row["reason"]: row["count"] for row in ledger.refused()} == {"not_json": 300, "expired": 30}
    bodies_kept = ledger.refused_bodies()
    assert len(bodies_kept) == 100
    assert bodies_kept[0]["bytes"] == b"0 0"
    assert faults(path) == []


def put_a_folder_there(path: Path) -> None:
    """Make it unreadable also for root, whom no mode keeps out."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"no database" * 100), put_a_folder_there])
def test_a_ledger_that_cannot_be_read_says_so(path: Path, spoil: Callable[[Path], None]) -> None:
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    spoil(path)
    with pytest.raises(LedgerBroken, match=r"ledger\.db"):
        Ledger(path)


def test_any_damaged_byte_is_reported_without_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    for number in range(20):
        ledger.append("opened", {"number": number}, wall_us=number, clock="synchronised")
    ledger.close()
    good, dice = path.read_bytes(), random.Random(1)  # noqa: S311
    other = tmp_path / "other.db"
    for _ in range(400):
        offset = dice.randrange(len(good))
        other.write_bytes(good[:offset] + bytes([good[offset] ^ 1 << dice.randrange(8)]) + good[offset + 1 :])
        try:
            damaged = Ledger(other, read_only=True)
            result: list[Any] = list(damaged.faults()) or [entry.data for entry in damaged.entries()]
            damaged.close()
        except LedgerBroken as error:
            result = [str(error)]
        assert result
