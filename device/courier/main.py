"""`doorbelld-courier`: the process that reaches the internet, and can read nothing of the daemon.

It follows the settings in the spool, and starts its connections again when they change. If it is down for a week,
the daemon only misses the messages of that week; if the daemon is down, the courier is not affected.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from device.courier.broker import listen
from device.courier.feeds import fetch_all
from device.courier.isolation_check import Doctor
from device.courier.settings import CourierSettings, Limits, settings_in
from device.courier.spool_writer import Writer
from device.courier.upload_worker import UploadWorker
from device.errors import DoorbellError, StateError
from device.events import Fact, WorkerDied
from device.spool.folders import STATUS, SpoolWriter, write_small
from device.spool.leases import LeaseReader
from device.system.core_dumps import forbid_core_dumps
from device.system.logs import start_logging
from device.system.sd_notify import Notifier
from device.system.worker import Worker

log = logging.getLogger(__name__)

DEFAULT_SPOOL = Path("/var/lib/doorbelld-spool")
DEFAULT_LEASES = Path("/run/doorbelld-leases")
LOOK_S = 1.0
WATCHDOG_EVERY_STEPS = 5
STATUS_EVERY_S = 300.0


class Courier:
    """The four workers, and the settings they follow."""

    def __init__(self, spool: Path, leases: Path, *, allow_loopback: bool = False) -> None:
        self._leases = LeaseReader(leases)
        self._allow_loopback = allow_loopback
        self._daemon_folder = spool / "out"
        own = spool / "in"
        try:
            self._writer = Writer(SpoolWriter(own, self._daemon_folder))
        except OSError as error:
            raise StateError(
                f"{error.filename or own}: {error.strerror}; in the spool, in/ belongs to the courier "
                "and out/ to doorbelld; the installer makes both"
            ) from error
        self.stopping = threading.Event()
        self._died = threading.Event()
        self._own_folder = own
        self._how: dict[str, str] = {}
        self._limits: Limits | None = None
        """None until the settings have been read: nothing is sent before."""
        self._standing = CourierSettings()
        self._following: dict[str, Worker] = {}
        """The workers that the settings ask for: `server` and `feeds`."""
        self._reported: tuple[float, dict[str, str]] = (0.0, {})

    def run(self, notifier: Notifier) -> int:
        """Follow the settings until `stopping` is set; return the exit status."""
        writer = self._start_worker("writer", lambda worker: self._writer.run(worker.stopping, worker.beat))
        carrier = self._start_worker("carrier", self._carry)
        notifier.ready("listening for settings")
        reported, turns = "", 0
        doctor = Doctor(self._daemon_folder, self._own_folder)
        while not self.stopping.is_set() and not self._died.is_set():
            settings, trouble = settings_in(self._daemon_folder)
            if trouble and trouble != reported:
                log.warning("settings %s", trouble)
            reported = trouble
            # What cannot be read this moment changes nothing.
            if not trouble and (settings != self._standing or self._limits is None):
                self._follow(settings)
            self._say_how_it_is()
            with suppress(OSError):  # the daemon reports a missing answer
                doctor.poll()
            turns += 1
            if turns % WATCHDOG_EVERY_STEPS == 0 and all(
                worker.is_healthy() for worker in (writer, carrier, *self._following.values())
            ):
                notifier.watchdog()
            self.stopping.wait(LOOK_S)
        notifier.stopping()
        _stop([*self._following.values(), writer, carrier])
        return 1 if self._died.is_set() else 0

    def _say_how_it_is(self) -> None:
        """Write the status when it changes, and every few minutes; otherwise the daemon raises a fault."""
        written_s, how = self._reported
        now_s, current = time.monotonic(), dict(self._how)
        if how == current and now_s - written_s < STATUS_EVERY_S and written_s:
            return
        self._reported = (now_s, current)
        content = json.dumps({"v": 1, "how": current, "dropped": self._writer.dropped}).encode()
        try:
            write_small(self._own_folder, STATUS, content)
        except OSError as error:
            log.warning("spool %s: %s", error.filename or "", error.strerror)

    def _carry(self, worker: Worker) -> None:
        UploadWorker(
            self._daemon_folder,
            self._own_folder,
            leases=self._leases,
            limits=lambda: self._limits,
            tell=lambda text: self._how.update(parcels=text),
            stopping=worker.stopping,
            beat=worker.beat,
        ).run()

    def _follow(self, settings: CourierSettings) -> None:
        """Restart the workers whose settings have changed, and no other: a connection that ends shows a change."""
        before, self._standing = self._standing, settings
        self._limits = settings.limits
        if (settings.broker, settings.cells) != (before.broker, before.cells):
            self._follow_broker(settings)
        if settings.feeds != before.feeds:
            self._follow_feeds(settings)
        log.info(
            "settings broker=%s cells=%d feeds=%d",
            bool(settings.broker),
            len(settings.cells),
            len(settings.feeds),
        )

    def _follow_broker(self, settings: CourierSettings) -> None:
        self._stop_following("server")
        broker = settings.broker
        if broker is None or not settings.cells:
            return
        self._how["server"] = "connecting"
        self._following["server"] = self._start_worker(
            "server",
            lambda worker: listen(
                broker,
                settings.cells,
                put=self._writer.put,
                begin=self._writer.forget,
                tell=lambda text: self._how.update(server=text),
                stopping=worker.stopping,
                beat=worker.beat,
                allow_loopback=self._allow_loopback,
            ),
        )

    def _follow_feeds(self, settings: CourierSettings) -> None:
        self._stop_following("feeds")
        if not settings.feeds:
            return
        self._writer.forget()  # each feed begins with everything that it still has
        self._following["feeds"] = self._start_worker(
            "feeds",
            lambda worker: fetch_all(
                settings.feeds,
                put=self._writer.put,
                tell=lambda name, text: self._how.update({f"feed {name}": text}),
                stopping=worker.stopping,
                beat=worker.beat,
                allow_loopback=self._allow_loopback,
            ),
        )

    def _stop_following(self, name: str) -> None:
        if worker := self._following.pop(name, None):
            _stop([worker])
        own = "server" if name == "server" else "feed "
        self._how = {key: text for key, text in self._how.items() if not key.startswith(own)}

    def _start_worker(self, name: str, work: Callable[[Worker], None]) -> Worker:
        worker = Worker(name, work, inbox=self._take, patience_s=90)
        worker.start()
        return worker

    def _take(self, fact: Fact) -> None:
        if isinstance(fact, WorkerDied):
            self._died.set()
            self.stopping.set()


def _stop(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stopping.set()
    for worker in workers:
        worker.stop(3.0)


def main() -> int:
    """`doorbelld-courier`: receive requests and notices, fetch feeds and upload parcels for a doorbell."""
    parser = argparse.ArgumentParser(prog="doorbelld-courier", description=main.__doc__)
    parser.add_argument("--spool", type=Path, default=DEFAULT_SPOOL, help="default: %(default)s")
    parser.add_argument(
        "--leases",
        type=Path,
        default=DEFAULT_LEASES,
        help="folder of the daemon's leases (neighbourhood.lease_dir); default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="log as JSON, one object a line")
    parser.add_argument(
        "--allow-loopback",
        action="store_true",
        help="let the broker and feeds be on this machine: for a development server only",
    )
    arguments = parser.parse_args()
    forbid_core_dumps()
    handler = start_logging(as_json=arguments.json)
    os.umask(0o027)
    try:
        courier = Courier(arguments.spool, arguments.leases, allow_loopback=arguments.allow_loopback)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: courier.stopping.set())
        return courier.run(Notifier())
    except DoorbellError as error:
        log.error("%s", error)
        return 1
    finally:
        handler.close()


if __name__ == "__main__":
    sys.exit(main())
