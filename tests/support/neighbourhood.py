"""Senders, and doorbells with their couriers: the real commands, around a real server (nginx and mosquitto)."""

import os
import secrets
import ssl
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from device.consent import keys
from device.consent.area import circle
from device.consent.models import time_text
from server.agency.paper import Folder, fresh_id
from server.dev_processes import PATIENCE_S, Process, wait_for
from server.dev_server import DevServer
from tests.support.doorbell import BIN, Doorbell

TOWER = (2.2945, 48.8584)
"""Longitude and latitude of the Eiffel tower: a public landmark, and nobody's home."""
SCENE: dict[str, Any] = {"kind": "scene", "scene": {"width_px": 320, "height_px": 180, "visit_every_s": 3600}}
SLOW_SCENE: dict[str, Any] = {
    "kind": "scene",
    "scene": {"width_px": 320, "height_px": 180, "fps": 5, "visitor_presses": False},
}
"""For five doorbells on one machine."""
UPLOAD_ORIGIN = "https://evidence.example"
DAY_S = 86_400


class Sender:
    """A department or a news source: its keys, its record, and what it signs."""

    def __init__(
        self,
        folder: Path,
        name: str = "paris-example",
        kind: str = "police",
        *,
        title: str = "",
        origin: str = UPLOAD_ORIGIN,
    ) -> None:
        self.folder = Folder(folder)
        self.name, self.title, self.origin = name, title or f"Example {kind.capitalize()} of {name}", origin
        self.fingerprint = keys.spoken(self.folder.make())
        self.record = folder / f"{name}.jws"
        self.write_record(kind=kind)

    def write_record(self, kind: str = "police", **changes: Any) -> Path:
        """Write the record that residents pin."""
        police = kind == "police"
        payload: dict[str, Any] = {
            "sender": self.name,
            "kind": kind,
            "name": self.title,
            "contact": "+33 1 99 00 00 00",
            "recipients": [{"name": "evidence", "age": self.folder.recipient}] if police else [],
            "uploads": [{"name": "store", "kind": "tus", "origin": self.origin}] if police else [],
            "jurisdiction": circle(*TOWER, 10_000),
        }
        self.record.write_bytes(
            self.folder.record(fields={**payload, **changes}, days=700, now=int(time.time()))
        )
        return self.record

    def request(self, around: tuple[float, float] = TOWER, *, radius_m: float = 250, **changes: Any) -> bytes:
        """Return a signed request for the last half hour around a place."""
        now = int(time.time())
        payload: dict[str, Any] = {
            "id": fresh_id(now),
            "case": f"case {now} {changes.get('id', '')}"[:80].strip(),
            "purpose": "A bicycle was taken from the square.",
            "area": circle(*around, radius_m),
            "window": {"start": time_text(now - 1800), "end": time_text(now)},
            "iat": time_text(now),
            "exp": time_text(now + DAY_S),
            "upload": "store",
            "recipient": "evidence",
            "contact": "Inspector Example",
        }
        return self.folder.request(**{**payload, **changes})

    def notice(self, *, radius_m: float = 900, **changes: Any) -> bytes:
        """Return a signed notice."""
        now = int(time.time())
        payload: dict[str, Any] = {
            "id": fresh_id(now),
            "kind": "alert",
            "severity": "severe",
            "headline": "Gas leak near the tower",
            "text": "Stay indoors and close the windows.",
            "area": circle(*TOWER, radius_m),
            "iat": time_text(now),
            "exp": time_text(now + 3600),
            "supersedes": [],
        }
        return self.folder.notice(**{**payload, **changes})


def publish(dev_server: DevServer, content: bytes) -> tuple[int, int]:
    """Hand an envelope to the server; return the answer's status and its size in bytes, head and body."""
    url = f"{dev_server.address}/in/{secrets.token_hex(16)}"
    request = urllib.request.Request(url, data=content, method="PUT")  # noqa: S310  (https, on this machine)
    context = ssl.create_default_context(cafile=str(dev_server.ca))
    with urllib.request.urlopen(request, context=context, timeout=PATIENCE_S) as answer:  # noqa: S310
        head = {name: value for name, value in answer.headers.items() if name not in ("Date", "Location")}
        return answer.status, len(str(head)) + len(answer.read())


class NeighbourhoodDoorbell(Doorbell):
    """A doorbell with a spool and, if there is a server, a courier."""

    def __init__(
        self,
        state: Path,
        port: int | None,
        *,
        dev_server: DevServer | None = None,
        position: tuple[float, float] = TOWER,
        store_ca: Path | None = None,
        **tables: Any,
    ) -> None:
        """`port` is the dashboard's broker, if there is one; `store_ca` the authority of a store's certificate."""
        self._environment = {**os.environ, **({"SSL_CERT_FILE": str(store_ca)} if store_ca else {})}
        self.spool = state / "spool"
        for name in ("in", "out"):
            (self.spool / name).mkdir(parents=True, exist_ok=True)
        neighbourhood = {
            "enabled": True,
            "longitude": position[0],
            "latitude": position[1],
            "broker_host": "localhost",
            "broker_port": dev_server.mqtts if dev_server else 8883,
            "broker_ca_file": str(dev_server.ca) if dev_server else "",
        }
        camera = tables.pop("camera", SCENE)
        super().__init__(state, port, camera, neighbourhood=neighbourhood, **tables)
        self.courier: Process | None = None

    def start_both(self, *, camera: bool = True) -> Self:
        """Start the daemon and the courier; with a camera, record a clip."""
        self.start(camera=camera)
        if camera:
            self.ask("POST", "/record")
        self.start_courier()
        return self

    def start_courier(self) -> None:
        """Start the courier and wait until it listens."""
        log = self.state / "courier.log"
        before = log.read_bytes().count(b"server up") if log.exists() else 0
        words = [BIN / "doorbelld-courier", "--spool", self.spool, "--leases", self.state / "leases"]
        words.append("--allow-loopback")
        self.courier = Process(words, log=log, env=self._environment)
        wait_for("the courier", lambda: log.read_bytes().count(b"server up") > before)

    def stop_courier(self) -> int:
        """Stop it in order; return its exit status."""
        assert self.courier is not None
        status = self.courier.end()
        self.courier = None
        return status

    def stop_both(self) -> None:
        """Stop both, as far as they run."""
        if self.courier:
            self.stop_courier()
        if self.process:
            self.stop()

    def pin(self, sender: Sender, role: str = "agency") -> None:
        """Pin a sender, its fingerprint typed."""
        verb = "pin" if role == "agency" else "add"
        done = self.run(role, verb, str(sender.record), typed=sender.fingerprint + "\n")
        assert done.returncode == 0, done.stderr + done.stdout

    def requests(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return the requests, or those in a state."""
        rows: list[dict[str, Any]] = self.ask("GET", "/requests")
        return [row for row in rows if state in (None, row["state"])]

    def request_in(self, state: str) -> dict[str, Any]:
        """Wait for a request in a state."""
        row: dict[str, Any] = wait_for(
            f"a request that is {state}", lambda: next(iter(self.requests(state)), None)
        )
        return row

    def notices(self) -> list[dict[str, Any]]:
        """Return the notices that are valid."""
        rows: list[dict[str, Any]] = self.ask("GET", "/notices")["notices"]
        return rows

    def ledger(self) -> list[dict[str, Any]]:
        """Return the ledger's newest entries."""
        entries: list[dict[str, Any]] = self.ask("GET", "/ledger", newest=1000)["entries"]
        return entries
