"""The controller's state of the components, formatted for the `state` topic and `doorbell status`."""

import socket  # egress: local
from dataclasses import dataclass, field

from device import __version__
from device.config import Config
from device.events import (
    ButtonState,
    CameraReport,
    Fault,
    LedgerReport,
    MqttReport,
    PressMissed,
    Stamp,
    StoreReport,
)
from device.system.clock import Clock, rfc3339

FPS_VALID_US = 4_000_000
"""A camera that lives reports once a second; one that hangs reports nothing."""


@dataclass(slots=True, kw_only=True)
class ActiveFault:
    """An active fault, and since when."""

    fault: Fault
    since_wall_us: int


@dataclass(slots=True, kw_only=True)
class DeviceState:
    """The latest report of each component. Only the controller writes it."""

    started_us: int
    ready: bool = False
    camera: CameraReport | None = None
    button: ButtonState | None = None
    button_stuck: bool = False
    mqtt: MqttReport | None = None
    store: StoreReport | None = None
    ledger: LedgerReport | None = None
    presses: int = 0
    missed: int = 0
    last_missed: PressMissed | None = None
    last_press: Stamp | None = None
    earlier_press_us: int | None = None
    """The last press of earlier runs, wall time."""
    moving: bool = False
    settling: bool = False
    recording: tuple[str, ...] = ()
    """Ids of the visits of which a clip is being written."""
    faults: dict[tuple[str, str], ActiveFault] = field(default_factory=dict)
    """By code and subject."""

    def take_fault(self, fault: Fault, *, wall_us: int) -> bool:
        """Raise or clear a fault, or change what an active one says; return whether it was raised or cleared."""
        key = (fault.code, fault.subject)
        before = self.faults.get(key)
        if fault.active:
            since_us = before.since_wall_us if before else wall_us
            self.faults[key] = ActiveFault(fault=fault, since_wall_us=since_us)
        elif before:
            del self.faults[key]
        return fault.active != (before is not None)


def page_url(config: Config) -> str | None:
    """Return the page's URL, None if it is not served."""
    page = config.page
    if page.enabled and page.port:
        host = page.hosts[0] if page.hosts else f"{socket.gethostname().partition('.')[0]}.local"
        return f"https://{host}:{page.port}/"
    return f"http://localhost:{page.loopback_port}/" if page.enabled and page.loopback_port else None


def page_url_for_phones(config: Config) -> str | None:
    """Return the page's URL for other devices; None if only this machine can open it."""
    return page_url(config) if config.page.port else None


def motion(device_state: DeviceState, *, enabled: bool) -> str:
    """Return the state of motion detection: off, waiting (no pictures), settling, still, or moving."""
    if not enabled:
        return "off"
    if device_state.camera is None or device_state.camera.state != "live":
        return "waiting"
    if device_state.settling:
        return "settling"
    return "moving" if device_state.moving else "still"


def state(
    device_state: DeviceState, config: Config, clock: Clock, *, inbox: int, motion_enabled: bool
) -> dict[str, object]:
    """Return the retained `state` of docs/mqtt.md; `inbox`: facts that wait for the controller."""
    store, camera = device_state.store, device_state.camera
    oldest = store.oldest_wall_us if store else None
    return {
        "version": __version__,
        "uptime_s": (clock.mono_us() - device_state.started_us) // 1_000_000,
        "clock": clock.flag(),
        "camera": camera.state if camera else "opening",
        "camera_fps": _fps(camera, clock.mono_us()),
        "motion": motion(device_state, enabled=motion_enabled),
        "button": _button(device_state),
        "storage_used_bytes": store.used_bytes if store else 0,
        "storage_limit_bytes": store.limit_bytes if store else config.storage.limit_bytes,
        "storage_oldest_at": rfc3339(oldest) if oldest is not None else None,
        "clips": store.clips if store else 0,
        "log_pending": store.log_pending if store else 0,
        "inbox": inbox,
        "temperature_c": store.temperature_c if store else None,
        "wifi_signal_dbm": store.wifi_signal_dbm if store else None,
        "throttling": list(store.throttling) if store and store.throttling is not None else None,
        "presses": device_state.presses,
        "ledger_head": device_state.ledger.head if device_state.ledger else None,
        "ledger_entries": device_state.ledger.length if device_state.ledger else 0,
        "faults": len(device_state.faults),
    }


def status(device_state: DeviceState, config: Config, clock: Clock) -> dict[str, object]:
    """Return what the components contribute to `StatusResponse` (device/web/models.py)."""
    now_us = clock.mono_us()
    camera, store, connection, mqtt = device_state.camera, device_state.store, device_state.mqtt, config.mqtt
    last_us = camera.last_frame_us if camera else None
    pressed_us = device_state.last_press.wall_us if device_state.last_press else device_state.earlier_press_us
    return {
        "ready": device_state.ready,
        "version": __version__,
        "device": config.device.id,
        "uptime_s": round((now_us - device_state.started_us) / 1e6, 1),
        "clock": clock.flag(),
        "camera": {
            "kind": config.camera.kind,
            "state": camera.state if camera else "opening",
            "fps": _fps(camera, now_us),
            "last_frame_age_s": None if last_us is None else round((now_us - last_us) / 1e6, 2),
            "text": camera.text if camera else "",
        },
        "button": {"kind": config.button.kind, "state": _button(device_state)},
        "mqtt": {
            "state": connection.state if connection else ("connecting" if mqtt.enabled else "off"),
            "host": mqtt.host,
            "port": mqtt.port,
            "topic_root": f"{mqtt.prefix}/{config.device.id}",
            "protocol": connection.protocol if connection else "",
        },
        "page": {"url": page_url(config)},
        "storage": {
            "path": str(config.device.state_dir),
            "used_bytes": store.used_bytes if store else 0,
            "limit_bytes": store.limit_bytes if store else config.storage.limit_bytes,
            "waiting": [
                {
                    "key": f"storage.{limit.name}",
                    "in_force": limit.in_force,
                    "coming": limit.coming,
                    "wait_s": max(0, limit.until_us - now_us) // 1_000_000,
                }
                for limit in (store.waiting if store else ())
            ],
            "clips": store.clips if store else 0,
            "log_pending": store.log_pending if store else 0,
            "recording": list(device_state.recording),
        },
        "press": {
            "count": device_state.presses,
            "last_at": rfc3339(pressed_us) if pressed_us is not None else None,
            "missed": _missed(device_state),
        },
        "temperature_c": store.temperature_c if store else None,
        "requests_pending": device_state.ledger.pending if device_state.ledger else 0,
        "faults": [
            {
                "code": active.fault.code,
                "subject": active.fault.subject,
                "reason": active.fault.reason,
                "params": dict(active.fault.params),
                "since": rfc3339(active.since_wall_us),
                "text": active.fault.text,
                "remedy": active.fault.remedy,
            }
            for active in device_state.faults.values()
        ],
    }


def _missed(device_state: DeviceState) -> dict[str, object] | None:
    missed = device_state.last_missed
    if missed is None:
        return None
    return {
        "event_id": missed.press.event_id,
        "occurred_at": rfc3339(missed.press.at.wall_us),
        "reason": missed.reason,
        "count": device_state.missed,
    }


def _fps(camera: CameraReport | None, now_us: int) -> float:
    """Return the frame rate; 0 if the camera has not reported it for some seconds."""
    return round(camera.fps, 1) if camera and now_us - camera.mono_us < FPS_VALID_US else 0.0


def _button(device_state: DeviceState) -> str:
    if device_state.button_stuck:
        return "stuck"
    return device_state.button.state if device_state.button else "opening"
