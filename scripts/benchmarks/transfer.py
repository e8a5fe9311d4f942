"""Press → PUBLISH received, while clips are sent to a backup target, beside a doorbell that sends nothing."""

import tempfile
import time
from pathlib import Path
from typing import Any

import pyrage

from scripts.benchmarks import rig
from scripts.benchmarks.press import SPACING_S, subscriber
from server.dev_processes import wait_for
from tests.support.backup_servers import PASSWORD, WebDav
from tests.support.broker import broker
from tests.support.network_namespace import Here

TRIES = 300
TITLE = "transfer: press → PUBLISH received, with a backup under way and without, in turns; ms"
CAMERA = {
    "kind": "scene",
    "scene": {"width_px": 1280, "height_px": 720, "fps": 15, "visitor_presses": False, "bitrate_kbps": 4000},
}
KBPS = 1_000
"""So slow that it lasts."""


def measure(tries: int) -> dict[str, Any]:
    """Press both in turn; each press also opens or prolongs a clip, so both record throughout."""
    with tempfile.TemporaryDirectory() as directory, broker(Path(directory)) as port:
        folder = Path(directory)
        sending = _daemon(folder / "sending", port, "sending")
        idle = _daemon(folder / "idle", port, "idle")
        server = WebDav(folder / "dav", Here()).start()
        found: dict[str, list[int]] = {"doorbelld": [], "bare": []}
        pairs = (
            ("doorbelld", sending, subscriber(port, "doorbelld/sending/press")),
            ("bare", idle, subscriber(port, "doorbelld/idle/press")),
        )
        try:
            sending.ask("POST", "/destinations", _target(server))
            sending.press()
            wait_for("a copy on its way", lambda: any(server.files.rglob("*.age*")))
            for _ in range(tries):
                for name, daemon, arrivals in pairs:
                    _drain(arrivals)
                    edge_us = daemon.press()
                    found[name].append(arrivals.get(timeout=10) - edge_us)
                    time.sleep(SPACING_S)
        finally:
            server.stop()
            sending.stop()
            idle.stop()
    return rig.compared(found, tries)


def _daemon(folder: Path, port: int, name: str) -> rig.BenchDoorbell:
    folder.mkdir()
    return rig.BenchDoorbell(folder, port, CAMERA, device_id=name, neighbourhood={"upload_kbps": KBPS}).live()


def _target(server: WebDav) -> dict[str, str]:
    return {
        "name": "own",
        "kind": "webdav",
        "url": f"http://127.0.0.1:{server.port}/bell",
        "user": "anna",
        "secret": PASSWORD,
        "age": str(pyrage.x25519.Identity.generate().to_public()),
    }


def _drain(arrivals: Any) -> None:
    while not arrivals.empty():
        arrivals.get()


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines of a table of percentiles."""
    names = {"bare": "idle", "doorbelld": "sending", "ratio": "ratio"}
    return [
        f"{name:<10} p50 {result[who]['p50_ms']:>8}   p99 {result[who]['p99_ms']:>8}"
        for who, name in names.items()
    ]
