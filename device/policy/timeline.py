"""Where on the monotonic clock a packet belongs.

A source's own time stamps are smooth but may jump, wrap, start anywhere or be missing; its arrivals are
on our clock but jitter. The timeline keeps the source's spacing and anchors it to arrivals:

- nothing was captured after it arrived: an early-looking packet pulls the anchor back;
- a step that the arrivals do not share (a jump, a wrap, a looped file) sets a new anchor;
- decoding times grow strictly, so that a muxer never refuses.
"""

from dataclasses import dataclass

JUMP_US = 2_000_000
"""Source and arrival may disagree about one step by this much (network stalls are shorter, clock
jumps and wraps longer; RTSP over TCP was seen to deliver bursts of up to 1 s)."""


@dataclass(slots=True)
class Timeline:
    """One stream of one opening of a camera."""

    _anchor_us: int | None = None
    _last_source_us: int = 0
    _last_arrived_us: int = 0
    _last_dts_us: int = -1

    lag_us: int = 0
    """How far behind its arrival the last packet was placed: the source's delay that we can see."""

    def place(self, *, pts_us: int | None, dts_us: int | None, arrived_us: int) -> tuple[int, int]:
        """Return (pts_us, dts_us) on the monotonic clock for one packet, in order of arrival."""
        source_us = dts_us if dts_us is not None else pts_us
        if source_us is None:
            placed_us = arrived_us
        else:
            if self._anchor_us is not None:
                step_us = source_us - self._last_source_us
                if abs(step_us - (arrived_us - self._last_arrived_us)) > JUMP_US:
                    self._anchor_us = None
            if self._anchor_us is None or source_us + self._anchor_us > arrived_us:
                self._anchor_us = arrived_us - source_us
            placed_us = source_us + self._anchor_us
            self._last_source_us, self._last_arrived_us = source_us, arrived_us
        placed_us = max(placed_us, self._last_dts_us + 1)
        self._last_dts_us = placed_us
        self.lag_us = arrived_us - placed_us
        shown_after_us = pts_us - source_us if pts_us is not None and source_us is not None else 0
        return placed_us + max(0, shown_after_us), placed_us
