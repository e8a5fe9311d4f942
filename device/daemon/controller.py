"""The controller makes every decision: it takes facts from one inbox, asks the rules and gives commands.

It runs on the main thread, owns no file, socket or device and never blocks: each command only enqueues.
`Controller._pressed` is where a press becomes a ring.
"""

import logging
import queue
import time
from dataclasses import dataclass, field, replace
from typing import Any

from device import __version__
from device.config import Config
from device.daemon import fault_checks, log_fields
from device.daemon.clip_commands import PRIVACY_TEXT, ClipCommands, no_clip_reason
from device.daemon.command_sink import CommandSink
from device.daemon.fault_checks import ButtonLine
from device.daemon.fault_rows import FaultRow, FaultRows
from device.daemon.status import DeviceState, motion, state, status
from device.events import (
    ButtonState,
    CameraReport,
    Cause,
    ClipAsked,
    ClipDeleted,
    ClipDropped,
    ClipKept,
    ConfigChanged,
    ConsentStep,
    EarlierPress,
    Fact,
    Fault,
    Flushed,
    InputRefused,
    LedgerReport,
    MotionEnded,
    MotionSettling,
    MotionStarted,
    MqttReport,
    NoticeHeard,
    Pressed,
    PressEvent,
    PressMissed,
    PressPictureReady,
    PressSettled,
    RecordingNow,
    SettingAsked,
    StatusAsked,
    StopAsked,
    StoreReport,
    WorkerDied,
)
from device.policy.settings import (
    NUMBERS,
    SWITCHES,
    SettingRefused,
    Settings,
    number_of,
    with_setting,
    without_past,
)
from device.system.clock import Clock, minute_of_day, parse_rfc3339, rfc3339, stamp, within
from device.system.urls import without_urls

log = logging.getLogger(__name__)

BUTTON_CHECK_EVERY_US = 2_000_000
AFTER_PRESS_S = 0.001
"""At a press the controller lets MQTT and chime run before it wakes storage and log: one Python thread runs at a
time, and this takes a fifth off the median until a subscriber has the press (docs/performance.md)."""
LOUD_SEVERITIES = ("extreme", "severe")
"""Severities that are announced in quiet hours too; the words are CAP 1.2's in lower case."""


@dataclass(slots=True, kw_only=True)
class Controller:
    """Takes facts and the time. MainLoop reads the inbox; the controller only reports its length."""

    config: Config
    clock: Clock
    sink: CommandSink
    settings: Settings
    inbox: "queue.SimpleQueue[Fact]"
    button: ButtonLine | None = None
    _device_state: DeviceState = field(init=False)
    _clips: ClipCommands = field(init=False)
    _fault_rows: FaultRows = field(default_factory=FaultRows)
    _button_checked_us: int = 0
    _published_us: int | None = None
    _motion_event_id: str | None = None
    """The visit that the current motion began in; it may be over before the motion is."""

    def __post_init__(self) -> None:
        self._clips = ClipCommands(self.config.clips, self.sink, privacy=self.settings.privacy)
        self._device_state = DeviceState(started_us=self.clock.mono_us())

    def open(self) -> None:
        """Publish settings and motion, and log the start; called once the button is live."""
        self._device_state.ready = True
        self.sink.publish_settings(self.settings)
        self.sink.publish_numbers({"motion_sensitivity": self.config.motion.sensitivity})
        self.sink.publish_motion(moving=False)
        self.sink.publish_faults([])
        self._note("started", {"version": __version__})

    def stop(self) -> None:
        """Close what is open; what the storage worker reports after that still gets into the log."""
        self._clips.stop(self.clock.mono_us())
        self.sink.flush()
        self.sink.publish_motion(moving=False)

    def stopped(self) -> None:
        """Log the end; nothing is logged after it."""
        self._note("stopped", {})

    # --- facts ------------------------------------------------------------------------------------

    def take(self, fact: Fact) -> None:
        """Take one fact."""
        match fact:
            case Pressed():
                self._pressed(fact)
            case MotionStarted():
                self._motion_started(fact)
            case MotionSettling():
                self._device_state.settling = fact.settling
                self._published_us = None
            case MotionEnded():
                self._motion_ended(fact)
            case ClipAsked():
                self._clip_asked(fact)
            case PressSettled():
                self.sink.settle(fact.press_id, late=not fact.delivered)
            case PressMissed():
                self._press_missed(fact)
            case PressPictureReady():
                self.sink.show_press_picture(fact)
            case ClipKept() | ClipDropped() | ClipDeleted() | RecordingNow():
                self._clip_reported(fact)
            case SettingAsked():
                self._set(fact)
            case InputRefused():
                self._refused(log_fields.setting_refused(fact.where, fact.reason, fact.count))
            case CameraReport():
                self._camera_reported(fact)
            case ButtonState():
                self._device_state.button = fact
            case MqttReport():
                self._device_state.mqtt = fact
                self._published_us = None  # a new connection gets the current state
            case StoreReport() | EarlierPress():
                self._store_reported(fact)
            case Fault():
                self._raise_or_clear(fact)
            case NoticeHeard():
                self._notice_heard(fact)
            case ConsentStep():
                self._note(fact.kind, fact.fields, mono_us=fact.mono_us)
            case LedgerReport():
                self._ledger_reported(fact)
            case StatusAsked():
                fact.reply(self.status())
            case ConfigChanged():
                self._config_changed(fact)
            case StopAsked() | WorkerDied() | Flushed():
                raise AssertionError("MainLoop handles these")

    def _pressed(self, press: Pressed) -> None:
        self._device_state.presses += 1
        self._device_state.last_press = press.at
        orders = self._clips.trigger("press", press.at)
        assert self._clips.event_id  # noqa: S101  (a press always has a visit)
        event = PressEvent(
            press_id=self._device_state.presses,
            at=press.at,
            button=press.button,
            event_id=self._clips.event_id,
            press_number=self._clips.presses,
        )
        self.sink.publish_press(event)
        if not self.settings.chime_muted and not self._is_quiet(event.at.wall_us):
            self.sink.ring()
        time.sleep(AFTER_PRESS_S)
        self._clips.give(orders)
        if not self.settings.privacy:
            self.sink.picture_press(event)
        self.sink.log_fact(
            "press",
            at=event.at,
            late=None,
            event_id=event.event_id,
            press_id=event.press_id,
            fields=log_fields.press(event),
        )
        if self.settings.privacy and event.press_number == 1:
            dropped = ClipDropped(
                event_id=event.event_id, mono_us=event.at.mono_us, reason="privacy", text=PRIVACY_TEXT
            )
            self._note("clip_dropped", log_fields.clip_dropped(dropped), event_id=event.event_id)
        log.info("press event_id=%s source=%s", event.event_id, press.source)
        if press.reply:
            press.reply(_answer(event))

    def _clip_asked(self, asked: ClipAsked) -> None:
        """Record a clip now, or log and answer why that is impossible."""
        refused = no_clip_reason(self._device_state.camera, privacy=self.settings.privacy)
        joined = self._clips.event_id is not None
        if refused:
            reason, text = refused
            dropped = ClipDropped(event_id="", mono_us=asked.mono_us, reason=reason, text=text)
            self._note("clip_dropped", log_fields.clip_dropped(dropped))
        else:
            self._trigger("manual", asked.mono_us)
        if asked.reply:
            asked.reply({"refused": refused, "joined": joined, "event_id": self._clips.event_id})

    def _clip_reported(self, fact: ClipKept | ClipDropped | ClipDeleted | RecordingNow) -> None:
        match fact:
            case ClipKept():
                self._note("clip_kept", log_fields.clip_kept(fact), event_id=fact.event_id)
            case ClipDropped():
                self._note("clip_dropped", log_fields.clip_dropped(fact), event_id=fact.event_id or None)
            case ClipDeleted():
                self._note("clip_deleted", log_fields.clip_deleted(fact), event_id=fact.event_id)
            case RecordingNow():
                self._device_state.recording = fact.event_ids
                self.sink.show_recording(fact.event_ids)

    def _trigger(self, cause: Cause, mono_us: int) -> None:
        self._clips.give(self._clips.trigger(cause, stamp(self.clock, mono_us)))

    def _is_quiet(self, wall_us: int) -> bool:
        """Return whether quiet hours or the owner's "quiet until" silence the chime."""
        quiet_hours = within(self.config.chime.quiet_hours, minute_of_day(wall_us))
        return quiet_hours or wall_us < self.settings.quiet_until_us

    def _motion_started(self, fact: MotionStarted) -> None:
        self._device_state.moving = True
        self._trigger("motion", fact.mono_us)
        event_id = self._motion_event_id = self._clips.event_id
        self.sink.publish_motion_attributes(fact, event_id)
        self.sink.publish_motion(moving=True)
        self._note("motion_started", log_fields.motion_started(fact), event_id=event_id, mono_us=fact.mono_us)

    def _motion_ended(self, fact: MotionEnded) -> None:
        self._device_state.moving = False
        self._clips.still(last_us=fact.last_us)
        self.sink.publish_motion(moving=False)
        event_id, self._motion_event_id = self._motion_event_id, None
        self._note("motion_ended", log_fields.motion_ended(fact), event_id=event_id, mono_us=fact.mono_us)

    def _press_missed(self, missed: PressMissed) -> None:
        """Show a press that did not ring where it should have; it is never repeated."""
        self._device_state.missed += 1
        self._device_state.last_missed = missed
        self.sink.publish_missed_ring(missed, self._device_state.missed)
        self._note("press_missed", log_fields.press_missed(missed), event_id=missed.press.event_id)
        log.warning("press_missed event_id=%s reason=%s", missed.press.event_id, missed.reason)

    def _notice_heard(self, fact: NoticeHeard) -> None:
        """Announce it; in quiet hours a notice that is not severe is only shown on the page."""
        announce = fact.notice["severity"] in LOUD_SEVERITIES or not self._is_quiet(self.clock.wall_us())
        self.sink.publish_notice(fact.notice, announce=announce)
        self._note("notice", log_fields.notice(fact.notice, announced=announce), mono_us=fact.mono_us)

    def _camera_reported(self, report: CameraReport) -> None:
        before, self._device_state.camera = self._device_state.camera, report
        changed = before is None or before.state != report.state
        if changed or (report.fps > 0 and before is not None and not before.fps):
            self._published_us = None  # at once: a dashboard would show 0 frames a second for a minute
        if changed:
            log.info("camera state=%s kind=%s %s", report.state, report.kind, report.text)
            self._raise_or_clear(*fault_checks.of_camera(report))

    def _ledger_reported(self, report: LedgerReport) -> None:
        self._device_state.ledger = report
        self.sink.publish_pending_requests(report.pending)
        self._published_us = None

    def _store_reported(self, report: StoreReport | EarlierPress) -> None:
        if isinstance(report, EarlierPress):
            self._device_state.earlier_press_us = report.wall_us
            return
        before, self._device_state.store = self._device_state.store, report
        if before is None or report.clips != before.clips:
            self._published_us = None
        self._raise_or_clear(fault_checks.power_weak(report))

    def _raise_or_clear(self, *faults: Fault) -> None:
        for reported in faults:
            # The text may be a library's error that repeats a URL and its password; MQTT and the page show it.
            params = {key: without_urls(v) if isinstance(v, str) else v for key, v in reported.params.items()}
            fault = replace(reported, text=without_urls(reported.text), params=params)
            if not self._device_state.take_fault(fault, wall_us=self.clock.wall_us()):
                continue
            if fault.active:
                log.warning("fault_raised code=%s text=%r remedy=%r", fault.code, fault.text, fault.remedy)
            else:
                log.info("fault_cleared code=%s", fault.code)
            self._published_us = None
            self.sink.publish_faults(list(self._device_state.faults.values()))
            self._note_fault(self._fault_rows.take(fault, self.clock.mono_us()))

    def _note_fault(self, row: FaultRow | None) -> None:
        if row:
            self._note("fault_raised" if row.fault.active else "fault_cleared", log_fields.fault(row))

    def _set(self, asked: SettingAsked) -> None:
        try:
            if asked.name in NUMBERS and asked.origin == "mqtt":
                self.sink.change_number(asked.name, number_of(asked.name, asked.payload))
                return
            settings = with_setting(
                self.settings,
                asked.name,
                asked.payload,
                wall_us=self.clock.wall_us(),
                parse_time=parse_rfc3339,
            )
        except SettingRefused as error:
            self._refused(log_fields.setting_refused(asked.name[:40], str(error)))
            if asked.reply:
                asked.reply({"error": str(error), "code": error.code})
            return
        if settings.privacy != self.settings.privacy:
            self.sink.set_privacy(on=settings.privacy)
            # Also at its end: what was triggered meanwhile was not recorded, and must not count as open.
            self._clips.stop(asked.mono_us)
            self._clips.privacy = settings.privacy
        if asked.reply:
            asked.reply({})
        if settings == self.settings:
            return
        self._take_settings(settings)
        self._note("setting_changed", {"setting": asked.name, "value": asked.payload})
        log.info("setting_changed name=%s value=%s by=%s", asked.name, asked.payload, asked.origin)

    def _refused(self, fields: dict[str, Any]) -> None:
        """Log a change that was refused, and show it on dashboards, where it was asked for."""
        self._note("setting_refused", fields)
        self.sink.publish_last_refusal({**fields, "at": rfc3339(self.clock.wall_us())})

    def _take_settings(self, settings: Settings) -> None:
        self.settings = settings
        self.sink.save(settings)
        self.sink.publish_settings(settings)

    def _config_changed(self, fact: ConfigChanged) -> None:
        self.config = fact.config
        self._clips.configure(fact.config.clips)
        # A new MQTT publisher has no retained topics yet.
        self.sink.publish_settings(self.settings)
        self.sink.publish_numbers({"motion_sensitivity": self.config.motion.sensitivity})
        self.sink.publish_motion(moving=self._device_state.moving)
        self.sink.publish_faults(list(self._device_state.faults.values()))
        self._published_us = None
        self._note("config_changed", {"keys": list(fact.keys)})
        log.info("config_changed keys=%s", ",".join(fact.keys))

    def _note(
        self,
        kind: str,
        fields: dict[str, Any],
        *,
        event_id: str | None = None,
        mono_us: int | None = None,
    ) -> None:
        self.sink.log_fact(
            kind,
            at=stamp(self.clock, mono_us),
            late=self._device_state.mqtt is None or self._device_state.mqtt.state != "up",
            event_id=event_id,
            press_id=None,
            fields=fields,
        )

    # --- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due by time: close clips, check for faults, publish the state."""
        now_us = self.clock.mono_us()
        self._clips.tick(now_us)
        if (settings := without_past(self.settings, self.clock.wall_us())) != self.settings:
            self._take_settings(settings)
        if self.button and now_us - self._button_checked_us >= BUTTON_CHECK_EVERY_US:
            self._button_checked_us = now_us
            deaf, stuck = fault_checks.of_button(self.button, now_us, self.config.button.gpio.stuck_s)
            self._device_state.button_stuck = stuck.active
            self._raise_or_clear(deaf, stuck)
        self._raise_or_clear(fault_checks.camera_stalled(self._device_state.camera, now_us))
        for row in self._fault_rows.tick(now_us):
            self._note_fault(row)
        every_us = int(self.config.mqtt.state_every_s * 1e6)
        if self._published_us is None or now_us - self._published_us >= every_us:
            self._published_us = now_us
            motion_enabled, waiting = self.motion_enabled, self.inbox.qsize()
            self.sink.publish_state(
                state(
                    self._device_state, self.config, self.clock, inbox=waiting, motion_enabled=motion_enabled
                )
            )

    @property
    def motion_enabled(self) -> bool:
        """Whether motion is reported, by the configuration and by the switch."""
        return self.config.motion.enabled and self.settings.motion_enabled

    def status(self) -> dict[str, Any]:
        """Return what `doorbell status --json` shows (api_backend.py adds the rest)."""
        quiet_until_us = self.settings.quiet_until_us
        return {
            **status(self._device_state, self.config, self.clock),
            "motion": motion(self._device_state, enabled=self.motion_enabled),
            "settings": {
                **{name: getattr(self.settings, name) for name in SWITCHES},
                "quiet_until": rfc3339(quiet_until_us) if quiet_until_us > self.clock.wall_us() else None,
            },
        }


def _answer(press: PressEvent) -> dict[str, Any]:
    """Return the answer for `doorbell ring`."""
    return {
        "event_type": "ring",
        "event_id": press.event_id,
        "occurred_at": rfc3339(press.at.wall_us),
        "button": press.button,
        "clock": press.at.flag,
        "press_number": press.press_number,
        "mono_us": press.at.mono_us,
    }
