"""`scripts/prove flood`: a thousand hostile requests a second neither delay presses nor lose valid messages.

The broker is the community server's own, without the publisher. It delivers a thousand different hostile
envelopes of many kinds a second for a minute, and every two seconds a valid request and a valid notice. Two
doorbells, each with a dashboard, are pressed in turn: one receives everything, one has no courier. Prints the
delays of the presses side by side, the processor time and memory, the size of the spool and the ledger, and
whether the valid messages arrived.
"""

import argparse
import base64
import json
import os
import queue
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from device.consent.envelope import NOTICE, REQUEST, encoded
from device.consent.geohash import geohash
from device.spool.folders import SpoolReader
from scripts.benchmarks.press import subscriber
from server.agency.signing import signed_envelope
from server.cells import topic
from server.dev_processes import PATIENCE_S, wait_for
from server.dev_server import DevServer
from tests.support.broker import Broker
from tests.support.neighbourhood import SLOW_SCENE, TOWER, NeighbourhoodDoorbell, Sender

EVERY_VALID_S = 2.0
PRESS_EVERY_S = 0.25
SLICE_S = 0.02
MEGABYTE = 1e6


def main(arguments: argparse.Namespace) -> int:
    """Print the figures; exit status 1 if a valid message was lost or a limit was exceeded."""
    with tempfile.TemporaryDirectory(prefix="f") as directory:
        folder = Path(directory)
        senders = [Sender(folder / f"d{n}", f"department-{n}") for n in range(4)]
        with DevServer(folder / "t", quiet=True) as dev_server:
            dev_server.stop("publisher")
            broker = Broker(folder)
            try:
                result = run(folder, dev_server, broker.port, senders, arguments)
            finally:
                broker.stop()
    return report(result, arguments)


def run(
    folder: Path, dev_server: DevServer, port: int, senders: Sequence[Sender], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Flood one of two doorbells; return the measurements."""
    flooded, calm = (
        NeighbourhoodDoorbell(
            folder / name, port, dev_server=dev_server, camera=SLOW_SCENE, device={"id": name}
        )
        for name in ("flooded", "calm")
    )
    try:
        flooded.start_both()
        calm.start_both()
        calm.stop_courier()
        for sender in senders:
            flooded.pin(sender)
        wait_for("a clip", lambda: flooded.ask("GET", "/clips"))
        heard = {
            doorbell.state.name: subscriber(port, f"doorbelld/{doorbell.state.name}/press")
            for doorbell in (flooded, calm)
        }
        begin = usage(flooded)
        stopping = threading.Event()
        sent: dict[str, Any] = {"hostile": 0, "valid": []}
        flooder = threading.Thread(target=flood, args=(dev_server, senders, arguments, stopping, sent))
        flooder.start()
        delays: dict[str, list[float]] = {"flooded": [], "calm": []}
        peak_bytes = 0
        began_s = time.monotonic()
        while flooder.is_alive():
            for doorbell in (flooded, calm):
                delays[doorbell.state.name].append(press(doorbell, heard[doorbell.state.name]))
                time.sleep(PRESS_EVERY_S / 2)
            peak_bytes = max(peak_bytes, spool_bytes(flooded))
        seconds = time.monotonic() - began_s
        wait_for("the spool to be read", lambda: spool_waits(flooded) == 0)
        end = usage(flooded)
        known = {row["id"] for row in flooded.requests()}
        known |= {row["id"] for row in flooded.ask("GET", "/notices")["notices"]}
        ledger = flooded.ask("GET", "/ledger")
        return {
            "seconds": seconds,
            "hostile": sent["hostile"],
            "valid": len(sent["valid"]),
            "lost": [name for name in sent["valid"] if name not in known],
            "delays": delays,
            "cpu_s": {name: end[name][0] - begin[name][0] for name in begin},
            "rss_mb": {name: (begin[name][1], end[name][1]) for name in begin},
            "spool_peak_mb": peak_bytes / MEGABYTE,
            "ledger_mb": sum(path.stat().st_size for path in (flooded.state / "state").glob("ledger.db*"))
            / MEGABYTE,
            "refused": {row["reason"]: row["count"] for row in ledger["refused"]},
        }
    finally:
        flooded.stop_both()
        calm.stop_both()


def flood(
    dev_server: DevServer,
    senders: Sequence[Sender],
    arguments: argparse.Namespace,
    stopping: threading.Event,
    sent: dict[str, Any],
) -> None:
    """Publish hostile messages at a rate, and valid ones between them, over the broker's own socket like the
    publisher.
    """
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, transport="unix")
    client.connect(str(dev_server.socket))
    client.loop_start()
    cell = geohash(*TOWER, 5)
    made = hostile(senders[0])
    began_s = time.monotonic()
    while not stopping.is_set() and time.monotonic() - began_s < arguments.seconds:
        due = int((time.monotonic() - began_s) * arguments.rate) - sent["hostile"]
        for _ in range(due):
            kind, content = next(made)
            client.publish(topic(cell, kind, "flood", secrets.token_hex(8)), content)
            sent["hostile"] += 1
        if (time.monotonic() - began_s) / EVERY_VALID_S > len(sent["valid"]) / 2:
            number = len(sent["valid"]) // 2
            sender = senders[number % len(senders)]
            for kind, content in (
                ("request", sender.request(case=f"case {number}")),
                (
                    "notice",
                    sender.notice(
                        radius_m=5000, severity="minor", headline=f"Notice {number}", text="Nothing."
                    ),
                ),
            ):
                name = name_in(content)
                client.publish(topic(cell, kind, "flood", name), content, retain=True)
                sent["valid"].append(name)
        time.sleep(SLICE_S)
    client.loop_stop()


def hostile(pinned: Sender) -> Any:
    """Yield (kind, bytes) without end: junk, other keys, broken signatures, and envelopes of a pinned key that
    break a limit.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    stranger = Ed25519PrivateKey.generate()
    good = pinned.request(case="base")
    first, payload, signature = good.split(b".")
    number = 0
    while True:
        number += 1
        pad = str(number)
        yield "request", os.urandom(700)
        yield "request", signed_envelope(REQUEST, {"v": 1, "id": pad, "text": "x" * 900}, stranger)
        yield "notice", signed_envelope(NOTICE, {"v": 1, "id": pad, "text": "x" * 900}, stranger)
        yield "request", first + b"." + payload + b"." + encoded(os.urandom(64))
        yield "request", first + b"." + encoded(b'{"a":' * 40 + pad.encode() + b"}" * 40) + b"." + signature
        yield "request", b"A" * 30_000 + pad.encode() if number % 20 == 0 else pad.encode()
        yield "request", signed_envelope(REQUEST, {"v": 1, "op": "request", "id": pad}, pinned.folder.key)
        yield "notice", encoded(pad.encode()) + b"." + payload + b"." + signature


def name_in(content: bytes) -> str:
    """Return the id in an envelope of our own."""
    coded = content.split(b".")[1]
    payload = json.loads(base64.urlsafe_b64decode(coded + b"=" * (-len(coded) % 4)))
    name: str = payload["id"]
    return name


def press(doorbell: NeighbourhoodDoorbell, arrivals: "queue.SimpleQueue[int]") -> float:
    """Press the button; return the milliseconds from the edge to the dashboard."""
    edge_us: int = doorbell.ask("POST", "/ring")["mono_us"]
    return (arrivals.get(timeout=PATIENCE_S) - edge_us) / 1e3


def usage(doorbell: NeighbourhoodDoorbell) -> dict[str, tuple[float, float]]:
    """Return processor seconds and resident megabytes of both processes."""
    found = {}
    for name, process in (("doorbelld", doorbell.process), ("courier", doorbell.courier)):
        if process:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks = int(fields[11]) + int(fields[12])
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            found[name] = (ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE)
    return found


def spool_bytes(doorbell: NeighbourhoodDoorbell) -> int:
    """Return the bytes in the spool."""
    total = 0
    for path in (doorbell.spool / "in").iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def spool_waits(doorbell: NeighbourhoodDoorbell) -> int:
    """Return the number of unread bundles."""
    return len(SpoolReader(doorbell.spool / "in", doorbell.spool / "out").waiting())


def report(result: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Print the figures; return 1 if a valid message was lost."""
    rate = result["hostile"] / result["seconds"]
    print(f"{result['hostile']} hostile envelopes in {result['seconds']:.0f} s ({rate:.0f} a second)")
    print(f"refused, by reason: {result['refused']}")
    ratio = {}
    for name, values in result["delays"].items():
        p50, p99 = statistics.median(values), float(np.quantile(values, 0.99))
        ratio[name] = p99
        print(f"  press to dashboard, {name:<8} {len(values)} tries, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(f"  p99, flooded beside calm: {ratio['flooded'] / ratio['calm']:.2f} (aim 2)")
    for name in result["cpu_s"]:
        before, after = result["rss_mb"][name]
        print(f"  {name}: {result['cpu_s'][name]:.1f} s of processor time, {before:.0f} → {after:.0f} MB")
    peak, ledger = result["spool_peak_mb"], result["ledger_mb"]
    print(f"  spool at most {peak:.1f} MB (limit 33.6), ledger {ledger:.2f} MB")
    print(f"  valid: {result['valid']} sent, {len(result['lost'])} lost")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    return 1 if result["lost"] else 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this proof's options."""
    parser.add_argument("--seconds", type=float, default=60, help="default: %(default)s")
    parser.add_argument(
        "--rate", type=float, default=1000, help="hostile envelopes a second (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")


if __name__ == "__main__":
    sys.exit("see scripts/prove --help")
