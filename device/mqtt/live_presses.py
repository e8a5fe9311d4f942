"""Live presses on their way to the broker: published within 10 s of the press, or never.

A press is held while there is no connection, or while nobody subscribes to it. It is published once; again only if the
broker has answered that nobody subscribes. A press without PUBACK at the end of a connection may have been delivered,
so it is not published again.
"""

import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from device.events import Inbox, MissedReason, PressEvent, PressMissed, PressSettled
from device.mqtt.reasons import FAILURE, NO_SUBSCRIBERS

PRESS_LIVE_US = 10_000_000
AGAIN_US = 500_000
"""How long after "nobody subscribes" a press is published again: that is how a subscriber who returns is noticed."""


@dataclass(frozen=True, slots=True)
class _Held:
    press: PressEvent
    due_us: int
    reason: MissedReason


class PublishPress(Protocol):
    """Publishes a press that expires after `expiry_s`; `done` takes the PUBACK's reason code."""

    def __call__(self, press: PressEvent, *, expiry_s: int, done: Callable[[int], None]) -> None:
        """Publish it."""


class LivePresses:
    """Only `put` may be called by other threads."""

    def __init__(self, inbox: Inbox, *, heard: Callable[[PressEvent, int], None]) -> None:
        """`heard` takes each press that the broker has passed to somebody, and the time."""
        self._inbox = inbox
        self._heard = heard
        self.connected_once = False
        """Before the first connection nobody expects a press here: it is late, and not marked as missed."""
        self._new: queue.SimpleQueue[PressEvent] = queue.SimpleQueue()
        self._held: deque[_Held] = deque()
        self._sent: dict[int, PressEvent] = {}

    def put(self, press: PressEvent) -> None:
        """Take a press (any thread)."""
        self._new.put(press)

    def pump(self, publish: PublishPress, now_us: Callable[[], int]) -> None:
        """Publish what is due, and give up what is too old."""
        self.expire(now_us())
        for _ in range(len(self._held)):
            held = self._held.popleft()
            if held.due_us > now_us():
                self._held.append(held)
                continue
            press = held.press
            left_us = press.at.mono_us + PRESS_LIVE_US - now_us()
            self._sent[press.press_id] = press
            publish(press, expiry_s=max(1, -(-left_us // 1_000_000)), done=self._answered(press, now_us))

    def expire(self, now_us: int) -> None:
        """Give up what is older than 10 s; also without a connection."""
        while not self._new.empty():
            self._held.append(_Held(self._new.get_nowait(), 0, "no_connection"))
        for held in [h for h in self._held if now_us - h.press.at.mono_us > PRESS_LIVE_US]:
            self._held.remove(held)
            self._missed(held.press, held.reason)

    def wait_s(self, now_us: int) -> float | None:
        """Return how long until something is due, None if nothing is held."""
        due_us = min((held.due_us for held in self._held), default=None)
        return None if due_us is None else max(0.0, (due_us - now_us) / 1e6)

    def connection_ended(self) -> None:
        """Give up what has no PUBACK."""
        for press in list(self._sent.values()):
            self._missed(press, "unacknowledged")
        self._sent.clear()

    def stop(self) -> None:
        """Give up everything."""
        self.connection_ended()
        self.expire(0)
        while self._held:
            held = self._held.popleft()
            self._missed(held.press, held.reason)

    def _answered(self, press: PressEvent, now_us: Callable[[], int]) -> Callable[[int], None]:
        def done(code: int) -> None:
            if self._sent.pop(press.press_id, None) is None:
                return
            if code >= FAILURE:
                self._missed(press, "refused")
            elif code == NO_SUBSCRIBERS:
                self._held.append(_Held(press, now_us() + AGAIN_US, "no_subscriber"))
            else:
                self._inbox(PressSettled(press_id=press.press_id, delivered=True))
                self._heard(press, now_us())

        return done

    def _missed(self, press: PressEvent, reason: MissedReason) -> None:
        self._inbox(PressSettled(press_id=press.press_id, delivered=False))
        if self.connected_once:
            self._inbox(PressMissed(press=press, reason=reason))
