"""`doorbell doctor isolation` with and without isolation; a user and a namespace take the place of the units."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.dev_processes import Process, wait_for
from tests.support.broker import Broker
from tests.support.doorbell import BIN
from tests.support.neighbourhood import NeighbourhoodDoorbell, Sender
from tests.support.network_namespace import STORE_ADDRESS, Island

pytestmark = pytest.mark.namespace
NOBODY = 65_534
ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(tmp_path: Path, broker: Broker) -> Iterator[NeighbourhoodDoorbell]:
    made = NeighbourhoodDoorbell(tmp_path / "house", broker.port)
    made.start()
    yield made
    made.stop_both()


def courier(house: NeighbourhoodDoorbell, uid: int) -> Process:
    """Start a courier that becomes another user once it has loaded what it is made of."""
    drop = f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})"
    program = f"import os; from device.courier.main import main; {drop}; main()"
    words = [sys.executable, "-c", program, "--spool", house.spool]
    made = Process(words, log=house.state / "courier.log", cwd=ROOT)
    wait_for("the courier", (house.spool / "in/status.json").exists)
    return made


def rows(house: NeighbourhoodDoorbell) -> list[dict[str, object]]:
    done = house.run("doctor", "isolation", "--json")
    told: list[dict[str, object]] = json.loads(done.stdout)["tried"]
    return told


def test_walls_that_stand_hold_and_a_courier_of_the_same_user_is_told(
    house: NeighbourhoodDoorbell, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("changing the user needs root")
    for folder in (house.state, *house.state.parents):
        if str(folder).startswith("/tmp/"):  # noqa: S108  (pytest's own, closed to others)
            folder.chmod(0o755)
    (house.state / "state").chmod(0o750)
    (house.state / "run").chmod(0o750)
    house.config.chmod(0o640)
    shutil.chown(house.spool / "in", NOBODY)
    shutil.chown(house.spool / "out", group=NOBODY)  # as systemd/doorbelld.tmpfiles makes them
    (house.spool / "out").chmod(0o2750)

    apart = courier(house, NOBODY)
    try:
        told = [row for row in rows(house) if row["who"] == "courier"]
        assert len(told) >= 5
        assert all(row["holds"] for row in told), told
        assert {row["result"] for row in told} == {"Permission denied"}
    finally:
        apart.end()
    for path in (house.spool / "in").iterdir():
        path.unlink()
    shutil.chown(house.spool / "in", os.geteuid())
    same = courier(house, os.geteuid())
    try:
        done = house.run("doctor", "isolation")
        assert done.returncode == 1
        assert "OPEN" in done.stdout
        assert "are both units installed?" in done.stdout
    finally:
        same.end()


def test_a_doorbell_that_reaches_the_internet_is_told_and_one_that_cannot_is_believed(
    tmp_path: Path, broker: Broker
) -> None:
    told: dict[str, list[dict[str, object]]] = {}
    with (
        Island(tmp_path / "island", {"store.example": STORE_ADDRESS}) as island,
        Island(tmp_path / "walled", {}) as walled,
    ):
        serve = f"import signal,socket; s=socket.create_server(('{STORE_ADDRESS}', 8443)); signal.pause()"
        listener = Process(island.command("python3", "-c", serve))
        for name, where in (("inside", island.command), ("outside", walled.command)):
            made = NeighbourhoodDoorbell(tmp_path / name, broker.port, mqtt={"enabled": False})
            words = where(BIN / "doorbelld", "--config", made.config)
            made.process = Process(words, log=made.state / "log")
            wait_for("the socket", lambda made=made: made.run("ledger", "show").returncode == 0)  # type: ignore[misc]
            sender = Sender(tmp_path / f"dep-{name}")
            origin = f"https://{STORE_ADDRESS}:8443"
            sender.write_record(uploads=[{"name": "store", "kind": "tus", "origin": origin}])
            made.pin(sender)
            told[name] = [row for row in rows(made) if row["who"] == "doorbelld"]
            made.stop_both()
        listener.end(signal.SIGKILL)
    assert [row["result"] for row in told["inside"]] == ["connected: not isolated"]
    assert not told["inside"][0]["holds"]
    assert told["outside"]
    assert all(row["holds"] for row in told["outside"])
