"""An internet of one's own: a network namespace with public addresses on its loopback, and no way out.

The courier refuses every address that is not public, and has no switch for tests. So what is tried, is tried
where the addresses are public: in a namespace in which nothing else exists. Needs util-linux and iproute2,
and either root or the right to make user namespaces.
"""

import ipaddress
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

from server.dev_processes import Process

HOLD_S = 7200
"""A namespace that nobody takes down ends by itself."""
STORE_ADDRESS = "5.45.45.45"
"""Somebody's, out there. In here it is ours, and out there is not to be reached."""


class NoIsland(Exception):
    """Namespaces cannot be made here; the message says what is missing."""


def forbidden() -> str:
    """Return what forbids namespaces to users who are not root, if a setting of this kernel does."""
    settings = {
        "kernel/apparmor_restrict_unprivileged_userns": "1",
        "kernel/unprivileged_userns_clone": "0",
        "user/max_user_namespaces": "0",
    }
    for name, value in settings.items() if os.geteuid() else ():
        path = Path("/proc/sys", name)
        if path.exists() and path.read_text().strip() == value:
            setting = f"{name.replace('/', '.')} = {value}"
            return f" (this kernel allows them to root alone: {setting}); run this with sudo"
    return ""


class Island:
    """A namespace; a context manager. `hosts` are the names that exist there, with their addresses."""

    def __init__(self, folder: Path, hosts: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._hosts_file = folder / "hosts"
        self._addresses: list[str] = []
        self._holder: Process | None = None
        self.names(hosts)
        self._addresses = sorted(set(hosts.values()))

    def names(self, hosts: dict[str, str]) -> None:
        """Say what names resolve to, from now on."""
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
        self._hosts_file.write_text("\n".join(lines) + "\n")

    def __enter__(self) -> Self:
        add_addresses = "".join(
            f"ip addr add {address}/{128 if ':' in address else 32} dev lo && "
            for address in self._addresses
            if not ipaddress.ip_address(address).is_loopback
        )
        script = (
            f"ip link set lo up && {add_addresses} mount --bind '{self._hosts_file}' /etc/hosts && echo ready && "
            f"exec sleep {HOLD_S}"
        )
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        if not shutil.which("unshare", path=path) or not shutil.which("ip", path=path):
            raise NoIsland("unshare (util-linux) or ip (iproute2) is missing")
        self._holder = Process(
            ["unshare", "--net", "--mount", *user, "sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path},
        )
        line = self._holder.stdout.readline().decode().strip() if self._holder.stdout else ""
        if line != "ready":
            self.__exit__()
            raise NoIsland(f"a network namespace cannot be made here: {line}{forbidden()}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._holder:
            self._holder.end(signal.SIGKILL)

    def command(self, *words: str | Path) -> list[str]:
        """Return the words that run a command in it."""
        assert self._holder
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        target = ["--target", str(self._holder.pid)]
        return ["nsenter", *target, "--net", "--mount", *user, "--", *map(str, words)]

    def command_as_ourselves(self, *words: str | Path) -> list[str]:
        """Return the words that run a server in it as the user that we are.

        Where the island is not root's, one seems to be root there, and a server would become somebody
        else, which it cannot: there is nobody else.
        """
        if os.geteuid() == 0:
            return self.command(*words)
        user = ["--user", f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"]
        return self.command("unshare", *user, "--", *words)

    def run(self, *words: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command in it."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, **options)


class Here:
    """Replaces an island when the process is already inside one."""

    def command(self, *words: str | Path) -> list[str]:
        """Return the words as they are."""
        return [str(word) for word in words]

    def command_as_ourselves(self, *words: str | Path) -> list[str]:
        """Return the words as they are."""
        return [str(word) for word in words]
