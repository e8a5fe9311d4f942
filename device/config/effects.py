"""What a change of a setting does beyond its own meaning: destroys, exposes, closes, breaks, or nothing.

`EFFECTS` has every setting; a test compares it with the whole model, so a setting without a class fails.
Who asks for what: `device/web/routes_device.py` (the page), `device/cli/settings.py` (the terminal). Stricter
storage limits wait whatever they come from (`device/policy/limit_hold.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from device.config.polygon import covers

Effect = Literal["destroys", "exposes", "closes", "breaks"]
"""destroys: recordings are deleted. exposes: more is seen, heard or sent, or to another place. closes: less is.
breaks: what others know the doorbell by, or where it finds its files, changes.
"""
EffectClass = Literal["destroys", "exposes", "breaks", "free"]
Values = Mapping[str, Any]
"""Dotted key → value, as `flat` of sources.py has it."""
Direction = Callable[[Any, Any], bool]
"""Tells from the old and the new value whether a change has its key's effect."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A key's class, and which of its changes have that effect; the others of an exposing key close."""

    effect: EffectClass
    when: Direction


def _always(_old: Any, _new: Any) -> bool:
    return True


def _smaller(old: Any, new: Any) -> bool:
    return bool(new < old)


def _larger(old: Any, new: Any) -> bool:
    return bool(new > old)


def _turned_on(_old: Any, new: Any) -> bool:
    return bool(new)


def _port_opened(_old: Any, new: Any) -> bool:
    return bool(new)


def _longer_list(old: Any, new: Any) -> bool:
    return not set(new) <= set(old)


def _not_to_release(_old: Any, new: Any) -> bool:
    return bool(new != "release")


def _uncovers(old: Any, new: Any) -> bool:
    """Return whether a mask is gone, or no mask covers the whole of it any more."""
    return not all(any(covers(mask["points"], before["points"]) for mask in new) for before in old)


_DESTROYS_IF_SMALLER = Rule("destroys", _smaller)
_DESTROYS_IF_LARGER = Rule("destroys", _larger)
_EXPOSES = Rule("exposes", _always)
_EXPOSES_IF_ON = Rule("exposes", _turned_on)
_EXPOSES_IF_LARGER = Rule("exposes", _larger)
_BREAKS = Rule("breaks", _always)
_FREE = Rule("free", _always)

EFFECTS: dict[str, Rule] = {
    "device.id": _BREAKS,
    "device.name": _FREE,
    "device.state_dir": _BREAKS,
    "device.runtime_dir": _BREAKS,
    "device.trust_clock": _EXPOSES_IF_ON,  # an approval that ended while the power was off may come back
    "button.kind": _FREE,
    "button.name": _BREAKS,
    "button.bounce_ms": _FREE,
    "button.gpio.pin": _FREE,
    "button.gpio.pull": _FREE,
    "button.gpio.chip": _FREE,
    "button.gpio.stuck_s": _FREE,
    "chime.kind": _FREE,
    "chime.quiet_hours": _FREE,
    # Another camera shows another place, which no mask was drawn for.
    "camera.kind": _EXPOSES,
    "camera.pi.width_px": _FREE,
    "camera.pi.height_px": _FREE,
    "camera.pi.fps": _FREE,
    "camera.pi.bitrate_kbps": _FREE,
    "camera.pi.keyframe_every_s": _FREE,
    "camera.pi.luma_width_px": _FREE,
    "camera.pi.luma_height_px": _FREE,
    "camera.stream.url": _EXPOSES,
    "camera.stream.substream_url": _FREE,
    "camera.stream.loop": _FREE,
    "camera.stream.audio": _EXPOSES_IF_ON,
    "camera.stream.timeout_s": _FREE,
    "camera.stream.bitrate_kbps": _FREE,
    "camera.stream.keyframe_every_s": _FREE,
    "camera.stream.fps": _FREE,
    "camera.scene.width_px": _FREE,
    "camera.scene.height_px": _FREE,
    "camera.scene.fps": _FREE,
    "camera.scene.light": _FREE,
    "camera.scene.visit_every_s": _FREE,
    "camera.scene.first_visit_s": _FREE,
    "camera.scene.visitors": _FREE,
    "camera.scene.visitor_presses": _FREE,
    "camera.scene.time_code": _FREE,
    "camera.scene.bitrate_kbps": _FREE,
    "camera.scene.keyframe_every_s": _FREE,
    "motion.enabled": _FREE,
    "motion.sensitivity": _FREE,
    "motion.quiet_s": _FREE,
    "zones": _FREE,
    "masks": Rule("exposes", _uncovers),
    "clips.masked_by": Rule("exposes", _not_to_release),
    "clips.pre_roll_s": _FREE,
    "clips.post_roll_s": _FREE,
    "clips.longest_s": _FREE,
    "clips.ring_bytes": _FREE,
    "storage.limit_bytes": _DESTROYS_IF_SMALLER,
    "storage.longest_age_days": _DESTROYS_IF_SMALLER,
    "storage.reserve_bytes": _DESTROYS_IF_LARGER,
    "storage.log_rows": _DESTROYS_IF_SMALLER,
    "mqtt.enabled": _EXPOSES_IF_ON,
    "mqtt.host": _EXPOSES,
    "mqtt.port": _EXPOSES,
    "mqtt.username": _EXPOSES,
    "mqtt.password_file": _EXPOSES,
    "mqtt.ca_file": _EXPOSES,  # an empty one turns TLS off
    "mqtt.cert_file": _EXPOSES,
    "mqtt.key_file": _EXPOSES,
    "mqtt.prefix": _BREAKS,
    "mqtt.discovery": _EXPOSES_IF_ON,
    "mqtt.discovery_prefix": _BREAKS,
    "mqtt.birth_topic": _FREE,
    "mqtt.keepalive_s": _FREE,
    "mqtt.state_every_s": _FREE,
    "page.enabled": _EXPOSES_IF_ON,
    "page.port": Rule("exposes", _port_opened),
    "page.loopback_port": Rule("exposes", _port_opened),
    "doorbells": _FREE,
    "page.hosts": Rule("exposes", _longer_list),
    "page.cert_file": _EXPOSES,
    "page.key_file": _EXPOSES,
    "rtsp.port": Rule("exposes", _port_opened),
    "neighbourhood.enabled": _EXPOSES_IF_ON,
    "neighbourhood.latitude": _EXPOSES,  # the region that the courier subscribes to, and whose requests match
    "neighbourhood.longitude": _EXPOSES,
    "neighbourhood.broker_host": _EXPOSES,
    "neighbourhood.broker_port": _EXPOSES,
    "neighbourhood.broker_ca_file": _EXPOSES,
    "neighbourhood.upload_kbps": _FREE,
    "neighbourhood.upload_hours": _FREE,
    "neighbourhood.spool_dir": _BREAKS,
    "neighbourhood.lease_dir": _BREAKS,
    "neighbourhood.lease_s": _EXPOSES_IF_LARGER,  # how long a transfer goes on after its consent ended
}
_OFF = {"mqtt.": "mqtt.enabled", "page.": "page.enabled", "neighbourhood.": "neighbourhood.enabled"}
"""Tables whose settings expose nothing while the table is off."""


def effect_of(key: str, old: Any, new: Any) -> Effect | None:
    """Return what a change of one setting does, None if nothing beyond its meaning."""
    rule = EFFECTS[key]
    if old == new or rule.effect == "free":
        return None
    if rule.when(old, new):
        return rule.effect
    return "closes" if rule.effect == "exposes" else None


def effects(old: Values, new: Values) -> dict[str, Effect]:
    """Return the effect of each setting that differs and has one."""
    found: dict[str, Effect] = {}
    for key, value in new.items():
        effect = effect_of(key, old[key], value)
        switch = next((switch for table, switch in _OFF.items() if key.startswith(table)), None)
        if effect == "exposes" and switch and not new[switch]:
            continue
        if effect:
            found[key] = effect
    return found
