"""Run the project's commands inside the test's own process.

A test that runs thirty commands would otherwise spend most of its time in starting Python and importing. The commands
themselves are real; tests/end_to_end/test_world.py and test_agency.py also run each tool as a process of its own.
"""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock


def run_here(
    main: Callable[[], int], words: list[str], *, typed: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Return what `main` prints for `words`, and its exit status; `typed` is its standard input."""
    out, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [main.__module__, *words]),
        mock.patch.object(sys, "stdin", io.StringIO(typed)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        contextlib.chdir(folder or os.curdir),
    ):
        try:
            status = main()
        except SystemExit as ended:  # argparse, after it has printed why
            status = ended.code if isinstance(ended.code, int) else 1
    return subprocess.CompletedProcess(words, status, out.getvalue(), errors.getvalue())
