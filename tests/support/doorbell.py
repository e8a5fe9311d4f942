"""A whole doorbell for tests: the real commands, real mosquitto, real files."""

import json
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import paho.mqtt.client as mqtt
import pytest
import tomli_w

from device.cli.client import NoDaemon, ask
from device.config import config_below
from server import dev_processes
from server.dev_processes import PATIENCE_S, Process, free_port, user_name
from tests import needs

BIN = Path(sys.executable).parent
ROOT = "doorbelld/porch"


def wait_for(what: str, check: Callable[[], Any]) -> Any:
    """Return the first true result of `check`; fail if none comes, or as soon as a process died."""
    try:
        return dev_processes.wait_for(check, what)
    except dev_processes.GaveUp as error:
        pytest.fail(str(error))


def make_video(
    path: Path, *, seconds: float, keyframe_every: int = 15, fps: int = 15, codec: str = "libx264"
) -> Path:
    """Write a bar that walks, as H.264 with B-frames or with another encoder of FFmpeg's."""
    # The index in front, so that it can be played over HTTP.
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as file:
        stream: Any = file.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
        elif codec == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=error:bframes=0"}
        else:
            stream.options = {"preset": "ultrafast", "sc_threshold": "0", "bf": "2"}
        stream.gop_size = keyframe_every
        for number in range(int(seconds * fps)):
            picture = np.full((180, 320, 3), 60, np.uint8)
            x = number * 4 % 280
            picture[40:140, x : x + 40] = 200
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path


class Broker:
    """Real mosquitto on a port of its own; may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            f"persistence true\npersistence_location {folder}/\nuser {user_name()}\n"
        )
        self.start()

    def start(self) -> None:
        needs.require("broker")
        self._process = Process(["mosquitto", "-c", self._config], log=self._config.with_suffix(".log"))

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("mosquitto", listens)

    def stop(self) -> None:
        self._process.end()


class Listener:
    """A dashboard: keeps every message under the doorbell's root, in order."""

    def __init__(self, port: int, *, client_id: str = "", topics: tuple[str, ...] = ("#",)) -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv311,
            clean_session=not client_id,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda *_: [
            self._client.subscribe(f"{ROOT}/{topic}", qos=1) for topic in topics
        ]
        self._client.on_message = lambda _c, _u, m: self.messages.append(
            (m.topic.removeprefix(f"{ROOT}/"), m.payload.decode(errors="replace"), m.retain)
        )
        self._subscribed = False
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_for("the subscription", lambda: self._subscribed)

    def of(self, topic: str) -> list[str]:
        return [payload for t, payload, _ in list(self.messages) if t == topic]

    def log(self, kind: str | None = None) -> list[dict[str, Any]]:
        rows = [json.loads(payload) for payload in self.of("log")]
        return [row for row in rows if kind in (None, row["kind"])]

    def say(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        self._client.publish(f"{ROOT}/{topic}", payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Doorbell:
    """One doorbelld, through its commands."""

    def __init__(self, state: Path, port: int, camera: dict[str, Any], **tables: Any) -> None:
        self.state = state
        self.config = state / "doorbelld.toml"
        state.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "device": {"id": "porch"},
            "button": {"kind": "simulated"},
            "camera": camera,
            "motion": {"enabled": False},
            "clips": {"pre_roll_s": 2, "post_roll_s": 1.5},
            "storage": {"reserve_bytes": 0},
            "mqtt": {"host": "127.0.0.1", "port": port},
            "page": {"enabled": False, "loopback_port": free_port(), "port": free_port()},
        }
        for name, table in tables.items():
            values[name] = {**values.get(name, {}), **table} if isinstance(table, dict) else table
        self.config.write_text(tomli_w.dumps(config_below(state, values)))
        self.process: Process | None = None

    def start(self, *, camera: bool = True) -> "Doorbell":
        self.log_path = self.state / "log"
        self.process = Process([BIN / "doorbelld", "--config", self.config], log=self.log_path)
        wait_for("the socket", self.answers)
        if camera:
            wait_for("the camera", lambda: self.status()["camera"]["state"] == "live")
        return self

    def run(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "doorbell", "--state", self.state, *words],
            capture_output=True, text=True, check=False, timeout=PATIENCE_S, input=typed,
        )  # fmt: skip

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask(self, method: str, path: str, **query: Any) -> Any:
        """Ask as a command does, without starting one: to look again and again costs next to nothing."""
        return ask(self.state, method, path, None, **query)

    def answers(self) -> bool:
        try:
            self.status()
        except NoDaemon:
            return False
        return True

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", "/status")
        return found

    def clips(self, count: int) -> list[dict[str, Any]]:
        """Wait until there are so many clips."""

        def enough() -> Any:
            clips = self.ask("GET", "/clips")
            return clips if len(clips) >= count else None

        found: list[dict[str, Any]] = wait_for(f"{count} clips", enough)
        return found

    @property
    def page(self) -> str:
        """Where the page is, over HTTP."""
        return f"http://127.0.0.1:{tomllib.loads(self.config.read_text())['page']['loopback_port']}"

    def claim_code(self) -> str:
        code: str = self.json("page", "code")["code"]
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        status = self.process.end(number)
        self.process = None
        return status


def frames_of(path: str) -> int:
    """Decode a whole clip; return how many pictures it has."""
    with av.open(path) as file:
        return sum(1 for _ in file.decode(file.streams.video[0]))


def make_flashing(
    path: Path, *, sound: str, rate_hz: int = 48_000, seconds: float = 4, codec: str = "libx264"
) -> Path:
    """Write a dark picture that flashes once a second for a picture's time, and beeps as long as it does."""
    fps = 15
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = fps
        if codec == "libx264":
            # Matroska carries no decoding times, so no B-frames there; elsewhere they are the harder case.
            frames = "0" if path.suffix == ".mkv" else "2"
            stream.options = {"preset": "ultrafast", "sc_threshold": "0", "bf": frames}
        elif codec == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=error:bframes=0"}
        heard: Any = file.add_stream(sound, rate=rate_hz)
        heard.layout = "mono"
        file.metadata["title"] = heard.metadata["title"] = "Anna's door"  # what no clip may tell
        heard.metadata["language"] = "deu"
        done = 0
        for number in range(int(seconds * fps)):
            flash = number % fps == fps // 2
            picture = np.full((180, 320, 3), 250 if flash else 30, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            count = (number + 1) * rate_hz // fps - done
            wave = np.sin(np.arange(done, done + count) * (880 * np.pi / rate_hz)) * (20_000 if flash else 50)
            frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, done, Fraction(1, rate_hz)
            file.mux(heard.encode(frame))
            done += count
        file.mux(stream.encode())
        file.mux(heard.encode())
    return path


def flashes_and_beeps(path: Path | str) -> tuple[list[float], list[float]]:
    """Decode a whole clip, any damage an error; return when a flash and when a beep begins, in seconds."""
    strict = {"err_detect": "explode"}
    with av.open(str(path), options=strict) as file:
        frames = [(f.time, f.to_ndarray(format="gray").mean() > 128) for f in file.decode(video=0)]
    flashes = [time for time, bright in frames if bright and time is not None]
    beeps: list[float] = []
    loud_s = -1.0
    with av.open(str(path), options=strict) as file:
        for frame in file.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
            for at in loud[:1]:
                begin_s = (frame.time or 0.0) + int(at) / frame.sample_rate
                if begin_s - loud_s > 0.3:
                    beeps.append(begin_s)
            if len(loud):
                loud_s = (frame.time or 0.0) + int(loud[-1]) / frame.sample_rate
    return flashes, beeps
