"""A community server on this machine, without root: its own CA, nginx, mosquitto and the publisher, on loopback.

For trying and for tests. Each of the three is a process of its own, and is started again if it ends, as
systemd would.
"""

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import trustme

from server.dev_processes import PATH, GaveUp, Process, free_port, user_name, wait_for
from server.render import write_all

STEP_S = 0.2


class Missing(Exception):
    """A server is not installed."""


class DevServer:
    """The three processes; a context manager. `address` is where things are PUT to."""

    def __init__(self, folder: Path, *, https: int = 0, mqtts: int = 0, quiet: bool = False) -> None:
        self.folder = folder.resolve()
        self.https = https or free_port()
        self.mqtts = mqtts or free_port()
        self._quiet = quiet
        self.ca = self.folder / "ca.pem"
        self.senders = self.folder / "senders"
        self.socket = self.folder / "run/broker.sock"
        self.processes: dict[str, Process] = {}

    @property
    def address(self) -> str:
        """Where things are PUT to."""
        return f"https://localhost:{self.https}"

    def __enter__(self) -> Self:
        self.senders.mkdir(parents=True, exist_ok=True)
        make_certificates(self.folder)
        values = {
            "host": "localhost",
            "nginx_user": user_name(),  # counts only for root
            "broker_user": user_name(),
            "bind": "127.0.0.1",
            "https": f"127.0.0.1:{self.https}",
            "mqtts": self.mqtts,
            "cert": self.folder / "server.pem",
            "key": self.folder / "server-key.pem",
            "ca": self.ca,
            "spool": self.folder / "spool",
            "run": self.folder / "run",
            "state": self.folder / "broker",
        }
        write_all(self.folder, values)
        if len(str(self.socket)) > 100:  # sun_path has 108 bytes
            raise Missing(f"{self.socket}: too long a path for a socket; choose a shorter folder")
        try:
            for name in ("mosquitto", "nginx", "publisher"):
                self.start(name)
            wait_for("nginx and mosquitto", lambda: _answers(self.https) and _answers(self.mqtts))
        except GaveUp as error:
            self.__exit__()
            raise Missing(str(error)) from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)

    def start(self, name: str) -> None:
        """Start one of the three."""
        log = self.folder / f"{name}.log" if self._quiet or name != "publisher" else None
        self.processes[name] = Process(self._command(name), log=log, stdin=subprocess.DEVNULL)

    def stop(self, name: str, signal_number: int = signal.SIGTERM) -> None:
        """End one of the three."""
        self.processes[name].end(signal_number)

    def enrol(self, record: Path) -> None:
        """Let a sender's envelopes be published; the publisher reads the folder when it starts."""
        shutil.copy(record, self.senders / f"{record.stem}.jws")
        if "publisher" in self.processes:
            self.stop("publisher")
            self.start("publisher")

    def watch(self) -> None:
        """Start again what has ended."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                self.start(name)

    def _command(self, name: str) -> list[str]:
        if name == "publisher":
            folders = {
                "spool": "spool/in",
                "senders": "senders",
                "state": "publisher",
                "broker": "run/broker.sock",
            }
            arguments = [
                word for name, at in folders.items() for word in (f"--{name}", str(self.folder / at))
            ]
            return [sys.executable, "-m", "server.publisher", *arguments]
        found = shutil.which(name, path=PATH)
        if found is None:
            raise Missing(f"{name} is not installed: sudo apt install nginx mosquitto")
        if name == "nginx":
            return [found, "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        return [found, "-c", str(self.folder / "mosquitto.conf")]


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def make_certificates(folder: Path, host: str = "localhost") -> None:
    """Create an authority (ca.pem) and a certificate (server.pem, server-key.pem) for a host, once."""
    if (folder / "server.pem").exists():
        return
    ca = trustme.CA()
    certificate = ca.issue_cert(host, *(["127.0.0.1"] if host == "localhost" else []))
    (folder / "server-key.pem").touch(mode=0o600)
    certificate.private_key_pem.write_to_path(folder / "server-key.pem")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")


def main() -> int:
    """Run a community server until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="scripts/server", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("var/server"), help="default: %(default)s")
    parser.add_argument("--https", type=int, default=8444, help="the spool's port (default: %(default)s)")
    parser.add_argument("--mqtts", type=int, default=8883, help="the broker's port (default: %(default)s)")
    parser.add_argument(
        "--enrol", type=Path, action="append", default=[], metavar="RECORD", help="a sender that may publish"
    )
    arguments = parser.parse_args()
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: stopped.append(got))
    dev_server = DevServer(arguments.folder, https=arguments.https, mqtts=arguments.mqtts)
    for record in arguments.enrol:
        dev_server.senders.mkdir(parents=True, exist_ok=True)
        dev_server.enrol(record)
    try:
        with dev_server:
            addresses = {
                "server": dev_server.address,
                "broker": f"localhost:{dev_server.mqtts}",
                "ca": str(dev_server.ca),
            }
            print(json.dumps(addresses, indent=1), flush=True)
            while not stopped:
                time.sleep(STEP_S)
                dev_server.watch()
    except (Missing, OSError) as error:
        print(f"scripts/server: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
