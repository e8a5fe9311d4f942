"""The rules that compare motion detectors: when a detection is found, late or false.

A detector decides for each picture whether somebody is in view. Positive pictures form detections; pauses of up
to two seconds belong to a detection. The truth is the intervals in which somebody is in view.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[float, float]
"""Seconds from the clip's start: from, to."""

JOIN_S = 2.0
"""Detections with a shorter pause are one."""
EARLY_S, LATE_S = 0.5, 3.0
"""Detections so long before and after somebody are his."""
FORGIVEN_S = 1.0
"""A shorter rest of a detection that was right is no alarm of its own."""
ANOTHER_S = 10.0
"""Each further ten seconds of a false detection count as one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The truth about a clip. `ignored` spans hold the warm-up, which is not judged if nobody is in it."""

    seconds: float
    events: tuple[Span, ...]
    ignored: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a detector on one clip, or on several together."""

    clips: int = 1
    events: int = 0
    found: int = 0
    false: int = 0
    latencies_s: tuple[float, ...] = ()
    covered_s: float = 0.0
    truth_s: float = 0.0
    seconds: float = 0.0

    @property
    def recall(self) -> float:
        """Found, as a share of the events."""
        return self.found / self.events if self.events else 1.0

    @property
    def precision(self) -> float:
        """Found, as a share of found and false."""
        detected = self.found + self.false
        return self.found / detected if detected else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.events + self.found + self.false
        return 2 * self.found / total if total else 1.0

    @property
    def false_per_h(self) -> float:
        """False detections in an hour of such clips."""
        return self.false / (self.seconds / 3600) if self.seconds else 0.0

    @property
    def covered(self) -> float:
        """Share of the time with somebody in view that is under a detection."""
        return self.covered_s / self.truth_s if self.truth_s else 0.0

    def latency_s(self, percentile: float) -> float:
        """Return the percentile (nearest rank) of the time from an event's start to its detection."""
        ordered = sorted(self.latencies_s)
        if not ordered:
            return math.nan
        return ordered[max(0, math.ceil(percentile / 100 * len(ordered)) - 1)]


def joined(spans: Iterable[Span], pause_s: float = JOIN_S) -> list[Span]:
    """Return the spans in order, those with a pause of at most `pause_s` as one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start - result[-1][1] <= pause_s:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def outside(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """Return the parts of `spans` outside all `holes`."""
    left = list(spans)
    for start, end in holes:
        left = [
            piece
            for a, b in left
            for piece in (((a, min(b, start)), (max(a, end), b)) if a < end and b > start else ((a, b),))
            if piece[0] < piece[1]
        ]
    return left


def meet(one: Span, other: Span) -> bool:
    """Return whether two spans have time in common."""
    return one[0] < other[1] and one[1] > other[0]


def detections(times_s: Sequence[float], says: Sequence[bool]) -> list[Span]:
    """Return the detections of a detector whose answers to the pictures at `times_s` were `says`."""
    ends = [*times_s[1:], times_s[-1] + 0.066] if times_s else []
    spans = ((round(a, 3), round(b, 3)) for a, b, yes in zip(times_s, ends, says, strict=True) if yes)
    return joined(spans)


def judge(truth: Truth, detections: Sequence[Span]) -> Outcome:
    """Compare the detections with the truth of one clip."""
    shown = [(max(0.0, a), min(truth.seconds, max(b, a + 1e-3))) for a, b in detections if a < truth.seconds]
    unjudged = [span for span in truth.ignored if not any(meet(span, event) for event in truth.events)]
    shown = joined(outside(joined(shown), unjudged))
    latencies, covered_s = [], 0.0
    for start, end in truth.events:
        hits = [a for a, b in shown if b > start - EARLY_S and a < end + EARLY_S]
        if hits:
            latencies.append(max(0.0, min(hits) - start))
        covered_s += sum(max(0.0, min(b, end) - max(a, start)) for a, b in shown)
    return Outcome(
        events=len(truth.events),
        found=len(latencies),
        false=_false(truth, shown),
        latencies_s=tuple(latencies),
        covered_s=covered_s,
        truth_s=sum(end - start for start, end in truth.events),
        seconds=truth.seconds,
    )


def _false(truth: Truth, shown: Sequence[Span]) -> int:
    rightful = [(start - EARLY_S, end + LATE_S) for start, end in truth.events]
    count = 0
    for span in shown:
        was_right = any(meet(span, right) for right in rightful)
        for start, end in outside([span], rightful):
            if not (was_right and end - start < FORGIVEN_S):
                count += 1 + int((end - start) // ANOTHER_S)
    return count


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """Return several outcomes as one."""
    rows = list(outcomes)
    return Outcome(
        clips=sum(row.clips for row in rows),
        events=sum(row.events for row in rows),
        found=sum(row.found for row in rows),
        false=sum(row.false for row in rows),
        latencies_s=tuple(s for row in rows for s in row.latencies_s),
        covered_s=sum(row.covered_s for row in rows),
        truth_s=sum(row.truth_s for row in rows),
        seconds=sum(row.seconds for row in rows),
    )
