"""Whether Home Assistant listens, by its birth and will messages; and which presses it missed.

Another subscriber may hear a press while Home Assistant is away: the broker's answer is the same. Home Assistant
subscribes at least 4.5 s before its birth message (it waits 5 s after the last discovery message), and runs no
automation before it has started. So a press more than 4 s before a birth message, while it was not known to be there,
was missed. Without a birth message nothing is known, and no press is marked.
"""

from collections.abc import Callable
from typing import Literal

from device.events import PressEvent

LEAD_US = 4_000_000
AWAY_US = 60_000_000
"""A press while Home Assistant is away counts as missed after this time, or at its return."""
UNSURE_US = 20_000_000
"""For how long a press is remembered over the end of a connection, if Home Assistant's state was not known."""
MAX_UNHEARD = 500
FORGET_US = 900_000_000
"""A birth message says nothing about presses that are older; Home Assistant may be new here."""


class HomeAssistantPresence:
    """Takes messages, delivered presses and the time. Each new connection begins without knowing anything."""

    def __init__(self, missed: Callable[[PressEvent], None]) -> None:
        self._missed = missed
        self._state: Literal["unknown", "online", "offline"] = "unknown"
        self._unheard: list[PressEvent] = []
        """Presses that others heard while Home Assistant was not known to be there, oldest first."""

    def born(self, now_us: int) -> None:
        """Home Assistant has started, or has connected again."""
        if self._state != "online":
            self._unheard = [p for p in self._unheard if now_us - p.at.mono_us < FORGET_US]
            self._give_up(now_us - LEAD_US)
        self._unheard.clear()
        self._state = "online"

    def died(self) -> None:
        """Home Assistant is gone; until now it was there."""
        if self._state != "offline":
            self._unheard.clear()
        self._state = "offline"

    def disconnected(self, now_us: int) -> None:
        """The connection to the broker ended."""
        if self._state == "offline":
            self._give_up(now_us)
        self._unheard = [p for p in self._unheard if now_us - p.at.mono_us < UNSURE_US]
        self._state = "unknown"

    def heard(self, press: PressEvent) -> None:
        """Take a press that somebody has heard."""
        if self._state != "online":
            self._unheard = [*self._unheard[-MAX_UNHEARD:], press]

    def tick(self, now_us: int) -> None:
        """Give up what Home Assistant cannot have heard."""
        if self._state == "offline":
            self._give_up(now_us - AWAY_US)

    def _give_up(self, until_us: int) -> None:
        while self._unheard and self._unheard[0].at.mono_us < until_us:
            self._missed(self._unheard.pop(0))
