"""Home Assistant's device discovery: one topic and one payload, made from the configuration.

Source: Home Assistant's documentation of the MQTT integration, "Device discovery payload"; tried with
2026.11. Unique ids never change; a feature that is off is sent with its platform alone, which removes it.
"""

import json
from typing import Any

from device.config import MqttConfig
from device.mqtt import topics
from device.policy.settings import QUIET_UNTIL

_SWITCHES = {
    "motion_enabled": ("Motion detection", "mdi:motion-sensor"),
    "chime_muted": ("Chime muted", "mdi:bell-off"),
    "privacy": ("Privacy (camera off)", "mdi:eye-off"),
}


Messages = tuple[tuple[str, str], ...]
"""(topic, JSON) of each retained message."""


def discovery(
    config: MqttConfig,
    device_id: str,
    device_name: str,
    version: str,
    *,
    page_url: str | None = None,
    has_wifi: bool = False,
) -> Messages:
    """Return the discovery messages; none if discovery is turned off.

    `quiet_until` has a message of its own: its platform is younger than the others, and an older Home Assistant
    would refuse the whole device.
    """
    if not config.discovery:
        return ()
    root = topics.root(config, device_id)
    components: dict[str, dict[str, Any]] = {
        "press": {
            "platform": "event",
            "name": None,  # the main entity takes the device's name
            "device_class": "doorbell",
            "event_types": [topics.RING],
            "state_topic": f"{root}/{topics.PRESS}",
        },
        "missed_ring": {
            "platform": "sensor",
            "name": "Missed ring",
            "icon": "mdi:bell-alert",
            "device_class": "timestamp",
            "state_topic": f"{root}/{topics.MISSED_RING}",
            "value_template": "{{ value_json.occurred_at }}",
            "json_attributes_topic": f"{root}/{topics.MISSED_RING}",
        },
        "motion": {
            "platform": "binary_sensor",
            "name": "Motion",
            "device_class": "motion",
            "state_topic": f"{root}/{topics.MOTION}",
            "json_attributes_topic": f"{root}/{topics.MOTION_ATTRIBUTES}",
        },
        "notice": {
            "platform": "event",
            "name": "Neighbourhood notice",
            "icon": "mdi:bullhorn",
            "event_types": list(topics.NOTICE_EVENTS),
            "state_topic": f"{root}/{topics.NOTICES}",
        },
        "requests_pending": {
            "platform": "sensor",
            "name": "Footage requests waiting",
            "icon": "mdi:email-seal",
            "state_topic": f"{root}/{topics.PENDING_REQUESTS}",
        },
        "make_clip": {
            "platform": "button",
            "name": "Make a clip",
            "icon": "mdi:record-rec",
            "command_topic": f"{root}/{topics.command_topic(topics.CLIP)}",
            "payload_press": topics.MAKE_CLIP,
        },
        "motion_sensitivity": {
            "platform": "number",
            "name": "Motion sensitivity",
            "icon": "mdi:tune-variant",
            "entity_category": "config",
            "min": 0,
            "max": 1,
            "step": 0.05,
            "state_topic": f"{root}/motion_sensitivity",
            "command_topic": f"{root}/{topics.command_topic('motion_sensitivity')}",
        },
        "storage_used": _sensor(
            root,
            "Storage used",
            "(value_json.storage_used_bytes / 1e9) | round(3)",
            "data_size",
            "GB",
            display=1,
        ),
        "clips": _sensor(root, "Clips", "value_json.clips", None, None),
        "camera_fps": _sensor(root, "Camera frame rate", "value_json.camera_fps", None, "fps", display=1),
        "temperature": _sensor(
            root, "Processor temperature", "value_json.temperature_c", "temperature", "°C"
        ),
        "faults": {
            **_sensor(root, "Faults", "value_json.faults", None, None),
            "json_attributes_topic": f"{root}/{topics.FAULTS}",
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": f"{root}/{topics.STATE}",
            "value_template": "{{ 'ON' if value_json.faults > 0 else 'OFF' }}",
            "json_attributes_topic": f"{root}/{topics.FAULTS}",
        },
        "last_refusal": {
            "platform": "sensor",
            "name": "Last refused change",
            "icon": "mdi:hand-back-left",
            "entity_category": "diagnostic",
            "state_topic": f"{root}/{topics.LAST_REFUSAL}",
            "value_template": "{{ (value_json.setting ~ ': ' ~ value_json.reason)[:255] }}",
            "json_attributes_topic": f"{root}/{topics.LAST_REFUSAL}",
        },
        "wifi_signal": _sensor(
            root, "Wi-Fi signal", "value_json.wifi_signal_dbm", "signal_strength", "dBm", display=0
        )
        if has_wifi
        else {"platform": "sensor"},
    }
    for setting, (name, icon) in _SWITCHES.items():
        components[setting] = {
            "platform": "switch",
            "name": name,
            "icon": icon,
            "entity_category": "config",
            "state_topic": f"{root}/{setting}",
            "command_topic": f"{root}/{topics.command_topic(setting)}",
        }
    for key, component in components.items():
        if len(component) > 1:
            _identify(component, device_id, key)
    device = {
        "identifiers": [f"doorbelld_{device_id}"],
        **({"configuration_url": page_url} if page_url else {}),
        "name": device_name,
        "manufacturer": "doorbelld",
        "model": "Video doorbell",
        "sw_version": version,
    }
    shared = {
        "device": device,
        "origin": {"name": "doorbelld", "sw_version": version},
        "availability_topic": f"{root}/{topics.AVAILABILITY}",
        "qos": 1,
    }
    quiet_until = {
        "platform": "datetime",
        "name": "Quiet until",
        "icon": "mdi:sleep",
        "entity_category": "config",
        "state_topic": f"{root}/{QUIET_UNTIL}",
        "command_topic": f"{root}/{topics.command_topic(QUIET_UNTIL)}",
    }
    _identify(quiet_until, device_id, QUIET_UNTIL)
    return (
        (topics.discovery_topic(config, device_id), _json({**shared, "components": components})),
        (topics.quiet_until_discovery_topic(config, device_id), _json({**shared, **quiet_until})),
    )


def _identify(component: dict[str, Any], device_id: str, key: str) -> None:
    component["unique_id"] = f"doorbelld_{device_id}_{key}"
    component["default_entity_id"] = f"{component['platform']}.{device_id.replace('-', '_')}_{key}"


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sensor(
    root: str,
    name: str,
    value: str,
    device_class: str | None,
    unit: str | None,
    display: int | None = None,
) -> dict[str, Any]:
    optional = {
        "device_class": device_class,
        "unit_of_measurement": unit,
        "suggested_display_precision": display,
    }
    return {
        "platform": "sensor",
        "name": name,
        "entity_category": "diagnostic",
        "state_class": "measurement",
        "state_topic": f"{root}/{topics.STATE}",
        "value_template": f"{{{{ {value} }}}}",
        **{k: v for k, v in optional.items() if v is not None},
    }
