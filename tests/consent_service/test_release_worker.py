"""From an approval to its end: the entries in the ledger, the files in the spool, and the leftovers.

The consent service is the real one; the parcels are bytes, and the courier is what a test writes as its report.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.consent.states import State
from device.consent_service.release_worker import SILENCE_S
from device.errors import CommandError
from device.events import ConsentStep, Fault
from device.spool.parcels import Grant, UploadReport, names_in, write_report
from tests.consent_service.conftest import turn
from tests.support.consent import ID, ConsentHarness, delivery_report
from tests.support.consent import grants as grants_in
from tests.support.release_backend import CANARY, FakeReleaseBackend


def approve(doorbell: ConsentHarness) -> None:
    doorbell.consent_service.approve(ID, doorbell.consent_service.request(ID)["offer_hash"])


def until(doorbell: ConsentHarness, state: str) -> None:
    for _ in range(10):
        if doorbell.states() == [state]:
            return
        turn(doorbell)
    pytest.fail(f"{doorbell.states()} is not {state}: {doorbell.consent_service.request(ID)['why']}")


def out(doorbell: ConsentHarness) -> Path:
    return doorbell.folder / "spool/out"


def grants(doorbell: ConsentHarness) -> list[Grant]:
    return grants_in(doorbell.folder)


def the_report(doorbell: ConsentHarness, **changes: Any) -> UploadReport:
    """Return what an honest courier says once all of it is there."""
    (grant,) = grants(doorbell)
    return replace(delivery_report(grant), **changes)


def say(doorbell: ConsentHarness, report: UploadReport) -> None:
    write_report(doorbell.folder / "spool/in", report)


def steps(doorbell: ConsentHarness) -> list[str]:
    return [entry["data"]["to"] for entry in doorbell.ledger() if entry["kind"] == "request"]


def left(doorbell: ConsentHarness) -> list[dict[str, Any]]:
    return [entry["data"] for entry in doorbell.ledger() if entry["kind"] == "left"]


def nothing_is_left(doorbell: ConsentHarness) -> None:
    assert list(names_in(out(doorbell), "grant")) == []
    assert list(names_in(out(doorbell), "parcel")) == []
    for path in doorbell.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert CANARY not in content, path
            assert b"age-encryption.org" not in content or path.suffix == ".report", path
    releases = doorbell.folder / "releases"
    assert not releases.exists() or list(releases.iterdir()) == []


def test_an_approval_becomes_a_parcel_a_grant_and_a_receipt_each_in_the_ledger_first(
    doorbell: ConsentHarness,
) -> None:
    approve(doorbell)
    until(doorbell, "handed over")
    (grant,) = grants(doorbell)
    handed = doorbell.ledger()[-1]["data"]
    offer = next(
        entry["data"]["offer"] for entry in doorbell.ledger() if entry["data"].get("to") == "approved"
    )
    assert handed["sha256"] == grant.sha256
    assert handed["destination"] == {"kind": grant.kind, "origin": grant.origin}
    assert grant.origin == offer["upload"]["origin"]
    say(doorbell, the_report(doorbell))
    until(doorbell, "delivered")
    assert steps(doorbell) == ["received", "offered", "approved", "sealed", "handed over", "delivered"]
    turn(doorbell)
    nothing_is_left(doorbell)
    release: Any = doorbell.consent_service.request(ID)["release"]
    assert release["receipt"]["sha256"] == grant.sha256
    assert release["left_bytes"] == grant.size_bytes
    assert release["progress"] is None


@pytest.mark.parametrize("state", ["approved", "sealed", "handed over"])
@pytest.mark.parametrize("how", ["withdrawn", "expired", "unpinned"])
def test_a_release_can_end_in_any_state_and_leaves_no_file(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend, state: str, how: str
) -> None:
    release_backend.waits = state == "approved"
    if state == "sealed":
        (doorbell.folder / "spool/out").rename(doorbell.folder / "spool/away")
    approve(doorbell)
    turn(doorbell, 3)
    assert doorbell.states() == [state]
    if state == "sealed":
        (doorbell.folder / "spool/away").rename(doorbell.folder / "spool/out")
    if state == "handed over":
        report = the_report(doorbell, state="sending", sent_bytes=5, left_bytes=9, receipt=None)
        say(doorbell, report)
        turn(doorbell)
    if how == "withdrawn":
        doorbell.consent_service.withdraw(ID)
        assert grants(doorbell) == []  # now, not at the next turn
    elif how == "expired":
        doorbell.clock.wall_s += 72 * 3600 + 1
        doorbell.step()
    else:
        doorbell.consent_service.unpin("paris-example")
    turn(doorbell)
    assert doorbell.states() == ["failed" if how == "unpinned" else how]
    nothing_is_left(doorbell)
    if state == "approved":
        assert release_backend.begun[0].stopped
        assert left(doorbell) == []
    elif state == "sealed":
        assert [(entry["left_bytes"], entry["final"]) for entry in left(doorbell)] == [(0, True)]
    else:
        say(doorbell, replace(report, state="ended", left_bytes=12, why="the store has deleted what it had"))
        turn(doorbell, 3)
        assert [(entry["left_bytes"], entry["final"]) for entry in left(doorbell)] == [(9, False), (12, True)]
        assert "deleted" in left(doorbell)[-1]["why"]
    for _ in range(3):
        with pytest.raises(CommandError):
            doorbell.consent_service.approve(ID, doorbell.consent_service.request(ID)["approved_hash"])
    release_backend.waits = False
    turn(doorbell, 3)
    nothing_is_left(doorbell)


def test_a_courier_without_a_report_counts_as_having_sent_nothing(
    doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    approve(doorbell)
    until(doorbell, "handed over")
    doorbell.consent_service.withdraw(ID)
    turn(doorbell)
    assert left(doorbell) == []  # it may be about to speak
    now_s = SILENCE_S + 1 + __import__("time").monotonic()
    monkeypatch.setattr("device.consent_service.release_worker.time.monotonic", lambda: now_s)
    turn(doorbell)
    assert [(entry["left_bytes"], entry["why"]) for entry in left(doorbell)] == [
        (0, "the courier had sent nothing")
    ]


def test_a_parcel_that_cannot_be_made_fails_in_plain_words(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    release_backend.fails = "the audit of clip one failed (boxes: box moov/udta …): nothing was released"
    approve(doorbell)
    until(doorbell, "failed")
    assert doorbell.consent_service.request(ID)["why"] == release_backend.fails
    nothing_is_left(doorbell)


def changed(report: UploadReport, name: str, value: object) -> UploadReport:
    """Change a member of the receipt; None takes it away."""
    receipt: Any = {**(report.receipt or {}), name: value}
    if value is None:
        del receipt[name]
    return replace(report, receipt=receipt)


WRONG_RECEIPTS: dict[str, Callable[[UploadReport], UploadReport]] = {
    "none": lambda report: replace(report, receipt=None),
    "another parcel's": lambda report: changed(report, "sha256", "0" * 64),
    "of another place": lambda report: changed(report, "origin", "https://elsewhere.example"),
    "of another size": lambda report: changed(report, "size_bytes", 1),
    "of another kind": lambda report: changed(report, "kind", "s3"),
    "whose answer is a text": lambda report: changed(report, "said", "x"),
    "without an answer": lambda report: changed(report, "said", None),
}


@pytest.mark.parametrize("what", list(WRONG_RECEIPTS))
def test_a_receipt_that_is_not_this_parcels_delivers_nothing(doorbell: ConsentHarness, what: str) -> None:
    approve(doorbell)
    until(doorbell, "handed over")
    say(doorbell, WRONG_RECEIPTS[what](the_report(doorbell)))
    until(doorbell, "failed")
    assert "receipt" in doorbell.consent_service.request(ID)["why"]
    turn(doorbell)
    nothing_is_left(doorbell)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"sha256": 3}', b"\xff", b"[" * 50_000, b'{"state": "stored"}'],
    ids=lambda content: repr(content[:20]),
)
def test_an_invalid_report_changes_nothing(doorbell: ConsentHarness, content: bytes) -> None:
    approve(doorbell)
    until(doorbell, "handed over")
    (grant,) = grants(doorbell)
    (doorbell.folder / f"spool/in/{grant.sha256}.report").write_bytes(content)
    turn(doorbell, 2)
    assert doorbell.states() == ["handed over"]
    say(doorbell, the_report(doorbell))
    until(doorbell, "delivered")


def test_a_refusal_of_the_store_is_reported(doorbell: ConsentHarness) -> None:
    approve(doorbell)
    until(doorbell, "handed over")
    say(doorbell, the_report(doorbell, state="refused", why="it sends the courier\n elsewhere", receipt=None))
    until(doorbell, "failed")
    assert "elsewhere" in doorbell.consent_service.request(ID)["why"]
    assert "\n" not in doorbell.consent_service.request(ID)["why"]
    turn(doorbell)
    assert left(doorbell)[-1]["final"]


def test_unknown_parcels_grants_and_releases_are_removed(doorbell: ConsentHarness) -> None:
    digest = "a" * 64
    (out(doorbell) / f"{digest}.parcel").write_bytes(b"age-encryption.org")
    (out(doorbell) / f"{digest}.grant").write_text(json.dumps({"sha256": digest}))
    strange = doorbell.folder / "releases/01ARZ3NDEKTSV4RRFFQ69G5FAV"
    strange.mkdir(parents=True)
    (strange / "clip-1.mp4").write_bytes(CANARY)
    turn(doorbell)
    nothing_is_left(doorbell)


@pytest.mark.parametrize("state", ["approved", "sealed", "handed over"])
def test_a_restart_goes_on_where_it_was(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend, state: str
) -> None:
    release_backend.waits = state == "approved"
    if state == "sealed":
        (doorbell.folder / "spool/out").rename(doorbell.folder / "spool/away")
    approve(doorbell)
    turn(doorbell, 3)
    assert doorbell.states() == [state]
    sealed = release_backend.made
    doorbell.open()
    release_backend.waits = False
    if state == "sealed":
        (doorbell.folder / "spool/away").rename(doorbell.folder / "spool/out")
    until(doorbell, "handed over")
    assert release_backend.made == (sealed or 1)  # a sealed parcel is not sealed again
    say(doorbell, the_report(doorbell))
    until(doorbell, "delivered")
    doorbell.open()
    turn(doorbell, 3)
    assert (doorbell.states(), grants(doorbell), release_backend.made) == (["delivered"], [], sealed or 1)
    nothing_is_left(doorbell)


def test_without_a_spool_a_release_waits_and_reports_it(doorbell: ConsentHarness) -> None:
    out(doorbell).rename(doorbell.folder / "away")
    approve(doorbell)
    turn(doorbell, 8)
    assert doorbell.states() == ["sealed"]
    (fault,) = spool_faults(doorbell)  # once, though each turn fails
    assert fault.active
    assert "approved releases wait here" in fault.text
    (doorbell.folder / "away").rename(out(doorbell))
    until(doorbell, "handed over")
    turn(doorbell, 4)
    assert [fault.active for fault in spool_faults(doorbell)] == [True, False]


def spool_faults(doorbell: ConsentHarness) -> list[Fault]:
    return [fact for fact in doorbell.facts if isinstance(fact, Fault) and fact.code == "spool"]


def test_progress_is_published_without_the_content_of_the_release(
    doorbell: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    release_backend.waits = True
    approve(doorbell)
    turn(doorbell, 3)
    release: Any = doorbell.consent_service.request(ID)["release"]
    assert release["progress"] == {
        "stage": "cutting",
        "part": 0.4,
        "hot": False,
    }
    release_backend.waits = False
    until(doorbell, "handed over")
    turn(doorbell)
    report = the_report(doorbell, state="sending", receipt=None)
    say(doorbell, replace(report, sent_bytes=report.size_bytes // 2))
    turn(doorbell)
    updates = [
        fact.fields for fact in doorbell.facts if isinstance(fact, ConsentStep) and fact.kind == "release"
    ]
    assert [(update["stage"], update["percent"]) for update in updates] == [
        ("cutting", 40),
        ("waiting for the courier", 0),
        ("sending", 50),
    ]
    assert all(set(update) == {"request", "stage", "percent"} for update in updates)


def test_nothing_is_released_while_the_ledger_cannot_be_written(doorbell: ConsentHarness) -> None:
    approve(doorbell)
    turn(doorbell, 2)
    assert doorbell.states() == ["sealed"]
    doorbell.consent_service.ledger_store.close()
    with pytest.raises(Exception, match=r"closed|nothing was decided"):
        turn(doorbell)
    assert grants(doorbell) == []
    doorbell.open()
    until(doorbell, "handed over")


def test_every_pair_of_states_is_one_of_the_table(doorbell: ConsentHarness) -> None:
    approve(doorbell)
    until(doorbell, "handed over")
    say(doorbell, the_report(doorbell))
    until(doorbell, "delivered")
    walked = [State(step) for step in steps(doorbell)]
    from device.consent.states import TABLE

    assert len(walked) > 3
    assert all(after in TABLE[before].values() for before, after in itertools.pairwise(walked))
