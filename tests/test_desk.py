"""The desk with time handed in: what stands as a fault, and when."""

import json
import queue
from pathlib import Path
from typing import Any

import pytest

from device.clock import ClockFlag
from device.config import Config
from device.desk import Desk
from device.events import ButtonState, CameraReport, Fact, StoreReport
from device.notify import Notifier
from device.policy.settings import Settings
from device.store.board import temperature_c, throttling


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_us = 1_000_000_000

    def mono_us(self) -> int:
        return self.now_us

    def wall_us(self) -> int:
        return 1_790_000_000_000_000 + self.now_us

    def flag(self) -> ClockFlag:
        return "synchronised"


class Told:
    """Outlets that remember."""

    def __init__(self) -> None:
        self.retained: dict[str, str] = {}
        self.facts: list[tuple[str, dict[str, Any]]] = []

    def retain(self, subtopic: str, payload: str) -> None:
        self.retained[subtopic] = payload

    def log_fact(self, kind: str, *, fields: dict[str, Any], **_: object) -> None:
        self.facts.append((kind, fields))

    def press(self, *_: object) -> None: ...
    def ring(self) -> None: ...
    def clip(self, _: object) -> None: ...
    def flush(self) -> None: ...
    def settle(self, _: int, *, late: bool) -> None: ...
    def save(self, _: Settings) -> None: ...


class HeldButton:
    held = 0

    def healthy(self) -> bool:
        return True

    def held_us(self, _: int) -> int:
        return self.held


class House:
    """A desk, its time, and what it told."""

    def __init__(self) -> None:
        self.time, self.told, self.button = Time(), Told(), HeldButton()
        inbox: queue.SimpleQueue[Fact] = queue.SimpleQueue()
        self.desk = Desk(
            config=Config(),
            clock=self.time,
            outlets=self.told,
            settings=Settings(),
            notifier=Notifier(""),
            inbox=inbox,
        )
        self.desk.button = self.button

    def after(self, seconds: float) -> list[str]:
        """Let time pass; return the codes of the faults that stand then."""
        self.time.now_us += int(seconds * 1e6)
        self.desk.tick()
        return [fault["code"] for fault in self.desk.status()["faults"]]


@pytest.fixture
def house() -> House:
    return House()


def live(house: House) -> CameraReport:
    now_us = house.time.now_us
    return CameraReport(mono_us=now_us, kind="scene", state="live", fps=15, last_frame_us=now_us)


def test_a_camera_that_falls_silent_is_a_fault_within_five_seconds(house: House) -> None:
    house.desk.take(live(house))
    assert house.after(3.9) == []
    assert house.after(0.3) == ["camera_stalled"]
    house.desk.take(live(house))
    assert house.after(0.25) == []
    assert [kind for kind, _ in house.told.facts] == ["fault_raised", "fault_cleared"]


def test_a_camera_that_is_opened_again_is_down_and_no_longer_stalled(house: House) -> None:
    house.desk.take(live(house))
    house.after(5)
    report = CameraReport(mono_us=0, kind="scene", state="down", text="gave no picture for 5 s")
    house.desk.take(report)
    assert house.after(0.25) == ["camera_down"]


def test_the_first_frame_rate_is_told_at_once(house: House) -> None:
    house.desk.take(CameraReport(mono_us=0, kind="scene", state="live", last_frame_us=house.time.now_us))
    house.after(0.25)
    assert json.loads(house.told.retained["state"])["camera_fps"] == 0
    house.desk.take(live(house))
    house.after(0.25)
    assert json.loads(house.told.retained["state"])["camera_fps"] == 15


def test_a_button_that_is_held_down_is_a_fault_until_it_is_free(house: House) -> None:
    house.desk.take(ButtonState(kind="gpio", state="live"))
    house.button.held = 29_000_000
    assert house.after(2) == []
    house.button.held = 31_000_000
    assert house.after(2) == ["button_stuck"]
    status = house.desk.status()
    assert status["button"]["state"] == "stuck"
    assert "more than 30 s" in status["faults"][0]["text"]
    house.button.held = 0
    assert house.after(2) == []
    assert house.desk.status()["button"]["state"] == "live"


def store(**more: Any) -> StoreReport:
    return StoreReport(
        used_bytes=0, limit_bytes=1, clips=0, oldest_wall_us=None, log_pending=0, behind_packets=0, **more
    )


def test_a_weak_supply_is_a_fault_and_throttling_is_told(house: House) -> None:
    house.desk.take(store(throttling=("under_voltage", "throttled")))
    assert house.after(0.25) == ["power_weak"]
    house.desk.take(store(throttling=("throttled",)))
    assert house.after(60) == []
    assert json.loads(house.told.retained["state"])["throttling"] == ["throttled"]


def test_what_the_board_says_of_itself(tmp_path: Path) -> None:
    assert throttling(tmp_path) is None
    assert temperature_c(tmp_path) is None
    firmware = tmp_path / "devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    assert throttling(tmp_path) == ("under_voltage", "throttled")
    zone = tmp_path / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("48312\n")
    assert temperature_c(tmp_path) == 48.312
