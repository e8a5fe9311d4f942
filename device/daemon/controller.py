"""The controller: the one decider. Takes facts from one inbox, asks the rules, gives orders.

It owns no file, socket or device, runs on the main thread and never blocks: what it calls only enqueues.
Here a press becomes a ring: `Controller._pressed`.
"""

import json
import logging
import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from device import __version__
from device.config import Config
from device.daemon.status import DeviceState, motion, state, status
from device.events import (
    ButtonState,
    CameraReport,
    ClipAsked,
    ClipDropped,
    ClipKept,
    ConfigChanged,
    ConsentStep,
    Fact,
    Fault,
    Flushed,
    InputRefused,
    LedgerReport,
    LinkReport,
    MotionEnded,
    MotionSettling,
    MotionStarted,
    NoticeHeard,
    Pressed,
    PressSettled,
    SettingAsked,
    StatusAsked,
    StopAsked,
    StoreReport,
    WorkerDied,
)
from device.policy.episode import ClipOrder, EpisodeRule
from device.policy.settings import (
    QUIET_UNTIL,
    SWITCHES,
    SettingRefused,
    Settings,
    changed,
)
from device.system.clock import Clock, minute_of_day, parse_rfc3339, rfc3339, wall_at_us, within
from device.system.sd_notify import Notifier
from device.system.ulid import new_ulid
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 0.25
WATCHDOG_EVERY_US = 2_000_000
STALLED_US = 4_000_000
"""A camera reports once a second: so a stall is told within 5 s of the last picture."""
OPENING_US = 45_000_000
"""Longer than the slowest camera takes to open, or to say that it cannot."""
FIRST_GO_S = 0.001
"""At a press the controller steps aside for link and chime before it wakes storage and log: one Python thread runs
at a time, and this takes a fifth off the median until a subscriber hears of it (docs/performance.md)."""
FLUSH_US = 1_200_000
"""An orderly stop takes 3 s at most; this much of it is for the last clip."""


LOUD_SEVERITIES = ("extreme", "severe")
"""Notices that quiet hours let through; the words are CAP 1.2's in lower case."""


class CommandSink(Protocol):
    """Where orders go. Every method only enqueues."""

    def press(self, press_id: int, mono_us: int, payload: str) -> None:
        """Tell a press over MQTT, now or never."""

    def retain(self, subtopic: str, payload: str) -> None:
        """Set a retained MQTT topic."""

    def notice(self, notice: dict[str, Any], *, announce: bool) -> None:
        """Tell a notice to the pages that are open, and over MQTT if it is to be announced."""

    def ring(self) -> None:
        """Sound the chime."""

    def clip(self, order: ClipOrder) -> None:
        """Open, raise or close a clip."""

    def flush(self) -> None:
        """End every recording now; Flushed comes back."""

    def log_fact(
        self,
        kind: str,
        *,
        mono_us: int,
        late: bool | None,
        event_id: str | None,
        press_id: int | None,
        fields: dict[str, Any],
    ) -> None:
        """Keep a fact in the log."""

    def settle(self, press_id: int, *, late: bool) -> None:
        """Decide the `late` of a press in the log."""

    def save(self, settings: Settings) -> None:
        """Keep the owner's switches over a restart."""


class ButtonLine(Protocol):
    """What the controller asks the button now and then."""

    def healthy(self) -> bool:
        """Return whether an edge would still be heard."""

    def held_us(self, mono_us: int) -> int:
        """Return for how long the button has been down at `mono_us`, 0 if it is up."""


@dataclass(slots=True, kw_only=True)
class Controller:
    """Serves the inbox until told to stop; `run` returns the exit status."""

    config: Config
    clock: Clock
    sink: CommandSink
    settings: Settings
    notifier: Notifier
    inbox: "queue.SimpleQueue[Fact]"
    workers: list[Worker] = field(default_factory=list)
    button: ButtonLine | None = None
    _device_state: DeviceState = field(init=False)
    _episodes: EpisodeRule = field(init=False)
    _fed_us: int = 0
    _told_us: int | None = None
    _flushed: bool = False
    _stop_by_us: int | None = None

    def __post_init__(self) -> None:
        self._episodes = EpisodeRule(pre_roll_us=0, post_roll_us=0, longest_us=0)
        self._take_lengths()
        self._device_state = DeviceState(started_us=self.clock.mono_us())

    def _take_lengths(self) -> None:
        clips = self.config.clips
        self._episodes.pre_roll_us = int(clips.pre_roll_s * 1e6)
        self._episodes.post_roll_us = int(clips.post_roll_s * 1e6)
        self._episodes.longest_us = int(clips.longest_s * 1e6)

    def open(self) -> None:
        """Tell the world who is here; called once the button is live."""
        self._device_state.ready = True
        self._tell_settings()
        self.sink.retain("motion", "OFF")
        self._note("started", {"version": __version__})

    def run(self) -> int:
        """Turn until StopAsked (0) or WorkerDied (1)."""
        while True:
            try:
                fact: Fact | None = self.inbox.get(timeout=STEP_S)
            except queue.Empty:
                fact = None
            match fact:
                case None:
                    pass
                case StopAsked():
                    self._begin_stop(fact)
                case Flushed():
                    self._flushed = True
                case WorkerDied():
                    return 1
                case _:
                    self.take(fact)
            if self._stop_by_us is not None and (self._flushed or self.clock.mono_us() > self._stop_by_us):
                self._note("stopped", {})
                return 0
            self.tick()

    def _begin_stop(self, asked: StopAsked) -> None:
        """Close what is open; what the storage worker then tells still gets into the log."""
        log.info("stopping signal=%s", asked.signal_name)
        now_us = self.clock.mono_us()
        self._stop_by_us = now_us + FLUSH_US
        self._give(self._episodes.stop(now_us))
        self.sink.flush()
        self.sink.retain("motion", "OFF")

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
                self._told_us = None
            case MotionEnded():
                self._motion_ended(fact)
            case ClipAsked():
                self._clip_asked(fact)
            case PressSettled():
                self.sink.settle(fact.press_id, late=not fact.delivered)
            case ClipKept():
                self._clip_kept(fact)
            case ClipDropped():
                self._note(
                    "clip_dropped",
                    {"clip_id": fact.clip_id, "reason": fact.reason},
                    event_id=fact.event_id or None,
                )
            case SettingAsked():
                self._set(fact)
            case InputRefused():
                fields = {"setting": fact.where, "reason": fact.reason, "count": fact.count}
                self._note("setting_refused", fields)
            case CameraReport():
                self._camera_said(fact)
            case ButtonState():
                self._device_state.button = fact
            case LinkReport():
                self._device_state.link = fact
                self._told_us = None  # a new connection begins with the state as it is now
            case StoreReport():
                self._store_said(fact)
            case Fault():
                self._fault(fact)
            case NoticeHeard():
                self._notice_heard(fact)
            case ConsentStep():
                self._note(fact.kind, fact.fields, mono_us=fact.mono_us)
            case LedgerReport():
                self._device_state.ledger = fact
                self.sink.retain("requests/pending", str(fact.pending))
                self._told_us = None
            case StatusAsked():
                fact.reply(self.status())
            case ConfigChanged():
                self._config_changed(fact)
            case StopAsked() | WorkerDied() | Flushed():
                raise AssertionError("run() handles these")

    def _pressed(self, press: Pressed) -> None:
        self._device_state.presses += 1
        self._device_state.last_press_us = press.mono_us
        orders = self._trigger("press", press.mono_us)
        wall_us = wall_at_us(self.clock, press.mono_us)
        payload = {
            "event_type": "ring",
            "event_id": self._episodes.event_id,
            "occurred_at": rfc3339(wall_us),
            "button": press.button,
            "clock": self.clock.flag(),
            "press_number": self._episodes.presses,
        }
        self.sink.press(self._device_state.presses, press.mono_us, json.dumps(payload))
        quiet = within(self.config.chime.quiet_hours, minute_of_day(wall_us))
        if self.settings.chime_rings(wall_us) and not quiet:
            self.sink.ring()
        time.sleep(FIRST_GO_S)
        self._give(orders)
        self.sink.log_fact(
            "press",
            mono_us=press.mono_us,
            late=None,
            event_id=self._episodes.event_id,
            press_id=self._device_state.presses,
            fields={"button": press.button, "press_number": self._episodes.presses},
        )
        log.info("press event_id=%s source=%s", self._episodes.event_id, press.source)
        if press.reply:
            press.reply({**payload, "mono_us": press.mono_us})

    def _clip_asked(self, asked: ClipAsked) -> None:
        """Record, or say why not: a clip that was asked for never fails to come in silence."""
        camera = self._device_state.camera
        refused = ""
        if self.settings.privacy:
            refused = "privacy is on: nothing is recorded"
        elif camera is None or camera.state != "live":
            refused = f"the camera is {camera.state if camera else 'opening'}: nothing can be recorded"
            if camera and camera.text:
                refused += f" ({camera.text})"
        joined = self._episodes.event_id is not None
        if refused:
            self._note("clip_dropped", {"clip_id": None, "reason": refused})
        else:
            self._give(self._trigger("manual", asked.mono_us))
        if asked.reply:
            asked.reply({"refused": refused, "joined": joined, "event_id": self._episodes.event_id})

    def _trigger(self, cause: Any, mono_us: int) -> list[ClipOrder]:
        new_id = new_ulid(wall_at_us(self.clock, mono_us))
        return self._episodes.trigger(cause, mono_us=mono_us, new_event_id=new_id)

    def _give(self, orders: Sequence[ClipOrder]) -> None:
        if self.settings.privacy:
            return  # The rule goes on, so that presses of one visit share an id; nothing is recorded.
        for order in orders:
            self.sink.clip(order)

    def _motion_started(self, fact: MotionStarted) -> None:
        self._device_state.moving = True
        self._give(self._trigger("motion", fact.mono_us))
        event_id = self._episodes.event_id
        fields = {"score": fact.score, "zones": list(fact.zones)}
        self.sink.retain("motion/attributes", json.dumps({**fields, "event_id": event_id}))
        self.sink.retain("motion", "ON")
        self._note("motion_started", fields, event_id=event_id, mono_us=fact.mono_us)

    def _motion_ended(self, fact: MotionEnded) -> None:
        self._device_state.moving = False
        self._episodes.still(last_us=fact.last_us)
        self.sink.retain("motion", "OFF")
        self._note(
            "motion_ended",
            {
                "peak_score": fact.peak_score,
                "zones": list(fact.zones),
                "direction": fact.direction,
                "moved_s": round((fact.last_us - fact.started_us) / 1e6, 1),
                "why": list(fact.why),
            },
            event_id=self._episodes.event_id,
            mono_us=fact.mono_us,
        )

    def _clip_kept(self, fact: ClipKept) -> None:
        self._note(
            "clip_kept",
            {
                "clip_id": fact.clip_id,
                "cause": fact.cause,
                "duration_s": round(fact.duration_us / 1e6, 3),
                "bytes": fact.size_bytes,
                "sha256": fact.sha256,
                "adopted": fact.adopted,
            },
            event_id=fact.event_id,
        )

    def _notice_heard(self, fact: NoticeHeard) -> None:
        """Announce it, or in quiet hours only leave it on the page: what is not severe can wait for the
        morning.
        """
        wall_us = self.clock.wall_us()
        quiet = within(self.config.chime.quiet_hours, minute_of_day(wall_us))
        quiet = quiet or self.settings.quiet_until_us > wall_us
        announce = not quiet or fact.notice["severity"] in LOUD_SEVERITIES
        self.sink.notice(fact.notice, announce=announce)
        fields = {name: fact.notice[name] for name in ("source", "id", "kind", "severity", "state")}
        self._note("notice", {**fields, "announced": announce}, mono_us=fact.mono_us)

    def _camera_said(self, report: CameraReport) -> None:
        was, had_fps = "", False
        if self._device_state.camera:
            was, had_fps = self._device_state.camera.state, self._device_state.camera.fps > 0
        self._device_state.camera = report
        if report.fps > 0 and not had_fps:
            self._told_us = None  # the first rate is told at once, or a dashboard shows 0 for a minute
        if report.state == was:
            return
        log.info("camera state=%s kind=%s %s", report.state, report.kind, report.text)
        self._told_us = None  # a change is told at once
        if report.state == "down":
            remedy = "it is tried again by itself, and the bell works without it"
            self._fault(Fault(code="camera_down", active=True, text=report.text, remedy=remedy))
        elif report.state in ("live", "private"):
            self._fault(Fault(code="camera_down", active=False))

    def _store_said(self, report: StoreReport) -> None:
        if self._device_state.store is None or report.clips != self._device_state.store.clips:
            self._told_us = None  # a change is told at once
        self._device_state.store = report
        weak = "under_voltage" in (report.throttling or ())
        text = "the board's supply voltage is too low: it slows down, and a card may be damaged"
        remedy = "use the board's own power supply and a short, thick cable"
        self._fault(Fault(code="power_weak", active=weak, text=text, remedy=remedy))

    def _look_at_button(self, button: ButtonLine, now_us: int) -> None:
        text = "the button's thread is gone: presses would not be heard"
        remedy = "restart doorbelld"
        self._fault(Fault(code="button_deaf", active=not button.healthy(), text=text, remedy=remedy))
        stuck_s = self.config.button.gpio.stuck_s
        self._device_state.button_stuck = button.held_us(now_us) > stuck_s * 1e6
        text = f"the button has been down for more than {stuck_s:g} s: nobody can ring"
        remedy = "free it; if it is not touched, look for water or ice in it, and for a wire to ground"
        self._fault(
            Fault(code="button_stuck", active=self._device_state.button_stuck, text=text, remedy=remedy)
        )

    def _look_at_frame_age(self, now_us: int) -> None:
        camera = self._device_state.camera
        since_us, patience_us = None, STALLED_US
        if camera and camera.state == "live":
            since_us = camera.last_frame_us
        elif camera and camera.state == "opening":
            since_us, patience_us = camera.mono_us, OPENING_US
        stalled = since_us is not None and now_us - since_us > patience_us
        text = f"no picture for {patience_us // 1_000_000} s, and the camera says nothing"
        remedy = "it is opened again by itself; if that does not help, see its power and its network"
        self._fault(Fault(code="camera_stalled", active=stalled, text=text, remedy=remedy))

    def _fault(self, fault: Fault) -> None:
        if not self._device_state.take_fault(fault, wall_us=self.clock.wall_us()):
            return
        if fault.active:
            log.warning("fault_raised code=%s text=%r remedy=%r", fault.code, fault.text, fault.remedy)
            self._note("fault_raised", {"code": fault.code, "text": fault.text})
        else:
            log.info("fault_cleared code=%s", fault.code)
            self._note("fault_cleared", {"code": fault.code})

    def _set(self, asked: SettingAsked) -> None:
        try:
            settings = changed(
                self.settings,
                asked.name,
                asked.payload,
                wall_us=self.clock.wall_us(),
                parse_time=parse_rfc3339,
            )
        except SettingRefused as error:
            self._note("setting_refused", {"setting": asked.name[:40], "reason": str(error), "count": 1})
            if asked.reply:
                asked.reply({"error": str(error)})
            return
        if asked.reply:
            asked.reply({})
        if settings == self.settings:
            return
        if settings.privacy != self.settings.privacy:
            # Also when it ends: what was triggered meanwhile was not recorded, and must not count as open.
            self._give(self._episodes.stop(asked.mono_us))
        self.settings = settings
        self.sink.save(settings)
        self._tell_settings()
        self._note("setting_changed", {"setting": asked.name, "value": asked.payload})
        log.info("setting_changed name=%s value=%s by=%s", asked.name, asked.payload, asked.origin)

    def _config_changed(self, fact: ConfigChanged) -> None:
        self.config = fact.config
        self._take_lengths()
        # A link that was made anew knows nothing of what is retained.
        self._tell_settings()
        self.sink.retain("motion", "ON" if self._device_state.moving else "OFF")
        self._told_us = None
        self._note("config_changed", {"keys": list(fact.keys)})
        log.info("config_changed keys=%s", ",".join(fact.keys))

    def _tell_settings(self) -> None:
        for name in SWITCHES:
            self.sink.retain(name, "ON" if getattr(self.settings, name) else "OFF")
        quiet_us = self.settings.quiet_until_us
        self.sink.retain(QUIET_UNTIL, rfc3339(quiet_us) if quiet_us else "")

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
            mono_us=self.clock.mono_us() if mono_us is None else mono_us,
            late=self._device_state.link is None or self._device_state.link.state != "up",
            event_id=event_id,
            press_id=None,
            fields=fields,
        )

    # --- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take the time: close clips, feed the watchdog, tell the state."""
        now_us = self.clock.mono_us()
        self._give(self._episodes.tick(now_us))
        if now_us - self._fed_us >= WATCHDOG_EVERY_US:
            self._fed_us = now_us
            hung = [w.name for w in self.workers if not w.is_healthy()]
            if hung:
                log.error("watchdog_not_fed silent=%s", ",".join(hung))
            else:
                self.notifier.watchdog()
            if self.button:
                self._look_at_button(self.button, now_us)
        self._look_at_frame_age(now_us)
        every_us = int(self.config.mqtt.state_every_s * 1e6)
        if self._told_us is None or now_us - self._told_us >= every_us:
            self._told_us = now_us
            self.sink.retain("state", json.dumps(self._state()))

    # --- what is told -----------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        return state(
            self._device_state,
            self.config,
            self.clock,
            inbox=self.inbox.qsize(),
            motion_enabled=self.motion_enabled,
        )

    @property
    def motion_enabled(self) -> bool:
        """Whether somebody who moves is told: by the configuration and by the switch."""
        return self.config.motion.enabled and self.settings.motion_enabled

    def _quiet_until(self) -> str | None:
        until_us = self.settings.quiet_until_us
        return rfc3339(until_us) if until_us > self.clock.wall_us() else None

    def status(self) -> dict[str, Any]:
        """Return what `doorbell status --json` shows (the composition adds what only it knows)."""
        return {
            **status(self._device_state, self.config, self.clock),
            "motion": motion(self._device_state, enabled=self.motion_enabled),
            "settings": {
                **{name: getattr(self.settings, name) for name in SWITCHES},
                "quiet_until": self._quiet_until(),
            },
        }
