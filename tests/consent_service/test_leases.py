"""Leases and revocations: what ends them, with and without a ledger. The parcels are bytes, the courier is a test."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.consent_service.revocations import RevocationKind
from device.consent_service.service import ConsentService
from device.errors import CommandError
from device.events import Fault
from device.spool.leases import LEASES, LeaseReader, boottime_s
from device.spool.parcels import names_in, write_report
from device.system.clock import rfc3339
from tests.support import envelopes
from tests.support.consent import ID, ConsentHarness, delivery_report
from tests.support.consent import grants as grants_in
from tests.support.release_backend import FakeReleaseBackend

HOUR_S = 3600
HANDLE = f"paris-example.{ID}"


@pytest.fixture
def doorbell(tmp_path: Path) -> ConsentHarness:
    """A doorbell with one approved parcel at the courier."""
    made = ConsentHarness(tmp_path, FakeReleaseBackend())
    made.pin()
    made.hear(("request", envelopes.request()))
    made.consent_service.approve(ID, made.consent_service.request(ID)["offer_hash"])
    for _ in range(4):
        made.consent_service.release_worker.step()
    assert made.states() == ["handed over"]
    return made


def digest_of(doorbell: ConsentHarness) -> str:
    (grant,) = grants_in(doorbell.folder)
    return grant.sha256


def is_leased(doorbell: ConsentHarness, digest: str, *, renewed: bool = True) -> bool:
    """Return whether the courier may send, after the daemon has looked at everything again."""
    if renewed:
        doorbell.consent_service.lease_keeper.renew()
    return LeaseReader(doorbell.folder / "leases").covers(digest)


def sending(doorbell: ConsentHarness, left_bytes: int) -> None:
    (grant,) = grants_in(doorbell.folder)
    report = replace(
        delivery_report(grant), state="sending", left_bytes=left_bytes, sent_bytes=0, receipt=None
    )
    write_report(doorbell.folder / "spool/in", report)


def break_ledger(doorbell: ConsentHarness) -> None:
    db = sqlite3.connect(doorbell.folder / "ledger.db")
    db.execute("DROP TRIGGER entry_stays")
    db.execute("UPDATE entry SET text = replace(text, 'offered', 'approved')")
    db.commit()
    db.close()


def faults(doorbell: ConsentHarness, code: str) -> list[Fault]:
    return [fact for fact in doorbell.facts if isinstance(fact, Fault) and fact.code == code and fact.active]


def entries(doorbell: ConsentHarness, kind: str) -> list[dict[str, Any]]:
    return [entry["data"] for entry in doorbell.ledger() if entry["kind"] == kind]


def test_a_parcel_at_the_courier_has_a_lease_and_the_file_is_only_for_the_courier(
    doorbell: ConsentHarness,
) -> None:
    assert is_leased(doorbell, digest_of(doorbell), renewed=False)  # at once, not with the next renewal
    assert (doorbell.folder / "leases" / LEASES).stat().st_mode & 0o007 == 0


def test_nothing_but_a_parcel_at_the_courier_has_a_lease(tmp_path: Path) -> None:
    backend = FakeReleaseBackend()
    backend.waits = True
    made = ConsentHarness(tmp_path, backend)
    made.pin()
    made.hear(("request", envelopes.request()))
    for _ in range(2):
        made.consent_service.lease_keeper.renew()
        assert json.loads((tmp_path / "leases" / LEASES).read_bytes())["ends_s"] == {}
        if made.states() == ["offered"]:
            made.consent_service.approve(ID, made.consent_service.request(ID)["offer_hash"])
            made.consent_service.release_worker.step()


def withdraw(doorbell: ConsentHarness) -> None:
    doorbell.consent_service.withdraw(ID)


def withdraw_all(doorbell: ConsentHarness) -> None:
    assert doorbell.consent_service.withdraw_all()["requests"] == [HANDLE]


def unpin(doorbell: ConsentHarness) -> None:
    doorbell.consent_service.unpin("paris-example")


def reach_its_end(doorbell: ConsentHarness) -> None:
    doorbell.clock.wall_s += 73 * HOUR_S


def break_it(doorbell: ConsentHarness) -> None:
    break_ledger(doorbell)


def replace_the_ledger(doorbell: ConsentHarness) -> None:
    path = doorbell.folder / "ledger.db"
    copy = path.with_name("copy")
    source, target = sqlite3.connect(path), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (doorbell.folder / name).unlink(missing_ok=True)
    copy.replace(path)


def delete_the_ledger(doorbell: ConsentHarness) -> None:
    (doorbell.folder / "ledger.db").unlink()


def append_to_the_ledger(doorbell: ConsentHarness) -> None:
    db = sqlite3.connect(doorbell.folder / "ledger.db")
    db.execute("INSERT INTO entry (seq, hash, text) SELECT max(seq) + 1, 'a', text FROM entry")
    db.commit()
    db.close()


def set_the_clock_back(doorbell: ConsentHarness) -> None:
    doorbell.clock.wall_s -= HOUR_S


@pytest.mark.parametrize(
    "end",
    [
        withdraw,
        withdraw_all,
        unpin,
        reach_its_end,
        break_it,
        replace_the_ledger,
        delete_the_ledger,
        append_to_the_ledger,
        set_the_clock_back,
    ],
)
def test_whatever_takes_the_permission_away_ends_the_lease(
    doorbell: ConsentHarness, end: Callable[[ConsentHarness], None]
) -> None:
    digest = digest_of(doorbell)
    assert is_leased(doorbell, digest)
    end(doorbell)
    assert not is_leased(doorbell, digest)


def test_a_withdrawal_ends_the_lease_before_the_next_renewal(doorbell: ConsentHarness) -> None:
    digest = digest_of(doorbell)
    doorbell.consent_service.withdraw(ID)
    assert not is_leased(doorbell, digest, renewed=False)
    assert list(names_in(doorbell.folder / "spool/out", "grant")) == []


@pytest.mark.parametrize("name", [ID, HANDLE])
def test_a_release_worker_that_steps_in_between_does_not_withdraw_instead(
    doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    worker_steps_after_the_lease(doorbell, monkeypatch)
    doorbell.consent_service.withdraw(name)
    (step,) = [data for data in entries(doorbell, "request") if data["to"] == "withdrawn"]
    assert not step.get("why")


def test_a_release_worker_that_steps_in_between_does_not_remove_instead(
    doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {
        "name": "nas",
        "kind": "webdav",
        "url": "https://192.168.1.9/",
        "user": "me",
        "age": envelopes.AGE,
    }
    doorbell.consent_service.add_destination(wanted, "secret")
    worker_steps_after_the_lease(doorbell, monkeypatch)
    doorbell.consent_service.remove_destination("nas")
    assert len(entries(doorbell, "destination_removed")) == 1


def worker_steps_after_the_lease(doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the release worker step as soon as a lease was stopped, as its thread may."""
    leases = doorbell.consent_service.lease_keeper
    stop = leases.stop

    def stop_and_step(kind: RevocationKind, name: str) -> None:
        stop(kind, name)
        doorbell.consent_service.release_worker.step()

    monkeypatch.setattr(leases, "stop", stop_and_step)


def test_a_clock_set_back_after_a_power_cut_revives_no_approval(doorbell: ConsentHarness) -> None:
    digest = digest_of(doorbell)
    # Power off for days; the clock resumes where it was, and no time server has answered.
    doorbell.clock.is_synchronised = False
    doorbell.open()
    assert not is_leased(doorbell, digest)
    with pytest.raises(CommandError, match="time server"):
        doorbell.consent_service.approve(ID, "0" * 64)
    doorbell.step()
    assert doorbell.states() == ["handed over"]  # a pause: it is not known that it has ended
    doorbell.clock.is_synchronised = True
    doorbell.clock.wall_s += 100 * HOUR_S
    assert not is_leased(doorbell, digest)
    doorbell.step()
    assert doorbell.states() == ["expired"]


def test_a_clock_set_back_in_the_same_boot_does_not_lengthen_an_approval(
    doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = digest_of(doorbell)
    assert is_leased(doorbell, digest)
    monkeypatch.setattr("device.consent_service.ledger_store.boottime_s", lambda: boottime_s() + 73 * HOUR_S)
    assert not is_leased(doorbell, digest)
    doorbell.open()
    assert not is_leased(doorbell, digest)


def test_a_lease_ends_with_its_approval_not_after_it(doorbell: ConsentHarness) -> None:
    digest = digest_of(doorbell)
    doorbell.clock.wall_s = doorbell.consent_service.request(ID)["ends_at"] - 3
    doorbell.consent_service.lease_keeper.renew()
    document = json.loads((doorbell.folder / "leases" / LEASES).read_bytes())
    assert document["ends_s"][digest] <= boottime_s() + 3


def test_a_paused_parcel_goes_on_after_a_restart(doorbell: ConsentHarness) -> None:
    digest = digest_of(doorbell)
    (doorbell.folder / "leases" / LEASES).unlink()
    doorbell.open()
    doorbell.consent_service.release_worker.step()
    assert is_leased(doorbell, digest)
    assert doorbell.states() == ["handed over"]


# --- without a ledger -----------------------------------------------------------------------------


def test_a_ledger_that_breaks_while_it_is_used_ends_every_lease_and_raises_a_fault(
    doorbell: ConsentHarness,
) -> None:
    break_ledger(doorbell)
    assert not is_leased(doorbell, digest_of(doorbell))
    assert faults(doorbell, "ledger_broken")
    with pytest.raises(CommandError, match="ledger"):
        doorbell.consent_service.requests()


@pytest.mark.parametrize("opened_broken", [False, True])
def test_a_withdrawal_needs_no_ledger_and_no_repair_revives_it(
    doorbell: ConsentHarness,
    opened_broken: bool,  # noqa: FBT001  (a parameter of pytest)
) -> None:
    digest = digest_of(doorbell)
    sending(doorbell, 1_000)
    (doorbell.folder / "ledger.db").rename(doorbell.folder / "good")
    for name in ("ledger.db-wal", "ledger.db-shm"):
        path = doorbell.folder / name
        if path.exists():
            path.rename(doorbell.folder / name.replace("ledger.db", "good"))
    (doorbell.folder / "ledger.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    if opened_broken:
        doorbell.open()
    else:
        doorbell.consent_service.lease_keeper.renew()
    done = doorbell.consent_service.withdraw(ID)
    assert done["recorded_in"] == "revocations"
    assert not is_leased(doorbell, digest)
    # The daemon is started again, still without a ledger, and then with the good one.
    doorbell.open()
    assert not is_leased(doorbell, digest)
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (doorbell.folder / name).unlink(missing_ok=True)
        if (doorbell.folder / name.replace("ledger.db", "good")).exists():
            (doorbell.folder / name.replace("ledger.db", "good")).rename(doorbell.folder / name)
    doorbell.open()
    assert not is_leased(doorbell, digest)
    for _ in range(2):
        doorbell.consent_service.release_worker.step()
    assert doorbell.states() == ["withdrawn"]
    assert entries(doorbell, "revocation") == [
        {
            "of": "request",
            "name": ID if opened_broken else HANDLE,
            "at": rfc3339(envelopes.NOW * 1_000_000),
            "parcels": done["parcels"],
        }
    ]
    # And never a second time.
    doorbell.open()
    doorbell.consent_service.release_worker.step()
    assert len(entries(doorbell, "revocation")) == 1


def test_every_release_can_be_stopped_when_nobody_knows_which_there_are(doorbell: ConsentHarness) -> None:
    digest = digest_of(doorbell)
    sending(doorbell, 7)
    doorbell.consent_service.ledger_store.close()
    good = (doorbell.folder / "ledger.db").read_bytes()
    (doorbell.folder / "ledger.db").write_bytes(b"broken")
    doorbell.open()
    done = doorbell.consent_service.withdraw_all()
    assert done["requests"] == []
    assert [parcel["left_bytes"] for parcel in done["parcels"]] == [7]
    assert list(names_in(doorbell.folder / "spool/out", "grant")) == []
    (doorbell.folder / "ledger.db").write_bytes(good)
    doorbell.open()
    assert not is_leased(doorbell, digest)
    doorbell.consent_service.release_worker.step()
    assert doorbell.states() == ["withdrawn"]
    # A new request may be approved again.
    doorbell.hear(("request", envelopes.request(id="01KA0000000000000000000099", case="another")))
    new = "01KA0000000000000000000099"
    doorbell.consent_service.approve(new, doorbell.consent_service.request(new)["offer_hash"])


def test_an_older_copy_of_the_ledger_does_not_revive_what_was_withdrawn(doorbell: ConsentHarness) -> None:
    doorbell.consent_service.ledger_store.close()
    old = (doorbell.folder / "ledger.db").read_bytes()
    doorbell.open()
    digest = digest_of(doorbell)
    doorbell.consent_service.withdraw(ID)
    doorbell.consent_service.ledger_store.close()
    (doorbell.folder / "ledger.db").write_bytes(old)
    doorbell.open()
    assert not is_leased(doorbell, digest)
    doorbell.consent_service.release_worker.step()
    assert doorbell.states() == ["withdrawn"]


def test_a_withdrawal_on_a_full_disk_is_kept_beside_the_ledger(
    doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = digest_of(doorbell)

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as context:
        ledger = doorbell.consent_service.ledger_store._locked._ledger  # type: ignore[union-attr]  # noqa: SLF001
        context.setattr(ledger, "_db", _FullDatabase(ledger._db, full))  # noqa: SLF001
        assert doorbell.consent_service.withdraw(ID)["recorded_in"] == "revocations"
    assert not is_leased(doorbell, digest)
    doorbell.consent_service.release_worker.step()
    assert doorbell.states() == ["withdrawn"]


class _FullDatabase:
    """A database on a disk without room: it reads."""

    def __init__(self, db: sqlite3.Connection, full: Callable[..., None]) -> None:
        self._db, self.executemany = db, full

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def test_revocations_that_cannot_be_read_allow_nothing(doorbell: ConsentHarness) -> None:
    digest = digest_of(doorbell)
    for content in (b"", b"{", b"{}", b'[{"kind": "other"}]', b"[1]", b"null"):
        (doorbell.folder / "revocations.json").write_bytes(content)
        doorbell.open()
        assert not is_leased(doorbell, digest), content
        doorbell.facts.clear()
        doorbell.consent_service.release_worker.step()
        (fault,) = faults(doorbell, "revocations_unreadable")
        assert "revocations.json" in fault.text
        doorbell.consent_service.release_worker.step()
        assert len(faults(doorbell, "revocations_unreadable")) == 1, "once, not at each step"
        assert "start doorbelld again" in fault.remedy, "the file is read at the start alone"
    assert doorbell.states() == ["handed over"]


def test_what_cannot_be_withdrawn_stays_as_it_was(doorbell: ConsentHarness) -> None:
    digest = digest_of(doorbell)
    with pytest.raises(CommandError, match="no request"):
        doorbell.consent_service.withdraw("01KA0000000000000000000077")
    assert is_leased(doorbell, digest)
    doorbell.consent_service.withdraw(ID)
    with pytest.raises(CommandError, match="withdrawn"):
        doorbell.consent_service.withdraw(ID)


def test_a_lease_folder_that_cannot_be_written_is_a_fault_with_a_remedy(doorbell: ConsentHarness) -> None:
    (doorbell.folder / "leases" / LEASES).unlink()
    (doorbell.folder / "leases").rmdir()
    (doorbell.folder / "leases").write_text("")
    doorbell.consent_service.lease_keeper.renew()
    assert faults(doorbell, "leases")
    (doorbell.folder / "leases").unlink()
    assert is_leased(doorbell, digest_of(doorbell))
    assert [fact.active for fact in doorbell.facts if isinstance(fact, Fault) and fact.code == "leases"][
        -1
    ] is False


def test_the_service_keeps_no_second_way_to_a_lease() -> None:
    """`write_leases` is called by the keeper alone."""
    root = Path(__file__).parents[2] / "device"
    callers = {path.name for path in root.rglob("*.py") if "write_leases(" in path.read_text()}
    assert callers == {"leases.py", "lease_keeper.py"}
    assert hasattr(ConsentService, "withdraw_all")
