"""`scripts/demo-neighbourhood`: a town on this machine, with a department, a news source and five doorbells.

Everything is real but the people and the pictures: nginx, mosquitto, the publisher, five doorbelld and five
couriers, and the department's tus server. An alert reaches all; one request reaches the one house that it
concerns, whose owner says yes; the department opens what it gets. What each house does with it is told here,
and can be seen from nowhere else.
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
HOUSES = {"Anna": 0.0, "Bela": 1.2, "Chen": 2.1, "Dora": 3.0, "Emil": -1.4}
"""Who lives how many kilometres north of the square."""
ASKED, READ = "offered", "current"


def say(text: str) -> None:
    """Tell what happens, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def main() -> int:
    """Run the demonstration; exit status 1 if something did not come about."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo-neighbourhood",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stay", action="store_true", help="let it all run until Enter: look at the pages")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where everything is written (default: a temporary folder, kept only if something fails)",
    )
    parser.add_argument("--on-the-island", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="n"))
    status = 1
    try:
        if arguments.on_the_island:
            return tell(folder, stay=arguments.stay)
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
    """Do all of it where the store's address is a public one, which is what couriers insist on."""
    with Island(folder / "internet", {HOST: STORE_ADDRESS}) as island, ExitStack() as stack:
        if stay:
            listeners = [socket.create_server(("127.0.0.1", FIRST_PORT + n)) for n in range(len(HOUSES))]
            pairs = [f"{each.fileno()}={each.getsockname()[1]}" for each in listeners]
            relay = subprocess.Popen(
                island.command(sys.executable, "-m", "scripts.verification.relay", *pairs),
                pass_fds=[each.fileno() for each in listeners],
            )
            stack.callback(relay.wait)
            stack.callback(relay.kill)
        words = ["--on-the-island", "--folder", str(folder), *(["--stay"] if stay else [])]
        return subprocess.run(
            island.command(sys.executable, "-m", "scripts.verification.demo", *words), check=False
        ).returncode


def tell(folder: Path, *, stay: bool) -> int:
    """Tell the story; return the exit status."""
    department = Sender(folder / "department", "paris-example", title="Example Police")
    paper = Sender(folder / "paper", "courier-example", "news", title="The Example Courier")
    dev_server = DevServer(folder / "t", quiet=True)
    dev_server.senders.mkdir(parents=True)
    dev_server.enrol(department.record)
    dev_server.enrol(paper.record)
    with dev_server, Store(folder / "store", Here()) as store:
        say(f"the town is up: {dev_server.address} takes in, localhost:{dev_server.mqtts} gives out")
        say(f"the department's store is up: {store.origin}, a tus server")
        houses = {
            name: NeighbourhoodDoorbell(
                folder / name.lower(),
                None,
                dev_server=dev_server,
                place=north_of(TOWER, km),
                camera=SLOW_SCENE,
                device={"id": name.lower()},
                page=page_on(number),
                store_ca=store.ca,
            )
            for number, (name, km) in enumerate(HOUSES.items())
        }
        try:
            good = story(dev_server, houses, department, paper)
            good = sharing(houses, department, store, folder) and good
            if stay:
                say(f"try: {BIN / 'doorbell'} --state {folder / 'anna'} requests list")
                input("Enter ends it. ")
            return 0 if good else 1
        finally:
            for house in houses.values():
                house.stop_both()
            say("everything has ended")


def page_on(number: int) -> dict[str, Any]:
    """Return a page's settings: on loopback alone."""
    return {"enabled": True, "port": 0, "loopback_port": FIRST_PORT + number}


def story(
    dev_server: DevServer, houses: dict[str, NeighbourhoodDoorbell], department: Sender, paper: Sender
) -> bool:
    """Tell how it comes to an offer; return whether everything came about."""
    for name, house in houses.items():
        house.start_both()
        house.pin(department)
        house.pin(paper)
        code = house.ask("GET", "/page/code")["code"]
        port = FIRST_PORT + list(houses).index(name)
        say(f"{name}'s doorbell films; page http://localhost:{port}, claim code {code}")
    wait_for("a clip in every house", lambda: all(house.ask("GET", "/clips") for house in houses.values()))
    say(f"all five pinned the department ({department.fingerprint}) and the newspaper")

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
        lambda: all(len(headlines(house)) == 2 for house in houses.values()),
        "both notices",
    )
    say(f"an alert and a piece of news reached all five within {took:.1f} s:")
    for headline in headlines(houses["Anna"]):
        say(f"  {headline}")

    asked_for = department.request(case="2026/4711")
    (department.record.parent / "request.jws").write_bytes(asked_for)
    publish(dev_server, asked_for)
    took = timed(lambda: all(house.requests() for house in houses.values()), "the request")
    wait_for("every match", lambda: not any(house.requests("received") for house in houses.values()))
    asked = [name for name, house in houses.items() if house.requests(ASKED)]
    say(f"a request for the square was heard by all five within {took:.1f} s;")
    say(f"  it waits for the owner of: {', '.join(asked) or 'nobody'}")
    for name, house in houses.items():
        row = house.requests()[0]
        say(f"  {name}: {row['state']}{': ' + row['why'] if row['why'] else ''}")
    anna = houses["Anna"]
    offer = anna.ask("GET", f"/requests/{anna.requests()[0]['id']}")["offer"]
    for clip in offer["clips"]:
        say(
            f"  what Anna is shown: {clip['frames']} pictures, {clip['start']} to {clip['end']}, no sound, "
            f"sealed for {offer['recipient']['name']}, to {offer['upload']['origin']}"
        )
    say("  nothing leaves until she says yes; nobody can see whether she does")
    for name, house in houses.items():
        wrong = house.ask("GET", "/ledger")
        say(f"  {name}'s ledger: {wrong['length']} entries, head {wrong['head'][:16]}…")
    return asked == ["Anna"] and all(len(headlines(house)) == 2 for house in houses.values())


def sharing(houses: dict[str, NeighbourhoodDoorbell], department: Sender, store: Store, folder: Path) -> bool:
    """Tell what Anna's yes does, and what the others' silence leaves; return whether that is all right."""
    anna = houses["Anna"]
    place = f"/requests/{anna.requests()[0]['id']}"
    shown = anna.ask("GET", place)
    anna.ask("POST", f"{place}/approve", {"offer_hash": shown["offer_hash"]})
    say("Anna says yes to exactly that")
    told: list[str] = []

    def state() -> str:
        row = anna.ask("GET", place)
        if row["state"] not in told:
            told.append(row["state"])
            say(f"  {row['state']}{': ' + row['why'] if row['why'] else ''}")
        return str(row["state"])

    wait_for("a receipt", lambda: state() in ("delivered", "failed", "expired"))
    receipt = anna.ask("GET", place)["release"]["receipt"]
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
    say(f"  it holds exactly what Anna was shown: {'yes' if offered == got else 'NO'}")
    traces = {name: traces_of(house) for name, house in houses.items() if name != "Anna"}
    for name, found in traces.items():
        say(f"{name} left {', '.join(found) or 'no trace'}")
    left = [str(path.relative_to(anna.state)) for path in leftovers(anna)]
    say(f"Anna's doorbell keeps no copy of the parcel: {', '.join(left) or 'none found'}")
    return opened.good and offered == got and not any(traces.values()) and not left and len(parcels) == 1


def traces_of(house: NeighbourhoodDoorbell) -> list[str]:
    """Return what would show that a house was asked: nothing, if nobody said yes."""
    found = [str(path.relative_to(house.state)) for path in leftovers(house)]
    found += [path.name for path in (house.spool / "in").glob("*.report")]
    wrong = {row["state"] for row in house.requests()} - {"unmatched", "offered", "declined"}
    return [*found, *wrong]


def leftovers(house: NeighbourhoodDoorbell) -> list[Path]:
    """Return what is left of parcels in a house."""
    places = [house.spool / "out", house.state / "state/releases"]
    kept = ("settings.json", "read")
    return [path for place in places for path in place.rglob("*") if path.is_file() and path.name not in kept]


def headlines(house: NeighbourhoodDoorbell) -> list[str]:
    """Return the notices that a house shows."""
    rows = house.ask("GET", "/notices")["notices"]
    return [row["headline"] for row in rows if row["here"] and row["state"] == READ]


def timed(check: Callable[[], Any], what: str) -> float:
    """Return the seconds until something holds."""
    began = time.monotonic()
    wait_for(what, check)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
