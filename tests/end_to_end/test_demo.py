"""`scripts/demo-neighbourhood` from start to end: from an alert to a parcel that a department opens."""

import subprocess
import sys
from pathlib import Path

import pytest

from server.dev_processes import PATIENCE_S

pytestmark = [
    pytest.mark.broker,
    pytest.mark.server,
    pytest.mark.namespace,
    pytest.mark.node,
    pytest.mark.long,
]
ROOT = Path(__file__).parents[2]


def test_the_department_opens_exactly_the_window_and_the_others_left_no_trace(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"demo-{tmp_path.name[-12:]}"  # noqa: S108  (a socket's path has to be short)
    command = [sys.executable, "-m", "scripts.verification.demo", "--folder", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=2 * PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its content is exactly what Anna saw: yes" in done.stdout
    assert done.stdout.count("no trace of a parcel") == 4
    assert "NO " not in done.stdout
