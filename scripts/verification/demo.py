"""`scripts/demo-neighbourhood`: a community server, a department, a news source and five doorbells on this machine.

Everything is real except the people and the pictures: nginx, mosquitto, the publisher, five doorbelld and five
couriers, and the department's tus server. An alert reaches all doorbells. One request concerns one doorbell; its
owner approves, and the department opens the parcel. The output shows each doorbell's decision; nobody outside
can see it.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.verification.positions import north_of
from server.agency.opening import open_parcel
from server.agency.report import write_report
from server.dev_processes import GaveUp, wait_for
from server.dev_server import DevServer, Missing
from tests.support.doorbell import BIN
from tests.support.neighbourhood import SLOW_SCENE, TOWER, NeighbourhoodDoorbell, Sender, publish
from tests.support.network_namespace import STORE_ADDRESS, Here, Island, NoIsland
from tests.support.stores import HOST, NoStore, Store, require_node

FIRST_PORT = 8081
DOORBELLS = {"Anna": 0.0, "Bela": 1.2, "Chen": 2.1, "Dora": 3.0, "Emil": -1.4}
"""Owner → kilometres north of the square."""
ASKED, READ = "offered", "current"


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def main() -> int:
    """Run the demonstration; exit status 1 if a step failed."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo-neighbourhood",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--stay", action="store_true", help="keep everything running until Enter, to look at the pages"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="the folder for all files (default: a temporary folder, which is kept only if something fails)",
    )
    parser.add_argument("--on-the-island", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="n"))
    status = 1
    try:
        if arguments.on_the_island:
            return demonstrate(folder, stay=arguments.stay)
        require_node()
        status = on_an_island(folder, stay=arguments.stay)
    except (GaveUp, Missing, NoIsland, NoStore) as error:
        print(f"scripts/demo-neighbourhood: {error}", file=sys.stderr)
    if status and not arguments.on_the_island:
        print(f"scripts/demo-neighbourhood: failed; everything that it wrote is in {folder}", file=sys.stderr)
    elif arguments.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def on_an_island(folder: Path, *, stay: bool) -> int:
    """Run the demonstration in a network namespace where the store has a public address; couriers require one."""
    with Island(folder / "internet", {HOST: STORE_ADDRESS}) as island, ExitStack() as stack:
        if stay:
            listeners = [socket.create_server(("127.0.0.1", FIRST_PORT + n)) for n in range(len(DOORBELLS))]
            pairs = [f"{listener.fileno()}={listener.getsockname()[1]}" for listener in listeners]
            relay = subprocess.Popen(
                island.command(sys.executable, "-m", "scripts.verification.relay", *pairs),
                pass_fds=[listener.fileno() for listener in listeners],
            )
            stack.callback(relay.wait)
            stack.callback(relay.kill)
        words = ["--on-the-island", "--folder", str(folder), *(["--stay"] if stay else [])]
        return subprocess.run(
            island.command(sys.executable, "-m", "scripts.verification.demo", *words), check=False
        ).returncode


def demonstrate(folder: Path, *, stay: bool) -> int:
    """Run both parts; return the exit status."""
    department = Sender(folder / "department", "paris-example", title="Example Police")
    paper = Sender(folder / "paper", "courier-example", "news", title="The Example Courier")
    dev_server = DevServer(folder / "t", quiet=True)
    dev_server.senders.mkdir(parents=True)
    dev_server.enrol(department.record)
    dev_server.enrol(paper.record)
    with dev_server, Store(folder / "store", Here()) as store:
        say(
            f"the server is running: {dev_server.address} accepts messages, localhost:{dev_server.mqtts} delivers them"
        )
        say(f"the department's store is running: {store.origin}, a tus server")
        doorbells = {
            name: NeighbourhoodDoorbell(
                folder / name.lower(),
                None,
                dev_server=dev_server,
                position=north_of(TOWER, km),
                camera=SLOW_SCENE,
                device={"id": name.lower()},
                page=page_on(number),
                store_ca=store.ca,
            )
            for number, (name, km) in enumerate(DOORBELLS.items())
        }
        try:
            good = until_offer(dev_server, doorbells, department, paper)
            good = approved(doorbells, department, store, folder) and good
            if stay:
                say(f"try: {BIN / 'doorbell'} --state {folder / 'anna'} requests list")
                input("Press Enter to stop. ")
            return 0 if good else 1
        finally:
            for doorbell in doorbells.values():
                doorbell.stop_both()
            say("everything has stopped")


def page_on(number: int) -> dict[str, Any]:
    """Return a page's settings: on loopback alone."""
    return {"enabled": True, "port": 0, "loopback_port": FIRST_PORT + number}


def until_offer(
    dev_server: DevServer, doorbells: dict[str, NeighbourhoodDoorbell], department: Sender, paper: Sender
) -> bool:
    """Go from the pins to an offer; return whether every step succeeded."""
    for name, doorbell in doorbells.items():
        doorbell.start_both()
        doorbell.pin(department)
        doorbell.pin(paper, "source")
        code = doorbell.ask("GET", "/page/code")["code"]
        port = FIRST_PORT + list(doorbells).index(name)
        say(f"{name}'s doorbell records; page http://localhost:{port}, claim code {code}")
    wait_for(
        "a clip in every doorbell",
        lambda: all(doorbell.ask("GET", "/clips") for doorbell in doorbells.values()),
    )
    say(f"all five owners pinned the department ({department.fingerprint}) and the newspaper")

    publish(
        dev_server,
        department.notice(
            radius_m=5000, headline="Gas leak in Example Street", text="Stay in, close the windows."
        ),
    )
    publish(
        dev_server,
        paper.notice(
            radius_m=5000,
            kind="news",
            severity="unknown",
            headline="Market moved to Sunday",
            text="Because of the works.",
        ),
    )
    took = timed(
        lambda: all(len(headlines(doorbell)) == 2 for doorbell in doorbells.values()),
        "both notices",
    )
    say(f"an alert and a piece of news reached all five within {took:.1f} s:")
    for headline in headlines(doorbells["Anna"]):
        say(f"  {headline}")

    asked_for = department.request(case="2026/4711")
    (department.record.parent / "request.jws").write_bytes(asked_for)
    publish(dev_server, asked_for)
    took = timed(lambda: all(doorbell.requests() for doorbell in doorbells.values()), "the request")
    wait_for("every match", lambda: not any(doorbell.requests("received") for doorbell in doorbells.values()))
    asked = [name for name, doorbell in doorbells.items() if doorbell.requests(ASKED)]
    say(f"a request for the square reached all five within {took:.1f} s;")
    say(f"  it waits for the owner of: {', '.join(asked) or 'nobody'}")
    for name, doorbell in doorbells.items():
        row = doorbell.requests()[0]
        say(f"  {name}: {row['state']}{': ' + row['why'] if row['why'] else ''}")
    anna = doorbells["Anna"]
    offer = anna.ask("GET", f"/requests/{anna.requests()[0]['id']}")["offer"]
    for clip in offer["clips"]:
        say(
            f"  Anna sees: {clip['frames']} pictures, {clip['start']} to {clip['end']}, no sound, "
            f"sealed for {offer['recipient']['name']}, to {offer['upload']['origin']}"
        )
    say("  nothing leaves before she approves; nobody outside can see her decision")
    for name, doorbell in doorbells.items():
        ledger = doorbell.ask("GET", "/ledger")
        say(f"  {name}'s ledger: {ledger['length']} entries, head {ledger['head'][:16]}…")
    return asked == ["Anna"] and all(len(headlines(doorbell)) == 2 for doorbell in doorbells.values())


def approved(
    doorbells: dict[str, NeighbourhoodDoorbell], department: Sender, store: Store, folder: Path
) -> bool:
    """Approve as Anna, and look for traces on the others; return whether everything is correct."""
    anna = doorbells["Anna"]
    path = f"/requests/{anna.requests()[0]['id']}"
    shown = anna.ask("GET", path)
    anna.ask("POST", f"{path}/approve", {"offer_hash": shown["offer_hash"]})
    say("Anna approves exactly that")
    states: list[str] = []

    def state() -> str:
        row = anna.ask("GET", path)
        if row["state"] not in states:
            states.append(row["state"])
            say(f"  {row['state']}{': ' + row['why'] if row['why'] else ''}")
        return str(row["state"])

    wait_for("a receipt", lambda: state() in ("delivered", "failed", "expired"))
    receipt = anna.ask("GET", path)["release"]["receipt"]
    parcels = store.parcels()
    say(f"the store has {len(parcels)} parcel; the ledger has its receipt for {receipt['sha256'][:16]}…")
    (parcel,) = parcels.values()
    request = department.record.parent / "request.jws"
    opened = open_parcel(parcel, department.folder.path, folder / "opened", [request])
    say("the department opens it:")
    for check in opened.checks:
        say(f"  {'ok' if check.good else 'NO'}  {check.name}: {check.result}")
    say(f"  report: {write_report(opened)}")
    offered = [(clip["start"], clip["end"], clip["frames"]) for clip in shown["offer"]["clips"]]
    got = [(clip["start"], clip["end"], clip["frames"]) for clip in opened.manifest["clips"]]
    say(f"  its content is exactly what Anna saw: {'yes' if offered == got else 'NO'}")
    traces = {name: traces_of(doorbell) for name, doorbell in doorbells.items() if name != "Anna"}
    for name, found in traces.items():
        say(f"{name}'s doorbell: {', '.join(found) or 'no trace of a parcel'}")
    left = [str(path.relative_to(anna.state)) for path in leftovers(anna)]
    say(f"Anna's doorbell keeps no copy of the parcel: {', '.join(left) or 'none found'}")
    return opened.good and offered == got and not any(traces.values()) and not left and len(parcels) == 1


def traces_of(doorbell: NeighbourhoodDoorbell) -> list[str]:
    """Return traces that would show a request to an observer; none without an approval."""
    found = [str(path.relative_to(doorbell.state)) for path in leftovers(doorbell)]
    found += [path.name for path in (doorbell.spool / "in").glob("*.report")]
    wrong = {row["state"] for row in doorbell.requests()} - {"unmatched", "offered", "declined"}
    return [*found, *wrong]


def leftovers(doorbell: NeighbourhoodDoorbell) -> list[Path]:
    """Return the files of parcels that a doorbell still has."""
    folders = [doorbell.spool / "out", doorbell.state / "state/releases"]
    expected = ("settings.json", "read")
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name not in expected
    ]


def headlines(doorbell: NeighbourhoodDoorbell) -> list[str]:
    """Return the notices that a doorbell shows."""
    rows = doorbell.ask("GET", "/notices")["notices"]
    return [row["headline"] for row in rows if row["here"] and row["state"] == READ]


def timed(check: Callable[[], Any], what: str) -> float:
    """Return the seconds until something holds."""
    began = time.monotonic()
    wait_for(what, check)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
