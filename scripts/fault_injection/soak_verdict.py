"""Decide from the samples and the received messages whether anything grew or was lost. Pure functions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

REPEATED_A_RESTART = 10
"""Maximum log rows in flight, without PUBACK, when a broker stops (docs/mqtt.md: at least once)."""
MAX_POINTS = 1500
FEWEST_EPISODES = 0.95
"""Of those that the video shows; with fewer the run did not do the work that it is to be judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing that is sampled, and what it may do."""

    key: str
    title: str
    unit: str
    growth: float | None = None
    """In the second half it may grow by so much, in its unit, by a slope that outliers do not move."""
    ceiling: float | None = None
    """No sample may be above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one measure. Growth is the slope of the second half, in real time."""

    measure: Measure
    first: float
    median: float
    last: float
    largest: float
    growth_per_h: float
    growth: float
    """Over the whole second half."""
    wrong: bool


def slope(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the median slope of all pairs, per second (Theil 1950, Sen 1968); 0 for fewer than two.

    Of more than `MAX_POINTS` samples only each nth is taken: all pairs would not fit into memory.
    """
    step = -(-len(times_s) // MAX_POINTS) or 1
    times, numbers = np.asarray(times_s[::step], float), np.asarray(values[::step], float)
    early, late = np.triu_indices(len(times), 1)
    if not len(early):
        return 0.0
    return float(np.median((numbers[late] - numbers[early]) / (times[late] - times[early])))


def judge(measure: Measure, times_s: Sequence[float], values: Sequence[float]) -> Row:
    """Judge one measure by its samples, at least one; the first half may warm up."""
    middle_s = (times_s[0] + times_s[-1]) / 2
    half = [number for number, at_s in enumerate(times_s) if at_s >= middle_s]
    span_s = times_s[-1] - times_s[half[0]]
    per_s = slope([times_s[n] for n in half], [values[n] for n in half])
    growth = per_s * span_s
    grew = measure.growth is not None and growth > measure.growth
    above = measure.ceiling is not None and max(values) > measure.ceiling
    return Row(
        measure=measure,
        first=values[0],
        median=float(np.median(values)),
        last=values[-1],
        largest=max(values),
        growth_per_h=per_s * 3600,
        growth=growth,
        wrong=grew or above,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence of what was counted, and whether it is wrong."""

    text: str
    wrong: bool


def judge_log(heard: Sequence[tuple[int, Mapping[str, object]]], *, acked_seq: int, restarts: int) -> Finding:
    """Judge the log as a dashboard heard it: (over which connection, row with its `seq`), as they came.

    Every seq up to `acked_seq` must have come, in order. What the broker had not acknowledged when it went
    is sent again unchanged; nothing else may come twice.
    """
    first_rows: dict[int, tuple[int, Mapping[str, object]]] = {}
    doubled = repeated = changed = disordered = newest = 0
    for connection, row in heard:
        seq = int(str(row["seq"]))
        if seq in first_rows:
            last, first = first_rows[seq]
            doubled += last == connection
            repeated += last != connection
            changed += first != row
        else:
            disordered += seq < newest
        first_rows[seq] = (connection, row)
        newest = max(newest, seq)
    missing = len(set(range(1, max(newest, acked_seq) + 1)) - set(first_rows))
    text = (
        f"log: {len(first_rows)} rows heard up to number {newest}; {missing} missing, {disordered} out of order, "
        f"{doubled} doubled, {changed} changed; {repeated} sent again over {restarts} restarts of the broker "
        f"(at most {REPEATED_A_RESTART} each)"
    )
    too_many = repeated > REPEATED_A_RESTART * restarts
    return Finding(
        text=text, wrong=bool(missing or disordered or doubled or changed or too_many or not first_rows)
    )


def judge_presses(
    *, sent: int, acknowledged: int, rows: Sequence[Mapping[str, object]], live: Collection[object]
) -> Finding:
    """Judge presses: `rows` of the log, each seq once; `live`, (event, number), came on the press topic.

    One that is marked late may have come live, too: its PUBACK was lost with the broker.
    """
    on_time = {(row["event_id"], row["press_number"]) for row in rows if row["late"] is False}
    text = (
        f"presses: {sent} sent, {acknowledged} acknowledged, {len(rows)} in the log, "
        f"{len(on_time)} told on time, {len(live)} heard live, {len(rows) - len(on_time)} marked late"
    )
    return Finding(text=text, wrong=not sent == acknowledged == len(rows) or not on_time <= set(live))


def judge_episodes(
    starts_us: Sequence[int], ends: int, *, span_us: tuple[int, int], every_us: int
) -> Finding:
    """Judge motion: `ends` and `starts_us` of the whole log; within `span_us` one came `every_us`."""
    shown = round((span_us[1] - span_us[0]) / every_us)
    found = sum(span_us[0] <= start_us < span_us[1] for start_us in starts_us)
    text = f"motion: {shown} visits shown, {found} found; {len(starts_us)} started in all, {ends} ended"
    # At either edge one may be cut in two; the end may cut off the last.
    right = max(1, FEWEST_EPISODES * shown - 1) <= found <= shown + 1 and len(starts_us) - ends in {0, 1}
    return Finding(text=text, wrong=not right)
