"""The publisher: it reads envelopes from the spool, and publishes those that a doorbell would accept.

    python -m server.publisher --spool DIR --senders DIR --state DIR --broker SOCKET
    python -m server.publisher --state DIR --broker SOCKET take-down KIND SENDER ID

A file is deleted from the spool once its envelope is durable in the publisher's database, or was refused. The sender
gets no answer.
"""

import argparse
import logging
import os
import re
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from device.consent.envelope import MAX_BYTES
from device.consent.reasons import Refused
from device.system.core_dumps import forbid_core_dumps
from device.system.logs import start_logging
from server.broker_client import BrokerClient
from server.items import Items
from server.validator import Validator

log = logging.getLogger(__name__)

STEP_S = 0.05
MAX_PER_STEP = 100
AGAIN_S = 1.0
EXPIRE_EVERY_S = 60.0
_NAME = re.compile(r"[0-9a-f]{32}")


def spooled(folder: Path, most: int) -> Iterator[tuple[Path, bytes]]:
    """Yield the oldest files of the spool with their contents; anything but a regular file is deleted."""
    found = []
    with os.scandir(folder) as entries:
        for _, entry in zip(range(most * 4), entries, strict=False):
            if _NAME.fullmatch(entry.name):
                # In the order of arrival: a cancellation comes after what it cancels, whatever their names.
                # The kernel sets the ctime when nginx renames the complete file. nginx takes the mtime from the
                # sender's Date header (ngx_http_dav_module), so it only decides within one tick of the clock.
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_ctime_ns, status.st_mtime_ns, entry.name))
    for *_, name in sorted(found)[:most]:
        path = folder / name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            path.unlink(missing_ok=True)
            continue
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                path.unlink(missing_ok=True)
                continue
            # A line end may follow an envelope in a file; one byte more is enough to refuse it.
            content = file.read(MAX_BYTES + 2)
        yield path, content


class Publisher:
    """Works until `stopping` is set."""

    def __init__(self, *, spool: Path, senders: Path, state: Path, broker: Path) -> None:
        self._spool = spool
        state.mkdir(parents=True, exist_ok=True)
        self._items = Items(state / "items.db")
        self._validator = Validator(self._items, senders, _now())
        self._broker_client = BrokerClient(broker, self._items.live, _now)
        self.stopping = threading.Event()
        self._expired_s = 0.0

    def run(self) -> int:
        """Work until `stopping` is set; return the exit status."""
        while not self.stopping.is_set():
            if not self._broker_client.step(STEP_S):
                self.stopping.wait(AGAIN_S)
                continue
            if not self._broker_client.is_up:
                continue
            for path, content in spooled(self._spool, MAX_PER_STEP):
                self._take(content)
                path.unlink(missing_ok=True)
            if time.monotonic() - self._expired_s > EXPIRE_EVERY_S:
                self._expired_s = time.monotonic()
                self._items.expire(_now())
        self._broker_client.step(STEP_S)
        self._broker_client.close()
        self._items.close()
        return 0

    def _take(self, content: bytes) -> None:
        try:
            new, gone = self._validator.take(content, _now())
        except Refused as error:
            log.info("refused reason=%s bytes=%d %s", error.reason, len(content), error.detail)
            return
        for item in gone:
            self._broker_client.remove(item)
        for item in new:
            self._broker_client.publish(item)
            log.info(
                "published kind=%s op=%s sender=%s id=%s cells=%d",
                item.kind,
                item.op,
                item.sender,
                item.id,
                len(item.cells),
            )


def take_down(arguments: argparse.Namespace) -> int:
    """Remove a published item by the operator's decision; doorbells that have received it keep it."""
    items = Items(arguments.state / "items.db")
    found = items.find(arguments.kind, arguments.sender, arguments.id)
    if found is None:
        print(f"there is no {arguments.kind} {arguments.id} of {arguments.sender}", file=sys.stderr)
        return 1
    items.end(arguments.kind, arguments.sender, arguments.id)
    broker_client = BrokerClient(arguments.broker, list, _now)
    until_s = time.monotonic() + 10
    while not broker_client.is_up and time.monotonic() < until_s:
        broker_client.step(0.1)
    if not broker_client.is_up:
        print(
            f"{arguments.broker}: no broker there; the item is removed when the publisher connects again",
            file=sys.stderr,
        )
        return 1
    broker_client.remove(found)
    for _ in range(5):
        broker_client.step(0.1)
    broker_client.close()
    return 0


def _now() -> int:
    return int(time.time())


def main() -> int:
    """Run the publisher, or one of its commands."""
    parser = argparse.ArgumentParser(prog="server.publisher", description=__doc__.splitlines()[0])
    parser.add_argument("--spool", type=Path, default=Path("/var/spool/doorbell-server/in"))
    parser.add_argument("--senders", type=Path, default=Path("/etc/doorbell-server/senders"))
    parser.add_argument("--state", type=Path, default=Path("/var/lib/doorbell-server-publisher"))
    parser.add_argument("--broker", type=Path, default=Path("/run/doorbell-server/broker.sock"))
    commands = parser.add_subparsers(metavar="COMMAND")
    down = commands.add_parser("take-down", help=take_down.__doc__)
    down.add_argument("kind", choices=("request", "notice"))
    down.add_argument("sender")
    down.add_argument("id")
    arguments = parser.parse_args()
    forbid_core_dumps()
    if "kind" in arguments:
        return take_down(arguments)
    handler = start_logging(as_json=False)
    os.umask(0o027)
    try:
        publisher = Publisher(
            spool=arguments.spool, senders=arguments.senders, state=arguments.state, broker=arguments.broker
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: publisher.stopping.set())
        return publisher.run()
    except OSError as error:
        log.error("%s: %s", error.filename, error.strerror)
        return 1
    finally:
        handler.close()


if __name__ == "__main__":
    sys.exit(main())
