"""The board's temperature and throttling, read from drawn sysfs trees of the shapes that boards have."""

from pathlib import Path

import pytest

from device.system.board import HeatLimit, temperature_c, throttling

FIRMWARE = ("soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware")


def draw_throttled(sys: Path, firmware: str, flags: str) -> Path:
    path = sys / "devices/platform" / firmware / "get_throttled"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(flags + "\n")
    return path


def draw_zone(sys: Path, number: int, millidegrees: str) -> Path:
    path = sys / f"class/thermal/thermal_zone{number}/temp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(millidegrees + "\n")
    return path


def test_another_machine_reports_nothing_and_is_never_too_hot(tmp_path: Path) -> None:
    assert throttling(tmp_path) is None
    assert temperature_c(tmp_path) is None
    assert not HeatLimit(tmp_path).is_too_hot()


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_the_current_throttling_reasons_are_decoded(firmware: str, tmp_path: Path) -> None:
    draw_throttled(tmp_path, firmware, "50005")
    assert throttling(tmp_path) == ("under_voltage", "throttled")


@pytest.mark.parametrize("firmware", FIRMWARE)
@pytest.mark.parametrize(
    ("flags", "waits"), [("50000", False), ("1", False), ("2", True), ("4", True), ("8", True)]
)
def test_work_waits_while_the_board_is_slowed_down(
    firmware: str, flags: str, *, waits: bool, tmp_path: Path
) -> None:
    draw_throttled(tmp_path, firmware, flags)
    assert HeatLimit(tmp_path).is_too_hot() is waits


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    draw_zone(tmp_path, 0, "48312")
    draw_zone(tmp_path, 1, "not a number")
    assert temperature_c(tmp_path) == 48.312
    draw_zone(tmp_path, 2, "81000")
    assert temperature_c(tmp_path) == 81
    assert HeatLimit(tmp_path).is_too_hot()


def test_work_that_waits_goes_on_when_the_board_is_cool(tmp_path: Path) -> None:
    zone = draw_zone(tmp_path, 0, "60000")
    heat = HeatLimit(tmp_path)
    assert not heat.is_too_hot()
    zone.write_text("81000\n")
    assert heat.is_too_hot()
    zone.write_text("75000\n")
    assert heat.is_too_hot()
    reports: list[str] = []

    def sleep(_: float) -> None:
        zone.write_text("71000\n")

    heat.wait_until_cool(lambda: reports.append("hot"), sleep=sleep)
    assert reports == ["hot"]
    assert not heat.is_too_hot()
