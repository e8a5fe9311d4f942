"""A whole doorbell for tests and benchmarks: the real daemon and its commands, real files."""

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import tomli_w

from device.cli.client import NoDaemon, ask
from device.cli.main import main as doorbell_main
from device.config import config_below
from device.errors import CommandError
from server.dev_processes import Process, free_port, wait_for
from tests.support.commands import run_here

BIN = Path(sys.executable).parent


class Doorbell:
    """One doorbelld, through its commands."""

    defaults: ClassVar[dict[str, Any]] = {
        "motion": {"enabled": False},
        "clips": {"pre_roll_s": 2, "post_roll_s": 1.5},
    }
    """Tables that differ from a doorbell's own defaults, so that tests are quick."""

    def __init__(
        self,
        state: Path,
        port: int | None,
        camera: dict[str, Any],
        *,
        program: Sequence[str | Path] = (BIN / "doorbelld",),
        **tables: Any,
    ) -> None:
        """`port` is the MQTT broker's; `program` may be another that takes --config and becomes the daemon."""
        self.state = state
        self._program = program
        self.config = state / "doorbelld.toml"
        state.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "device": {"id": "porch", "trust_clock": True},  # a test machine may have no time server
            "button": {"kind": "simulated"},
            "camera": camera,
            **self.defaults,
            "storage": {"reserve_bytes": 0},
            "mqtt": {"host": "127.0.0.1", "port": port} if port else {"enabled": False},
            "page": {"enabled": False, "loopback_port": free_port(), "port": free_port()},
        }
        for name, table in tables.items():
            values[name] = {**values.get(name, {}), **table} if isinstance(table, dict) else table
        self.config.write_text(tomli_w.dumps(config_below(state, values)))
        self.process: Process | None = None

    def start(self, *, camera: bool = True) -> Self:
        self.log_path = self.state / "log"
        self.process = Process([*self._program, "--config", self.config], log=self.log_path)
        wait_for("the socket", self.answers)
        if camera:
            wait_for("the camera", lambda: self.status()["camera"]["state"] == "live")
        return self

    def run(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return run_here(doorbell_main, ["--state", str(self.state), *map(str, words)], typed=typed)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ring(self) -> dict[str, Any]:
        """Ring once more; a ring within a button's bounce of the last one would be the same press."""

        def rung() -> Any:
            done = self.run("ring", "--json")
            return json.loads(done.stdout) if done.returncode == 0 else None

        found: dict[str, Any] = wait_for("the ring", rung)
        return found

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask as a command does, without starting one: to look again and again costs next to nothing."""
        return ask(self.state, method, path, body, **query)

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
            try:
                clips = self.ask("GET", "/clips")
            except CommandError:  # the index has not been created yet
                return None
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
