"""Decides which edges of the button's line are presses.

A leading-edge debounce: the first edge to "down" on a quiet line is a press, at once and with that edge's time
stamp; the bouncing after it is ignored. A trailing-edge debounce, as in most libraries, would delay each press by
the bounce time.
"""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class PressRule:
    """Takes every edge in order and returns whether it is a press.

    A press is an edge to "down" with no other edge in the `bounce_us` before it. Mechanical bells
    bounce for 1-20 ms (www.ganssle.com/debouncing.htm, 18 switches measured, worst 157 ms).
    """

    bounce_us: int
    _last_edge_us: int | None = None
    _down_since_us: int | None = None

    def feed(self, *, down: bool, mono_us: int) -> bool:
        """Take one edge (`down`: the button is pressed after it); return whether it is a press."""
        quiet = self._last_edge_us is None or mono_us - self._last_edge_us >= self.bounce_us
        was_down = self._down_since_us is not None
        self._last_edge_us = mono_us
        if not down:
            self._down_since_us = None
            return False
        if not was_down:
            self._down_since_us = mono_us
        return quiet and not was_down

    def begin(self, *, down: bool, mono_us: int) -> None:
        """Take the state at the start: a button that is down already is no press."""
        self._down_since_us = mono_us if down else None

    def held_us(self, mono_us: int) -> int:
        """Return for how long the button has been down, 0 if it is up."""
        return 0 if self._down_since_us is None else mono_us - self._down_since_us
