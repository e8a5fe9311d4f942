"""F19 on a doorbell that runs: hostile files in its spool cost nothing but a count."""

import os
import shutil
import sqlite3
from pathlib import Path

from device.spool.folders import MAX_BUNDLE_BYTES, Item, bundle
from server.dev_processes import wait_for
from tests.support.broker import Broker, Listener
from tests.support.neighbourhood import NeighbourhoodDoorbell, Sender


def test_hostile_files_in_the_spool_are_refused_and_the_valid_one_is_read(
    tmp_path: Path, broker: Broker
) -> None:
    dashboard = Listener(broker.port)
    doorbell = NeighbourhoodDoorbell(tmp_path / "bell", broker.port).start()
    try:
        department = Sender(tmp_path / "department")
        doorbell.pin(department)
        inside = doorbell.spool / "in"
        (inside / "000000000001.in").symlink_to(doorbell.state / "state/ledger.db")
        os.mkfifo(inside / "000000000002.in")
        (inside / "000000000003.in").mkdir()
        with (inside / "000000000004.in").open("wb") as giant:
            giant.truncate(MAX_BUNDLE_BYTES + 1)
        (inside / "000000000005.in").write_bytes(os.urandom(5000))
        (inside / "000000000006.in").write_bytes(b"notice YQ==")  # cut short
        (inside / "readme.txt").write_text("no courier writes this")
        (inside / ".000000000007.in.1").write_bytes(b"half")
        (inside / "000000000008.in").write_bytes(bundle([Item(source="notice", content=department.notice())]))
        wait_for("the notice", lambda: [row["headline"] for row in doorbell.notices()])
        counted = {row["reason"]: row["count"] for row in doorbell.json("ledger", "show")["refused"]}
        assert counted == {"not_a_file": 4, "too_large": 1, "broken_file": 2}
        assert (doorbell.spool / "out/read").read_text().split() == ["1", "2", "3", "4", "5", "6", "8"]
        doorbell.ring()
        wait_for("the ring", lambda: dashboard.of("press"))
        assert doorbell.run("ledger", "verify").returncode == 0
        assert (doorbell.state / "state/ledger.db").stat().st_size > 0
    finally:
        doorbell.stop_both()
        dashboard.close()


def test_a_doorbell_without_a_spool_reports_a_fault_and_rings(tmp_path: Path, broker: Broker) -> None:
    doorbell = NeighbourhoodDoorbell(tmp_path / "bell", broker.port)
    shutil.rmtree(doorbell.spool)
    doorbell.start()
    try:
        faults = wait_for("the fault", lambda: doorbell.status()["faults"])
        assert [fault["code"] for fault in faults] == ["spool_settings"]
        assert str(doorbell.spool) in faults[0]["text"]
        doorbell.ring()
        for name in ("in", "out"):
            (doorbell.spool / name).mkdir(parents=True)
        wait_for("its end", lambda: not doorbell.status()["faults"])
    finally:
        doorbell.stop_both()


def test_a_file_that_is_no_certificate_is_named_with_the_setting(tmp_path: Path, broker: Broker) -> None:
    doorbell = NeighbourhoodDoorbell(tmp_path / "bell", broker.port).start()
    try:
        (tmp_path / "ca.der").write_bytes(bytes(40))
        changed = f"neighbourhood.broker_ca_file={tmp_path / 'ca.der'}"
        assert doorbell.run("config", "set", "--yes", changed).returncode == 0
        (fault,) = wait_for("the fault", lambda: doorbell.status()["faults"])
        assert "ca.der: has no certificate (PEM)" in fault["text"]
        assert "neighbourhood.broker_ca_file" in fault["remedy"]
        assert doorbell.run("config", "undo", "--yes").returncode == 0
        wait_for("its end", lambda: not doorbell.status()["faults"])
    finally:
        doorbell.stop_both()


def test_a_ledger_that_was_tampered_with_stops_consent_and_nothing_else(
    tmp_path: Path, broker: Broker
) -> None:
    doorbell = NeighbourhoodDoorbell(tmp_path / "bell", broker.port).start()
    try:
        doorbell.pin(Sender(tmp_path / "department"))
        doorbell.stop()
        ledger = doorbell.state / "state/ledger.db"
        db = sqlite3.connect(ledger)
        db.execute("DROP TRIGGER entry_stays")
        db.execute("UPDATE entry SET text = replace(text, 'paris-example', 'lyon-example') WHERE seq = 2")
        db.commit()
        db.close()
        done = doorbell.run("ledger", "verify")
        assert done.returncode == 1
        assert "ledger.db" in done.stdout
        doorbell.start()
        faults = wait_for("the fault", lambda: doorbell.status()["faults"])
        assert "ledger_broken" in [fault["code"] for fault in faults]
        assert "ledger" in doorbell.run("agency", "list").stderr
        stopped = doorbell.run("requests", "withdraw", "--all")
        assert stopped.returncode == 0
        assert "copies it once it is repaired" in stopped.stdout
        doorbell.ring()
        doorbell.run("record")
        doorbell.clips(1)
    finally:
        doorbell.stop_both()
