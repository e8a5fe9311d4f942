"""What arrives on the `/set` topics. It is never trusted: bounded, parsed strictly, and refused aloud."""

from device.events import ClipAsked, Inbox, InputRefused, SettingAsked
from device.mqtt import topics
from device.policy.rate_limit import TokenBucket
from device.system.clock import Clock

MAX_PAYLOAD_BYTES = 256
MAX_NAME, MAX_NAMES = 40, 16
"""How many refused names are counted until they are reported."""
REFUSED_EVERY_US = 5_000_000


class CommandInput:
    """Turns messages into facts; the controller refuses names and values that it does not know."""

    def __init__(self, root: str, *, inbox: Inbox, clock: Clock) -> None:
        self._root = root
        self._inbox = inbox
        self._clock = clock
        self._rate = TokenBucket(burst=10, refill_us=500_000)
        self._refused: dict[str, tuple[str, int]] = {}
        self._refused_us = 0

    def take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take one message."""
        name = topic.removeprefix(f"{self._root}/").removesuffix(topics.command_topic(""))
        now_us = self._clock.mono_us()
        if retained:
            return self._refuse(name, "retained messages on /set topics are ignored")
        if len(payload) > MAX_PAYLOAD_BYTES:
            return self._refuse(name, f"more than {MAX_PAYLOAD_BYTES} bytes")
        if not self._rate.take(now_us):
            return self._refuse(name, "more than 2 changes a second")
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            return self._refuse(name, "not UTF-8 text")
        if name == topics.CLIP:
            if text != topics.MAKE_CLIP:
                return self._refuse(name, f"{name} takes {topics.MAKE_CLIP}")
            self._inbox(ClipAsked(mono_us=now_us))
        else:
            self._inbox(SettingAsked(mono_us=now_us, name=name, payload=text, origin="mqtt"))
        return None

    def _refuse(self, name: str, reason: str) -> None:
        where = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
        if len(self._refused) < MAX_NAMES or where in self._refused:
            _, count = self._refused.get(where, ("", 0))
            self._refused[where] = (reason, count + 1)

    def report(self) -> None:
        """Report what was refused, every 5 s at most."""
        now_us = self._clock.mono_us()
        if not self._refused or now_us - self._refused_us < REFUSED_EVERY_US:
            return
        self._refused_us = now_us
        for where, (reason, count) in self._refused.items():
            self._inbox(InputRefused(mono_us=now_us, where=where, reason=reason, count=count))
        self._refused.clear()
