"""Processes that tests, proofs and servers start: none is left over, and no wait outlasts a dead process."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.dev_processes import GaveUp, Process, forget_the_ended, free_port, wait_for

FAMILY = ["sh", "-c", "sleep 1000 & echo $!; exec sleep 1000"]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_children_of_a_process_end_with_it() -> None:
    process = Process(FAMILY, stdout=subprocess.PIPE)
    assert process.stdout
    child = int(process.stdout.readline())
    assert alive(child)
    assert process.end() == -signal.SIGTERM
    wait_for("the child's end", lambda: not alive(child))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_process_that_started_them(how: signal.Signals) -> None:
    code = (
        "import subprocess, sys, time; from server.dev_processes import Process\n"
        f"process = Process({FAMILY!r}, stdout=subprocess.PIPE)\n"
        "print(process.pid, process.stdout.readline().decode().strip(), flush=True)\n"
        "time.sleep(1000)\n"
    )
    starter = Process([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert starter.stdout
    started = [int(word) for word in starter.stdout.readline().split()]
    assert [alive(pid) for pid in started] == [True, True]
    starter.end(how)
    wait_for("their end", lambda: not any(alive(pid) for pid in started))


def test_a_wait_ends_when_a_process_dies_and_shows_its_output(tmp_path: Path) -> None:
    began_s = time.monotonic()
    Process(["sh", "-c", "echo no such thing; exit 3"], log=tmp_path / "log")
    with pytest.raises(
        GaveUp, match=r"died while we waited for a miracle\nsh -c .* ended with 3\nno such thing"
    ):
        wait_for("a miracle", lambda: False)
    assert time.monotonic() - began_s < 60
    assert wait_for("anything", lambda: True), "and is told once"


def test_a_wait_continues_when_a_process_was_stopped() -> None:
    looks = iter(range(3))
    with Process(["sleep", "1000"]) as process:
        process.end()
        assert wait_for("the third look", lambda: next(looks) == 2)


def test_processes_that_ended_before_are_forgotten() -> None:
    process = Process(["true"])
    assert process.wait() == 0
    forget_the_ended()
    looks = iter(range(3))
    assert wait_for("the third look", lambda: next(looks) == 2)


def test_free_ports_are_unique_and_outside_the_client_range() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
