"""The desk: the one decider. Takes facts from one inbox, asks the rules, gives orders.

It owns no file, socket or device, runs on the main thread and never blocks: what it calls only enqueues.
Here a press becomes a ring: `Desk._pressed`.
"""

import json
import logging
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from device import __version__
from device.clock import Clock, parse_rfc3339, rfc3339, wall_at_us
from device.config import Config
from device.events import (
    ButtonState,
    CameraReport,
    ClipAsked,
    ClipDropped,
    ClipKept,
    Fact,
    Fault,
    Flushed,
    InputRefused,
    LinkReport,
    MotionEnded,
    MotionStarted,
    Pressed,
    PressSettled,
    SettingAsked,
    StatusAsked,
    StopAsked,
    StoreReport,
    WorkerDied,
)
from device.notify import Notifier
from device.policy.episode import ClipOrder, EpisodeRule
from device.policy.settings import (
    QUIET_UNTIL,
    SWITCHES,
    SettingRefused,
    Settings,
    changed,
)
from device.ulid import new_ulid
from device.worker import Worker

log = logging.getLogger(__name__)

TURN_S = 0.25
WATCHDOG_EVERY_US = 2_000_000
STALLED_US = 4_000_000
"""A camera reports once a second: so a stall is told within 5 s of the last picture."""
FLUSH_US = 1_200_000
"""An orderly stop takes 3 s at most; this much of it is for the last clip."""


class Outlets(Protocol):
    """Where orders go. Every method only enqueues."""

    def press(self, press_id: int, mono_us: int, payload: str) -> None:
        """Tell a press over MQTT, now or never."""

    def retain(self, subtopic: str, payload: str) -> None:
        """Set a retained MQTT topic."""

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

    def snapshot(self, mono_us: int) -> None:
        """Take a picture of this instant for the dashboards, if the owner turned that on."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """A fault that stands, since when."""

    fault: Fault
    since_us: int


@dataclass(slots=True, kw_only=True)
class Desk:
    """Serves the inbox until told to stop; `run` returns the exit status."""

    config: Config
    clock: Clock
    outlets: Outlets
    settings: Settings
    notifier: Notifier
    inbox: "queue.SimpleQueue[Fact]"
    workers: list[Worker] = field(default_factory=list)
    button_healthy: Callable[[], bool] = lambda: True
    _episodes: EpisodeRule = field(init=False)
    _started_us: int = field(init=False)
    _camera: CameraReport | None = None
    _button: ButtonState | None = None
    _link: LinkReport | None = None
    _store: StoreReport | None = None
    _faults: dict[str, Standing] = field(default_factory=dict)
    _presses: int = 0
    _last_press_us: int | None = None
    _moving: bool = False
    _fed_us: int = 0
    _told_us: int | None = None
    _ready: bool = False
    _flushed: bool = False
    _stop_by_us: int | None = None

    def __post_init__(self) -> None:
        clips = self.config.clips
        self._episodes = EpisodeRule(
            pre_roll_us=int(clips.pre_roll_s * 1e6),
            post_roll_us=int(clips.post_roll_s * 1e6),
            longest_us=int(clips.longest_s * 1e6),
        )
        self._started_us = self.clock.mono_us()

    def open(self) -> None:
        """Tell the world who is here; called once the button is live."""
        self._ready = True
        self._tell_settings()
        self.outlets.retain("motion", "OFF")
        self._note("started", {"version": __version__})

    def run(self) -> int:
        """Turn until StopAsked (0) or WorkerDied (1)."""
        while True:
            try:
                fact: Fact | None = self.inbox.get(timeout=TURN_S)
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
        """Close what is open; what the keeper then tells still gets into the log."""
        log.info("stopping signal=%s", asked.signal_name)
        now_us = self.clock.mono_us()
        self._stop_by_us = now_us + FLUSH_US
        self._give(self._episodes.stop(now_us))
        self.outlets.flush()
        self.outlets.retain("motion", "OFF")

    # --- facts ------------------------------------------------------------------------------------

    def take(self, fact: Fact) -> None:
        """Take one fact."""
        match fact:
            case Pressed():
                self._pressed(fact)
            case MotionStarted():
                self._motion_started(fact)
            case MotionEnded():
                self._motion_ended(fact)
            case ClipAsked():
                self._give(self._trigger("manual", fact.mono_us))
            case PressSettled():
                self.outlets.settle(fact.press_id, late=not fact.delivered)
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
                self._button = fact
            case LinkReport():
                self._link = fact
            case StoreReport():
                if self._store is None or fact.clips != self._store.clips:
                    self._told_us = None
                self._store = fact
            case Fault():
                self._fault(fact)
            case StatusAsked():
                fact.reply(self.status())
            case StopAsked() | WorkerDied() | Flushed():
                raise AssertionError("run() handles these")

    def _pressed(self, press: Pressed) -> None:
        self._presses += 1
        self._last_press_us = press.mono_us
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
        self.outlets.press(self._presses, press.mono_us, json.dumps(payload))
        if self.settings.chime_rings(wall_us):
            self.outlets.ring()
        self._give(orders)
        if not self.settings.privacy:
            self.outlets.snapshot(press.mono_us)
        self.outlets.log_fact(
            "press",
            mono_us=press.mono_us,
            late=None,
            event_id=self._episodes.event_id,
            press_id=self._presses,
            fields={"button": press.button, "press_number": self._episodes.presses},
        )
        log.info("press event_id=%s source=%s", self._episodes.event_id, press.source)
        if press.reply:
            press.reply({**payload, "mono_us": press.mono_us})

    def _trigger(self, cause: Any, mono_us: int) -> list[ClipOrder]:
        new_id = new_ulid(wall_at_us(self.clock, mono_us))
        return self._episodes.trigger(cause, mono_us=mono_us, new_event_id=new_id)

    def _give(self, orders: Sequence[ClipOrder]) -> None:
        if self.settings.privacy:
            return  # The rule goes on, so that presses of one visit share an id; nothing is recorded.
        for order in orders:
            self.outlets.clip(order)

    def _motion_started(self, fact: MotionStarted) -> None:
        self._moving = True
        self._give(self._trigger("motion", fact.mono_us))
        event_id = self._episodes.event_id
        fields = {"score": fact.score, "zones": list(fact.zones)}
        self.outlets.retain("motion/attributes", json.dumps({**fields, "event_id": event_id}))
        self.outlets.retain("motion", "ON")
        self._note("motion_started", fields, event_id=event_id, mono_us=fact.mono_us)

    def _motion_ended(self, fact: MotionEnded) -> None:
        self._moving = False
        self._episodes.still(last_us=fact.last_us)
        self.outlets.retain("motion", "OFF")
        self._note(
            "motion_ended",
            {"peak_score": fact.peak_score},
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

    def _camera_said(self, report: CameraReport) -> None:
        was = self._camera.state if self._camera else ""
        self._camera = report
        if report.state == was:
            return
        log.info("camera state=%s kind=%s %s", report.state, report.kind, report.text)
        self._told_us = None  # a change is told at once
        if report.state == "down":
            remedy = "the bell works without it; see its cable, its address and its power"
            self._fault(Fault(code="camera_down", active=True, text=report.text, remedy=remedy))
        elif report.state in ("live", "private"):
            self._fault(Fault(code="camera_down", active=False))

    def _look_at_frame_age(self, now_us: int) -> None:
        camera = self._camera
        last_us = camera.last_frame_us if camera and camera.state == "live" else None
        text = "the camera says nothing, and no picture comes"
        remedy = "it is opened again by itself; if that does not help, see its power and its network"
        stalled = last_us is not None and now_us - last_us > STALLED_US
        self._fault(Fault(code="camera_stalled", active=stalled, text=text, remedy=remedy))

    def _fault(self, fault: Fault) -> None:
        stands = fault.code in self._faults
        if fault.active and not stands:
            self._faults[fault.code] = Standing(fault=fault, since_us=self.clock.wall_us())
            log.warning("fault_raised code=%s text=%r remedy=%r", fault.code, fault.text, fault.remedy)
            self._note("fault_raised", {"code": fault.code, "text": fault.text})
        elif not fault.active and stands:
            del self._faults[fault.code]
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
            return
        if settings == self.settings:
            return
        if settings.privacy and not self.settings.privacy:
            self._give(self._episodes.stop(asked.mono_us))
        self.settings = settings
        self.outlets.save(settings)
        self._tell_settings()
        self._note("setting_changed", {"setting": asked.name, "value": asked.payload})
        log.info("setting_changed name=%s value=%s by=%s", asked.name, asked.payload, asked.origin)

    def _tell_settings(self) -> None:
        for name in SWITCHES:
            self.outlets.retain(name, "ON" if getattr(self.settings, name) else "OFF")
        quiet_us = self.settings.quiet_until_us
        self.outlets.retain(QUIET_UNTIL, rfc3339(quiet_us) if quiet_us else "")

    def _note(
        self,
        kind: str,
        fields: dict[str, Any],
        *,
        event_id: str | None = None,
        mono_us: int | None = None,
    ) -> None:
        self.outlets.log_fact(
            kind,
            mono_us=self.clock.mono_us() if mono_us is None else mono_us,
            late=self._link is None or self._link.state != "up",
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
            healthy = self.button_healthy()
            text = "the button's thread is gone: presses would not be heard"
            remedy = "restart doorbelld"
            self._fault(Fault(code="button_deaf", active=not healthy, text=text, remedy=remedy))
        self._look_at_frame_age(now_us)
        every_us = int(self.config.mqtt.state_every_s * 1e6)
        if self._told_us is None or now_us - self._told_us >= every_us:
            self._told_us = now_us
            self.outlets.retain("state", json.dumps(self._state(now_us)))

    # --- what is told -----------------------------------------------------------------------------

    def _state(self, now_us: int) -> dict[str, Any]:
        store, camera = self._store, self._camera
        oldest = store.oldest_wall_us if store else None
        return {
            "version": __version__,
            "uptime_s": (now_us - self._started_us) // 1_000_000,
            "clock": self.clock.flag(),
            "camera": camera.state if camera else "opening",
            "camera_fps": round(camera.fps, 1) if camera else 0.0,
            "storage_used_bytes": store.used_bytes if store else 0,
            "storage_limit_bytes": self.config.storage.limit_bytes,
            "storage_oldest_at": rfc3339(oldest) if oldest is not None else None,
            "clips": store.clips if store else 0,
            "log_pending": store.log_pending if store else 0,
            "inbox": self.inbox.qsize(),
            "temperature_c": store.temperature_c if store else None,
            "presses": self._presses,
            "faults": len(self._faults),
        }

    def status(self) -> dict[str, Any]:
        """Return what `doorbell status --json` shows (pid and paths are added by the roof)."""
        now_us = self.clock.mono_us()
        camera, store, link = self._camera, self._store, self._link
        last_us = camera.last_frame_us if camera else None
        pressed_us = self._last_press_us
        mqtt = self.config.mqtt
        return {
            "ready": self._ready,
            "version": __version__,
            "device": self.config.device.id,
            "uptime_s": round((now_us - self._started_us) / 1e6, 1),
            "clock": self.clock.flag(),
            "camera": {
                "kind": self.config.camera.kind,
                "state": camera.state if camera else "opening",
                "fps": round(camera.fps, 1) if camera else 0.0,
                "last_frame_age_s": None if last_us is None else round((now_us - last_us) / 1e6, 2),
                "text": camera.text if camera else "",
            },
            "button": {
                "kind": self.config.button.kind,
                "state": self._button.state if self._button else "opening",
            },
            "mqtt": {
                "state": link.state if link else ("connecting" if mqtt.enabled else "off"),
                "host": mqtt.host,
                "port": mqtt.port,
                "topic_root": f"{mqtt.prefix}/{self.config.device.id}",
                "protocol": link.protocol if link else "",
            },
            "page": {"url": None},
            "storage": {
                "path": str(self.config.device.state_dir),
                "used_bytes": store.used_bytes if store else 0,
                "limit_bytes": self.config.storage.limit_bytes,
                "clips": store.clips if store else 0,
            },
            "press": {
                "count": self._presses,
                "last_at": None if pressed_us is None else rfc3339(wall_at_us(self.clock, pressed_us)),
            },
            "motion": {"moving": self._moving, "enabled": self.settings.motion_enabled},
            "settings": self.settings.as_dict(),
            "temperature_c": store.temperature_c if store else None,
            "faults": [
                {
                    "code": standing.fault.code,
                    "since": rfc3339(standing.since_us),
                    "text": standing.fault.text,
                    "remedy": standing.fault.remedy,
                }
                for standing in self._faults.values()
            ],
        }
