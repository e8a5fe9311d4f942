"""A department sends a request, a server distributes it, and a doorbell decides: real commands and servers."""

import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from server.dev_processes import PATIENCE_S, wait_for
from server.dev_server import DevServer
from tests.support.broker import Broker, Listener
from tests.support.neighbourhood import TOWER, NeighbourhoodDoorbell, Sender, publish

pytestmark = [pytest.mark.server, pytest.mark.broker]

SCHEMA = Path(__file__).parents[2] / "docs/schemas/notices.json"
FAR = (2.3800, 48.8900)


@pytest.fixture(scope="module")
def dev_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    with DevServer(tmp_path_factory.mktemp("t"), quiet=True) as running:
        yield running


@pytest.fixture
def department(tmp_path: Path, dev_server: DevServer) -> Sender:
    made = Sender(tmp_path / "department", f"dep-{secrets.token_hex(4)}")
    dev_server.enrol(made.record)
    return made


@pytest.fixture
def broker_port(broker: Broker) -> int:
    return broker.port


@pytest.fixture
def doorbell(tmp_path: Path, dev_server: DevServer, broker_port: int) -> Iterator[NeighbourhoodDoorbell]:
    made = NeighbourhoodDoorbell(tmp_path / "bell", broker_port, dev_server=dev_server)
    made.start()
    made.start_courier()
    yield made
    made.stop_both()


def put(dev_server: DevServer, content: bytes) -> int:
    return publish(dev_server, content)[0]


def test_a_request_goes_from_the_department_to_the_owner_who_shares_exactly_what_he_was_shown(
    doorbell: NeighbourhoodDoorbell, department: Sender, dev_server: DevServer, broker_port: int
) -> None:
    dashboard = Listener(broker_port)
    doorbell.pin(department)
    doorbell.run("record")
    doorbell.clips(1)
    assert put(dev_server, department.request(case="2026/4711")) == 201
    row = doorbell.request_in("offered")
    assert row["case"] == "2026/4711"
    wait_for("the number", lambda: dashboard.of("requests/pending")[-1:] == ["1"])

    listed = doorbell.run("requests", "list").stdout
    assert "2026/4711" in listed
    assert row["id"] not in listed
    shown = doorbell.run("requests", "show", "2026/4711")
    assert row["id"] not in shown.stdout
    assert "Exactly this would leave" in shown.stdout
    assert "without sound" in shown.stdout
    assert "not a replacement for calling the emergency number" in shown.stdout
    offer = doorbell.json("requests", "show", row["id"])
    clip = offer["offer"]["clips"][0]
    assert clip["frames"] > 10

    # Not what was shown: nothing happens.
    wrong = doorbell.run("requests", "approve", row["id"], "--offer-hash", "0" * 64)
    assert (wrong.returncode, doorbell.requests()[0]["state"]) == (1, "offered")
    no = doorbell.run("requests", "approve", row["id"], typed="y\n")
    assert (no.returncode, doorbell.requests()[0]["state"]) == (1, "offered")

    # A shorter piece is another offer.
    span = f"1={clip['start']}/{clip['end'][:-8]}.000000Z"
    shorter = doorbell.json("requests", "show", row["id"], "--clip", span)
    assert shorter["offer_hash"] != offer["offer_hash"]
    assert shorter["offer"]["clips"][0]["frames"] < clip["frames"]

    yes = doorbell.run("requests", "approve", "2026/4711", typed="yes\n")
    assert yes.returncode == 0, yes.stderr
    assert "case 2026/4711: approved" in doorbell.run("ledger", "show").stdout
    entry = next(entry for entry in doorbell.ledger() if entry["data"].get("to") == "approved")
    assert entry["data"]["offer_hash"] == offer["offer_hash"]
    assert entry["data"]["offer"] == offer["offer"]
    assert entry["data"]["destination"]["origin"] == "https://evidence.example"
    assert doorbell.run("ledger", "verify").returncode == 0
    wait_for("the number", lambda: dashboard.of("requests/pending")[-1:] == ["0"])

    # Over MQTT there is a number, and not what was asked.
    everything = json.dumps(dashboard.messages)
    assert "2026/4711" not in everything  # whole: a clip's id at 20:47:11 holds its digits
    assert "bicycle" not in everything
    steps = ["received", "offered", "approved", "sealed", "handed over"]
    wait_for("every step", lambda: [step["state"] for step in dashboard.log("consent")] == steps)
    dashboard.close()


def test_an_alert_is_shown_at_once_updated_and_taken_back(
    doorbell: NeighbourhoodDoorbell, department: Sender, dev_server: DevServer, broker_port: int
) -> None:
    dashboard = Listener(broker_port)
    doorbell.pin(department)
    first = department.notice()
    put(dev_server, first)
    notice = json.loads(wait_for("the alert", lambda: dashboard.of("notices"))[0])
    schema = Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert notice["event_type"] == "alert"
    assert notice["headline"] == "Gas leak near the tower"
    assert notice["signed_by"] == f"Example Police of {department.name}"
    assert "emergency number" in notice["reminder"]

    put(
        dev_server,
        department.notice(
            kind="update", headline="Gas leak mended", severity="minor", supersedes=[notice["id"]]
        ),
    )
    wait_for("the update", lambda: len(dashboard.of("notices")) > 1)
    states = {row["headline"]: row["state"] for row in doorbell.notices()}
    assert states == {"Gas leak near the tower": "superseded", "Gas leak mended": "current"}

    newest = json.loads(dashboard.of("notices")[1])["id"]
    put(dev_server, department.folder.cancellation("region-notice+jws", newest, int(time.time())))
    wait_for("its end", lambda: len(dashboard.of("notices")) > 2)
    assert json.loads(dashboard.of("notices")[2])["event_type"] == "withdrawn"
    for message in dashboard.of("notices"):
        assert list(schema.iter_errors(json.loads(message))) == [], message
    shown = doorbell.run("notices")
    assert "cancelled" in shown.stdout
    assert "not a replacement for calling the emergency number" in shown.stdout
    dashboard.close()


def test_a_doorbell_that_starts_later_hears_what_still_holds(
    tmp_path: Path, department: Sender, dev_server: DevServer, broker_port: int
) -> None:
    withdrawn = department.request(case="withdrawn")
    put(dev_server, withdrawn)
    put(dev_server, department.request(case="open"))
    put(dev_server, department.folder.cancellation("footage-request+jws", id_of(withdrawn), int(time.time())))
    late = NeighbourhoodDoorbell(tmp_path / "late", broker_port, dev_server=dev_server)
    late.start()
    late.pin(department)
    late.start_courier()
    try:
        late.request_in("unmatched")
        assert [(row["case"], row["state"]) for row in late.requests()] == [("open", "unmatched")]
    finally:
        late.stop_both()


def test_messages_before_a_pin_are_read_after_it(
    doorbell: NeighbourhoodDoorbell, department: Sender, dev_server: DevServer
) -> None:
    put(dev_server, department.request(case="before"))
    put(dev_server, department.notice())
    wait_for("both", lambda: sum(row["count"] for row in doorbell.json("ledger", "show")["refused"]) >= 2)
    assert (doorbell.requests(), doorbell.notices()) == ([], [])
    doorbell.pin(department)
    wait_for("the request", lambda: [row["case"] for row in doorbell.requests()] == ["before"])
    wait_for(
        "the alert", lambda: [row["headline"] for row in doorbell.notices()] == ["Gas leak near the tower"]
    )


def id_of(envelope: bytes) -> str:
    from device.consent.envelope import read

    payload = read(envelope, types=("footage-request+jws", "region-notice+jws"), kids=None).payload
    return str(payload["id"])


def test_a_cancelled_request_leaves_the_inbox(
    doorbell: NeighbourhoodDoorbell, department: Sender, dev_server: DevServer
) -> None:
    doorbell.pin(department)
    doorbell.run("record")
    doorbell.clips(1)
    asked = department.request()
    put(dev_server, asked)
    row = doorbell.request_in("offered")
    put(dev_server, department.folder.cancellation("footage-request+jws", row["id"], int(time.time())))
    assert doorbell.request_in("cancelled")["why"] == "the agency cancelled it"
    refused = doorbell.run("requests", "approve", row["id"], typed="yes\n")
    assert refused.returncode == 1
    assert "cancelled" in refused.stderr


def test_unpinning_ends_every_open_offer(
    doorbell: NeighbourhoodDoorbell, department: Sender, dev_server: DevServer
) -> None:
    doorbell.pin(department)
    doorbell.run("record")
    doorbell.clips(1)
    put(dev_server, department.request())
    doorbell.request_in("offered")
    assert doorbell.run("agency", "unpin", department.name).returncode == 0
    assert doorbell.request_in("cancelled")["why"] == "you unpinned the agency"
    put(dev_server, department.request(case="after"))
    wait_for(
        "the refusal",
        lambda: any(row["reason"] == "unknown_key" for row in doorbell.json("ledger", "show")["refused"]),
    )
    assert len(doorbell.requests()) == 1


def test_the_broker_the_publisher_and_nginx_may_die_and_nothing_accepted_is_lost(
    tmp_path: Path, department: Sender, dev_server: DevServer, broker_port: int
) -> None:
    doorbell = NeighbourhoodDoorbell(tmp_path / "h", broker_port, dev_server=dev_server)
    doorbell.start()
    doorbell.pin(department)
    put(dev_server, department.notice(headline="One"))
    wait_for("it", lambda: any(item.name for item in (dev_server.folder / "publisher").iterdir()))
    dev_server.stop("publisher", 9)
    put(dev_server, department.notice(headline="Two"))
    dev_server.stop("mosquitto", 9)
    for left in (dev_server.folder / "broker").glob("mosquitto.db*"):
        left.unlink()  # a broker that has lost everything
    dev_server.watch()
    wait_for("the broker", lambda: dev_server.processes["mosquitto"].poll() is None)
    doorbell.start_courier()
    try:
        wait_for("both", lambda: {row["headline"] for row in doorbell.notices()} == {"One", "Two"})
    finally:
        doorbell.stop_both()


def test_the_upload_folder_serves_and_accepts_no_other_path(dev_server: DevServer) -> None:
    context = ssl.create_default_context(cafile=str(dev_server.ca))
    name = secrets.token_hex(16)
    for method, path, data in (
        ("GET", f"/in/{name}", None),
        ("DELETE", f"/in/{name}", None),
        ("GET", "/in/", None),
        ("PUT", "/in/readme", b"x"),
        ("PUT", f"/in/{name}/more", b"x"),
        ("PUT", f"/in/../{name}", b"x"),
        ("MKCOL", f"/in/{name}/", None),
        ("PUT", f"/in/{name}", b"x" * 60_000),
        ("POST", f"/in/{name}", b"x"),
    ):
        request = urllib.request.Request(dev_server.address + path, data=data, method=method)  # noqa: S310
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=context, timeout=PATIENCE_S)  # noqa: S310
        assert 400 <= refused.value.code < 500, (method, path)


def test_a_doorbell_far_away_has_the_request_on_record_and_nothing_to_decide(
    tmp_path: Path, department: Sender, dev_server: DevServer, broker_port: int
) -> None:
    far = NeighbourhoodDoorbell(tmp_path / "far", broker_port, dev_server=dev_server, position=FAR)
    far.start()
    far.start_courier()
    try:
        far.pin(department)
        far.run("record")
        far.clips(1)
        put(dev_server, department.request())
        row = far.request_in("unmatched")
        assert row["why"] == "your home is not in its area"
        assert far.run("requests", "approve", row["id"], typed="yes\n").returncode == 1
    finally:
        far.stop_both()
    assert TOWER != FAR
