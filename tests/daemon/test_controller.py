"""The controller with time as a parameter: its faults and their timing."""

import json
import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from device.config import ChimeConfig, Config
from device.daemon.controller import Controller
from device.daemon.status import ActiveFault
from device.events import (
    AnnouncedNotice,
    ButtonState,
    CameraReport,
    ClipAsked,
    ClockFlag,
    ConsentStep,
    EarlierPress,
    Fact,
    Fault,
    LedgerReport,
    MotionStarted,
    MqttReport,
    NoticeHeard,
    Pressed,
    PressEvent,
    PressMissed,
    PressPictureReady,
    SettingAsked,
    Stamp,
    StoreReport,
)
from device.mqtt.topics import press_payload, setting_payloads
from device.policy.episode import ClipOrder, OpenClip
from device.policy.settings import Settings
from device.system.clock import rfc3339, stamp

HOUR_US = 3_600_000_000


class Time:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now_us = 1_000_000_000
        self.zero_us = 1_790_000_000_000_000

    def mono_us(self) -> int:
        return self.now_us

    def wall_us(self) -> int:
        return self.zero_us + self.now_us

    def flag(self) -> ClockFlag:
        return "synchronised"


class RecordingSink:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.pending_requests: int | None = None
        self.faults: list[str] = []
        self.refusal: dict[str, Any] = {}
        self.numbers: dict[str, float] = {}
        self.facts: list[tuple[str, dict[str, Any]]] = []
        self.stamps: dict[str, Stamp] = {}
        self.presses: list[PressEvent] = []
        self.pictured: list[int] = []
        self.on_press: Callable[[], None] = lambda: None
        self.clips: list[ClipOrder] = []
        self.notices: list[tuple[str, bool]] = []

    def publish_state(self, state: dict[str, Any]) -> None:
        self.state = state

    def publish_pending_requests(self, count: int) -> None:
        self.pending_requests = count

    def log_fact(self, kind: str, *, at: Stamp, fields: dict[str, Any], **_: object) -> None:
        self.facts.append((kind, fields))
        self.stamps[kind] = at

    def clip(self, order: ClipOrder) -> None:
        self.clips.append(order)

    def publish_notice(self, notice: AnnouncedNotice, *, announce: bool) -> None:
        self.notices.append((notice["severity"], announce))

    def publish_press(self, press: PressEvent) -> None:
        self.presses.append(press)
        self.on_press()

    def publish_numbers(self, numbers: Mapping[str, float]) -> None:
        self.numbers = dict(numbers)

    def change_number(self, name: str, value: float) -> None:
        self.numbers[name] = value

    def publish_faults(self, faults: Sequence[ActiveFault]) -> None:
        self.faults = [active.fault.text for active in faults]

    def publish_last_refusal(self, refused: dict[str, Any]) -> None:
        self.refusal = refused

    def publish_missed_ring(self, missed: PressMissed, count: int) -> None: ...
    def publish_motion(self, *, moving: bool) -> None: ...
    def publish_motion_attributes(self, motion: MotionStarted, event_id: str | None) -> None: ...
    def publish_settings(self, settings: Settings) -> None:
        self.quiet_until = setting_payloads(settings)["quiet_until"]

    def ring(self) -> None: ...
    def picture_press(self, press: PressEvent) -> None:
        self.pictured.append(press.press_number)

    def show_press_picture(self, picture: PressPictureReady) -> None: ...
    def flush(self) -> None: ...
    def settle(self, _: int, *, late: bool) -> None: ...
    def save(self, _: Settings) -> None: ...
    def set_privacy(self, *, on: bool) -> None: ...
    def show_recording(self, _: Sequence[str]) -> None: ...


class HeldButton:
    held = 0

    def healthy(self) -> bool:
        return True

    def held_us(self, _: int) -> int:
        return self.held


class ControllerHarness:
    """A controller, its clock, and the sink that records its output."""

    def __init__(self) -> None:
        self.time, self.sink, self.button = Time(), RecordingSink(), HeldButton()
        inbox: queue.SimpleQueue[Fact] = queue.SimpleQueue()
        self.controller = Controller(
            config=Config(),
            clock=self.time,
            sink=self.sink,
            settings=Settings(),
            inbox=inbox,
        )
        self.controller.button = self.button

    def after(self, seconds: float) -> list[str]:
        """Let time pass; return the codes of the current faults."""
        self.time.now_us += int(seconds * 1e6)
        self.controller.tick()
        return [fault["code"] for fault in self.controller.status()["faults"]]


@pytest.fixture
def doorbell() -> ControllerHarness:
    return ControllerHarness()


def live(doorbell: ControllerHarness) -> CameraReport:
    now_us = doorbell.time.now_us
    return CameraReport(mono_us=now_us, kind="scene", state="live", fps=15, last_frame_us=now_us)


def test_a_camera_that_falls_silent_is_a_fault_within_five_seconds(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(live(doorbell))
    assert doorbell.after(3.9) == []
    assert doorbell.after(0.3) == ["camera_stalled"]
    doorbell.controller.take(live(doorbell))
    assert doorbell.after(0.25) == []
    assert [kind for kind, _ in doorbell.sink.facts] == ["fault_raised", "fault_cleared"]


def test_an_active_fault_says_what_is_wrong_now_and_since_when_it_is(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(Fault(code="mqtt_down", active=True, text="connection refused"))
    (first,) = doorbell.controller.status()["faults"]
    doorbell.after(40)
    doorbell.controller.take(Fault(code="mqtt_down", active=True, text="not authorized"))
    (now,) = doorbell.controller.status()["faults"]
    assert now == {**first, "text": "not authorized"}
    assert [kind for kind, _ in doorbell.sink.facts] == ["fault_raised"]


def test_things_of_one_kind_have_a_fault_each(doorbell: ControllerHarness) -> None:
    for subject in ("attic", "cellar"):
        doorbell.controller.take(Fault(code="backup", active=True, subject=subject, text="no answer"))
    doorbell.controller.take(Fault(code="backup", active=False, subject="attic"))
    assert [fault["subject"] for fault in doorbell.controller.status()["faults"]] == ["cellar"]
    assert [fields["subject"] for _, fields in doorbell.sink.facts] == ["attic", "cellar", "attic"]


def test_a_camera_that_opens_for_ever_is_a_fault(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(CameraReport(mono_us=doorbell.time.now_us, kind="stream", state="opening"))
    assert doorbell.after(44) == []
    assert doorbell.after(2) == ["camera_stalled"]


def test_a_camera_that_is_opened_again_is_down_and_no_longer_stalled(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(live(doorbell))
    doorbell.after(5)
    report = CameraReport(mono_us=0, kind="scene", state="down", text="gave no picture for 5 s")
    doorbell.controller.take(report)
    assert doorbell.after(0.25) == ["camera_down"]


def test_a_camera_s_fault_names_it_and_why_without_a_password(doorbell: ControllerHarness) -> None:
    report = CameraReport(
        mono_us=0,
        kind="stream",
        state="down",
        text="camera rtsp://10.0.0.9:554: rtsp://me:secret@10.0.0.9:554/door?x=1 is gone",
        reason="other",
        params={"source": "rtsp://10.0.0.9:554", "detail": "rtsp://me:secret@10.0.0.9:554/door?x=1 is gone"},
    )
    doorbell.controller.take(report)
    (fault,) = doorbell.controller.status()["faults"]
    assert fault["reason"] == "other"
    assert fault["params"] == {"source": "rtsp://10.0.0.9:554", "detail": "rtsp://10.0.0.9:554 is gone"}


def test_the_last_press_may_be_of_an_earlier_run(doorbell: ControllerHarness) -> None:
    assert doorbell.controller.status()["press"]["last_at"] is None
    doorbell.controller.take(EarlierPress(wall_us=1_790_000_000_000_000))
    assert doorbell.controller.status()["press"]["last_at"] == rfc3339(1_790_000_000_000_000)
    ring(doorbell)
    assert doorbell.controller.status()["press"]["last_at"] == rfc3339(doorbell.time.wall_us())


def test_the_first_frame_rate_is_published_at_once(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(
        CameraReport(mono_us=0, kind="scene", state="live", last_frame_us=doorbell.time.now_us)
    )
    doorbell.after(0.25)
    assert doorbell.sink.state["camera_fps"] == 0
    doorbell.controller.take(live(doorbell))
    doorbell.after(0.25)
    assert doorbell.sink.state["camera_fps"] == 15


def clips_opened(doorbell: ControllerHarness) -> int:
    return sum(isinstance(order, OpenClip) for order in doorbell.sink.clips)


def set_privacy(doorbell: ControllerHarness, value: str) -> None:
    now_us = doorbell.time.now_us
    doorbell.controller.take(SettingAsked(mono_us=now_us, name="privacy", payload=value, origin="mqtt"))


def ring(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(Pressed(at=stamp(doorbell.time), button="front", source="button"))


def test_a_press_in_privacy_does_not_keep_the_next_one_from_being_recorded(
    doorbell: ControllerHarness,
) -> None:
    set_privacy(doorbell, "ON")
    ring(doorbell)
    assert clips_opened(doorbell) == 0
    set_privacy(doorbell, "OFF")
    doorbell.after(1)
    ring(doorbell)
    assert clips_opened(doorbell) == 1


def test_a_press_gets_a_picture_but_not_in_privacy(doorbell: ControllerHarness) -> None:
    set_privacy(doorbell, "ON")
    ring(doorbell)
    assert doorbell.sink.pictured == []
    set_privacy(doorbell, "OFF")
    ring(doorbell)
    ring(doorbell)
    assert doorbell.sink.pictured == [1, 2]


@pytest.mark.parametrize("step_us", [HOUR_US, -HOUR_US])
def test_a_press_has_one_time_wherever_it_is_shown_though_the_clock_is_stepped_meanwhile(
    doorbell: ControllerHarness, step_us: int
) -> None:
    def step() -> None:
        doorbell.time.zero_us += step_us

    answers: list[dict[str, Any]] = []
    edge = stamp(doorbell.time)
    step()  # while the fact waits in the inbox
    doorbell.sink.on_press = step  # and between MQTT and the log
    doorbell.controller.take(Pressed(at=edge, button="front", source="button", reply=answers.append))
    (press,) = doorbell.sink.presses
    assert press.at == doorbell.sink.stamps["press"] == edge
    assert json.loads(press_payload(press, None))["occurred_at"] == rfc3339(edge.wall_us)
    assert answers[0]["occurred_at"] == rfc3339(edge.wall_us)
    assert doorbell.controller.status()["press"]["last_at"] == rfc3339(edge.wall_us)


def test_a_clip_that_is_asked_for_is_made_or_refused_with_a_reason(doorbell: ControllerHarness) -> None:
    answers: list[dict[str, Any]] = []

    def ask() -> dict[str, Any]:
        doorbell.controller.take(ClipAsked(mono_us=doorbell.time.now_us, reply=answers.append))
        return answers[-1]

    assert ask()["refused"] == ("no_pictures", "the camera is opening: nothing can be recorded")
    doorbell.controller.take(CameraReport(mono_us=0, kind="scene", state="down", text="unplugged"))
    assert ask()["refused"] == ("no_pictures", "the camera is down: nothing can be recorded (unplugged)")
    doorbell.controller.take(live(doorbell))
    set_privacy(doorbell, "ON")
    assert ask()["refused"] == ("privacy", "privacy is on: nothing is recorded")
    assert [fields["clip_id"] for kind, fields in doorbell.sink.facts if kind == "clip_dropped"] == [None] * 3
    set_privacy(doorbell, "OFF")
    assert (ask()["refused"], answers[-1]["joined"]) == (None, False)
    assert (ask()["refused"], answers[-1]["joined"]) == (None, True)
    assert clips_opened(doorbell) == 1


def test_a_press_in_privacy_is_logged_as_not_recorded_once_a_visit(doorbell: ControllerHarness) -> None:
    set_privacy(doorbell, "ON")
    ring(doorbell)
    ring(doorbell)
    lost = [fields["reason"] for kind, fields in doorbell.sink.facts if kind == "clip_dropped"]
    assert lost == ["privacy"]


def test_a_new_connection_begins_with_the_state_as_it_is_now(doorbell: ControllerHarness) -> None:
    doorbell.after(0.25)
    ring(doorbell)
    assert doorbell.sink.state["presses"] == 0
    doorbell.controller.take(MqttReport(mono_us=0, state="up"))
    doorbell.after(0.25)
    assert doorbell.sink.state["presses"] == 1


def test_quiet_hours_let_only_what_is_severe_through(doorbell: ControllerHarness) -> None:
    def hear(severity: str) -> None:
        notice: Any = {"source": "s", "id": "1", "kind": "alert", "severity": severity, "state": "current"}
        doorbell.controller.take(NoticeHeard(mono_us=doorbell.time.now_us, notice=notice))

    severities = ("extreme", "severe", "moderate", "minor", "unknown")
    for severity in severities:
        hear(severity)
    assert doorbell.sink.notices == [(severity, True) for severity in severities]
    doorbell.sink.notices.clear()
    doorbell.controller.config = Config(chime=ChimeConfig(quiet_hours="00:00-00:00"))
    for severity in severities:
        hear(severity)
    assert [severity for severity, announced in doorbell.sink.notices if announced] == ["extreme", "severe"]
    doorbell.sink.notices.clear()
    doorbell.controller.config = Config()
    doorbell.controller.settings = replace(Settings(), quiet_until_us=doorbell.time.wall_us() + 1)
    hear("moderate")
    assert doorbell.sink.notices == [("moderate", False)]


def test_the_number_of_pending_requests_is_published_without_their_content(
    doorbell: ControllerHarness,
) -> None:
    doorbell.controller.take(LedgerReport(head="0" * 64, length=3, pending=2))
    doorbell.controller.take(ConsentStep(mono_us=0, fields={"request": "01KA", "state": "offered"}))
    assert doorbell.sink.pending_requests == 2
    doorbell.after(1)
    state = doorbell.sink.state
    assert (state["ledger_head"], state["ledger_entries"]) == ("0" * 64, 3)
    assert ("consent", {"request": "01KA", "state": "offered"}) in doorbell.sink.facts


def test_a_button_that_is_held_down_is_a_fault_until_it_is_free(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(ButtonState(kind="gpio", state="live"))
    doorbell.button.held = 29_000_000
    assert doorbell.after(2) == []
    doorbell.button.held = 31_000_000
    assert doorbell.after(2) == ["button_stuck"]
    status = doorbell.controller.status()
    assert status["button"]["state"] == "stuck"
    assert "more than 30 s" in status["faults"][0]["text"]
    doorbell.button.held = 0
    assert doorbell.after(2) == []
    assert doorbell.controller.status()["button"]["state"] == "live"


def store(**more: Any) -> StoreReport:
    return StoreReport(used_bytes=0, limit_bytes=1, clips=0, oldest_wall_us=None, log_pending=0, **more)


def test_a_weak_power_supply_is_a_fault_and_throttling_is_published(doorbell: ControllerHarness) -> None:
    doorbell.controller.take(store(throttling=("under_voltage", "throttled")))
    assert doorbell.after(0.25) == ["power_weak"]
    doorbell.controller.take(store(throttling=("throttled",)))
    assert doorbell.after(60) == []
    assert doorbell.sink.state["throttling"] == ["throttled"]


def ask_for(doorbell: ControllerHarness, name: str, payload: str) -> None:
    doorbell.controller.take(
        SettingAsked(mono_us=doorbell.time.now_us, name=name, payload=payload, origin="mqtt")
    )


def test_quiet_until_clears_itself_when_its_time_has_come(doorbell: ControllerHarness) -> None:
    until = rfc3339(doorbell.time.wall_us() + HOUR_US)
    ask_for(doorbell, "quiet_until", until)
    assert doorbell.sink.quiet_until == until
    doorbell.after(3599)
    assert doorbell.sink.quiet_until == until
    doorbell.after(1)
    assert doorbell.sink.quiet_until == "None"
    assert doorbell.controller.settings.quiet_until_us == 0


@pytest.mark.parametrize("ended", ["", "None", "2020-01-01T00:00:00+00:00"])
def test_quiet_until_is_ended_by_nothing_or_by_a_time_that_has_passed(
    doorbell: ControllerHarness, ended: str
) -> None:
    ask_for(doorbell, "quiet_until", rfc3339(doorbell.time.wall_us() + HOUR_US))
    ask_for(doorbell, "quiet_until", ended)
    assert doorbell.sink.quiet_until == "None"


def test_a_refused_change_is_published_and_so_is_the_text_of_a_fault(doorbell: ControllerHarness) -> None:
    ask_for(doorbell, "privacy", "maybe")
    assert doorbell.sink.refusal["setting"] == "privacy"
    assert "ON or OFF" in doorbell.sink.refusal["reason"]
    doorbell.controller.take(Fault(code="mqtt_down", active=True, text="nothing answers"))
    assert doorbell.sink.faults == ["nothing answers"]
    doorbell.controller.take(Fault(code="mqtt_down", active=False))
    assert doorbell.sink.faults == []


@pytest.mark.parametrize("payload", ["1.01", "-0.1", "nan", "inf", "high", "", "0x1"])
def test_a_sensitivity_that_is_no_share_is_refused(doorbell: ControllerHarness, payload: str) -> None:
    ask_for(doorbell, "motion_sensitivity", payload)
    assert doorbell.sink.numbers == {}
    assert "0 to 1" in doorbell.sink.refusal["reason"]
