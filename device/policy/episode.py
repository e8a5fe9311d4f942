"""When a clip opens and closes.

A trigger (press, motion, "now please") opens an episode `pre_roll_us` in its past. Each further trigger
moves its end. It closes `post_roll_us` after the last, or at `longest_us`, whichever comes first; if
triggers go on, the next clip starts where that one ended, under the same event id, so that a two-hour
delivery is many clips and no missing second.
"""

from dataclasses import dataclass

from device.events import Cause

_GRAVITY: dict[Cause, int] = {"motion": 0, "manual": 1, "press": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClip:
    """Record from the last keyframe at or before `from_us`."""

    event_id: str
    cause: Cause
    from_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseCause:
    """A trigger of higher rank came while the clip grows: a press outranks motion."""

    event_id: str
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseClip:
    """Record up to and including `until_us`."""

    event_id: str
    until_us: int


ClipOrder = OpenClip | RaiseCause | CloseClip


@dataclass(slots=True)
class _Episode:
    event_id: str
    cause: Cause
    opened_us: int
    until_us: int
    presses: int = 0


@dataclass(slots=True, kw_only=True)
class EpisodeRule:
    """Takes triggers and the time; returns commands for the storage worker."""

    pre_roll_us: int
    post_roll_us: int
    longest_us: int
    _open: _Episode | None = None
    _moving: bool = False

    @property
    def event_id(self) -> str | None:
        """The id of the open event, if any."""
        return self._open.event_id if self._open else None

    @property
    def presses(self) -> int:
        """How many presses the open event has seen."""
        return self._open.presses if self._open else 0

    def trigger(self, cause: Cause, *, mono_us: int, new_event_id: str) -> list[ClipOrder]:
        """Take a trigger; `new_event_id` names the event if this one starts it."""
        if cause == "motion":
            self._moving = True
        orders: list[ClipOrder] = []
        if self._open is None:
            from_us = mono_us - self.pre_roll_us
            self._open = _Episode(new_event_id, cause, from_us, 0)
            orders.append(OpenClip(event_id=new_event_id, cause=cause, from_us=from_us))
        elif _GRAVITY[cause] > _GRAVITY[self._open.cause]:
            self._open.cause = cause
            orders.append(RaiseCause(event_id=self._open.event_id, cause=cause))
        self._open.presses += cause == "press"
        self._open.until_us = max(self._open.until_us, mono_us + self.post_roll_us)
        return orders

    def still(self, *, last_us: int) -> None:
        """Motion ended; something last moved at `last_us`."""
        self._moving = False
        if self._open:
            self._open.until_us = max(self._open.until_us, last_us + self.post_roll_us)

    def tick(self, mono_us: int) -> list[ClipOrder]:
        """Take the time; close the clip if it is over."""
        episode = self._open
        if episode is None:
            return []
        longest_until_us = episode.opened_us + self.longest_us
        if not self._moving and mono_us >= min(episode.until_us, longest_until_us):
            until_us = min(episode.until_us, longest_until_us)
            over = episode.until_us <= longest_until_us
        elif mono_us >= longest_until_us:
            until_us, over = longest_until_us, False
        else:
            return []
        orders: list[ClipOrder] = [CloseClip(event_id=episode.event_id, until_us=until_us)]
        if over:
            self._open = None
        else:
            episode.opened_us = until_us
            orders.append(OpenClip(event_id=episode.event_id, cause=episode.cause, from_us=until_us))
        return orders

    def stop(self, mono_us: int) -> list[ClipOrder]:
        """End the open episode: the daemon stops, or privacy is switched on."""
        episode, self._open, self._moving = self._open, None, False
        return [CloseClip(event_id=episode.event_id, until_us=mono_us)] if episode else []
