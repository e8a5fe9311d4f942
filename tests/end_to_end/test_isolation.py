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
def doorbell(tmp_path: Path, broker: Broker) -> Iterator[NeighbourhoodDoorbell]:
    made = NeighbourhoodDoorbell(tmp_path / "bell", broker.port)
    made.start()
    yield made
    made.stop_both()


def courier(doorbell: NeighbourhoodDoorbell, uid: int) -> Process:
    """Start a courier that becomes another user once it has loaded what it is made of."""
    drop = f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})"
    program = f"import os; from device.courier.main import main; {drop}; main()"
    words = [sys.executable, "-c", program, "--spool", doorbell.spool]
    made = Process(words, log=doorbell.state / "courier.log", cwd=ROOT)
    wait_for("the courier", (doorbell.spool / "in/status.json").exists)
    return made


def rows(doorbell: NeighbourhoodDoorbell) -> list[dict[str, object]]:
    done = doorbell.run("doctor", "isolation", "--json")
    result: list[dict[str, object]] = json.loads(done.stdout)["tried"]
    return result


def test_isolation_holds_and_a_courier_with_the_same_user_is_reported(
    doorbell: NeighbourhoodDoorbell, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("changing the user needs root")
    for folder in (doorbell.state, *doorbell.state.parents):
        if str(folder).startswith("/tmp/"):  # noqa: S108  (pytest's own, closed to others)
            folder.chmod(0o755)
    (doorbell.state / "state").chmod(0o750)
    (doorbell.state / "run").chmod(0o750)
    doorbell.config.chmod(0o640)
    shutil.chown(doorbell.spool / "in", NOBODY)
    shutil.chown(doorbell.spool / "out", group=NOBODY)  # as systemd/doorbelld.tmpfiles makes them
    (doorbell.spool / "out").chmod(0o2750)

    apart = courier(doorbell, NOBODY)
    try:
        result = [row for row in rows(doorbell) if row["who"] == "courier"]
        assert len(result) >= 5
        assert all(row["holds"] for row in result), result
        assert {row["result"] for row in result} == {"Permission denied"}
    finally:
        apart.end()
    for path in (doorbell.spool / "in").iterdir():
        path.unlink()
    shutil.chown(doorbell.spool / "in", os.geteuid())
    same = courier(doorbell, os.geteuid())
    try:
        done = doorbell.run("doctor", "isolation")
        assert done.returncode == 1
        assert "OPEN" in done.stdout
        assert "are both units installed?" in done.stdout
    finally:
        same.end()


def test_a_doorbell_that_reaches_the_internet_is_told_and_one_that_cannot_is_believed(
    tmp_path: Path, broker: Broker
) -> None:
    result: dict[str, list[dict[str, object]]] = {}
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
            result[name] = [row for row in rows(made) if row["who"] == "doorbelld"]
            made.stop_both()
        listener.end(signal.SIGKILL)
    assert [row["result"] for row in result["inside"]] == ["connected: not isolated"]
    assert not result["inside"][0]["holds"]
    assert result["outside"]
    assert all(row["holds"] for row in result["outside"])
