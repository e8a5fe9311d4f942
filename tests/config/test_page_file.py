"""The page's file with a setting that was good when it was made: it alone is taken back, and the start names it."""

import json
from pathlib import Path
from typing import Any

import pytest

from device.config import PAGE_FILE, Sources

MASK = {"name": "window", "points": [[0, 0], [0.5, 0], [0.5, 1]]}


def read(folder: Path, settings: dict[str, Any], file: dict[str, Any] | None = None) -> tuple[Sources, str]:
    (folder / PAGE_FILE).write_text(json.dumps({"version": 1, "settings": settings, "before": [{}]}))
    return Sources(path=Path("doorbelld.toml"), file=file or {}).with_page_file(folder)


def test_a_file_that_is_gone_costs_its_own_setting_and_no_mask(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.pem")
    good = {"masks": [MASK], "mqtt.host": "broker.local"}
    sources, trouble = read(tmp_path, {**good, "mqtt.password_file": gone})
    assert sources.page == good
    assert sources.config().masks[0].name == "window"
    assert "mqtt.password_file as in the configuration file again" in trouble
    assert f"there is no file {gone}" in trouble
    assert len(sources.before) == 1, "the last change can still be undone"


def test_settings_that_only_fit_together_are_taken_back_together(tmp_path: Path) -> None:
    """The neighbourhood without a position and a broker, and these are nowhere else."""
    hood = {"neighbourhood.enabled": True, "neighbourhood.latitude": 0.0, "neighbourhood.longitude": 0.0}
    sources, trouble = read(tmp_path, {"masks": [MASK], **hood})
    assert sources.config().neighbourhood.enabled is False
    assert [mask.name for mask in sources.config().masks] == ["window"]
    assert "neighbourhood.enabled" in trouble


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 2}', '{"version": 1, "settings": {"device.id": "x"}, "before": []}']
)
def test_a_file_that_the_page_did_not_write_changes_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / PAGE_FILE).write_text(content)
    before = Sources(path=Path("doorbelld.toml"))
    sources, trouble = before.with_page_file(tmp_path)
    assert sources == before
    assert PAGE_FILE in trouble


def test_two_tables_that_both_fail_leave_the_configuration_file(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    wrong = {"mqtt.password_file": gone, "neighbourhood.broker_ca_file": gone, "neighbourhood.enabled": True}
    sources, trouble = read(tmp_path, wrong)
    assert sources.page == {}
    assert trouble
