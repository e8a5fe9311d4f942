"""A town, senders and houses for tests: the real commands, real nginx and mosquitto, real couriers."""

import time
from pathlib import Path
from typing import Any

from device.consent import keys
from device.consent.area import circle
from device.consent.models import time_text
from scripts.agency_tool.paper import Folder, fresh_id
from server.dev_processes import Process
from server.dev_server import DevServer
from tests import needs
from tests.support.doorbell import BIN, Doorbell, wait_for

TOWER = (2.2945, 48.8584)
"""Longitude and latitude of the Eiffel tower."""
SCENE: dict[str, Any] = {"kind": "scene", "scene": {"width_px": 320, "height_px": 180, "visit_every_s": 3600}}
DAY_S = 86_400


def start_dev_server(folder: Path) -> DevServer:
    """Return a town that runs."""
    needs.require("broker")
    return DevServer(folder, quiet=True).__enter__()


class Sender:
    """A department or a source: its keys, its record, and what it signs."""

    def __init__(self, folder: Path, name: str = "paris-example", kind: str = "police") -> None:
        self.folder = Folder(folder)
        self.name = name
        self.fingerprint = keys.spoken(self.folder.make())
        self.record = folder / "record.jws"
        self.write_record(kind=kind)

    def write_record(self, kind: str = "police", **changes: Any) -> Path:
        police = kind == "police"
        origin = "https://evidence.example"
        said: dict[str, Any] = {
            "sender": self.name,
            "kind": kind,
            "name": f"Example {kind.capitalize()} of {self.name}",
            "contact": "+33 1 99 00 00 00",
            "recipients": [{"name": "evidence", "age": self.folder.recipient}] if police else [],
            "uploads": [{"name": "store", "kind": "tus", "origin": origin}] if police else [],
            "jurisdiction": circle(*TOWER, 8000),
        }
        self.record.write_bytes(self.folder.record(said={**said, **changes}, days=700, now=int(time.time())))
        return self.record

    def request(self, **changes: Any) -> bytes:
        now = int(time.time())
        said: dict[str, Any] = {
            "id": fresh_id(now),
            "case": f"case {now} {changes.get('id', '')}"[:80].strip(),
            "purpose": "A bicycle was taken from the square.",
            "area": circle(*TOWER, 250),
            "window": {"start": time_text(now - 1800), "end": time_text(now)},
            "iat": time_text(now),
            "exp": time_text(now + DAY_S),
            "upload": "store",
            "recipient": "evidence",
            "contact": "Inspector Example",
        }
        return self.folder.request(**{**said, **changes})

    def notice(self, **changes: Any) -> bytes:
        now = int(time.time())
        said: dict[str, Any] = {
            "id": fresh_id(now),
            "kind": "alert",
            "severity": "severe",
            "headline": "Gas leak near the tower",
            "text": "Stay indoors and close the windows.",
            "area": circle(*TOWER, 900),
            "iat": time_text(now),
            "exp": time_text(now + 3600),
            "supersedes": [],
        }
        return self.folder.notice(**{**said, **changes})


class NeighbourhoodDoorbell(Doorbell):
    """A doorbell with a spool and, if there is a town, a courier."""

    def __init__(
        self,
        state: Path,
        port: int,
        *,
        dev_server: DevServer | None = None,
        place: tuple[float, float] = TOWER,
        **tables: Any,
    ) -> None:
        self.spool = state / "spool"
        for name in ("in", "out"):
            (self.spool / name).mkdir(parents=True, exist_ok=True)
        neighbourhood = {
            "enabled": True,
            "longitude": place[0],
            "latitude": place[1],
            "broker_host": "localhost",
            "broker_port": dev_server.mqtts if dev_server else 8883,
            "broker_ca_file": str(dev_server.ca) if dev_server else "",
        }
        camera = tables.pop("camera", SCENE)
        super().__init__(state, port, camera, neighbourhood=neighbourhood, **tables)
        self._courier: Process | None = None

    def start_courier(self) -> None:
        words = [BIN / "doorbelld-courier", "--spool", self.spool, "--allow-loopback"]
        self._courier = Process(words, log=self.state / "courier.log")
        wait_for("the courier", lambda: b"server up" in (self.state / "courier.log").read_bytes())

    def stop_courier(self) -> int:
        assert self._courier is not None
        status = self._courier.end()
        self._courier = None
        return status

    def stop_all(self) -> None:
        if self._courier:
            self.stop_courier()
        if self.process:
            self.stop()

    def pin(self, sender: Sender, role: str = "agency") -> None:
        verb = "pin" if role == "agency" else "add"
        done = self.run(role, verb, str(sender.record), typed=sender.fingerprint + "\n")
        assert done.returncode == 0, done.stderr + done.stdout

    def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/requests")
        return found

    def request_in(self, state: str) -> dict[str, Any]:
        """Wait for a request in a state."""

        def found() -> Any:
            return next((row for row in self.requests() if row["state"] == state), None)

        row: dict[str, Any] = wait_for(f"a request that is {state}", found)
        return row

    def notices(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/notices")["notices"]
        return found

    def ledger(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/ledger", newest=1000)["entries"]
        return found
