"""The check of docs/egress.md: it passes on the tree, and finds each kind of planted fault."""

import shutil
from pathlib import Path

import pytest

from scripts.verification.egress_table import PAGE, ROOT, faults, rows_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("device", "docs", "systemd", "tests", "server"):
        ignore = shutil.ignore_patterns("node_modules", "__pycache__", "images")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    return tmp_path


def test_the_page_and_the_code_agree() -> None:
    assert list(faults(ROOT)) == []
    assert len(rows_of((ROOT / PAGE).read_text())) > 10


@pytest.mark.parametrize(
    ("path", "line", "found"),
    [
        ("device/motion/zones.py", "import socket", "name its row"),
        ("device/motion/zones.py", "import urllib.request", "name its row"),
        ("device/motion/zones.py", "from http import client", "name its row"),
        ("device/motion/zones.py", "import requests  # egress: telemetry", "telemetry is no row"),
        ("device/motion/zones.py", "import urllib3  # egress: feeds", "urllib3 is for"),
        ("device/courier/feeds.py", "import paramiko  # egress: feeds", "paramiko is for"),
        ("device/courier/feeds.py", "from minio import Minio  # egress: feeds", "minio is for"),
        ("device/mqtt/topics.py", "from device.system.https import https_pool", "device.system.https is for"),
        ("device/daemon/status.py", "from device.backup_targets import put", "device.backup_targets is for"),
        ("device/motion/zones.py", "def f() -> None:\n    import ftplib", "name its row"),
        ("device/motion/zones.py", "import av\nav.open('https://example.org')", "name its row"),
        ("device/motion/zones.py", "import os\nos.system('curl https://example.org')", "name its row"),
    ],
)
def test_a_way_out_that_the_page_does_not_name_is_found(tree: Path, path: str, line: str, found: str) -> None:
    file = tree / path
    file.write_text(f"{file.read_text()}\n{line}\n")
    (fault,) = faults(tree)
    assert fault.startswith(path)
    assert found in fault


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("| `feeds` |", "| `fed` |", "feeds is no row"),
        ("broker.py:listen", "broker.py:listens", "there is no listens"),
        (
            "::test_a_feed_is_fetched_politely_and_delivered_once",
            "::test_nothing",
            "there is no test test_nothing",
        ),
        (
            "systemd/doorbelld.service:IPAddressDeny=any",
            "systemd/doorbelld.service:IPAddressDeny=none",
            "there is no",
        ),
    ],
)
def test_a_row_that_names_what_is_not_there_is_found(tree: Path, old: str, new: str, found: str) -> None:
    page = (tree / PAGE).read_text()
    assert old in page
    (tree / PAGE).write_text(page.replace(old, new))
    assert any(found in fault for fault in faults(tree))
