"""What tests need beside Python packages, and whether this machine has it.

A test names its need with a marker, or a helper calls `require`. Without it the test is skipped, with the
command that installs it; with CI=true it fails, for there every test runs. The Debian packages of each need
are in requirements/debian.txt.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from server.dev_processes import NODE, PATH

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def packages() -> dict[str, str]:
    """Return the Debian packages of each need, as requirements/debian.txt has them."""
    lines = (ROOT / "requirements/debian.txt").read_text().splitlines()
    fields = (line.partition(":") for line in lines if not line.startswith("#"))
    return {need: names.strip() for need, _, names in fields}


def program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name, path=PATH) is not None


def runs(*command: str | Path) -> bool:
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=60, env={**os.environ, "PATH": PATH}
        )
    except OSError:
        return False
    return done.returncode == 0


def can_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return runs("mount", "-t", "tmpfs", "-o", "size=1m", "doorbelld", folder) and runs("umount", folder)


def can_make_namespaces() -> bool:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return runs("unshare", "--net", "--mount", *user, "ip", "link", "set", "lo", "up")


def has_node() -> bool:
    return (ROOT / "server/store/node_modules/@tus/server").is_dir() and runs(NODE, "--version")


def has_rtsp() -> bool:
    versions = "gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"
    return runs("/usr/bin/python3", "-c", f"import gi; {versions}; from gi.repository import GstRtspServer")


def has_fuse() -> bool:
    return os.access("/dev/fuse", os.W_OK) and program("fusermount3")()


def has_home_assistant() -> bool:
    return os.geteuid() == 0 and (ROOT / "var/home-assistant/system/doorbelld-setup").exists()


CHECKS: dict[str, tuple[Callable[[], bool], str]] = {
    "broker": (program("mosquitto"), "an MQTT broker"),
    "server": (program("nginx"), "nginx"),
    "node": (has_node, "Node with the packages of server/store: then scripts/setup --dev"),
    "namespace": (can_make_namespaces, "root or user namespaces"),
    "chromium": (program("chromium"), "Chromium"),
    "rtsp": (has_rtsp, "an RTSP server"),
    "sftp": (program("sshd"), "an SFTP server"),
    "strace": (program("strace"), "strace"),
    "fuse": (has_fuse, "FUSE and /dev/fuse"),
    "ext4": (program("mkfs.ext4"), "mkfs.ext4"),
    "mount": (can_mount, "the right to mount (root)"),
    "curl": (program("curl"), "curl"),
    "home_assistant": (has_home_assistant, "root and Home Assistant: scripts/home-assistant setup"),
}
"""For each need: whether it is here, and what it is, for people."""


@functools.cache
def missing(need: str) -> str:
    """Return what is missing for a need, and how to bring it; empty if nothing is."""
    is_here, what = CHECKS[need]
    if is_here():
        return ""
    bring = packages().get(need, "")
    return f"needs {what}" + (f": sudo apt install --no-install-recommends {bring}" if bring else "")


def require(need: str) -> None:
    """Go on only if a need is met."""
    if reason := missing(need):
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (with CI=true every test runs)", pytrace=False)
        pytest.skip(reason)
