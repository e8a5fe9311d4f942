"""What is promised about consent, each promise attacked (specification: invariants 2 to 5, 8, 9; 10 is
test_ledger.py).

The consent service as it is, with a real ledger and spool on a real disk; the clips are what a test says they
are.
"""

import base64
import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import device
from device.config import NeighbourhoodConfig
from device.consent import keys
from device.consent.area import circle
from device.consent.models import time_text
from device.consent.offer import Choice, offer_hash
from device.consent.states import State
from device.consent_service.inbox_worker import courier_settings
from device.consent_service.ledger import Ledger
from device.consent_service.serializers import export_text
from device.consent_service.service import ConsentService
from device.errors import CommandError
from device.events import Fault, LedgerReport
from device.web.backend import Consent
from server.dev_server import make_certificates
from tests.support import envelopes
from tests.support.consent import ID, US, ConsentHarness

SOURCE = Path(device.__file__).parent


@pytest.fixture
def doorbell(tmp_path: Path) -> ConsentHarness:
    made = ConsentHarness(tmp_path)
    made.pin()
    return made


@pytest.fixture
def asked(doorbell: ConsentHarness) -> ConsentHarness:
    doorbell.hear(("request", envelopes.request()))
    assert doorbell.states() == ["offered"]
    return doorbell


def shown(doorbell: ConsentHarness, choice: Choice = Choice()) -> str:  # noqa: B008
    offered: str = doorbell.consent_service.request(ID, choice)["offer_hash"]
    return offered


# --- 2: an approval covers exactly what the owner was shown ---------------------------------------


def delete_a_clip(doorbell: ConsentHarness) -> None:
    doorbell.clips.stored.pop()


def swap_a_clip(doorbell: ConsentHarness) -> None:
    doorbell.clips.stored[0] = replace(doorbell.clips.stored[0], sha256="3" * 64)


def grow_a_clip(doorbell: ConsentHarness) -> None:
    doorbell.clips.stored[0] = replace(doorbell.clips.stored[0], frames=301)


def drop_the_masks(doorbell: ConsentHarness) -> None:
    doorbell.clips.covered = []


def move_the_destination(doorbell: ConsentHarness) -> None:
    uploads = [{"name": "store", "kind": "tus", "origin": "https://elsewhere.example"}]
    doorbell.consent_service.rotate(a_record(serial=4, uploads=uploads))


def change_the_recipient(doorbell: ConsentHarness) -> None:
    other = "age145q6qv38ggd9dc5wkcc7uj2x0wy6c2da0kmyhfhydt4et436jajq7smksc"
    doorbell.consent_service.rotate(a_record(serial=4, recipients=[{"name": "evidence", "age": other}]))


def a_record(**changes: Any) -> bytes:
    return envelopes.signed(
        envelopes.header(envelopes.RECORD, envelopes.kid(envelopes.AGENCY)),
        envelopes.text(envelopes.changed(envelopes.RECORD_PAYLOAD, changes)),
    )


@pytest.mark.parametrize(
    "meanwhile",
    [delete_a_clip, swap_a_clip, grow_a_clip, drop_the_masks, move_the_destination, change_the_recipient],
)
def test_an_offer_that_changed_after_it_was_shown_is_not_approved(
    asked: ConsentHarness, meanwhile: Callable[[ConsentHarness], None]
) -> None:
    asked.clips.covered = [[(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)]]
    hash_shown = shown(asked)
    meanwhile(asked)
    with pytest.raises(CommandError, match="not what you were shown"):
        asked.consent_service.approve(ID, hash_shown)
    assert asked.states() == ["offered"]
    asked.consent_service.approve(ID, shown(asked))
    assert asked.states() == ["approved"]


def test_a_yes_to_less_is_no_yes_to_all_and_the_other_way_round(asked: ConsentHarness) -> None:
    less = Choice(spans={"one": None})
    with pytest.raises(CommandError):
        asked.consent_service.approve(ID, shown(asked, less))
    with pytest.raises(CommandError):
        asked.consent_service.approve(ID, shown(asked), less)
    asked.consent_service.approve(ID, shown(asked, less), less)
    approved = asked.ledger()[-1]["data"]
    assert [clip["id"] for clip in approved["offer"]["clips"]] == ["one"]
    assert offer_hash(approved["offer"]) == approved["offer_hash"] == shown_hash(asked)


def shown_hash(doorbell: ConsentHarness) -> str:
    approved: str = doorbell.consent_service.request(ID)["approved_hash"]
    return approved


def test_a_choice_reaches_no_further_than_the_window(asked: ConsentHarness) -> None:
    far = Choice(spans={"one": (0, 4_102_444_800 * US), "another": None})
    clips = asked.consent_service.request(ID, far)["offer"]["clips"]
    assert [clip["id"] for clip in clips] == ["one"]
    assert clips == asked.consent_service.request(ID)["offer"]["clips"][:1]


def test_nothing_can_be_approved_twice_or_empty_or_late(asked: ConsentHarness) -> None:
    with pytest.raises(CommandError, match="nothing to share"):
        asked.consent_service.approve(ID, shown(asked, Choice(spans={})), Choice(spans={}))
    yes = shown(asked)
    asked.consent_service.approve(ID, yes)
    with pytest.raises(CommandError, match="approved"):
        asked.consent_service.approve(ID, yes)
    asked.clock.wall_s += 72 * 3600 + 1
    asked.step()
    assert asked.states() == ["expired"]
    with pytest.raises(CommandError):
        asked.consent_service.approve(ID, yes)


LEAVES = [
    ("clips", 0, "frames"),
    ("clips", 0, "sha256"),
    ("clips", 0, "start"),
    ("clips", 0, "last_us"),
    ("recipient", "age"),
    ("upload", "origin"),
    ("masks",),
    ("audio",),
    ("request_sha256",),
    ("record_sha256",),
]


@pytest.mark.parametrize("path", LEAVES, ids=str)
def test_the_hash_covers_every_part_of_the_offer(asked: ConsentHarness, path: tuple[Any, ...]) -> None:
    request = asked.consent_service.request(ID)
    changed = json.loads(json.dumps(request["offer"]))
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = "changed"
    assert offer_hash(request["offer"]) == request["offer_hash"] != offer_hash(changed)


@given(st.dictionaries(st.text(max_size=5), st.integers(-(2**50), 2**50) | st.text(max_size=5), max_size=5))
def test_the_hash_does_not_depend_on_the_order_of_members(what: dict[str, Any]) -> None:
    assert offer_hash(what) == offer_hash(dict(reversed(what.items())))


# --- 3 and 4: nothing can be learnt, and the position stays ---------------------------------------


def outside(folder: Path) -> dict[str, bytes]:
    """Return everything that the courier, and so the world, could ever see of a doorbell."""
    return {path.name: path.read_bytes() for path in sorted((folder / "spool/out").iterdir())}


def test_what_the_outside_sees_is_the_same_whatever_the_doorbell_is_and_does(tmp_path: Path) -> None:
    def far(doorbell: ConsentHarness) -> None:
        # Half a kilometre: outside the area, in the same cell.
        doorbell.config = doorbell.config.model_copy(update={"latitude": doorbell.config.latitude + 0.005})
        doorbell.consent_service.inbox_worker.configure(doorbell.config)

    def no_camera(doorbell: ConsentHarness) -> None:
        doorbell.clips.stored = []

    def nothing(doorbell: ConsentHarness) -> None: ...

    seen = []
    for number, (before, after) in enumerate(
        [
            (nothing, nothing),
            (far, nothing),
            (no_camera, nothing),
            (nothing, lambda doorbell: doorbell.consent_service.decline(ID)),
            (nothing, lambda doorbell: doorbell.consent_service.approve(ID, shown(doorbell))),
            (nothing, lambda doorbell: doorbell.consent_service.unpin("paris-example")),
        ]
    ):
        doorbell = ConsentHarness(tmp_path / str(number))
        before(doorbell)
        doorbell.pin()
        doorbell.hear(("request", envelopes.request()), ("notice", envelopes.notice()), ("request", b"junk"))
        after(doorbell)
        doorbell.step()
        files = outside(doorbell.folder)
        files["settings.json"] = files["settings.json"].replace(str(doorbell.folder).encode(), b"")
        seen.append(files)
    assert len(seen) > 3
    assert all(files == seen[0] for files in seen)
    assert sorted(seen[0]) == ["read", "settings.json"]


def test_the_position_is_nowhere_but_in_the_configuration(asked: ConsentHarness) -> None:
    asked.hear(("notice", envelopes.notice()))
    asked.consent_service.approve(ID, shown(asked))
    asked.step()
    for digits in (str(envelopes.PLACE[0]), str(envelopes.PLACE[1])):
        for path in asked.folder.rglob("*"):
            if path.is_file() and path.suffix != ".in":
                # What others sent may name the place that they ask about; what the doorbell wrote itself may
                # not.
                own = path.read_bytes() if "ledger" not in path.name else own_words(asked)
                assert digits.encode() not in own, path
        assert digits not in repr([fact for fact in asked.facts if isinstance(fact, LedgerReport)])


def own_words(doorbell: ConsentHarness) -> bytes:
    return json.dumps(doorbell.ledger()).encode()


# --- 5: a request can only choose among what was pinned --------------------------------------------


def test_the_destination_is_the_pinned_record_s_and_never_the_request_s(asked: ConsentHarness) -> None:
    offer = asked.consent_service.request(ID)["offer"]
    assert offer["upload"] == envelopes.RECORD_PAYLOAD["uploads"][0]
    assert offer["recipient"] == envelopes.RECORD_PAYLOAD["recipients"][0]
    asked.consent_service.rotate(a_record(serial=4, uploads=[]))
    with pytest.raises(CommandError, match="no longer has"):
        asked.consent_service.request(ID)
    with pytest.raises(CommandError):
        asked.consent_service.approve(ID, "0" * 64)


def test_a_recipient_that_nothing_can_be_encrypted_for_is_not_pinned(tmp_path: Path) -> None:
    doorbell = ConsentHarness(tmp_path)
    low_order = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z"
    broken = "age1" + "q" * 58
    for age in (low_order, broken):
        content = a_record(recipients=[{"name": "evidence", "age": age}])
        with pytest.raises(CommandError, match="encrypted"):
            doorbell.consent_service.pin(content, keys.spoken(envelopes.kid(envelopes.AGENCY)))
    assert doorbell.consent_service.senders() == []


# --- 8: nothing approves but the owner ------------------------------------------------------------


def test_one_place_in_the_code_approves_and_who_calls_it_has_asked_the_owner() -> None:
    sources = {path: path.read_text() for path in SOURCE.rglob("*.py")}
    approving = [str(path.relative_to(SOURCE)) for path, text in sources.items() if "Step.APPROVE" in text]
    assert sorted(approving) == ["consent/states.py", "consent_service/service.py"]
    calls = [
        str(path.relative_to(SOURCE)) for path, text in sources.items() if re.search(r"\.approve\(", text)
    ]
    assert calls == ["web/routes_consent.py"]
    route = sources[SOURCE / "web/routes_consent.py"]
    body = route[route.index('"/requests/{request_id}/approve"') :]
    assert body.index("require_password(request, body.password)") < body.index("backend.consent.approve(")
    assert "approve" not in sources[SOURCE / "mqtt/publisher.py"]
    assert "approve" not in sources[SOURCE / "daemon/controller.py"]


def test_no_message_ever_approves_anything(asked: ConsentHarness) -> None:
    for name in ("auto_approve", "emergency", "approved", "priority"):
        asked.hear(
            (
                "request",
                envelopes.request(id=f"01KA{name.upper():0>22}".replace("_", "0")[:26], **{name: True}),
            )
        )
    for _ in range(20):
        asked.clock.wall_s += 12 * 3600
        asked.step()
    assert State.APPROVED not in {entry["data"].get("to") for entry in asked.ledger()}
    assert asked.states() == ["expired"]


def test_the_page_s_protocol_has_no_other_way_to_a_yes() -> None:
    names = {name for name in vars(Consent) if not name.startswith("_")}
    assert {name for name in names if re.search("approve|allow|grant|consent|accept", name)} == {"approve"}


# --- 9: the owner can see everything --------------------------------------------------------------


def test_the_export_holds_what_passed_the_gate_as_it_came_and_what_was_refused(asked: ConsentHarness) -> None:
    junk = [b"junk %d" % number for number in range(150)]
    alert = envelopes.notice()
    asked.hear(
        ("notice", alert),
        *(("request", content) for content in junk),
        ("request", envelopes.request(agency="x-y-z")),
    )
    asked.consent_service.decline(ID)
    ledger = Ledger(asked.folder / "ledger.db", read_only=True)
    lines = [json.loads(line) for line in export_text(ledger)]
    bodies = {base64_of(line["body_base64"]) for line in lines if line.get("body_base64") and "entry" in line}
    assert {envelopes.request(), alert} <= bodies
    steps = [line["entry"]["data"]["to"] for line in lines if line.get("entry", {}).get("kind") == "request"]
    assert steps == ["received", "offered", "declined"]
    counted = {line["refused"]["reason"]: line["refused"]["count"] for line in lines if "refused" in line}
    assert counted == {"not_compact": 150, "wrong_sender": 1}
    refused_bodies = [base64_of(line["body_base64"]) for line in lines if "refused_body" in line]
    assert refused_bodies == junk[:100]


def base64_of(text: str) -> bytes:
    return base64.b64decode(text)


def test_each_refusal_has_a_sentence_for_the_owner(asked: ConsentHarness) -> None:
    asked.hear(("request", b"junk"), ("notice", b"junk"), ("feed:none", b"junk"))
    for row in asked.consent_service.ledger(10)["refused"]:
        assert row["sentence"]


# --- durability, clocks, trouble ------------------------------------------------------------------


def everything(consent_service: ConsentService) -> tuple[Any, ...]:
    return (
        consent_service.requests(),
        consent_service.notices(),
        consent_service.senders(),
        consent_service.feeds(),
    )


def test_everything_is_known_again_after_a_restart(asked: ConsentHarness) -> None:
    asked.hear(("notice", envelopes.notice()))
    asked.consent_service.add_feed("weather", "https://weather.example/cap")
    asked.consent_service.approve(ID, shown(asked))
    before = everything(asked.consent_service)
    head = asked.consent_service.ledger(1)["head"]
    asked.open()
    assert everything(asked.consent_service) == before
    assert asked.consent_service.ledger(1)["head"] == head
    asked.hear(("request", envelopes.request()))
    assert asked.states() == ["approved"]


def test_a_broken_ledger_hears_and_decides_nothing_and_says_so(asked: ConsentHarness) -> None:
    db = sqlite3.connect(asked.folder / "ledger.db")
    db.execute("DROP TRIGGER entry_stays")
    db.execute("UPDATE entry SET text = replace(text, 'offered', 'approved')")
    db.commit()
    db.close()
    asked.facts.clear()
    asked.open()
    faults = [fact for fact in asked.facts if isinstance(fact, Fault) and fact.code == "ledger_broken"]
    assert [fault.active for fault in faults] == [True]
    asked.hear(("request", envelopes.request(id="01KA0000000000000000000099")))
    for call in (
        asked.consent_service.requests,
        lambda: asked.consent_service.decline(ID),
        asked.consent_service.senders,
    ):
        with pytest.raises(CommandError, match="ledger"):
            call()
    assert list((asked.folder / "spool/in").iterdir())  # it waits for a ledger that can be believed


def test_a_clock_that_lags_behind_the_ledger_makes_everything_wait(asked: ConsentHarness) -> None:
    asked.clock.wall_s = 1_000
    asked.hear(("request", envelopes.request(id="01KA0000000000000000000099", case="later")))
    assert asked.states() == ["offered"]
    raised = [fact for fact in asked.facts if isinstance(fact, Fault) and fact.code == "clock_behind"]
    assert raised[-1].active
    asked.clock.wall_s = envelopes.NOW
    asked.step()
    assert sorted(asked.states()) == ["offered", "offered"]


def test_a_match_waits_until_the_index_can_be_read(
    doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yet(_start_us: int, _end_us: int) -> bool:
        raise CommandError("the index cannot be read yet")

    with monkeypatch.context() as context:
        context.setattr(doorbell.clips, "has", not_yet)
        doorbell.hear(("request", envelopes.request()))
        assert doorbell.states() == ["received"]
    doorbell.step()
    assert doorbell.states() == ["offered"]


def test_every_request_costs_the_same_look_whether_the_doorbell_is_in_its_area_or_not(
    doorbell: ConsentHarness,
) -> None:
    doorbell.hear(("request", envelopes.request()))
    inside = doorbell.clips.asked
    far = circle(2.2945, 48.8784, 250, 16)
    doorbell.hear(("request", envelopes.request(id="01KA0000000000000000000098", area=far, case="far")))
    assert doorbell.clips.asked == 2 * inside


def test_a_gate_that_fails_refuses_and_does_not_end_the_bell(
    doorbell: ConsentHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> list[Any]:
        raise ZeroDivisionError

    with monkeypatch.context() as context:
        context.setattr("device.consent_service.inbox_worker.validation.heard", fail)
        doorbell.hear(("request", envelopes.request()))
    assert [row["reason"] for row in doorbell.consent_service.ledger(1)["refused"]] == ["gate_failed"]
    assert [fact.code for fact in doorbell.facts if isinstance(fact, Fault) and fact.active] == [
        "gate_failed"
    ]
    doorbell.hear(("request", envelopes.request()))
    assert doorbell.states() == ["offered"]


def test_nothing_is_approved_while_the_clock_is_not_set(asked: ConsentHarness) -> None:
    yes = shown(asked)
    asked.clock.wall_s = 1_000
    with pytest.raises(CommandError, match="clock"):
        asked.consent_service.approve(ID, yes)
    asked.clock.wall_s = envelopes.NOW
    asked.consent_service.approve(ID, yes)


def test_a_notice_still_says_who_signed_it_when_he_is_unpinned(asked: ConsentHarness) -> None:
    asked.hear(("notice", envelopes.notice()))
    asked.consent_service.unpin("paris-example")
    assert [row["signed_by"] for row in asked.consent_service.notices()] == ["paris-example"]


def test_a_ca_file_that_is_gone_is_a_fault_and_no_crash(asked: ConsentHarness) -> None:
    broken = asked.config.model_copy(update={"broker_ca_file": "/nowhere/ca.pem"})
    asked.consent_service.inbox_worker.configure(broken)
    asked.facts.clear()
    asked.step()
    raised = [fact for fact in asked.facts if isinstance(fact, Fault) and fact.active]
    assert {fact.code for fact in raised} == {"spool_settings"}
    assert "/nowhere/ca.pem" in raised[0].text


def test_the_courier_gets_certificates_of_the_ca_file_and_nothing_else(asked: ConsentHarness) -> None:
    make_certificates(asked.folder)
    path = asked.folder / "broker.pem"
    secret = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    path.write_bytes(secret + (asked.folder / "ca.pem").read_bytes() + b"a password\n")
    config = asked.config.model_copy(update={"broker_ca_file": str(path)})
    pem = json.loads(courier_settings(config, {}))["broker"]["ca_pem"]
    assert pem.split() == (asked.folder / "ca.pem").read_text().split()
    for content in (secret, b"\xff" * 100, b"x" * 100_000):
        path.write_bytes(content)
        with pytest.raises(OSError, match=r"broker\.pem"):
            courier_settings(config, {})


def standing(doorbell: ConsentHarness) -> set[str]:
    """Return the faults that stand."""
    last = {fact.code: fact.active for fact in doorbell.facts if isinstance(fact, Fault)}
    return {code for code, active in last.items() if active}


def says(doorbell: ConsentHarness, how: dict[str, str]) -> None:
    path = doorbell.folder / "spool/in/status.json"
    path.write_text(json.dumps({"v": 1, "how": how, "dropped": 0}))
    os.utime(path, (doorbell.clock.wall_s, doorbell.clock.wall_s))


def test_a_report_from_the_future_hides_no_silence(doorbell: ConsentHarness) -> None:
    says(doorbell, {"server": "up"})
    future_s = doorbell.clock.wall_s + 10**9
    os.utime(doorbell.folder / "spool/in/status.json", (future_s, future_s))
    doorbell.step()
    doorbell.clock.wall_s += 1000
    doorbell.step()
    assert "courier_silent" in standing(doorbell)


def test_a_strange_file_in_the_spool_is_a_fault_until_it_is_gone(doorbell: ConsentHarness) -> None:
    doorbell.step()
    path = doorbell.folder / "spool/in/letter\n.txt"
    path.touch()
    for present in (True, False):
        doorbell.clock.wall_s += 20
        doorbell.step()
        assert ("spool_blocked" in standing(doorbell)) is present
        path.unlink(missing_ok=True)


def test_what_the_courier_does_not_remove_becomes_a_fault_and_the_rest_is_read(
    doorbell: ConsentHarness,
) -> None:
    (doorbell.folder / "spool/in/999999999999.in").touch()
    doorbell.step()
    assert "spool_blocked" not in standing(doorbell)
    doorbell.clock.wall_s += 1000
    doorbell.step()
    assert "spool_blocked" in standing(doorbell)
    doorbell.hear(("notice", envelopes.notice(exp=time_text(doorbell.clock.wall_s + 60))))
    assert len(doorbell.consent_service.notices()) == 1


def test_the_owner_is_notified_when_no_courier_is_connected(doorbell: ConsentHarness) -> None:
    def after(seconds: int, how: dict[str, str] | None) -> set[str]:
        doorbell.clock.wall_s += seconds
        if how is not None:
            says(doorbell, how)
        doorbell.step()
        return standing(doorbell)

    doorbell.step()
    assert after(60, None) == set()  # it may be starting
    assert after(1000, None) == {"courier_silent"}
    assert after(10, {"server": "up"}) == set()
    assert after(600, None) == set()
    assert after(600, None) == {"courier_silent"}
    assert after(10, {"server": "town.example:8883: refused"}) == set()
    assert after(1000, {"server": "town.example:8883: refused"}) == {"server_down"}
    assert after(10, {"server": "up"}) == set()
    for hostile in ("[]", "{", '{"how": 1}', '{"how": {"server": "\\u0007"}}'):
        (doorbell.folder / "spool/in/status.json").write_text(hostile)
        doorbell.step()
    doorbell.consent_service.inbox_worker.configure(NeighbourhoodConfig())
    assert after(10_000, None) == set()


def test_of_many_approvals_at_once_one_succeeds(asked: ConsentHarness) -> None:
    yes = shown(asked)
    together = threading.Barrier(8)
    outcomes: list[str] = []

    def approve() -> None:
        together.wait()
        try:
            asked.consent_service.approve(ID, yes)
            outcomes.append("approved")
        except CommandError:
            outcomes.append("refused")

    threads = [threading.Thread(target=approve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["approved", *["refused"] * 7]
    assert [entry["data"].get("to") for entry in asked.ledger()].count("approved") == 1
