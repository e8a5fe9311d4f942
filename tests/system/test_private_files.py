"""Files that commands write are for their owner alone, and no process leaves its memory on the disk."""

import ast
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device.system.durable_files import PRIVATE, new_private_file, replacing, write_durably
from server.dev_processes import wait_for
from tests.support.doorbell import Doorbell

ROOT = Path(__file__).parents[2]
UNITS = [*ROOT.glob("systemd/*.service"), *ROOT.glob("server/systemd/*.service")]
PROGRAMS = [
    "device/daemon/main.py",
    "device/courier/main.py",
    "device/cli/main.py",
    "device/camera/capture_process.py",
    "device/release/process.py",
    "device/release/backup.py",
    "device/store/masked_export.py",
    "server/publisher.py",
    "server/s3_signer.py",
    "server/agency/__main__.py",
]
DEVELOPMENT = {"server/dev_server.py", "server/render.py"}
"""Programs without secrets of their own in memory."""


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
def test_files_are_private_whatever_the_umask_is(tmp_path: Path) -> None:
    with new_private_file(tmp_path / "new") as file:
        file.write(b"x")
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / ".old.new").write_bytes(b"of a power cut")
    (tmp_path / "old").chmod(0o644)
    (tmp_path / ".old.new").chmod(0o644)
    write_durably(tmp_path / "old", b"new", mode=PRIVATE)
    assert mode_of(tmp_path / "new") == mode_of(tmp_path / "old") == 0o600
    with pytest.raises(FileExistsError):
        new_private_file(tmp_path / "new")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        new_private_file(tmp_path / "link")
    with replacing(tmp_path / "link", mode=PRIVATE) as file:
        file.write(b"x")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("open_umask")
def test_every_command_that_writes_a_file_writes_it_for_its_owner_alone(
    doorbell: Callable[..., Doorbell], tmp_path: Path
) -> None:
    door = doorbell(
        page={"enabled": True, "port": 0}, masks=[{"name": "tree", "points": [[0, 0], [0.2, 0], [0, 0.2]]}]
    )
    door.start()
    door.ring()
    clip = door.clips(1)[0]["id"]
    wait_for("a picture", lambda: door.run("snapshot", str(tmp_path / "picture.jpg")).returncode == 0)
    folder = tmp_path / "out"
    folder.mkdir()
    for words in (
        ("clips", "export", clip, str(folder / "masked.mp4")),
        ("clips", "export", clip, str(folder / "whole.mp4"), "--unmasked"),
        ("ledger", "export", str(folder / "ledger.jsonl")),
        ("backup", "key", str(folder / "key")),
    ):
        done = door.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert door.run(*words).returncode == 1, "an existing file is not overwritten"
    written = [tmp_path / "picture.jpg", *folder.iterdir()]
    assert len(written) == 5
    assert {path.name: oct(mode_of(path)) for path in written} == {path.name: "0o600" for path in written}


def _writers(path: Path) -> list[str]:
    """Return where a module creates a file by other means than `device.system.durable_files`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        writes = name == "open" and any(set(mode) & set("wax+") and len(mode) < 4 for mode in modes)
        if name in ("write_text", "write_bytes", "touch") or writes:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in ("os.open", "shutil.copy"):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_commands_create_files_by_the_functions_that_make_them_private() -> None:
    modules = [*ROOT.glob("device/cli/*.py"), *ROOT.glob("server/agency/*.py")]
    assert len(modules) > 20
    assert [place for module in modules for place in _writers(module)] == []


def test_no_unit_allows_a_core_dump() -> None:
    assert len(UNITS) == 5
    for unit in UNITS:
        lines = unit.read_text().splitlines()
        assert [line for line in lines if line.startswith("LimitCORE")] == ["LimitCORE=0"], unit.name


def test_every_program_forbids_core_dumps_itself() -> None:
    having_main = {
        str(path.relative_to(ROOT))
        for package in ("device", "server")
        for path in (ROOT / package).rglob("*.py")
        if "\ndef main() -> int:" in path.read_text() and "node_modules" not in path.parts
    }
    assert having_main - DEVELOPMENT == set(PROGRAMS)
    for program in PROGRAMS:
        assert "\n    forbid_core_dumps()\n" in (ROOT / program).read_text(), program


def test_a_running_doorbell_leaves_no_core_dump(doorbell: Callable[..., Doorbell]) -> None:
    door = doorbell({"kind": "scene"}).start(camera=False)
    assert door.process
    limits = Path(f"/proc/{door.process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


def test_the_limit_is_for_children_too() -> None:
    code = (
        "import subprocess, sys; from device.system.core_dumps import forbid_core_dumps; forbid_core_dumps();"
        "print(subprocess.check_output([sys.executable, '-c',"
        " 'import resource; print(resource.getrlimit(resource.RLIMIT_CORE))'], text=True))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0)"
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] in (0, resource.RLIM_INFINITY)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    def write_half(path: Path) -> None:
        with replacing(path, mode=PRIVATE) as file:
            file.write(b"half of the ne")
            raise OSError(28, "full")

    path = tmp_path / "settings.json"
    write_durably(path, b"old")
    with pytest.raises(OSError, match="full"):
        write_half(path)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("settings.json", b"old")]
