"""scripts/prove egress: every transfer stops when what allowed it goes away; counted at the server.

Real transfers of every kind run in parallel: parcels to a tus server and an S3-compatible store, copies of clips to
the owner's WebDAV, SFTP and bucket, outside (by the courier) and at home (by the daemon). At a random moment of each
something takes the permission away: the daemon is killed or stopped, its ledger is changed, its clock is set back, the
owner withdraws or removes the target, or the line stalls before that. Bytes that reach the server after the moment,
or after the lease if only that ends the transfer, are counted and listed. At most one chunk may. Then the
subscriptions of 500 homes of a region are compared (`scripts/prove subscriptions`). `scripts/prove audit` tries what a
parcel may contain, `scripts/bench transfer` what a transfer costs a press.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyrage

from device.spool.leases import CHUNK_BYTES
from scripts.verification import subscriptions
from server.dev_processes import Process, free_port, wait_for
from server.dev_server import make_certificates
from tests.support.backup_servers import PASSWORD, Bucket, Sftp, WebDav
from tests.support.doorbell import BIN
from tests.support.network_namespace import STORE_ADDRESS, Island
from tests.support.stores import HOST, S3Store, Store

NAMES = {HOST: STORE_ADDRESS, "bucket.example": STORE_ADDRESS, "dav.example": STORE_ADDRESS}
SIZE_BYTES = 12_000_000
KBPS = 8_000
LEASE_S = 2.0
AFTER_S = 1.5
"""How long is counted after the end."""
STARTED_BYTES = 100_000
"""By then the content is under way, not a handshake."""
_PYTHON = (sys.executable, "-P", "-m")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One kind of transfer: the server's address and port, and the order for the daemon, by the meter's port."""

    address: str
    port: int
    order: Callable[[int], dict[str, Any]]
    is_outside: bool
    ca: Path | None = None
    meter_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One trial."""

    kind: str
    action: str
    before_bytes: int
    after_bytes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--moments", type=int, default=500, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=9, help="of the moments (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="KIND", help="one kind of transfer")


def main(arguments: argparse.Namespace) -> int:
    """Run the trials and print what reached the servers."""
    age = str(pyrage.x25519.Identity.generate().to_public())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="egress-")))
        island = stack.enter_context(Island(folder / "island", NAMES))
        ways = {
            kind: make(folder / kind.replace(" ", "-"), island, stack, age)
            for kind, make in WAYS.items()
            if arguments.only in ("", kind)
        }
        share = -(-arguments.moments // len(ways))
        results: list[Result] = []
        troubles: list[str] = []
        threads = []
        for kind, way in ways.items():
            chance = random.Random(f"{arguments.seed} {kind}")  # noqa: S311  (moments, not keys)
            trials = _Trials(kind, way, folder / kind.replace(" ", "-"), island, chance)
            threads.append(threading.Thread(target=trials.run, args=(share, results, troubles)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    status = _report(results, troubles)
    if arguments.only:
        return status
    figures = subscriptions.compare(subscriptions.REGION, subscriptions.HOMES)
    print(
        f"{figures['homes']} homes of a region: {figures['settings']} settings file, {figures['connect']} CONNECT, "
        f"{figures['subscribe']} SUBSCRIBE"
    )
    return status if subscriptions.holds(figures) else 1


def _report(results: list[Result], troubles: list[str]) -> int:
    print(f"{'transfer':<18} {'action':<10} {'moments':>7} {'bytes after: median':>20} {'maximum':>9}")
    for kind, action in sorted({(result.kind, result.action) for result in results}):
        after = [each.after_bytes for each in results if (each.kind, each.action) == (kind, action)]
        print(f"{kind:<18} {action:<10} {len(after):>7} {statistics.median(after):>20,.0f} {max(after):>9,}")
    worst = max((result.after_bytes for result in results), default=0)
    too_many = [result for result in results if result.after_bytes > CHUNK_BYTES]
    print(
        f"{len(results)} moments; at most {worst:,} bytes reached a server after it; one chunk is {CHUNK_BYTES:,}"
    )
    for result in too_many:
        print(f"MORE THAN A CHUNK: {result}")
    for trouble in troubles:
        print(f"NOT COUNTED: {trouble}")
    return 1 if too_many or troubles or not results else 0


# --- the trials -----------------------------------------------------------------------------------


class _Trials:
    """Trials of one kind of transfer, one after the other."""

    def __init__(self, kind: str, way: Way, folder: Path, island: Island, chance: random.Random) -> None:
        self._kind = kind
        self._way = way
        self._folder = folder
        self._island = island
        self._chance = chance
        self._stop = "withdraw" if kind in ("tus", "s3") else "remove"

    def run(self, count: int, results: list[Result], troubles: list[str]) -> None:
        """Run so many."""
        actions = ["kill", "stop", "ledger", "clock", self._stop, "unplug"]
        for number in range(count):
            action = actions[number % len(actions)]
            try:
                with _Transfer(self._way, self._folder / f"trial-{number}", self._island) as transfer:
                    results.append(self._measured(transfer, action))
            except Exception as error:  # noqa: BLE001  (told, and fails the proof)
                troubles.append(f"{self._kind} {action} {number}: {type(error).__name__}: {error}")

    def _measured(self, transfer: "_Transfer", action: str) -> Result:
        wait_for("the first bytes", lambda: transfer.counted() > STARTED_BYTES)
        time.sleep(self._chance.uniform(0, 2.5))
        before_bytes = transfer.counted()
        lease_s = self._act(transfer, action)
        end_s = time.monotonic() + lease_s
        time.sleep(lease_s + AFTER_S)
        return Result(
            kind=self._kind, action=action, before_bytes=before_bytes, after_bytes=transfer.counted(end_s)
        )

    def _act(self, transfer: "_Transfer", action: str) -> float:
        """Take the permission away; return for how long a lease may still allow the transfer."""
        lease_s = LEASE_S if self._way.is_outside else 0.0
        match action:
            case "kill":
                transfer.daemon.end(signal.SIGKILL)
                return lease_s
            case "stop":
                transfer.daemon.send_signal(signal.SIGSTOP)
                return lease_s
            case "ledger":
                db = sqlite3.connect(transfer.folder / "ledger.db")
                with db:
                    db.execute(
                        "INSERT INTO entry (seq, hash, text) SELECT max(seq) + 1, 'x', text FROM entry"
                    )
                db.close()
                return LEASE_S
            case "clock":
                transfer.ask("clock back")
                return LEASE_S
            case "unplug":
                transfer.meter.send_signal(signal.SIGSTOP)
                time.sleep(0.3)
                transfer.ask(self._stop)
                time.sleep(0.3)
                transfer.meter.send_signal(signal.SIGCONT)
            case _:
                transfer.ask(action)
        return 0.0


class _Transfer:
    """A daemon, a courier if the server is outside, and the meter before the server. A context manager."""

    def __init__(self, way: Way, folder: Path, island: Island) -> None:
        self.folder = folder
        self._island = island
        self._log = folder / "meter.log"
        folder.mkdir(parents=True)
        self._log.touch()
        port = way.meter_port or free_port()
        order = {
            "target": None,
            "secret": "",
            "upload": None,
            "lease_s": LEASE_S,
            "kbps": KBPS,
            "size_bytes": SIZE_BYTES,
            **way.order(port),
        }
        (folder / "order.json").write_text(json.dumps(order))
        with ExitStack() as stack:
            words = ("scripts.verification.meter", str(port), way.address, str(way.port), self._log)
            self.meter = self._start(stack, "meter", *_PYTHON, *words)
            orders, self._orders = os.pipe()
            stack.callback(os.close, self._orders)
            self.daemon = self._start(
                stack, "daemon", *_PYTHON, "scripts.verification.egress_daemon", folder, stdin=orders
            )
            os.close(orders)
            if way.is_outside:
                environment = {**os.environ, **({"SSL_CERT_FILE": str(way.ca)} if way.ca else {})}
                wait_for("the spool", (folder / "spool/out/settings.json").exists)
                folders = ("--spool", folder / "spool", "--leases", folder / "leases")
                self._start(stack, "courier", BIN / "doorbelld-courier", *folders, env=environment)
            self._stack = stack.pop_all()

    def _start(self, stack: ExitStack, name: str, *words: str | Path, **options: Any) -> Process:
        command = self._island.command(*words)
        process = Process(command, log=self.folder / f"{name}-process.log", cwd=ROOT, **options)
        stack.callback(process.end, signal.SIGKILL)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def counted(self, after_s: float = 0.0) -> int:
        """Return how many bytes the server was given, at all or after a time (CLOCK_MONOTONIC)."""
        lines = self._log.read_text().rpartition("\n")[0].splitlines()
        pairs = (line.split() for line in lines)
        return sum(int(size) for at_s, size in pairs if float(at_s) > after_s)

    def ask(self, order: str) -> None:
        """Have the daemon do something, and wait until it has."""
        answers = self.folder / "daemon-process.log"
        before = answers.read_text().count("done")
        os.write(self._orders, f"{order}\n".encode())
        wait_for(f"the daemon to {order}", lambda: answers.read_text().count("done") > before)


# --- the servers ----------------------------------------------------------------------------------


def _tus(folder: Path, island: Island, stack: ExitStack, _age: str) -> Way:
    store = stack.enter_context(Store(folder / "store", island))

    def order(port: int) -> dict[str, Any]:
        return {"upload": {"name": "store", "kind": "tus", "origin": f"https://{HOST}:{port}"}}

    return Way(address=STORE_ADDRESS, port=443, order=order, is_outside=True, ca=store.ca)


def _s3(folder: Path, island: Island, stack: ExitStack, _age: str) -> Way:
    store = S3Store(folder / "store", island)
    meter_port = free_port()
    store.origin = (
        f"https://bucket.example:{meter_port}"  # the signer names the address that the courier sees
    )
    stack.enter_context(store)
    upload = {"name": "store", "kind": "s3", "origin": store.origin}
    return Way(
        address=STORE_ADDRESS,
        port=8443,
        order=lambda _port: {"upload": upload},
        is_outside=True,
        ca=store.ca,
        meter_port=meter_port,
    )


def _target(age: str, kind: str, url: str, user: str, secret: str, **more: str) -> dict[str, Any]:
    return {"target": {"kind": kind, "url": url, "user": user, "age": age, **more}, "secret": secret}


def _webdav_outside(folder: Path, island: Island, stack: ExitStack, age: str) -> Way:
    (folder / "tls").mkdir(parents=True)
    make_certificates(folder / "tls", "dav.example")
    server = WebDav(folder / "dav", island, STORE_ADDRESS).start(folder / "tls")
    stack.callback(server.stop)
    return Way(
        address=STORE_ADDRESS,
        port=server.port,
        order=lambda port: _target(age, "webdav", f"https://dav.example:{port}/bell", "anna", PASSWORD),
        is_outside=True,
        ca=folder / "tls/ca.pem",
    )


def _bucket_outside(folder: Path, island: Island, stack: ExitStack, age: str) -> Way:
    store = S3Store(folder / "store", island, port=8543)
    stack.enter_context(store)
    return Way(
        address=STORE_ADDRESS,
        port=8543,
        order=lambda port: _target(
            age, "s3", f"https://bucket.example:{port}/parcels/bell", "S3RVER", "S3RVER"
        ),
        is_outside=True,
        ca=store.ca,
    )


def _sftp(folder: Path, island: Island, stack: ExitStack, age: str, address: str) -> Way:
    server = Sftp(folder / "ssh", island, address).start()
    stack.callback(server.stop)
    return Way(
        address=address,
        port=server.port,
        order=lambda port: _target(
            age,
            "sftp",
            f"sftp://{address}:{port}{server.files}/bell",
            server.user,
            server.key,
            host_key=server.host_key,
        ),
        is_outside=address == STORE_ADDRESS,
    )


def _webdav_home(folder: Path, island: Island, stack: ExitStack, age: str) -> Way:
    server = WebDav(folder / "dav", island).start()
    stack.callback(server.stop)
    return Way(
        address="127.0.0.1",
        port=server.port,
        order=lambda port: _target(age, "webdav", f"http://127.0.0.1:{port}/bell", "anna", PASSWORD),
        is_outside=False,
    )


def _bucket_home(folder: Path, island: Island, stack: ExitStack, age: str) -> Way:
    server = Bucket(folder / "s3", island).start()
    stack.callback(server.stop)
    return Way(
        address="127.0.0.1",
        port=server.port,
        order=lambda port: _target(age, "s3", f"http://127.0.0.1:{port}/clips/bell", "S3RVER", "S3RVER"),
        is_outside=False,
    )


WAYS: dict[str, Callable[[Path, Island, ExitStack, str], Way]] = {
    "tus": _tus,
    "s3": _s3,
    "webdav outside": _webdav_outside,
    "bucket outside": _bucket_outside,
    "sftp outside": lambda folder, island, stack, age: _sftp(folder, island, stack, age, STORE_ADDRESS),
    "webdav home": _webdav_home,
    "bucket home": _bucket_home,
    "sftp home": lambda folder, island, stack, age: _sftp(folder, island, stack, age, "127.0.0.1"),
}
