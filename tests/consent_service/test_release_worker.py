"""From an approval to its end: what stands in the ledger, what lies in the spool, what is left.

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
from tests.support import envelopes
from tests.support.consent import ID, ConsentHarness, delivery_report
from tests.support.consent import grants as grants_in
from tests.support.release_backend import CANARY, FakeReleaseBackend


@pytest.fixture
def release_backend() -> FakeReleaseBackend:
    return FakeReleaseBackend()


@pytest.fixture
def house(tmp_path: Path, release_backend: FakeReleaseBackend) -> ConsentHarness:
    made = ConsentHarness(tmp_path, release_backend)
    made.pin()
    made.hear(("request", envelopes.ask()))
    return made


def approve(house: ConsentHarness) -> None:
    house.consent_service.approve(ID, house.consent_service.request(ID)["offer_hash"])


def turn(house: ConsentHarness, times: int = 1) -> None:
    for _ in range(times):
        house.consent_service.release_worker.step()


def until(house: ConsentHarness, state: str) -> None:
    for _ in range(10):
        if house.states() == [state]:
            return
        turn(house)
    pytest.fail(f"{house.states()} is not {state}: {house.consent_service.request(ID)['why']}")


def out(house: ConsentHarness) -> Path:
    return house.folder / "spool/out"


def grants(house: ConsentHarness) -> list[Grant]:
    return grants_in(house.folder)


def the_report(house: ConsentHarness, **changes: Any) -> UploadReport:
    """Return what an honest courier says once all of it is there."""
    (grant,) = grants(house)
    return replace(delivery_report(grant), **changes)


def say(house: ConsentHarness, report: UploadReport) -> None:
    write_report(house.folder / "spool/in", report)


def steps(house: ConsentHarness) -> list[str]:
    return [entry["data"]["to"] for entry in house.ledger() if entry["kind"] == "request"]


def left(house: ConsentHarness) -> list[dict[str, Any]]:
    return [entry["data"] for entry in house.ledger() if entry["kind"] == "left"]


def nothing_is_left(house: ConsentHarness) -> None:
    assert list(names_in(out(house), "grant")) == []
    assert list(names_in(out(house), "parcel")) == []
    for path in house.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert CANARY not in content, path
            assert b"age-encryption.org" not in content or path.suffix == ".report", path
    releases = house.folder / "releases"
    assert not releases.exists() or list(releases.iterdir()) == []


def test_an_approval_becomes_a_parcel_a_grant_and_a_receipt_each_in_the_ledger_first(
    house: ConsentHarness,
) -> None:
    approve(house)
    until(house, "handed over")
    (grant,) = grants(house)
    handed = house.ledger()[-1]["data"]
    offer = next(entry["data"]["offer"] for entry in house.ledger() if entry["data"].get("to") == "approved")
    assert handed["sha256"] == grant.sha256
    assert handed["destination"] == {"kind": grant.kind, "origin": grant.origin}
    assert grant.origin == offer["upload"]["origin"]
    assert grant.expires_s == house.consent_service.request(ID)["ends_at"]
    say(house, the_report(house))
    until(house, "delivered")
    assert steps(house) == ["received", "offered", "approved", "sealed", "handed over", "delivered"]
    turn(house)
    nothing_is_left(house)
    told: Any = house.consent_service.request(ID)["release"]
    assert told["receipt"]["sha256"] == grant.sha256
    assert told["left_bytes"] == grant.size_bytes
    assert told["progress"] is None


@pytest.mark.parametrize("state", ["approved", "sealed", "handed over"])
@pytest.mark.parametrize("how", ["withdrawn", "expired", "unpinned"])
def test_it_ends_wherever_it_stands_and_nothing_is_left(
    house: ConsentHarness, release_backend: FakeReleaseBackend, state: str, how: str
) -> None:
    release_backend.waits = state == "approved"
    if state == "sealed":
        (house.folder / "spool/out").rename(house.folder / "spool/away")
    approve(house)
    turn(house, 3)
    assert house.states() == [state]
    if state == "sealed":
        (house.folder / "spool/away").rename(house.folder / "spool/out")
    if state == "handed over":
        report = the_report(house, state="sending", sent_bytes=5, left_bytes=9, receipt=None)
        say(house, report)
        turn(house)
    if how == "withdrawn":
        house.consent_service.withdraw(ID)
        assert grants(house) == []  # now, not at the next turn
    elif how == "expired":
        house.clock.wall_s += 72 * 3600 + 1
        house.step()
    else:
        house.consent_service.unpin("paris-example")
    turn(house)
    assert house.states() == ["failed" if how == "unpinned" else how]
    nothing_is_left(house)
    if state == "approved":
        assert release_backend.begun[0].stopped
        assert left(house) == []
    elif state == "sealed":
        assert [(each["left_bytes"], each["final"]) for each in left(house)] == [(0, True)]
    else:
        say(house, replace(report, state="ended", left_bytes=12, why="the store has deleted what it had"))
        turn(house, 3)
        assert [(each["left_bytes"], each["final"]) for each in left(house)] == [(9, False), (12, True)]
        assert "deleted" in left(house)[-1]["why"]
    for _ in range(3):
        with pytest.raises(CommandError):
            house.consent_service.approve(ID, house.consent_service.request(ID)["approved_hash"])
    release_backend.waits = False
    turn(house, 3)
    nothing_is_left(house)


def test_a_courier_that_had_said_nothing_had_sent_nothing(
    house: ConsentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    approve(house)
    until(house, "handed over")
    house.consent_service.withdraw(ID)
    turn(house)
    assert left(house) == []  # it may be about to speak
    now_s = SILENCE_S + 1 + __import__("time").monotonic()
    monkeypatch.setattr("device.consent_service.release_worker.time.monotonic", lambda: now_s)
    turn(house)
    assert [(each["left_bytes"], each["why"]) for each in left(house)] == [
        (0, "the courier had sent nothing")
    ]


def test_a_parcel_that_cannot_be_made_fails_in_plain_words(
    house: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    release_backend.fails = "the audit of clip one failed (boxes: box moov/udta …): nothing was released"
    approve(house)
    until(house, "failed")
    assert house.consent_service.request(ID)["why"] == release_backend.fails
    nothing_is_left(house)


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
def test_a_receipt_that_is_not_this_parcels_delivers_nothing(house: ConsentHarness, what: str) -> None:
    approve(house)
    until(house, "handed over")
    say(house, WRONG_RECEIPTS[what](the_report(house)))
    until(house, "failed")
    assert "receipt" in house.consent_service.request(ID)["why"]
    turn(house)
    nothing_is_left(house)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"sha256": 3}', b"\xff", b"[" * 50_000, b'{"state": "stored"}'],
    ids=lambda content: repr(content[:20]),
)
def test_a_report_that_is_none_changes_nothing(house: ConsentHarness, content: bytes) -> None:
    approve(house)
    until(house, "handed over")
    (grant,) = grants(house)
    (house.folder / f"spool/in/{grant.sha256}.report").write_bytes(content)
    turn(house, 2)
    assert house.states() == ["handed over"]
    say(house, the_report(house))
    until(house, "delivered")


def test_a_refusal_of_the_store_is_told(house: ConsentHarness) -> None:
    approve(house)
    until(house, "handed over")
    say(house, the_report(house, state="refused", why="it sends the courier\n elsewhere", receipt=None))
    until(house, "failed")
    assert "elsewhere" in house.consent_service.request(ID)["why"]
    assert "\n" not in house.consent_service.request(ID)["why"]
    turn(house)
    assert left(house)[-1]["final"]


def test_what_does_not_belong_there_is_taken_away(house: ConsentHarness) -> None:
    digest = "a" * 64
    (out(house) / f"{digest}.parcel").write_bytes(b"age-encryption.org")
    (out(house) / f"{digest}.grant").write_text(json.dumps({"sha256": digest}))
    strange = house.folder / "releases/01ARZ3NDEKTSV4RRFFQ69G5FAV"
    strange.mkdir(parents=True)
    (strange / "clip-1.mp4").write_bytes(CANARY)
    turn(house)
    nothing_is_left(house)


@pytest.mark.parametrize("state", ["approved", "sealed", "handed over"])
def test_a_restart_goes_on_where_it_was(
    house: ConsentHarness, release_backend: FakeReleaseBackend, state: str
) -> None:
    release_backend.waits = state == "approved"
    if state == "sealed":
        (house.folder / "spool/out").rename(house.folder / "spool/away")
    approve(house)
    turn(house, 3)
    assert house.states() == [state]
    sealed = release_backend.made
    house.open()
    release_backend.waits = False
    if state == "sealed":
        (house.folder / "spool/away").rename(house.folder / "spool/out")
    until(house, "handed over")
    assert release_backend.made == (sealed or 1)  # what was sealed is not sealed anew
    say(house, the_report(house))
    until(house, "delivered")
    house.open()
    turn(house, 3)
    assert (house.states(), grants(house), release_backend.made) == (["delivered"], [], sealed or 1)
    nothing_is_left(house)


def test_without_a_spool_it_waits_and_says_so(house: ConsentHarness) -> None:
    out(house).rename(house.folder / "away")
    approve(house)
    turn(house, 4)
    assert house.states() == ["sealed"]
    fault = [fact for fact in house.facts if isinstance(fact, Fault) and fact.code == "spool"][-1]
    assert fact_is(fault, "approved releases wait here")
    (house.folder / "away").rename(out(house))
    until(house, "handed over")


def fact_is(fault: Fault, text: str) -> bool:
    return fault.active and text in fault.text


def test_the_desk_is_told_how_far_it_is_and_nothing_of_what_it_holds(
    house: ConsentHarness, release_backend: FakeReleaseBackend
) -> None:
    release_backend.waits = True
    approve(house)
    turn(house, 3)
    release: Any = house.consent_service.request(ID)["release"]
    assert release["progress"] == {
        "stage": "cutting",
        "part": 0.4,
        "hot": False,
    }
    release_backend.waits = False
    until(house, "handed over")
    turn(house)
    report = the_report(house, state="sending", receipt=None)
    say(house, replace(report, sent_bytes=report.size_bytes // 2))
    turn(house)
    told = [fact.fields for fact in house.facts if isinstance(fact, ConsentStep) and fact.kind == "release"]
    assert [(each["stage"], each["percent"]) for each in told] == [
        ("cutting", 40),
        ("waiting for the courier", 0),
        ("sending", 50),
    ]
    assert all(set(each) == {"request", "stage", "percent"} for each in told)


def test_a_ledger_that_cannot_be_written_lets_nothing_out(house: ConsentHarness) -> None:
    approve(house)
    turn(house, 2)
    assert house.states() == ["sealed"]
    house.consent_service.ledger_store.close()
    with pytest.raises(Exception, match=r"closed|nothing was decided"):
        turn(house)
    assert grants(house) == []
    house.open()
    until(house, "handed over")


def test_every_pair_of_states_is_one_of_the_table(house: ConsentHarness) -> None:
    approve(house)
    until(house, "handed over")
    say(house, the_report(house))
    until(house, "delivered")
    walked = [State(step) for step in steps(house)]
    from device.consent.states import TABLE

    assert len(walked) > 3
    assert all(after in TABLE[before].values() for before, after in itertools.pairwise(walked))
