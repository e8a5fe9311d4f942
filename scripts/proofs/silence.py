"""`scripts/prove silence`: before an approval, nobody outside can tell one house from another.

Five houses stand around one place, with one department pinned and one town:

    A, B       each matches every other request (their roles change, so that who is served first counts for
    nothing) declines   matches every request, and its owner declines each ignores    matches every request,
    and its owner does nothing bare       has no camera and no clip

Every packet between them and the town is captured on loopback. Compared are, for each house, what its courier
sends: how many segments with content, how large, in which order; and when it acknowledges what it heard.

The test of the timing: for each request, the time from the broker's segment to the courier's acknowledgement,
in the house that matches less in the one that does not. If matching made no difference, the sign of each such
difference is a coin's toss: 10,000 times the signs are tossed, and p is the share of tosses with a mean at
least as far from zero. The smallest difference that would have been found (power 0.9 at 0.01) is printed
beside it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from device.consent.area import EARTH_RADIUS_KM
from scripts.proofs.capture import Capture, Packet, ports_of
from scripts.proofs.houses import PLACE, House, Sender, put, wait_for
from town.laptop import Town

SPACING_S = 0.6
REQUESTS_A_DEPARTMENT = 10
TOSSES = 10_000
ALPHA = 0.01
DETECTABLE = 2.576 + 1.282
"""Standard errors: two-sided 0.01, power 0.9 (normal approximation)."""
ALONE = 5
"""Requests that are published before there is any house; every house hears them when it comes."""
OWN_S = 0.25
"""An acknowledgement comes with the kernel's 40 ms at the latest; what comes later answers something else."""
BARE_CAMERA: dict[str, Any] = {"kind": "stream", "stream": {"url": "/nowhere/camera.mp4"}}


def north_of(place: tuple[float, float], km: float) -> tuple[float, float]:
    """Return a place some kilometres to the north."""
    return place[0], place[1] + float(np.degrees(km / EARTH_RADIUS_KM))


def main(arguments: argparse.Namespace) -> int:
    """Print the proof; exit status 1 if a difference was found."""
    with tempfile.TemporaryDirectory(prefix="s") as place:
        folder = Path(place)
        departments = [
            Sender(folder / f"department-{number}", f"department-{number}", f"Department {number}")
            for number in range(-(-arguments.requests // REQUESTS_A_DEPARTMENT))
        ]
        town = Town(folder / "t", quiet=True)
        town.senders.mkdir(parents=True)
        for department in departments:
            town.enrol(department.record)
        with town:
            alone = publisher_sees(town, departments[0])
            told = run(folder, town, departments, arguments.requests)
        told["publisher, no house there"] = alone
    return report(told, arguments.json)


def publisher_sees(town: Town, department: Sender) -> list[tuple[int, int]]:
    """Return what a publisher is answered: status and size."""
    far = north_of(PLACE, 8)
    return [put(town, department.request(far, f"alone {number}")) for number in range(ALONE)]


def run(folder: Path, town: Town, departments: Sequence[Sender], count: int) -> dict[str, Any]:
    """Run the five houses; return what was seen outside."""
    a, b = PLACE, north_of(PLACE, 1.5)
    houses = {
        "A": House(folder / "a", town, a),
        "B": House(folder / "b", town, b),
        "declines": House(folder / "declines", town, a),
        "ignores": House(folder / "ignores", town, a),
        "bare": House(folder / "bare", town, a, camera=BARE_CAMERA),
    }
    try:
        with Capture({town.mqtts, town.https}) as capture:
            for name, house in houses.items():
                house.start(camera=name != "bare")
                for department in departments:
                    house.pin(department)
            couriers = {
                name: next(iter(ports_of(house.courier.pid, town.mqtts)))
                for name, house in houses.items()
                if house.courier
            }
            doorbells = {
                name: ports_of(house.doorbell.pid) for name, house in houses.items() if house.doorbell
            }
            wait_for(
                lambda: all(house.ask("GET", "/clips") for name, house in houses.items() if name != "bare"),
                "a clip in each house",
            )
            time.sleep(2)
            begin_ns = time.monotonic_ns()
            stopping = threading.Event()
            decliner = threading.Thread(target=decline_all, args=(houses["declines"], stopping))
            decliner.start()
            answers = []
            for number in range(count):
                where = (a, b)[number % 2]
                department = departments[number // REQUESTS_A_DEPARTMENT]
                answers.append(put(town, department.request(where, f"case {number // 2}", radius_m=300)))
                time.sleep(SPACING_S)
            awaited = count + ALONE
            wait_for(
                lambda: all(len(house.requests()) == awaited for house in houses.values()),
                lambda: f"{awaited} requests: {[len(house.requests()) for house in houses.values()]}",
            )
            time.sleep(3)
            stopping.set()
            decliner.join()
            states = {name: _states(house) for name, house in houses.items()}
    finally:
        for house in houses.values():
            house.stop()
    return {
        "requests": count,
        "states": states,
        "publisher, five houses there": answers,
        "packets": capture.packets,
        "begin_ns": begin_ns,
        "couriers": couriers,
        "doorbells": doorbells,
        "broker": town.mqtts,
        "https": town.https,
    }


def _states(house: House) -> dict[str, int]:
    rows = house.requests()
    return {
        state: sum(row["state"] == state for row in rows) for state in sorted({row["state"] for row in rows})
    }


def decline_all(house: House, stopping: threading.Event) -> None:
    """Be an owner who declines whatever comes."""
    while not stopping.is_set():
        for row in house.requests("offered"):
            house.ask("POST", f"/requests/{row['id']}/decline")
        stopping.wait(0.3)


def sent(packets: Sequence[Packet], port: int) -> list[int]:
    """Return the sizes of what a courier sent, in order, without bare acknowledgements."""
    return [packet.size for packet in packets if packet.source == port and packet.size > 0]


def delays(packets: Sequence[Packet], port: int, broker: int, begin_ns: int) -> list[float]:
    """Return, for each request, the milliseconds from the broker's first segment to the courier's
    acknowledgement.
    """
    found: list[float] = []
    heard_ns: int | None = None
    last_ns = 0
    for packet in packets:
        if packet.ns < begin_ns:
            continue
        if packet.source == broker and packet.target == port and packet.size > 0:
            if packet.ns - last_ns > OWN_S * 1e9:  # the first segment of another request
                heard_ns = packet.ns
            last_ns = packet.ns
        elif packet.source == port and packet.target == broker and heard_ns is not None:
            found.append((packet.ns - heard_ns) / 1e6)
            heard_ns = None
    return found


def side_by_side(one: Sequence[float], two: Sequence[float]) -> list[float]:
    """Return the differences, without what the broker's order of serving makes of them: their median."""
    found = [first - second for first, second in zip(one, two, strict=False)]
    middle = statistics.median(found)
    return [each - middle for each in found]


def in_turn(one: Sequence[float], two: Sequence[float]) -> list[float]:
    """Return matching less not matching, where the two houses match in turn."""
    return [each * (1 if number % 2 == 0 else -1) for number, each in enumerate(side_by_side(one, two))]


def toss(differences: Sequence[float], seed: int = 1) -> float:
    """Return p of the paired sign-flip test."""
    values = np.asarray(differences)
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(TOSSES, len(values)))
    return float((np.abs((signs * values).mean(axis=1)) >= abs(values.mean()) - 1e-12).mean())


def report(told: dict[str, Any], file: Path | None) -> int:
    """Print what was seen; return 1 if something differs."""
    packets, couriers, count = told["packets"], told["couriers"], told["requests"]
    print(f"{count} requests; what the houses made of them (nobody outside sees this):")
    for name, states in told["states"].items():
        print(f"  {name:<9} {', '.join(f'{number} {state}' for state, number in states.items())}")
    faults = []

    print("\nsent by each courier from its start on, segments with content:")
    by_house = {name: sent(packets, port) for name, port in couriers.items()}
    for name, sizes in by_house.items():
        print(f"  {name:<9} {len(sizes)} segments, {sum(sizes)} bytes: {sizes}")
    if len({tuple(sizes) for sizes in by_house.values()}) != 1:
        faults.append("the couriers sent different segments")
    strangers = {
        packet.source
        for packet in packets
        if packet.target == told["broker"]
        and packet.source not in couriers.values()
        and packet.ns > told["begin_ns"]
    }
    inside = set().union(*told["doorbells"].values()) & {packet.source for packet in packets}
    print(f"connections of a doorbelld to the town: {len(inside)}; of others to the broker: {len(strangers)}")
    if inside or strangers:
        faults.append("somebody else than the couriers spoke to the town")

    times = {name: delays(packets, port, told["broker"], told["begin_ns"]) for name, port in couriers.items()}
    print("\nfrom a request's first segment to the courier's acknowledgement, ms:")
    for name, values in times.items():
        p99 = float(np.quantile(values, 0.99)) if values else float("nan")
        print(f"  {name:<9} {len(values)} of {count}, p50 {statistics.median(values):.3f}, p99 {p99:.3f}")
    pairs = {
        "matches - does not (A, B in turn)": in_turn(times["A"], times["B"]),
        "declines - ignores": side_by_side(times["declines"], times["ignores"]),
        "declines - bare": side_by_side(times["declines"], times["bare"]),
    }
    figures = {}
    for name, values in pairs.items():
        p = toss(values)
        least = DETECTABLE * statistics.stdev(values) / len(values) ** 0.5
        figures[name] = {
            "mean_ms": statistics.mean(values),
            "p": p,
            "detectable_ms": least,
            "pairs": len(values),
        }
        print(
            f"  {name}: mean {statistics.mean(values):+.4f} ms in {len(values)} pairs, p = {p:.3f}; "
            f"{least:.4f} ms would have been found"
        )
        if p < ALPHA:
            faults.append(f"{name}: the timing differs (p = {p:.4f})")
    if any(len(values) != count for values in times.values()):
        faults.append("not every request was acknowledged once by each courier")

    print("\nwhat the publisher was answered (status, bytes):")
    for name in ("publisher, no house there", "publisher, five houses there"):
        kinds = sorted(set(map(tuple, told[name])))
        print(f"  {name}: {kinds}")
    if set(map(tuple, told["publisher, no house there"])) != set(
        map(tuple, told["publisher, five houses there"])
    ):
        faults.append("the publisher was answered differently")

    print("\n" + ("no difference was found" if not faults else "; ".join(faults)))
    if file:
        file.write_text(json.dumps({"figures": figures, "sent": by_house, "faults": faults}, indent=1))
    return 1 if faults else 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this proof's own."""
    parser.add_argument("--requests", type=int, default=200, help="so many (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")


if __name__ == "__main__":
    sys.exit("see scripts/prove --help")
