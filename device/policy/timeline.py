"""Places packets on the monotonic clock.

A source's own time stamps are smooth but may jump, wrap, start anywhere or be missing; its arrivals are
on our clock but jitter. The timeline keeps the source's spacing and anchors it to arrivals:

- nothing was captured after it arrived: a packet that looks early pulls the anchor back, a little at each
  step, so that a burst at the opening keeps its spacing; a slow leak follows a clock that runs late;
- a step that the arrivals do not share (a jump, a wrap) sets a new anchor, and so does a great lag;
- decoding times grow by at least a millisecond, so that a muxer never refuses.
"""

from dataclasses import dataclass

JUMP_US = 2_000_000
"""Source and arrival may disagree about one step by this much (network stalls are shorter, clock
jumps and wraps longer; RTSP over TCP was seen to deliver bursts of up to 1.3 s at its opening)."""
MIN_STEP_US = 1000
MAX_LAG_US = 1_500_000
"""A source whose stamps run slower than time falls behind without a jump; beyond this lag the anchor is set again."""
PULL, LEAK = 10, 1000
"""The anchor moves back by at most a tenth of a step, forward by a thousandth: crystals drift by 1e-4."""


@dataclass(slots=True)
class Timeline:
    """One stream of one opening of a camera."""

    lag_us: int = 0
    """How far behind its arrival the last packet was placed: the source's delay that we can see."""

    _anchor_us: int | None = None
    _sound_off_us: int = 0
    _last_source_us: int = 0
    _last_arrived_us: int = 0
    _last_dts_us: int | None = None

    def place(self, *, pts_us: int | None, dts_us: int | None, arrived_us: int) -> tuple[int, int]:
        """Return (pts_us, dts_us) on the monotonic clock for one packet, in order of arrival."""
        source_us = dts_us if dts_us is not None else pts_us
        anchor_us = 0
        if source_us is None:
            placed_us = arrived_us
        else:
            anchor_us = self._anchored(source_us, arrived_us)
            placed_us = source_us + anchor_us
        if self._last_dts_us is not None:
            placed_us = max(placed_us, self._last_dts_us + MIN_STEP_US)
        self._last_dts_us = placed_us
        self.lag_us = arrived_us - placed_us
        if source_us is None or pts_us is None:
            return placed_us, placed_us
        return max(placed_us, pts_us + anchor_us), placed_us

    def beside(self, source_us: int | None, *, arrived_us: int) -> int | None:
        """Return the time of sound of the same source, or None before the first picture.

        Sound has the pictures' anchor. Where that would put it further than JUMP_US from its arrival its
        stamps are not the pictures' (only they have jumped yet, or its clock has drifted away): it is placed
        by arrival then, and keeps that offset until the pictures' anchor is set again.
        """
        if self._last_dts_us is None:
            return None
        due_us = arrived_us - self.lag_us
        if source_us is None or self._anchor_us is None:
            return due_us
        placed_us = source_us + self._anchor_us + self._sound_off_us
        if abs(placed_us - due_us) > JUMP_US:
            self._sound_off_us += due_us - placed_us
            placed_us = due_us
        return placed_us

    def _anchored(self, source_us: int, arrived_us: int) -> int:
        anchor_us = self._anchor_us
        step_us = source_us - self._last_source_us
        jumped = abs(step_us - (arrived_us - self._last_arrived_us)) > JUMP_US
        lags = anchor_us is not None and arrived_us - source_us - anchor_us > MAX_LAG_US
        if anchor_us is None or jumped or lags:
            anchor_us, self._sound_off_us = arrived_us - source_us, 0
        else:
            early_us = source_us + anchor_us - arrived_us
            pace_us = max(0, step_us)
            anchor_us -= min(early_us, pace_us // PULL) if early_us > 0 else -(pace_us // LEAK)
        self._last_source_us, self._last_arrived_us = source_us, arrived_us
        self._anchor_us = anchor_us
        return anchor_us
