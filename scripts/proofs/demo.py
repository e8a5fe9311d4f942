"""`scripts/demo-neighbourhood`: a town on this machine, with a department, a news source and five doorbells.

Everything is real but the people and the pictures: nginx, mosquitto, the clerk, five doorbelld and five
couriers. One request reaches the one house that it concerns; an alert reaches all. What each house does with
it is told here, and can be seen from nowhere else.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.proofs.houses import BIN, PLACE, House, Sender, put, wait_for
from scripts.proofs.places import north_of
from town.laptop import Missing, Town

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
        "--folder", type=Path, help="where everything is written (default: a temporary folder)"
    )
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="n"))
    try:
        return tell(folder, stay=arguments.stay)
    except Missing as error:
        print(f"scripts/demo-neighbourhood: {error}", file=sys.stderr)
        return 1
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def tell(folder: Path, *, stay: bool) -> int:
    """Tell the story; return the exit status."""
    department = Sender(folder / "department", "paris-example", "Example Police")
    paper = Sender(folder / "paper", "courier-example", "The Example Courier", kind="news")
    town = Town(folder / "t", quiet=True)
    town.senders.mkdir(parents=True)
    town.enrol(department.record)
    town.enrol(paper.record)
    with town:
        say(f"the town is up: {town.address} takes in, localhost:{town.mqtts} gives out")
        houses = {
            name: House(folder / name.lower(), town, north_of(PLACE, km), page=page_on(number))
            for number, (name, km) in enumerate(HOUSES.items())
        }
        try:
            return story(town, houses, department, paper, stay=stay)
        finally:
            for house in houses.values():
                house.stop()
            say("everything has ended")


def page_on(number: int) -> dict[str, Any]:
    """Return a page's settings: on loopback alone."""
    return {"enabled": True, "port": 0, "loopback_port": FIRST_PORT + number}


def story(town: Town, houses: dict[str, House], department: Sender, paper: Sender, *, stay: bool) -> int:
    """Tell it, step by step."""
    for name, house in houses.items():
        house.start()
        house.pin(department)
        house.pin(paper)
        code = house.ask("GET", "/page/code")["code"]
        port = FIRST_PORT + list(houses).index(name)
        say(f"{name}'s doorbell films; page http://localhost:{port}, claim code {code}")
    wait_for(lambda: all(house.ask("GET", "/clips") for house in houses.values()), "a clip in every house")
    say(f"all five pinned the department ({department.spoken}) and the newspaper")

    put(
        town,
        department.notice("alert", "severe", "Gas leak in Example Street", "Stay in, close the windows."),
    )
    put(town, paper.notice("news", "unknown", "Market moved to Sunday", "Because of the works."))
    took = timed(
        lambda: all(len(headlines(house)) == len(("alert", "news")) for house in houses.values()),
        "both notices",
    )
    say(f"an alert and a piece of news reached all five within {took:.1f} s:")
    for headline in headlines(houses["Anna"]):
        say(f"  {headline}")

    put(town, department.request(PLACE, "2026/4711"))
    took = timed(lambda: all(house.requests() for house in houses.values()), "the request")
    wait_for(lambda: not any(house.requests("received") for house in houses.values()), "every match")
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
    good = asked == ["Anna"] and all(
        len(headlines(house)) == len(("alert", "news")) for house in houses.values()
    )
    if stay:
        say(f"try: {BIN / 'doorbell'} --state {anna.folder} requests list")
        input("Enter ends it. ")
    return 0 if good else 1


def headlines(house: House) -> list[str]:
    """Return the notices that a house shows."""
    rows = house.ask("GET", "/notices")["notices"]
    return [row["headline"] for row in rows if row["here"] and row["state"] == READ]


def timed(check: Callable[[], Any], what: str) -> float:
    """Return the seconds until something holds."""
    began = time.monotonic()
    wait_for(check, what)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
