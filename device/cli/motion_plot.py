"""Pictures of motion: the score over time with the moments that decide, and the boxes of an event."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.cli.motion_analysis import Luma, Story
from device.errors import CommandError
from device.motion.detector import THRESHOLD
from device.system.durable_files import PRIVATE, write_durably

Canvas = NDArray[np.uint8]
PlotColour = tuple[int, int, int]

WHITE, INK, GREY, PALE = (255, 255, 255), (40, 40, 40), (140, 140, 140), (225, 225, 225)
NOW, CHANGED = (180, 90, 20), (20, 110, 235)
"""Blue and orange, which also the colour-blind tell apart (OpenCV counts blue, green, red)."""
WIDTH_PX, EDGE_PX, CHART_PX, HEAD_PX, BAR_PX = 1280, 60, 260, 74, 14
FRAMES, ACROSS = 8, 4
FONT = cv2.FONT_HERSHEY_SIMPLEX


def timeline(
    path: Path,
    title: str,
    analyses: Sequence[tuple[str, Story]],
    moments_s: Sequence[float],
    shown: Sequence[Luma],
) -> None:
    """Write a PNG: the score of each story against the threshold, its visits, and `shown` at `moments_s`.

    `analyses` holds one or two stories, each with what it is called. Raises CommandError.
    """
    colours = (NOW, CHANGED)[: len(analyses)]
    chart = _chart(title, analyses, colours, moments_s)
    frames = [_frame(picture, s, analyses, colours) for picture, s in zip(shown, moments_s, strict=True)]
    save(path, np.vstack([chart, _table(frames, moments_s)]))


def _text(
    canvas: Canvas, words: str, at: tuple[int, int], size: float = 0.45, colour: PlotColour = INK
) -> None:
    cv2.putText(canvas, words, at, FONT, size, colour, 1, cv2.LINE_AA)


def _chart(
    title: str,
    analyses: Sequence[tuple[str, Story]],
    colours: Sequence[PlotColour],
    moments_s: Sequence[float],
) -> Canvas:
    below = 46 + len(analyses) * (BAR_PX + 8)
    canvas = np.full((HEAD_PX + CHART_PX + below, WIDTH_PX, 3), 255, np.uint8)
    seconds = max(analyses[0][1].seconds, 0.1)
    inner = WIDTH_PX - 2 * EDGE_PX

    def x(s: float) -> int:
        return EDGE_PX + round(inner * s / seconds)

    def y(score: float) -> int:
        return HEAD_PX + round(CHART_PX * (1 - score))

    for start, end in _settling(analyses[0][1]):
        cv2.rectangle(canvas, (x(start), y(1)), (x(end), y(0)), PALE, -1)
        _text(canvas, "settling", (x(start) + 4, y(1) + 14), 0.38, GREY)
    _text(canvas, title, (EDGE_PX, 28), 0.6)
    for number, ((name, _), colour) in enumerate(zip(analyses, colours, strict=True)):
        left = EDGE_PX + 330 * number
        cv2.line(canvas, (left, 50), (left + 28, 50), colour, 2, cv2.LINE_AA)
        _text(canvas, name, (left + 36, 54))
    for score in (0, 0.25, 0.5, 0.75, 1):
        cv2.line(canvas, (EDGE_PX, y(score)), (WIDTH_PX - EDGE_PX, y(score)), PALE, 1)
        _text(canvas, f"{score:.2f}", (14, y(score) + 4), 0.4, GREY)
    for left in range(EDGE_PX, WIDTH_PX - EDGE_PX, 14):
        cv2.line(canvas, (left, y(THRESHOLD)), (left + 7, y(THRESHOLD)), (60, 60, 200), 1)
    _text(canvas, "somebody", (WIDTH_PX - EDGE_PX + 4, y(THRESHOLD) - 4), 0.36, (60, 60, 200))
    step = next(n for n in (1, 2, 5, 10, 30, 60, 300, 600, 3600) if seconds / n <= 15)  # ticks
    for tick in range(0, int(seconds) + 1, step):
        cv2.line(canvas, (x(tick), y(0)), (x(tick), y(0) + 5), GREY, 1)
        _text(canvas, f"{tick} s", (x(tick) - 10, y(0) + 20), 0.4, GREY)
    for number, ((_, story), colour) in enumerate(zip(analyses, colours, strict=True)):
        course = np.array([(x(s), y(look.score)) for s, look in story.looks], np.int32)
        cv2.polylines(canvas, [course], isClosed=False, color=colour, thickness=2 - number)
        top = y(0) + 34 + number * (BAR_PX + 8)
        _text(canvas, "visits", (8, top + 11), 0.38, colour)
        for visit in story.visits:
            left, right = x(story.at_s(visit.started_us)), x(story.at_s(visit.last_us))
            cv2.rectangle(canvas, (left, top), (max(right, left + 3), top + BAR_PX), colour, -1)
    for number, s in enumerate(moments_s):
        cv2.circle(canvas, (x(s), HEAD_PX - 6), 8, INK, 1, cv2.LINE_AA)
        _text(canvas, chr(ord("a") + number), (x(s) - 4, HEAD_PX - 2), 0.38)
    return canvas


def _settling(story: Story) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    for (s, look), (after_s, _) in zip(story.looks, [*story.looks[1:], story.looks[-1]], strict=True):
        if look.settling and spans and spans[-1][1] == s:
            spans[-1] = (spans[-1][0], after_s)
        elif look.settling:
            spans.append((s, after_s))
    return spans


def _frame(
    picture: Luma, s: float, analyses: Sequence[tuple[str, Story]], colours: Sequence[PlotColour]
) -> Canvas:
    width = (WIDTH_PX - 2 * EDGE_PX - (ACROSS - 1) * 8) // ACROSS
    canvas = _coloured(picture, width)
    for number, ((_, story), colour) in enumerate(zip(analyses, colours, strict=True)):
        for mover in story.look_at(s).movers:
            sure = mover.score >= THRESHOLD
            box(canvas, mover.box, colour, thick=2 if sure else 1, grow=4 * number)
            if sure:
                edge = mover.box[1] + mover.box[3] * number  # the first above its box, the second below
                at = round(edge * canvas.shape[0]) + (-6, 20)[number]
                _text(canvas, f"{mover.score:.2f}", (round(mover.box[0] * width), max(12, at)), 0.4, colour)
    return canvas


def _table(frames: Sequence[Canvas], moments_s: Sequence[float]) -> Canvas:
    if not frames:
        return np.full((8, WIDTH_PX, 3), 255, np.uint8)
    height, width = frames[0].shape[:2]
    rows = -(-len(frames) // ACROSS)
    canvas = np.full((rows * (height + 28) + 12, WIDTH_PX, 3), 255, np.uint8)
    for number, frame in enumerate(frames):
        top = number // ACROSS * (height + 28)
        left = EDGE_PX + number % ACROSS * (width + 8)
        canvas[top : top + height, left : left + width] = frame
        caption = f"({chr(ord('a') + number)}) {moments_s[number]:.1f} s"
        _text(canvas, caption, (left, top + height + 16), 0.42)
    return canvas


def _coloured(picture: Luma, width_px: int) -> Canvas:
    height_px = max(1, round(width_px * picture.shape[0] / picture.shape[1]))
    larger = cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(larger, cv2.COLOR_GRAY2BGR), np.uint8)


def box(
    canvas: Canvas,
    shares: Sequence[float],
    colour: PlotColour,
    *,
    thick: int = 1,
    grow: int = 0,
) -> None:
    """Draw a box given as (x, y, width, height) relative to the canvas."""
    rows, columns = canvas.shape[:2]
    x, y, width, height = shares
    first = (round(x * columns) - grow, round(y * rows) - grow)
    last = (round((x + width) * columns) - 1 + grow, round((y + height) * rows) - 1 + grow)
    cv2.rectangle(canvas, first, last, colour, thick)


def event(path: Path, title: str, why: Sequence[tuple[float, Sequence[float]]], behind: Luma | None) -> None:
    """Write a PNG: the boxes of `why` (seconds, box), from blue (first) to orange (last), over a picture."""
    grey = np.full((360, 640), 170, np.uint8)
    canvas = _coloured(grey if behind is None else behind, 1024)
    rows, columns = canvas.shape[:2]
    for number, (s, shares) in enumerate(why):
        share = number / max(1, len(why) - 1)
        b, g, r = (round(a + (z - a) * share) for a, z in zip(NOW, CHANGED, strict=True))
        box(canvas, shares, (b, g, r), thick=2)
        if number in (0, len(why) - 1):
            at = (round(shares[0] * columns) + 4, min(rows - 4, round((shares[1] + shares[3]) * rows) - 6))
            _text(canvas, f"{s:.1f} s", at, 0.5, (b, g, r))
    head = np.full((40, columns, 3), 255, np.uint8)
    _text(head, title, (10, 26), 0.55)
    save(path, np.vstack([head, canvas]))


def save(path: Path, canvas: Canvas) -> None:
    """Write the PNG, for its owner alone; an older plot is replaced. Raises CommandError."""
    done, data = cv2.imencode(".png", canvas)
    if path.exists() and not path.is_file():
        raise CommandError(f"{path} is no file; name another one")
    try:
        write_durably(path, data.tobytes() if done else b"", mode=PRIVATE)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
