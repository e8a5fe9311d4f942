"""The picture of a press on its way to the broker, if the owner has granted that; the one picture that MQTT gets.

Only the newest waits, 10 s at most. It is published once and never retained: a broker would keep it after privacy.
"""

import json
from collections.abc import Callable
from typing import Protocol

from device.config import MqttConfig
from device.mqtt import topics

MAX_AGE_US = 10_000_000


class PublishPicture(Protocol):
    """Publishes a picture that expires after `expiry_s`."""

    def __call__(self, jpeg: bytes, *, expiry_s: int) -> None:
        """Publish it."""


class PressPictureOut:
    """`put` may be called from any thread."""

    def __init__(self) -> None:
        self.allowed: Callable[[], bool] = lambda: False
        """Says, at the moment of publishing, whether the grant stands and privacy is off."""
        self._waiting: tuple[bytes, int] | None = None

    def put(self, jpeg: bytes, pressed_us: int) -> None:
        """Take the picture of a press; it replaces one that was not published yet."""
        self._waiting = jpeg, pressed_us

    def pump(self, publish: PublishPicture, now_us: int) -> None:
        """Publish what waits, unless it is too old or not allowed any more."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        jpeg, pressed_us = waiting
        left_us = pressed_us + MAX_AGE_US - now_us
        if left_us > 0 and self.allowed():
            publish(jpeg, expiry_s=max(1, left_us // 1_000_000))


def picture_entity(config: MqttConfig, device_id: str, *, granted: bool) -> tuple[str, str] | None:
    """Return topic and retained message of Home Assistant's image entity; without a grant an empty one, which removes
    it. None if discovery is off.

    A message of its own: the grant is known only once the ledger has been read, later than the rest.
    """
    if not config.discovery:
        return None
    root = topics.root(config, device_id)
    topic = topics.picture_discovery_topic(config, device_id)
    entity = {
        "platform": "image",
        "device": {"identifiers": [f"doorbelld_{device_id}"]},  # the rest is in the device's own message
        "origin": {"name": "doorbelld"},
        "availability_topic": f"{root}/{topics.AVAILABILITY}",
        "name": "Last visitor",
        "icon": "mdi:account-box",
        "unique_id": f"doorbelld_{device_id}_{topics.PICTURE}",
        "default_entity_id": f"image.{device_id.replace('-', '_')}_{topics.PICTURE}",
        "image_topic": f"{root}/{topics.PICTURE}",
        "content_type": "image/jpeg",
    }
    return topic, json.dumps(entity, ensure_ascii=False) if granted else ""
