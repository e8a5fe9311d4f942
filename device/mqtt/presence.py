"""Whether Home Assistant listens, by its birth and will messages; and which presses it missed.

Another subscriber may hear a press while Home Assistant is away: the broker's answer is the same. A press also counts
as delivered while Home Assistant ends or starts: then it is subscribed, and runs no automation. It ends without
unsubscribing (the broker sends its will when the process is gone), so the presses shortly before its will were missed.
It runs automations from its start on, and sends its birth message when it has started; so the presses between will
and birth were missed. After a restart of the broker alone there is no will, and its
automations run all the time: what it heard after it had subscribed again was not missed. Without a birth message
nothing is known, and no press is marked.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

from device.events import PressEvent

LEAD_US = 6_000_000
"""After a restart of the broker alone it subscribes 5.0 to 6 s before its birth message: it waits until no discovery
message has come for 5 s."""
ENDING_US = 20_000_000
"""How long Home Assistant may take to end. Measured: 2 s, and 15 s on a very busy machine."""
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

    def born(self, now_us: int) -> None:
        """Home Assistant has started, or has connected again."""
        if self._state != "online":
            self._unheard = [(at_us, p) for at_us, p in self._unheard if now_us - at_us < FORGET_US]
            self._give_up(now_us if self._state == "offline" else now_us - LEAD_US)
        self._unheard.clear()
        self._doubtful.clear()
        self._state = "online"

    def died(self, now_us: int) -> None:
        """Home Assistant is gone; until a moment ago it was there."""
        if self._state != "offline":
            self._unheard = [(at_us, p) for at_us, p in self._doubtful if now_us - at_us < ENDING_US]
            self._give_up(now_us)
            self._doubtful.clear()
        self._state = "offline"

    def disconnected(self, now_us: int) -> None:
        """The connection to the broker ended."""
        if self._state == "offline":
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
            self._give_up(now_us - AWAY_US)

    def _give_up(self, until_us: int) -> None:
        while self._unheard and self._unheard[0][0] <= until_us:
            self._missed(self._unheard.pop(0)[1])
