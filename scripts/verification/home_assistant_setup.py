"""scripts/home-assistant: a real Home Assistant on this machine, for tests and to try the doorbell with it.

setup installs Home Assistant 2026.11 and the exact packages of requirements/home-assistant.lock into a Debian system
of its own (forky, whose Python is new enough) below var/home-assistant, and nothing outside. Needs root, debootstrap,
2 GB of disk and about ten minutes, most of them for downloads; later runs need no network.
"""

import argparse
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.support.home_assistant import BIN, OWNER, PASSWORD, SYSTEM, run_home
from tests.support.needs import missing

STAMP = SYSTEM / "doorbelld-setup"
"""Written last: a system without it is incomplete."""
ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements/home-assistant.lock"
DEBIAN = "forky"
SCRIPT = "/usr/share/debootstrap/scripts/sid"
"""Debian 12's debootstrap has no script named forky; all later ones are the same file."""
MIRROR = "http://deb.debian.org/debian"
INCLUDE = "python3,python3-venv,ca-certificates,libturbojpeg0,g++,python3-dev"
"""What builds the three packages that have no wheel for this Python, and decodes JPEG."""
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
CARRIED = re.compile(
    r"(?i)(https?|no|all)_proxy|pip_(index_url|extra_index_url|cert|default_timeout|trusted_host)"
)
"""The settings by which pip and debootstrap reach their indexes."""


def run(*command: str | Path) -> None:
    """Run a command with its output on ours. Raises SystemExit if it fails."""
    words = [str(word) for word in command]
    if subprocess.run(["nice", *words], check=False, stdout=sys.stderr).returncode:
        raise SystemExit(f"scripts/home-assistant: failed: {' '.join(words)}")


def fingerprint() -> str:
    """Return what the installed system was made from."""
    return hashlib.sha256(LOCK.read_bytes() + f"{DEBIAN} {INCLUDE}".encode()).hexdigest()


def install(mirror: str) -> None:
    """Make the system, unless it is there with these versions. Raises SystemExit with the reason."""
    if STAMP.exists() and STAMP.read_text() == fingerprint():
        print(f"Home Assistant is installed: {SYSTEM}")
        return
    if os.geteuid():
        raise SystemExit("scripts/home-assistant: needs root: sudo scripts/home-assistant setup")
    if not shutil.which("debootstrap"):
        raise SystemExit("scripts/home-assistant: debootstrap is missing: sudo apt install debootstrap")
    began_s = time.monotonic()
    half = SYSTEM.with_suffix(".part")
    shutil.rmtree(half, ignore_errors=True)
    half.parent.mkdir(parents=True, exist_ok=True)
    run("debootstrap", "--variant=minbase", f"--include={INCLUDE}", DEBIAN, half, mirror, SCRIPT)
    shutil.copy(f"/{CERTIFICATES}", half / CERTIFICATES)
    shutil.copy("/etc/resolv.conf", half / "etc/resolv.conf")
    shutil.copy(LOCK, half / "packages.txt")
    folder = Path(BIN).parent
    values = [f"{name}={value}" for name, value in os.environ.items() if CARRIED.fullmatch(name)]
    enter: list[str | Path] = [
        "chroot",
        half,
        "env",
        "--ignore-environment",
        "PATH=/usr/bin:/bin",
        "LANG=C.UTF-8",
        *values,
    ]
    run(*enter, "python3", "-m", "venv", folder)
    pip = [
        f"{BIN}/pip",
        "install",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--no-cache-dir",
        "--require-hashes",
    ]
    run(*enter, *pip, "--requirement", "/packages.txt")
    (half / "config").mkdir()
    (half / "etc/resolv.conf").write_text("")  # it resolves no names from here on
    shutil.rmtree(SYSTEM, ignore_errors=True)
    half.rename(SYSTEM)
    STAMP.write_text(fingerprint())
    size = subprocess.run(["du", "-smx", SYSTEM], capture_output=True, text=True, check=True).stdout.split()[
        0
    ]
    print(f"installed in {time.monotonic() - began_s:.0f} s, {size} MB: {SYSTEM}")


def demonstrate(port: int) -> int:
    """Run broker, doorbell and Home Assistant until Ctrl-C."""
    if reason := missing("home_assistant"):
        raise SystemExit(f"scripts/home-assistant: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="home-assistant-") as folder,
        run_home(Path(folder), port) as home,
    ):
        doorbell = shlex.join([f"{ROOT}/.venv/bin/doorbell", "--state", str(home.doorbell.state), "ring"])
        print(f"\n  Home Assistant  {home.home_assistant.url}  user {OWNER}, password: {PASSWORD}")
        print(f"  owner's page    {home.doorbell.page}  claim code {home.doorbell.claim_code()}")
        print(f"  broker          127.0.0.1:{home.broker.port}")
        print(f"  ring the bell   {doorbell}\n  Ctrl-C ends all.", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/home-assistant",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    setup = commands.add_parser("setup", help="install it below var/home-assistant (root)")
    setup.add_argument("--mirror", default=MIRROR, help="Debian's archive; default: %(default)s")
    running = commands.add_parser("run", help="run it with a broker and a doorbell; Ctrl-C ends all three")
    running.add_argument("--port", type=int, default=8123, help="Home Assistant's port; default: %(default)s")
    options = parser.parse_args()
    if options.command == "run":
        return demonstrate(options.port)
    install(options.mirror)
    return 0


if __name__ == "__main__":
    sys.exit(main())
