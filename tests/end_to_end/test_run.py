"""`scripts/run`: it says that a doorbell is ready only when one is, and writes below --state alone."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from server.dev_processes import Process, free_port, wait_for
from tests.support import needs

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "scripts/demo"
CHANGES = [
    "creat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "symlinkat",
    "linkat",
    "truncate",
]
WRITES = re.compile(rf"^\d+ +(?:openat|{'|'.join(CHANGES)})\((?P<arguments>.*)\) = (?P<result>\d+)")
PATH = re.compile(r'(?:AT_FDCWD<(?P<folder>[^>]*)>, )?"(?P<path>[^"]*)"')


def demo(tmp_path: Path, *words: str, before: tuple[str, ...] = ()) -> tuple[Process, Path]:
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("DOORBELLD_BROKER_PASSWORD", None)
    command = [*before, sys.executable, DEMO, "--state", tmp_path / "state", *words]
    return Process(command, log=log, stdin=-3, env=environment), log


def written(trace: Path) -> set[Path]:
    """Return the paths that a trace of strace's opened for writing, made, moved or removed."""
    found = set()
    for line in trace.read_text(errors="replace").splitlines():
        call = WRITES.match(line)
        if not call or ("openat(" in line and not re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", line)):
            continue
        for match in PATH.finditer(call["arguments"]):
            found.add(Path(match["folder"] or "/", match["path"]))
    return found


@pytest.mark.broker
@pytest.mark.strace
def test_everything_it_writes_is_below_its_state(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    calls = (
        "trace=openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,symlinkat,linkat,truncate"
    )
    process, log = demo(
        tmp_path, before=("strace", "-f", "-y", "-qq", "-s", "400", "-e", calls, "-o", str(trace))
    )
    wait_for("the summary", lambda: "Ctrl-C ends it." in log.read_text())
    os.kill(
        int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]), signal.SIGINT
    )
    assert process.wait() == 0
    paths = written(trace)
    assert len([path for path in paths if path.is_relative_to(tmp_path / "state")]) > 10
    elsewhere = [path for path in paths if not path.is_relative_to(tmp_path / "state")]
    assert [path for path in elsewhere if path.parts[1] not in ("dev", "proc")] == []


@pytest.mark.broker
def test_its_page_answers_and_its_commands_exist_when_it_says_ready(tmp_path: Path) -> None:
    process, log = demo(tmp_path)
    wait_for("the summary", lambda: "Ctrl-C ends it." in log.read_text())
    text = log.read_text()
    commands = re.findall(r"^    (\S+).*   \S", text.partition("Try in a second terminal")[2], re.MULTILINE)
    assert len(commands) > 3
    assert [command for command in commands if not needs.program(command)()] == []
    assert process.end(signal.SIGINT) == 0


def test_a_broker_that_does_not_answer_is_not_shown_as_connected(tmp_path: Path) -> None:
    process, log = demo(tmp_path, "--broker", f"127.0.0.1:{free_port()}")
    wait_for("the summary", lambda: "Ctrl-C ends it." in log.read_text())
    assert "not connected yet" in log.read_text()
    assert process.end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("broker", "words"),
    [
        ("http://localhost", "http:// is not tried here"),
        ("mqtt://localhost:x", "not a broker's address; write HOST"),
        ("anna:secret@localhost:99999", "--broker anna@localhost:99999: not a broker's address"),
        ("8.8.8.8", "outside the home network"),
        ("anna@localhost", "no password for anna"),
        ("a b", "not a name or an address"),
    ],
)
def test_a_mistake_in_broker_is_named_before_anything_starts(tmp_path: Path, broker: str, words: str) -> None:
    process, log = demo(tmp_path, "--broker", broker)
    assert process.wait() == 1
    assert words in log.read_text()
    assert "ready" not in log.read_text()
    assert "secret" not in log.read_text()


@pytest.mark.broker
def test_it_says_that_doorbelld_did_not_start(tmp_path: Path) -> None:
    (tmp_path / "state/state").mkdir(parents=True)
    (tmp_path / "state/run").write_text("in the way")
    process, log = demo(tmp_path)
    assert process.wait() == 1
    assert "doorbelld did not start" in log.read_text()
    assert "is ready" not in log.read_text()
