"""Every MQTT topic and the payloads that are made for it. The reference for users is docs/mqtt.md.

Names are relative to `root`. The daemon subscribes to `+/set`; the controller refuses a name that it does not know.
`press` is never retained, and neither is `picture`, the one topic that carries a picture.
"""

import json
from collections.abc import Sequence

from device.config import MqttConfig
from device.events import AnnouncedNotice, Fault, MotionStarted, PressEvent, PressMissed
from device.policy.settings import NO_TIME, NUMBERS, QUIET_UNTIL, SWITCHES, Settings
from device.system.clock import rfc3339

AVAILABILITY = "availability"
PRESS = "press"
PICTURE = "picture"
MOTION = "motion"
MOTION_ATTRIBUTES = "motion/attributes"
LOG = "log"
STATE = "state"
MISSED_RING = "missed_ring"
FAULTS = "faults"
LAST_REFUSAL = "last_refusal"
NOTICES = "notices"
PENDING_REQUESTS = "requests/pending"
PUBLISHED = (
    AVAILABILITY,
    PRESS,
    PICTURE,
    MISSED_RING,
    MOTION,
    MOTION_ATTRIBUTES,
    LOG,
    STATE,
    FAULTS,
    LAST_REFUSAL,
    NOTICES,
    PENDING_REQUESTS,
    *SWITCHES,
    *NUMBERS,
    QUIET_UNTIL,
)

RETAINED = (
    AVAILABILITY,
    MISSED_RING,
    MOTION,
    MOTION_ATTRIBUTES,
    STATE,
    FAULTS,
    LAST_REFUSAL,
    PENDING_REQUESTS,
    *SWITCHES,
    *NUMBERS,
    QUIET_UNTIL,
)
"""What the broker keeps, and what has to be cleared there when the settings change."""

CLIP = "clip"

MAX_FAULTS, MAX_TEXT = 20, 300
"""Home Assistant keeps at most 16 kB of attributes."""
ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
MAKE_CLIP = "PRESS"
"""The payload of Home Assistant's button; the only payload that `clip/set` takes."""
RING = "ring"
WITHDRAWN = "withdrawn"
NOTICE_EVENTS = ("alert", "update", "news", WITHDRAWN)
_NOTICE_FIELDS = (
    "source",
    "id",
    "kind",
    "severity",
    "headline",
    "text",
    "signed_by",
    "sender_kind",
    "feed",
    "state",
)


def root(config: MqttConfig, device_id: str) -> str:
    """Return the topic that all of a doorbell's topics are below."""
    return f"{config.prefix}/{device_id}"


def birth_topic(config: MqttConfig) -> str:
    """Return where Home Assistant says that it has started."""
    return config.birth_topic or f"{config.discovery_prefix}/status"


def discovery_topic(config: MqttConfig, device_id: str) -> str:
    """Return where Home Assistant looks for this device's description."""
    return f"{config.discovery_prefix}/device/{device_id}/config"


def quiet_until_discovery_topic(config: MqttConfig, device_id: str) -> str:
    """Return where Home Assistant looks for the entity of `quiet_until`."""
    return f"{config.discovery_prefix}/datetime/{device_id}/{QUIET_UNTIL}/config"


def picture_discovery_topic(config: MqttConfig, device_id: str) -> str:
    """Return where Home Assistant looks for the image entity of the press."""
    return f"{config.discovery_prefix}/image/{device_id}/{PICTURE}/config"


def retained_topics(config: MqttConfig, device_id: str) -> frozenset[str]:
    """Return every topic, in full, that may hold a retained message with these settings."""
    own = frozenset(f"{root(config, device_id)}/{name}" for name in RETAINED)
    found = {
        discovery_topic(config, device_id),
        quiet_until_discovery_topic(config, device_id),
        picture_discovery_topic(config, device_id),
    }
    return own | found if config.discovery else own


def command_topic(name: str) -> str:
    """Return the topic that changes `name`; "+" gives the filter for all of them."""
    return f"{name}/set"


def on_off(value: bool) -> str:  # noqa: FBT001  (what is formatted)
    """Return a switch or a motion state as it is published."""
    return ON if value else OFF


def press_payload(press: PressEvent, page_url: str | None) -> str:
    """Return what `press` carries (docs/schemas/press.json); `page_url` is the owner's page, if it is served."""
    link = {"url": f"{page_url}#/visit/{press.event_id}"} if page_url else {}
    return json.dumps(
        {
            "event_type": RING,
            "event_id": press.event_id,
            "occurred_at": rfc3339(press.at.wall_us),
            "button": press.button,
            "clock": press.at.flag,
            "press_number": press.press_number,
            **link,
        }
    )


def missed_ring_payload(missed: PressMissed, count: int) -> str:
    """Return what `missed_ring` carries (docs/schemas/missed_ring.json); `count` since the start."""
    return json.dumps(
        {
            "event_id": missed.press.event_id,
            "occurred_at": rfc3339(missed.press.at.wall_us),
            "reason": missed.reason,
            "count": count,
        }
    )


def faults_payload(faults: Sequence[tuple[Fault, int]]) -> str:
    """Return what `faults` carries (docs/schemas/faults.json); each fault with the Unix microseconds of its begin."""
    found = [
        {
            "code": fault.code,
            "subject": fault.subject,
            "reason": fault.reason,
            "since": rfc3339(since_us),
            "text": fault.text[:MAX_TEXT],
            "remedy": fault.remedy[:MAX_TEXT],
        }
        for fault, since_us in faults[:MAX_FAULTS]
    ]
    return json.dumps({"faults": found}, ensure_ascii=False)


def motion_attributes_payload(motion: MotionStarted, event_id: str | None) -> str:
    """Return what `motion/attributes` carries (docs/schemas/motion_attributes.json)."""
    return json.dumps({"score": motion.score, "zones": list(motion.zones), "event_id": event_id})


def setting_payloads(settings: Settings) -> dict[str, str]:
    """Return the payload of each setting's topic."""
    until_us = settings.quiet_until_us
    return {
        **{name: on_off(getattr(settings, name)) for name in SWITCHES},
        QUIET_UNTIL: rfc3339(until_us) if until_us else NO_TIME,
    }


def notice_payload(notice: AnnouncedNotice) -> str:
    """Return what `notices` carries (docs/schemas/notices.json); `notice` as `NoticeHeard` has it."""
    return json.dumps(
        {
            "event_type": notice["kind"] if notice["state"] == "current" else WITHDRAWN,
            **{name: value for name, value in notice.items() if name in _NOTICE_FIELDS},
            "sent_at": rfc3339(notice["sent"] * 1_000_000),
            "expires_at": rfc3339(notice["expires"] * 1_000_000),
            "reminder": "not a replacement for calling the emergency number",
        }
    )
