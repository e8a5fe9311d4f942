"""`scripts/prove silence`: before an approval, nobody outside can tell one doorbell from another.

Five doorbells around one position have pinned some departments and use one community server:

    A, B    match in turn: A matches every second request, B the others
    C, D    match the same requests as A; C's owner declines the first of them, D's the second, and so on,
            and the other owner ignores it
    bare    has no camera and no clip

Every packet between the doorbells and the server is captured on loopback. The proof compares what each courier
sends: how many segments with content, their sizes and their order; and when it acknowledges a request.

The test of the timing: requests come in blocks. Before each block all couriers reconnect, in random order,
because a broker serves its readers in turn and the first one waits longest. Each block gives one figure: the
median of the differences between two doorbells. The time runs from the broker's first segment of a request to
the courier's acknowledgement, and a difference is "does something" less "does nothing" (the two sides swap
within the block). If a doorbell's action made no difference, the sign of each figure would be random. p is the
share of all possible sign assignments whose mean is at least as far from zero. The smallest difference that the
test could detect (two-sided 0.01, power 0.9) is printed beside it.
"""

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.verification.capture import Capture, Packet, ports_of
from scripts.verification.positions import north_of
from server.dev_processes import wait_for
from server.dev_server import DevServer
from tests.support.neighbourhood import SLOW_SCENE, TOWER, NeighbourhoodDoorbell, Sender, publish

SPACING_S = 0.6
SETTLE_S = 2.0
QUIET_S = 65.0
"""Longer than the couriers' keep-alive: the pings of a quiet minute count too."""
REQUESTS_A_DEPARTMENT = 10
REQUESTS_A_BLOCK = 20
ALONE = 5
"""Requests that are published before any doorbell runs; each doorbell receives them when it connects."""
ALPHA = 0.01
DETECTABLE = 2.576 + 1.282
"""Standard errors: two-sided 0.01, power 0.9 (normal approximation)."""
OWN_S = 0.25
"""An acknowledgement comes with the kernel's 40 ms at the latest; what comes later answers something else."""
BARE_CAMERA: dict[str, Any] = {"kind": "stream", "stream": {"url": "/nowhere/camera.mp4"}}


@dataclass(frozen=True, slots=True)
class Block:
    """Some requests in a row: when they began, and each courier's port."""

    begin_ns: int
    ports: dict[str, int]
    requests: int


def main(arguments: argparse.Namespace) -> int:
    """Print the proof; exit status 1 if a difference was found."""
    if arguments.requests < 2 * REQUESTS_A_BLOCK:
        sys.exit(
            f"scripts/prove silence: --requests {arguments.requests}: at least {2 * REQUESTS_A_BLOCK} are needed"
        )
    with tempfile.TemporaryDirectory(prefix="s") as directory:
        folder = Path(directory)
        departments = [
            Sender(folder / f"department-{number}", f"department-{number}")
            for number in range(-(-arguments.requests // REQUESTS_A_DEPARTMENT))
        ]
        dev_server = DevServer(folder / "t", quiet=True)
        dev_server.senders.mkdir(parents=True)
        for department in departments:
            dev_server.enrol(department.record)
        with dev_server:
            alone = publisher_sees(dev_server, departments[0])
            result = run(folder, dev_server, departments, arguments.requests)
        result["publisher, no doorbell running"] = alone
    return report(result, arguments.json)


def publisher_sees(dev_server: DevServer, department: Sender) -> list[tuple[int, int]]:
    """Return what a publisher is answered: status and size."""
    far = north_of(TOWER, 8)
    return [publish(dev_server, department.request(far, case=f"alone {number}")) for number in range(ALONE)]


def run(folder: Path, dev_server: DevServer, departments: Sequence[Sender], count: int) -> dict[str, Any]:
    """Run the five doorbells; return what an outside observer sees."""
    a, b = TOWER, north_of(TOWER, 1.5)
    doorbells = {
        name: NeighbourhoodDoorbell(
            folder / name.lower(),
            None,
            dev_server=dev_server,
            position=b if name == "B" else a,
            camera=SLOW_SCENE,
        )
        for name in "ABCD"
    }
    doorbells["bare"] = NeighbourhoodDoorbell(
        folder / "bare", None, dev_server=dev_server, position=a, camera=BARE_CAMERA
    )
    with_camera = [doorbell for name, doorbell in doorbells.items() if name != "bare"]
    stopping = threading.Event()
    decliners = [
        threading.Thread(target=decline, args=(doorbells[name], turn, stopping))
        for turn, name in enumerate("CD")
    ]
    blocks: list[Block] = []
    answers = []
    by_lot = random.Random(1)  # noqa: S311  (so that a run can be repeated)
    try:
        with Capture({dev_server.mqtts, dev_server.https}) as capture:
            for name, doorbell in doorbells.items():
                doorbell.start_both(camera=name != "bare")
                for department in departments:
                    doorbell.pin(department)
            wait_for(
                "a clip in each doorbell",
                lambda: all(doorbell.ask("GET", "/clips") for doorbell in with_camera),
            )
            daemon_ports = set().union(
                *(ports_of(doorbell.process.pid) for doorbell in doorbells.values() if doorbell.process)
            )
            for thread in decliners:
                thread.start()
            for number in range(count):
                if number % REQUESTS_A_BLOCK == 0:
                    blocks.append(
                        reconnect_all(
                            doorbells, by_lot, dev_server.mqtts, min(REQUESTS_A_BLOCK, count - number)
                        )
                    )
                department = departments[number // REQUESTS_A_DEPARTMENT]
                where = (a, b)[number % 2]
                answers.append(
                    publish(dev_server, department.request(where, case=case_of(number), radius_m=300))
                )
                time.sleep(SPACING_S)
            awaited = count + ALONE
            wait_for(
                lambda: (
                    f"{awaited} requests: {[len(doorbell.requests()) for doorbell in doorbells.values()]}"
                ),
                lambda: all(len(doorbell.requests()) == awaited for doorbell in doorbells.values()),
            )
            time.sleep(QUIET_S)
            stopping.set()
            for thread in decliners:
                thread.join()
            states = {name: _states(doorbell) for name, doorbell in doorbells.items()}
    finally:
        stopping.set()
        for doorbell in doorbells.values():
            doorbell.stop_both()
    return {
        "requests": count,
        "states": states,
        "publisher, five doorbells running": answers,
        "packets": capture.packets,
        "blocks": blocks,
        "daemon_ports": daemon_ports,
        "broker": dev_server.mqtts,
    }


def case_of(number: int) -> str:
    """Return a request's case: two in a row have one."""
    return f"case {number // 2}"


def reconnect_all(
    doorbells: dict[str, NeighbourhoodDoorbell], by_lot: random.Random, broker: int, requests: int
) -> Block:
    """End all couriers, and start them in an order drawn by lot."""
    for doorbell in doorbells.values():
        if doorbell.courier:
            doorbell.stop_courier()
    names = by_lot.sample(list(doorbells), len(doorbells))
    for name in names:
        doorbells[name].start_courier()
    time.sleep(SETTLE_S)
    ports = {
        name: next(iter(ports_of(doorbell.courier.pid, broker)))
        for name, doorbell in doorbells.items()
        if doorbell.courier
    }
    return Block(time.monotonic_ns(), ports, requests)


def decline(doorbell: NeighbourhoodDoorbell, turn: int, stopping: threading.Event) -> None:
    """Be an owner who declines every other case, and ignores the ones between."""
    while not stopping.is_set():
        for row in doorbell.requests("offered"):
            if int(row["case"].split()[1]) % 2 == turn:
                doorbell.ask("POST", f"/requests/{row['id']}/decline")
        stopping.wait(0.3)


def _states(doorbell: NeighbourhoodDoorbell) -> dict[str, int]:
    rows = doorbell.requests()
    return {
        state: sum(row["state"] == state for row in rows) for state in sorted({row["state"] for row in rows})
    }


def sent(packets: Sequence[Packet], port: int) -> tuple[int, ...]:
    """Return the sizes of what a courier sent, in order, without bare acknowledgements."""
    return tuple(packet.size for packet in packets if packet.source == port and packet.size > 0)


def delays(packets: Sequence[Packet], port: int, broker: int, begin_ns: int) -> list[float]:
    """Return, for each request, the milliseconds from its first segment to the courier's acknowledgement."""
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


def p_of(figures: Sequence[float]) -> float:
    """Return p of the sign-flip test over all tosses."""
    values = np.asarray(figures)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(values))))
    return float((np.abs((signs * values).mean(axis=1)) >= abs(values.mean()) - 1e-12).mean())


def report(result: dict[str, Any], file: Path | None) -> int:
    """Print what was seen; return 1 if something differs."""
    packets, blocks, broker = result["packets"], result["blocks"], result["broker"]
    print(
        f"{result['requests']} requests in {len(blocks)} blocks; the states on each doorbell (not visible outside):"
    )
    for name, states in result["states"].items():
        print(f"  {name:<5} {', '.join(f'{number} {state}' for state, number in states.items())}")
    faults = []

    print("\nsent by each courier, segments with content:")
    for number, block in enumerate(blocks):
        kinds = {sent(packets, port) for port in block.ports.values()}
        if len(kinds) != 1:
            faults.append(f"in block {number + 1} the couriers sent different segments")
        if len(kinds) != 1 or number in (0, len(blocks) - 1):
            print(
                f"  block {number + 1:>2}, all five: {' or '.join(str(list(kind)) for kind in sorted(kinds))}"
            )
    begin_ns = blocks[0].begin_ns
    inside = result["daemon_ports"] & {packet.source for packet in packets}
    print(f"connections of a doorbelld to the server: {len(inside)}")
    if inside:
        faults.append("a doorbelld connected to the server")

    times: dict[str, list[list[float]]] = {
        name: [
            delays(packets, block.ports[name], broker, block.begin_ns)[: block.requests] for block in blocks
        ]
        for name in blocks[0].ports
    }
    print("\nfrom a request's first segment to the courier's acknowledgement, ms:")
    for name, of_blocks in times.items():
        flat = [delay_ms for block in of_blocks for delay_ms in block]
        print(
            f"  {name:<5} {len(flat)}, p50 {statistics.median(flat):.4f}, p99 {np.quantile(flat, 0.99):.4f}"
        )
        if len(flat) != result["requests"]:
            faults.append(f"{name} did not acknowledge each request once")
    figures = {
        "matches - does not (A, B)": in_turn(times["A"], times["B"], lambda number: number % 2),
        "declines - ignores (C, D)": in_turn(times["C"], times["D"], lambda number: number // 2 % 2),
        "camera - none (D, bare)": in_turn(times["D"], times["bare"], lambda _: 0),
    }
    for name, values in figures.items():
        p = p_of(values)
        least = DETECTABLE * statistics.stdev(values) / len(values) ** 0.5
        mean = statistics.mean(values)
        print(
            f"  {name}: mean {mean * 1e3:+.2f} µs over {len(values)} blocks, p = {p:.3f}; "
            f"{least * 1e3:.2f} µs could have been detected"
        )
        if p < ALPHA:
            faults.append(f"{name}: the timing differs (p = {p:.4f})")

    print("\nanswers to the publisher (status, bytes):")
    for name in ("publisher, no doorbell running", "publisher, five doorbells running"):
        print(f"  {name}: {sorted(set(result[name]))}")
    if set(result["publisher, no doorbell running"]) != set(result["publisher, five doorbells running"]):
        faults.append("the publisher received different answers")

    print("\n" + ("no difference was found" if not faults else "; ".join(faults)))
    if file:
        file.write_text(json.dumps({"figures_ms": figures, "begin_ns": begin_ns, "faults": faults}, indent=1))
    return 1 if faults else 0


def in_turn(
    one: Sequence[Sequence[float]], two: Sequence[Sequence[float]], turn: Callable[[int], int]
) -> list[float]:
    """Return the median difference of each block, with the side that `turn` says; requests count from 0 in a
    block.
    """
    figures = []
    for first, second in zip(one, two, strict=True):
        pairs = enumerate(zip(first, second, strict=False))
        figures.append(statistics.median((x - y) * (-1 if turn(number) else 1) for number, (x, y) in pairs))
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this proof's options."""
    parser.add_argument("--requests", type=int, default=200, help="number of requests (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")


if __name__ == "__main__":
    sys.exit("see scripts/prove --help")
