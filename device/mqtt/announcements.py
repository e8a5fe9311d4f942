"""Notices on their way to the dashboards: each is published once, before it expires."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from device.events import AnnouncedNotice
from device.mqtt import topics
from device.mqtt.reasons import FAILURE

MAX_NOTICES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announcement:
    payload: str
    expires_s: int


class PublishNotice(Protocol):
    """Publishes a notice that expires after `expiry_s`; `done` takes the PUBACK's reason code."""

    def __call__(self, payload: str, *, expiry_s: int, done: Callable[[int], None]) -> None:
        """Publish it."""


class Announcements:
    """Waiting notices by name; the name includes the state, since a withdrawal is another announcement."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Announcement] = {}
        self._sent: set[str] = set()

    def put(self, notice: AnnouncedNotice) -> None:
        """Take a notice (any thread)."""
        if len(self._waiting) < MAX_NOTICES:
            name = f"{notice['source']} {notice['id']} {notice['state']}"
            payload = topics.notice_payload(notice)
            self._waiting[name] = _Announcement(payload=payload, expires_s=notice["expires"])

    def begin(self) -> None:
        """Begin a new connection: what has no PUBACK is published again."""
        self._sent.clear()

    def pump(self, publish: PublishNotice, now_s: int) -> None:
        """Publish what is new, and forget what has expired; `now_s` is Unix time."""
        for name, notice in list(self._waiting.items()):
            if notice.expires_s <= now_s:
                del self._waiting[name]
            elif name not in self._sent:
                self._sent.add(name)
                publish(notice.payload, expiry_s=notice.expires_s - now_s, done=self._acknowledged(name))

    def _acknowledged(self, name: str) -> Callable[[int], None]:
        def done(code: int) -> None:
            if code < FAILURE:
                self._waiting.pop(name, None)

        return done
