"""A doorbell whose RTSP the tests and benchmarks read."""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from device.errors import CommandError
from server.dev_processes import free_port, wait_for
from tests.support.doorbell import Doorbell


class RtspDoorbell(Doorbell):
    """A doorbell that serves RTSP on a port of its own."""

    port = 0

    def token(self, name: str = "frigate", *scopes: str) -> str:
        wait_for("the ledger", self._ledger_is_open)
        added = self.ask("POST", "/readers", {"name": name, "scopes": scopes or ["rtsp"]})
        token: str = added["token"]
        return token

    def _ledger_is_open(self) -> bool:
        with suppress(CommandError):
            self.ask("GET", "/readers")
            return True
        return False

    def url(self, token: str, name: str = "frigate") -> str:
        return f"rtsp://{name}:{token}@127.0.0.1:{self.port}/live"

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def rtsp_process(self) -> int:
        """Return the process's id; 0 while there is none."""
        assert self.process
        for children in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with suppress(OSError):  # the thread or the process has ended since
                for pid in map(int, children.read_text().split()):
                    if b"device.rtsp" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        return pid
        return 0


def rtsp_doorbell(state: Path, camera: dict[str, Any], **tables: Any) -> RtspDoorbell:
    port = free_port()
    door = RtspDoorbell(state, None, camera, rtsp={"port": port}, **tables)
    door.port = port
    return door
