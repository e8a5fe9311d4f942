"""What the benches share: a broker, the real daemon, videos to look at, figures."""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import tomli_w

from device.camera.simulated.porch import Porch
from device.cli.client import Connection
from device.config import config_below
from server.dev_processes import user_name

BIN = Path(sys.executable).parent
KEPT_ALIVE_S = 15
LIBRARIES = "import av, cv2, numpy, paho.mqtt.client, pydantic, sqlite3"
"""What a Python has to import that could do the daemon's work."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
ANSWER_S = 20.0
"""A daemon that takes longer to answer hangs."""


def free_port() -> int:
    """Return a TCP port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """mosquitto on loopback, on a port of its own; it may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if found is None:
            raise SystemExit("mosquitto is not installed: sudo apt install mosquitto")
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            # What waits for a subscriber outlives an orderly restart. As root it would become another user.
            f"persistence true\npersistence_location {folder}/\nuser {user_name()}\n"
        )
        self._command = [found, "-c", str(config)]
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise SystemExit(f"mosquitto does not listen on port {self.port}; is the port taken?")

    def stop(self) -> None:
        """Stop in order."""
        self._process.terminate()
        self._process.wait(10)


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """Run mosquitto; yield its port."""
    running = Broker(folder)
    try:
        yield running.port
    finally:
        running.stop()


def draw_video(
    path: Path, *, width_px: int, seconds: int, keyframe_s: float, kbps: int, fps: int = 15
) -> Path:
    """Draw the porch by day with a visitor, 16:9, as an H.264 file with a keyframe every `keyframe_s`."""
    height_px = width_px * 9 // 16
    porch = Porch(
        width_px=width_px, height_px=height_px, light="day", visit_every_s=max(16, seconds), first_visit_s=4
    )
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.bit_rate = kbps * 1000
        stream.gop_size = round(fps * keyframe_s)
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "scenecut=0"}
        for number in range(seconds * fps):
            frame = av.VideoFrame.from_ndarray(porch.draw(number / fps), format="bgr24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


class Daemon:
    """The real daemon, asked through its command socket."""

    def __init__(
        self,
        folder: Path,
        port: int,
        camera: dict[str, Any],
        *,
        program: Sequence[str | Path] = (BIN / "doorbelld",),
        **tables: Any,
    ) -> None:
        """`program` may be another that takes --config and becomes the daemon."""
        self.state = folder / "doorbell"
        self.state.mkdir(exist_ok=True)
        config = self.state / "doorbelld.toml"
        config.write_text(
            tomli_w.dumps(
                config_below(
                    self.state,
                    {
                        "device": {"id": "bench"},
                        "button": {"kind": "simulated"},
                        "camera": camera,
                        "storage": {"reserve_bytes": 0},
                        "mqtt": {"host": "127.0.0.1", "port": port},
                        "page": {"enabled": False},
                        **tables,
                    },
                )
            )
        )
        self.log = self.state / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*program, "--config", config], stderr=log)
        self._client = Connection(self.state / "run")
        self._asked_s = time.monotonic()
        for _ in range(400):
            try:
                self._client.connect()
                break
            except OSError:
                time.sleep(0.005)

    def live(self) -> "Daemon":
        """Wait for the broker and the camera."""
        for _ in range(600):
            status = self.ask("GET", "/status")
            if status["mqtt"]["state"] == "up" and status["camera"]["fps"] >= 1:
                return self
            time.sleep(0.1)
        raise SystemExit(f"bench: the daemon does not come up; its log:\n{self.log.read_text()}")

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Ask over the command socket, on one connection."""
        if time.monotonic() - self._asked_s > KEPT_ALIVE_S:
            self._client.close()  # the daemon has let go of it; the next request connects anew
        self._asked_s = time.monotonic()
        answer: dict[str, Any] = json.loads(self._client.ask(method, path, body))
        return answer

    def press(self) -> int:
        """Press; return the edge's time in monotonic microseconds."""
        return int(self.ask("POST", "/ring")["mono_us"])

    def command(self, *words: str) -> Any:
        """Return the JSON of a `doorbell` command."""
        command: list[str | Path] = [BIN / "doorbell", "--state", self.state, *words, "--json"]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    def stop(self) -> None:
        """Stop in order."""
        self._client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)


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
