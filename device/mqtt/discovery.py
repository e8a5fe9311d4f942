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


def discovery(
    config: MqttConfig, device_id: str, device_name: str, version: str, page_url: str | None = None
) -> tuple[str, str] | None:
    """Return (topic, JSON) of the retained discovery message, or None if it is turned off."""
    if not config.discovery:
        return None
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
        "quiet_until": {
            "platform": "text",
            "name": "Quiet until",
            "icon": "mdi:sleep",
            "entity_category": "config",
            "state_topic": f"{root}/{QUIET_UNTIL}",
            "command_topic": f"{root}/{topics.command_topic(QUIET_UNTIL)}",
            "max": 40,
        },
        "storage_used": _sensor(root, "Storage used", "storage_used_bytes", "data_size", "B", display=0),
        "clips": _sensor(root, "Clips", "clips", None, None),
        "camera_fps": _sensor(root, "Camera frame rate", "camera_fps", None, "fps", display=1),
        "temperature": _sensor(root, "Processor temperature", "temperature_c", "temperature", "°C"),
        "faults": _sensor(root, "Faults", "faults", None, None),
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
            component["unique_id"] = f"{device_id}_{key}"
            platform = component["platform"]
            component["default_entity_id"] = f"{platform}.{device_id.replace('-', '_')}_{key}"
    payload = {
        "device": {
            "identifiers": [f"doorbelld_{device_id}"],
            **({"configuration_url": page_url} if page_url else {}),
            "name": device_name,
            "manufacturer": "doorbelld",
            "model": "Video doorbell",
            "sw_version": version,
        },
        "origin": {"name": "doorbelld", "sw_version": version},
        "availability_topic": f"{root}/{topics.AVAILABILITY}",
        "qos": 1,
        "components": components,
    }
    return topics.discovery_topic(config, device_id), json.dumps(payload, ensure_ascii=False)


def _sensor(
    root: str,
    name: str,
    key: str,
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
        "value_template": f"{{{{ value_json.{key} }}}}",
        **{k: v for k, v in optional.items() if v is not None},
    }
