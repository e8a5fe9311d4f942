"""Home Assistant's device discovery: pure, from what the house is to one topic and one payload.

Source: Home Assistant's documentation of the MQTT integration, "Device discovery payload"; tried with
2026.11. Unique ids never change; a feature that is off is sent with its platform alone, which removes it.
"""

import json
from typing import Any

from device.config import MqttConfig

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
    root = f"{config.prefix}/{device_id}"
    components: dict[str, dict[str, Any]] = {
        "press": {
            "platform": "event",
            "name": None,  # what the device is for: it has the device's own name
            "device_class": "doorbell",
            "event_types": ["ring"],
            "state_topic": f"{root}/press",
        },
        "motion": {
            "platform": "binary_sensor",
            "name": "Motion",
            "device_class": "motion",
            "state_topic": f"{root}/motion",
            "json_attributes_topic": f"{root}/motion/attributes",
        },
        "notice": {
            "platform": "event",
            "name": "Neighbourhood notice",
            "icon": "mdi:bullhorn",
            "event_types": ["alert", "update", "news", "withdrawn"],
            "state_topic": f"{root}/notices",
        },
        "requests_pending": {
            "platform": "sensor",
            "name": "Footage requests waiting",
            "icon": "mdi:email-seal",
            "state_topic": f"{root}/requests/pending",
        },
        "make_clip": {
            "platform": "button",
            "name": "Make a clip",
            "icon": "mdi:record-rec",
            "command_topic": f"{root}/clip/set",
            "payload_press": "PRESS",
        },
        "quiet_until": {
            "platform": "text",
            "name": "Quiet until",
            "icon": "mdi:sleep",
            "entity_category": "config",
            "state_topic": f"{root}/quiet_until",
            "command_topic": f"{root}/quiet_until/set",
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
            "command_topic": f"{root}/{setting}/set",
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
        "availability_topic": f"{root}/availability",
        "qos": 1,
        "components": components,
    }
    topic = f"{config.discovery_prefix}/device/{device_id}/config"
    return topic, json.dumps(payload, ensure_ascii=False)


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
        "state_topic": f"{root}/state",
        "value_template": f"{{{{ value_json.{key} }}}}",
        **{k: v for k, v in optional.items() if v is not None},
    }
