"""Senders and whole houses (doorbelld and its courier) on this machine, around a town that runs."""

import os
import secrets
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

from device.cli.client import ask
from device.config import config_below
from device.consent import keys
from device.consent.area import circle
from device.consent.models import time_text
from device.errors import DoorbellError
from scripts.agency_tool.paper import Folder, fresh_id
from server import dev_processes
from server.dev_processes import Process
from server.dev_server import DevServer

BIN = Path(sys.executable).parent
PLACE = (2.2945, 48.8584)
"""Longitude and latitude of the Eiffel tower: a public landmark, and nobody's house."""
SCENE: dict[str, Any] = {
    "kind": "scene",
    "scene": {"width_px": 320, "height_px": 180, "fps": 5, "visitor_presses": False},
}
ORIGIN = "https://evidence.example"
DAY_S = 86_400


def wait_for(check: Callable[[], Any], what: str | Callable[[], str]) -> Any:
    """Return the first true answer; SystemExit if none comes, saying `what` was waited for."""
    try:
        return dev_processes.wait_for(check, what)
    except dev_processes.GaveUp as error:
        raise SystemExit(str(error)) from error


class Sender:
    """A department or a source."""

    def __init__(
        self, folder: Path, name: str, title: str, kind: str = "police", *, origin: str = ORIGIN
    ) -> None:
        self.folder = Folder(folder)
        self.name, self.title = name, title
        self.fingerprint = self.folder.make()
        police = kind == "police"
        said: dict[str, Any] = {
            "sender": name,
            "kind": kind,
            "name": title,
            "contact": f"desk@{name}.example",
            "recipients": [{"name": "evidence", "age": self.folder.recipient}] if police else [],
            "uploads": [{"name": "store", "kind": "tus", "origin": origin}] if police else [],
            "jurisdiction": circle(*PLACE, 10_000),
        }
        self.record = folder / f"{name}.jws"
        self.record.write_bytes(self.folder.record(said=said, days=700, now=int(time.time())))

    @property
    def spoken(self) -> str:
        """The fingerprint as it hangs on a poster."""
        return keys.spoken(self.fingerprint)

    def request(self, place: tuple[float, float], case: str, *, radius_m: float = 250) -> bytes:
        """Return a signed request for the last half hour around a place."""
        now = int(time.time())
        return self.folder.request(
            id=fresh_id(now),
            case=case,
            purpose="A bicycle was taken from the square.",
            area=circle(*place, radius_m),
            window={"start": time_text(now - 1800), "end": time_text(now)},
            iat=time_text(now),
            exp=time_text(now + DAY_S),
            upload="store",
            recipient="evidence",
            contact=f"desk@{self.name}.example",
        )

    def notice(self, kind: str, severity: str, headline: str, text: str) -> bytes:
        """Return a signed notice for the whole town."""
        now = int(time.time())
        return self.folder.notice(
            id=fresh_id(now),
            kind=kind,
            severity=severity,
            headline=headline,
            text=text,
            area=circle(*PLACE, 5000),
            iat=time_text(now),
            exp=time_text(now + 3600),
            supersedes=[],
        )


class DoorbellPair:
    """A doorbell with its courier. It has no dashboard: what is looked at here is the outside."""

    def __init__(
        self,
        folder: Path,
        dev_server: DevServer,
        place: tuple[float, float],
        *,
        camera: dict[str, Any] = SCENE,
        store_ca: Path | None = None,
        **tables: Any,
    ) -> None:
        """`store_ca` is the authority of a store's certificate that the system does not know."""
        self.folder, self.place = folder, place
        self._environment = {**os.environ, **({"SSL_CERT_FILE": str(store_ca)} if store_ca else {})}
        self.spool = folder / "spool"
        for name in ("in", "out"):
            (self.spool / name).mkdir(parents=True)
        values: dict[str, Any] = {
            "device": {"id": folder.name},
            "button": {"kind": "simulated"},
            "camera": camera,
            "motion": {"enabled": False},
            "storage": {"reserve_bytes": 0},
            "mqtt": {"enabled": False},
            "page": {"enabled": False},
            "neighbourhood": {
                "enabled": True,
                "longitude": place[0],
                "latitude": place[1],
                "broker_host": "localhost",
                "broker_port": dev_server.mqtts,
                "broker_ca_file": str(dev_server.ca),
            },
        }
        (folder / "doorbelld.toml").write_text(tomli_w.dumps(config_below(folder, {**values, **tables})))
        self.doorbell: Process | None = None
        self.courier: Process | None = None

    def start(self, *, camera: bool = True) -> "DoorbellPair":
        """Start both processes; with a camera, record a clip."""
        words = [BIN / "doorbelld", "--config", self.folder / "doorbelld.toml"]
        self.doorbell = Process(words, log=self.folder / "log")
        wait_for(self.answers, f"{self.folder.name}: doorbelld")
        if camera:
            wait_for(lambda: self.ask("GET", "/status")["camera"]["state"] == "live", "the camera")
            self.ask("POST", "/record")
        self.start_courier()
        return self

    def start_courier(self) -> None:
        """Start the courier and wait until it listens."""
        heard = (self.folder / "courier.log").read_bytes().count(b"server up") if self.courier else 0
        words = [BIN / "doorbelld-courier", "--spool", self.spool, "--allow-loopback"]
        self.courier = Process(words, log=self.folder / "courier.log", env=self._environment)
        wait_for(lambda: (self.folder / "courier.log").read_bytes().count(b"server up") > heard, "a courier")

    def answers(self) -> bool:
        """Return whether the daemon answers."""
        try:
            self.ask("GET", "/ledger")
        except DoorbellError:
            return False
        return True

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the daemon as `doorbell` does."""
        return ask(self.folder, method, path, body)

    def pin(self, sender: Sender) -> None:
        """Pin a sender, its fingerprint typed."""
        record = sender.record.read_text().strip()
        self.ask("POST", "/senders", {"record": record, "fingerprint": sender.spoken})

    def requests(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return the requests, or those in a state."""
        rows: list[dict[str, Any]] = self.ask("GET", "/requests")
        return [row for row in rows if state in (None, row["state"])]

    def stop(self) -> None:
        """End both."""
        for process in (self.courier, self.doorbell):
            if process:
                process.terminate()
        for process in (self.courier, self.doorbell):
            if process:
                process.wait()


def put(dev_server: DevServer, content: bytes) -> tuple[int, int]:
    """Hand something to the town; return the answer's status and how many bytes it had, head and body."""
    place = f"{dev_server.address}/in/{secrets.token_hex(16)}"
    request = urllib.request.Request(place, data=content, method="PUT")  # noqa: S310  (https, on this machine)
    context = ssl.create_default_context(cafile=str(dev_server.ca))
    with urllib.request.urlopen(request, context=context, timeout=dev_processes.PATIENCE_S) as answer:  # noqa: S310
        head = {name: value for name, value in answer.headers.items() if name not in ("Date", "Location")}
        return answer.status, len(str(head)) + len(answer.read())
