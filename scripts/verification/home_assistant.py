"""scripts/prove home-assistant: each press reaches an automation within 10 s or is marked as missed, and none twice.

Presses the button of a doorbell at random intervals, while a real Home Assistant and the broker between them are
restarted at random moments. An automation with Home Assistant's doorbell trigger sends each ring to a phone, which
this proof plays. A press without a ring has to be marked: a row `press_missed` in the log (with --commit of before
these rows: `late` in its own row). Prints each press, and fails if one rang late, rang twice, or is in neither list.

Needs `scripts/home-assistant setup`. 499 presses with 7 restarts take about 30 minutes; 50 with 2 about 4.
"""

import argparse
import random
import shlex
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device.errors import CommandError
from server.dev_processes import wait_for
from tests.support.broker import Listener
from tests.support.doorbell import BIN
from tests.support.home_assistant import Home, run_home
from tests.support.needs import ROOT, missing
from tests.support.phone import Phone

PRESSES, RESTARTS, GAP_S = 499, 7, 3.0
LIMIT_S = 10.0
SETTLE_S = 75.0
"""After the last press: a press while Home Assistant is away counts as missed after a minute."""
BROKER_AWAY_S = 12.0
CAMERA = {"kind": "scene", "scene": {"width_px": 640, "height_px": 360, "fps": 5, "visitors": False}}
MESSAGE = "{% set press = trigger.to_state.attributes %}{{ press.event_id }}/{{ press.press_number }}"


@dataclass(slots=True, kw_only=True)
class Press:
    """One press, and what became of it."""

    at_s: float
    """Wall time."""
    rings: list[float] = field(default_factory=list)
    """Seconds from the press to each run of the automation."""
    mark: str = ""
    """Why it was missed, as the doorbell marked it."""

    @property
    def outcome(self) -> str:
        """Return heard or missed, which are promised, or late, doubled or lost, which are defects."""
        if len(self.rings) > 1:
            return "doubled"
        if self.rings:
            return "heard" if self.rings[0] <= LIMIT_S else "late"
        return "missed" if self.mark else "lost"


class Restarts:
    """Restarts Home Assistant or the broker, one after another, in a thread of its own."""

    def __init__(self, home: Home, draw: random.Random) -> None:
        self._home, self._draw = home, draw
        self._thread: threading.Thread | None = None
        self.history: list[tuple[float, str]] = []
        """(wall time, what happened)."""

    def begin(self, what: str) -> None:
        """Begin a restart; waits for the one before."""
        self.wait()
        away_s = self._draw.uniform(0, BROKER_AWAY_S)
        self._thread = threading.Thread(target=self._restart, args=(what, away_s), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until none is under way."""
        if self._thread:
            self._thread.join()

    def _restart(self, what: str, away_s: float) -> None:
        self._note(f"{what} stops")
        if what == "broker":
            self._home.broker.stop()
            time.sleep(away_s)
            self._home.broker.start()
        else:
            self._home.home_assistant.stop()
            self._note(f"{what} has stopped")
            self._home.home_assistant.start()
        self._note(f"{what} runs again")

    def _note(self, text: str) -> None:
        self.history.append((time.time(), text))
        print(f"{clock(self.history[-1][0])}  -- {text}", flush=True)


def clock(at_s: float) -> str:
    """Return a wall time for people."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%H:%M:%S.%f")[:-3]


def program_of(commit: str, folder: Path) -> tuple[str | Path, ...]:
    """Return the words that start the daemon of another commit, which is unpacked into a folder."""
    folder.mkdir()
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", commit, "device"], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return ("env", f"PYTHONPATH={folder}", BIN / "doorbelld")


class Run:
    """The presses of one run, with everything that was seen of them."""

    def __init__(self, home: Home, phone: Phone) -> None:
        self._home, self._phone = home, phone
        self.presses: dict[str, Press] = {}
        self._read = 0

    def press(self) -> None:
        """Press the button."""

        def rung() -> Any:
            try:
                return self._home.doorbell.ask("POST", "/ring")
            except CommandError:  # within the bounce of the one before
                return None

        found = wait_for("the ring", rung)
        at_s = datetime.fromisoformat(found["occurred_at"]).timestamp()
        self.presses[f"{found['event_id']}/{found['press_number']}"] = Press(at_s=at_s)

    def collect(self) -> None:
        """Take in what phone and log have."""
        arrived = self._phone.notifications[self._read :]
        self._read += len(arrived)
        for at_s, notification in arrived:
            press = self.presses[notification["message"]]
            press.rings.append(at_s - press.at_s)
        for row in self._home.doorbell.ask("GET", "/log"):
            mark = "late" if row["kind"] == "press" and row["late"] else ""
            mark = row["reason"] if row["kind"] == "press_missed" else mark
            press_or_none = self.presses.get(f"{row['event_id']}/{row.get('press_number')}")
            if mark and press_or_none and press_or_none.mark in ("", "late"):
                press_or_none.mark = mark


def carry_out(arguments: argparse.Namespace, folder: Path) -> tuple[Run, int | None]:
    """Carry out a run; return it, and how many missed rings Home Assistant shows (None: it has no such entity)."""
    draw = random.Random(arguments.seed)  # noqa: S311  (not for secrets)
    options: dict[str, Any] = {"camera": CAMERA}
    if arguments.commit:
        options["program"] = program_of(arguments.commit, folder / "commit")
    at = sorted(draw.sample(range(5, arguments.presses - 5), arguments.restarts))
    kinds = [("broker", "Home Assistant")[number % 2] for number in range(arguments.restarts)]
    draw.shuffle(kinds)
    with run_home(folder, **options) as home, Phone() as phone:
        others = Listener(home.broker.port, topics=("press",)) if arguments.others else None
        home.home_assistant.add_automation(
            "ring",
            triggers=[{"trigger": "doorbell.rang", "target": {"device_id": home.device_id}}],
            actions=[{"action": phone.register(home.home_assistant), "data": {"message": MESSAGE}}],
            mode="parallel",
            max=100,
        )
        run, restarts = Run(home, phone), Restarts(home, draw)
        for number in range(arguments.presses):
            if number in at:
                restarts.begin(kinds[at.index(number)])
            run.press()
            time.sleep(arguments.gap_s * draw.uniform(0.1, 1.9))
            run.collect()
        restarts.wait()
        until_s = time.monotonic() + SETTLE_S
        while time.monotonic() < until_s and any(press.outcome == "lost" for press in run.presses.values()):
            time.sleep(1)
            run.collect()
        entity = home.home_assistant.state("sensor.porch_missed_ring")
        if others:
            others.close()
    return run, None if entity is None else int(entity["attributes"].get("count", 0))


def report(run: Run, shown: int | None) -> bool:
    """Print each press and the sums; return whether there is no defect."""
    for number, (name, press) in enumerate(run.presses.items(), 1):
        rings = ", ".join(f"{ring_s:.3f} s" for ring_s in press.rings)
        print(
            f"{number:>4}  {clock(press.at_s)}  {name:<30}  {press.outcome:<8}{rings:<12}{press.mark}".rstrip()
        )
    outcomes = Counter(press.outcome for press in run.presses.values())
    delays = sorted(ring_s for press in run.presses.values() for ring_s in press.rings)
    both = sum(bool(press.rings and press.mark) for press in run.presses.values())
    marked = sum(bool(press.mark) for press in run.presses.values())
    names = ("heard", "missed", "lost", "late", "doubled")
    print(f"presses {len(run.presses)}: " + ", ".join(f"{name} {outcomes[name]}" for name in names))
    if len(delays) > 1:
        p99 = statistics.quantiles(delays, n=100)[98]
        print(
            f"press to automation: p50 {statistics.median(delays):.3f} s, p99 {p99:.3f} s, max {delays[-1]:.3f} s"
        )
    entity = "no such entity" if shown is None else f"{shown}"
    print(
        f"marked {marked}, of them heard all the same {both}; Home Assistant's Missed ring counts: {entity}"
    )
    return not any(outcomes[name] for name in ("lost", "late", "doubled"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this proof's arguments."""
    parser.add_argument("--presses", type=int, default=PRESSES, help="default: %(default)s")
    parser.add_argument("--restarts", type=int, default=RESTARTS, help="of either; default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the intervals and restarts; default: %(default)s"
    )
    parser.add_argument("--gap-s", type=float, default=GAP_S, help="mean interval; default: %(default)s")
    parser.add_argument(
        "--others", action="store_true", help="with another subscriber, which is always there"
    )
    parser.add_argument("--commit", help="with the daemon of that commit")


def main(arguments: argparse.Namespace) -> int:
    """Carry it out, print, and return the exit status."""
    if reason := missing("home_assistant"):
        raise SystemExit(f"scripts/prove home-assistant: {reason}")
    print(shlex.join(f"{name}={value}" for name, value in sorted(vars(arguments).items()) if name != "run"))
    with tempfile.TemporaryDirectory(prefix="home-assistant-") as folder:
        run, shown = carry_out(arguments, Path(folder))
    good = report(run, shown)
    print("every press was heard in time or marked, none twice" if good else "PRESSES LOST, LATE OR DOUBLED")
    return 0 if good else 1
