"""Whether Home Assistant listens, by its birth and will messages; and which presses it missed.

Another subscriber may hear a press while Home Assistant is away: the broker's answer is the same. A press also counts
as delivered while Home Assistant ends: it runs no automation any more, and stays subscribed until its process is gone,
when the broker sends its will. So presses shortly before its will may have been missed. A broker that ends sends the
wills of all its clients too, and the connection ends with it. Home Assistant subscribes when it has started, and sends
its birth message some seconds later (it waits 5 s after the last discovery message); what was delivered before it had
subscribed was missed. Without a birth message nothing is known, and no press is marked.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

from device.events import PressEvent

LEAD_US = 6_000_000
"""How long before its birth message it subscribes: 5 to 6 s, and longer on a very busy machine."""
ENDING_US = 20_000_000
"""How long Home Assistant may take to end. Measured: 2 s, and 15 s on a very busy machine."""
BROKER_ENDS_US = 2_000_000
"""A will counts only if the connection outlives it by this time."""
AWAY_US = 60_000_000
"""A press while Home Assistant is away counts as missed after this time, or at its return."""
UNSURE_US = 20_000_000
"""For how long a press is remembered over the end of a connection, if Home Assistant's state was not known."""
MAX_UNHEARD = 500
FORGET_US = 900_000_000
"""A birth message says nothing about presses that are older; Home Assistant may be new here."""


class HomeAssistantPresence:
    """Takes messages, delivered presses and the time. Each new connection begins without knowing anything.

    Every time is that of the delivery: a press may have been held before.
    """

    def __init__(self, missed: Callable[[PressEvent], None]) -> None:
        self._missed = missed
        self._state: Literal["unknown", "online", "offline"] = "unknown"
        self._unheard: list[tuple[int, PressEvent]] = []
        """Presses that others heard while Home Assistant was not known to be there, oldest first."""
        self._doubtful: deque[tuple[int, PressEvent]] = deque(maxlen=MAX_UNHEARD)
        """Presses of the last seconds, while it was there, or may have been: it may have been ending."""
        self._died_us = 0

    def born(self, now_us: int) -> None:
        """Home Assistant has started, or has connected again."""
        if self._state == "offline":
            self._settle_doubtful(now_us)
        if self._state != "online":
            self._unheard = [(at_us, p) for at_us, p in self._unheard if now_us - at_us < FORGET_US]
            self._give_up(now_us - LEAD_US)
        self._unheard.clear()
        self._doubtful.clear()
        self._state = "online"

    def died(self, now_us: int) -> None:
        """Home Assistant is gone; until a moment ago it was there."""
        if self._state != "offline":
            self._unheard.clear()
            self._doubtful = deque(
                (row for row in self._doubtful if now_us - row[0] < ENDING_US), maxlen=MAX_UNHEARD
            )
            self._died_us = now_us
        self._state = "offline"

    def disconnected(self, now_us: int) -> None:
        """The connection to the broker ended."""
        if self._state == "offline":
            self._settle_doubtful(now_us)
            self._give_up(now_us)
        self._unheard = [(at_us, p) for at_us, p in self._unheard if now_us - at_us < UNSURE_US]
        self._doubtful.clear()
        self._state = "unknown"

    def heard(self, press: PressEvent, now_us: int) -> None:
        """Take a press that somebody has heard now."""
        if self._state != "online":
            self._unheard = [*self._unheard[-MAX_UNHEARD:], (now_us, press)]
        if self._state != "offline":
            self._doubtful.append((now_us, press))

    def tick(self, now_us: int) -> None:
        """Give up what Home Assistant cannot have heard."""
        if self._state == "offline":
            self._settle_doubtful(now_us)
            self._give_up(now_us - AWAY_US)

    def _settle_doubtful(self, now_us: int) -> None:
        """Mark what it received while it ended, if it was Home Assistant that ended and not the broker."""
        while self._doubtful and now_us - self._died_us > BROKER_ENDS_US:
            self._missed(self._doubtful.popleft()[1])

    def _give_up(self, until_us: int) -> None:
        while self._unheard and self._unheard[0][0] <= until_us:
            self._missed(self._unheard.pop(0)[1])
