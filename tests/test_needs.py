"""One list of Debian packages: the one that is installed is the one that tests ask for."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import needs

OF_COMMANDS = {"units"}
"""Needs of scripts/check that no test has."""
OF_THE_MACHINE = {"mount", "home_assistant"}
"""A right, and a system with a set-up of its own, which no package brings."""


def test_every_need_of_a_test_has_its_packages_and_its_marker() -> None:
    assert set(needs.CHECKS) - OF_THE_MACHINE == set(needs.packages()) - OF_COMMANDS
    markers = tomllib.loads((needs.ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"][
        "markers"
    ]
    assert set(needs.CHECKS) <= {marker.partition(":")[0] for marker in markers}


def test_a_missing_need_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(needs.CHECKS, "strace", (lambda: False, "strace"))
    monkeypatch.delenv("CI", raising=False)
    needs.missing.cache_clear()
    try:
        with pytest.raises(pytest.skip.Exception, match="sudo apt install --no-install-recommends strace"):
            needs.require("strace")
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="with CI=true every test runs"):
            needs.require("strace")
    finally:
        needs.missing.cache_clear()


def test_an_unknown_need_is_refused_with_the_known_ones() -> None:
    command: list[str | Path] = [sys.executable, needs.ROOT / "scripts/packages", "brokr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "brokr: no such need; requirements/debian.txt has broker, server" in done.stderr
