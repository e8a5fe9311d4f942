"""Shared by the benchmarks: the real daemon on one connection, and figures of processes."""

import json
import os
import signal
import statistics
import time
from pathlib import Path
from typing import Any, ClassVar, Self

from device.cli.client import Connection
from server.dev_processes import PATIENCE_S, Process, wait_for
from tests.support.doorbell import Doorbell

KEEP_ALIVE_S = 15
LIBRARIES = "import av, cv2, numpy, paho.mqtt.client, pydantic, sqlite3"
"""The imports that any Python program needs for the daemon's work."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class BenchDoorbell(Doorbell):
    """A doorbell as it is set up by default, asked on one connection."""

    process: Process
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, folder: Path, port: int, camera: dict[str, Any], *, device_id: str = "bench", **options: Any
    ) -> None:
        """Start it below `folder`, and connect as soon as it listens."""
        super().__init__(folder / "doorbell", port, camera, device={"id": device_id}, **options)
        self.log_path = self.state / "log"
        self.process = Process([*self._program, "--config", self.config], log=self.log_path)
        self._client = Connection(self.state / "run")
        self._asked_s = time.monotonic()
        while True:  # not wait_for, which looks seldom: how soon it listens is measured here
            try:
                self._client.connect()
                break
            except OSError:
                if self.process.died or time.monotonic() - self._asked_s > PATIENCE_S:
                    raise
                time.sleep(0.005)

    def live(self) -> Self:
        """Wait for the broker and the camera."""

        def up() -> bool:
            status = self.status()
            return bool(status["mqtt"]["state"] == "up" and status["camera"]["fps"] >= 1)

        wait_for("the broker and the camera", up)
        return self

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask over the command socket, on one connection."""
        if time.monotonic() - self._asked_s > KEEP_ALIVE_S:
            self._client.close()  # the daemon closed it; the next request reconnects
        self._asked_s = time.monotonic()
        return json.loads(self._client.ask(method, path, body, **query))

    def press(self) -> int:
        """Press; return the edge's time in monotonic microseconds."""
        return int(self.ask("POST", "/ring")["mono_us"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop in order; return the exit status."""
        self._client.close()
        return super().stop(number)


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process and its ended children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_A_SECOND


def rss_mb(pid: int, field: str = "VmRSS") -> float:
    """Return a process's resident memory in MB (10^6 bytes), its peak with `field` VmHWM."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) * 1024 / 1e6


def percentiles(values_us: list[int]) -> dict[str, float]:
    """Return p50 and p99 in milliseconds."""
    cuts = statistics.quantiles(values_us, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49] / 1000, 3), "p99_ms": round(cuts[98] / 1000, 3)}


def compared(found: dict[str, list[int]], tries: int) -> dict[str, Any]:
    """Return the percentiles of doorbelld and of the bare baseline, and their ratio."""
    rows = {who: percentiles(latencies) for who, latencies in found.items()}
    ratio = {k: round(rows["doorbelld"][k] / rows["bare"][k], 2) for k in ("p50_ms", "p99_ms")}
    return {"tries": tries, **rows, "ratio": ratio}


def latency_table(result: dict[str, Any]) -> list[str]:
    """Return the lines of a table of percentiles."""
    return [
        f"{who:<10} p50 {result[who]['p50_ms']:>8}   p99 {result[who]['p99_ms']:>8}"
        for who in ("bare", "doorbelld", "ratio")
    ]
