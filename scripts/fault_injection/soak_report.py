"""The table, the CSV and the plot of the long run."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from scripts.fault_injection.soak_verdict import Row

mpl.use("Agg")  # before pyplot: there is no screen

from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

Numbers = NDArray[np.float64]
LINE, LIMIT, RESTART = "#1f5a8c", "#b3261e", "#c9c9c9"
COLUMNS = 3
WINDOW = 15
"""Samples in the running median that is drawn over the single ones."""
FLAT = 0.75
"""Series that stay above this share of their axis are drawn without zero, so that a slope is visible."""


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines to print; growth, per hour and in all, is by the slope of the second half."""
    figures = "".join(f"{name:>9}" for name in ("first", "median", "last", "largest", "per hour", "in half"))
    head = f"{'':<26}{figures}  {'limit':<20}verdict"
    return [head, *map(_line, rows)]


def _line(row: Row) -> str:
    title = f"{row.measure.title}, {row.measure.unit}" if row.measure.unit else row.measure.title
    figures = "".join(f"{figure:>9.4g}" for figure in (row.first, row.median, row.last, row.largest))
    figures += f"{row.growth_per_h:>+9.2f}{row.growth:>+9.2f}"
    verdict = "GROWS" if row.wrong else "ok" if limit_text(row) else "-"
    return f"{title:<26}{figures}  {limit_text(row):<20}{verdict}"


def limit_text(row: Row) -> str:
    """Return the limits of a row in words, nothing if it has none."""
    limits = []
    if row.measure.growth is not None:
        limits.append(f"{row.measure.growth:+g} in the half")
    if row.measure.ceiling is not None:
        limits.append(f"never above {row.measure.ceiling:.4g}")
    return ", ".join(limits)


def write_csv(path: Path, times_s: Sequence[float], series: Mapping[str, Sequence[float]]) -> None:
    """Write one line a sample; `series` by the keys of the measures, which name their units."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["real_s", *series])
        for number, at_s in enumerate(times_s):
            writer.writerow([round(at_s, 2), *(round(values[number], 4) for values in series.values())])


def plot(
    path: Path,
    title: str,
    rows: Sequence[Row],
    times_s: Sequence[float],
    series: Mapping[str, Sequence[float]],
    restarts_s: Sequence[float],
) -> None:
    """Draw each measure over minutes of real time, with its limit and the broker's restarts."""
    minutes = np.asarray(times_s) / 60
    lines = -(-len(rows) // COLUMNS)
    figure, cells = plt.subplots(
        lines, COLUMNS, figsize=(13, 2.3 * lines + 1), sharex=True, squeeze=False, layout="constrained"
    )
    for row, cell in zip(rows, cells.flat, strict=False):
        values = np.asarray(series[row.measure.key], float)
        for at_s in restarts_s:
            cell.axvline(at_s / 60, color=RESTART, linewidth=0.8, zorder=0)
        cell.plot(minutes, values, color=LINE, alpha=0.35, linewidth=0.8)
        cell.plot(minutes, _running_median(values), color=LINE, linewidth=1.6)
        tops = [float(values.max())]
        if row.measure.ceiling is not None:
            cell.axhline(row.measure.ceiling, color=LIMIT, linestyle="--", linewidth=1.2)
            tops.append(row.measure.ceiling)
        if row.measure.growth is not None:
            tops.append(_draw_growth(cell, row, minutes, values))
        flat = values.min() > FLAT * max(tops)
        bottom = values.min() - (max(tops) - values.min()) if flat else 0.0
        cell.set_ylim(bottom, max(tops) + 0.15 * (max(tops) - bottom) or 1)
        cell.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=not row.measure.unit))
        cell.set_title(row.measure.title, fontsize=10, loc="left", color=LIMIT if row.wrong else "black")
        cell.set_ylabel(row.measure.unit or "count", fontsize=9)
        cell.spines[["top", "right"]].set_visible(False)
        cell.tick_params(labelsize=8)
    for cell in cells.flat[len(rows) :]:
        cell.set_visible(False)
    for cell in cells.flat[max(0, len(rows) - COLUMNS) : len(rows)]:
        cell.tick_params(labelbottom=True)
        cell.set_xlabel("minutes of real time", fontsize=9)
    figure.suptitle(
        f"{title}\nblue: each sample and its running median; red dashes: limit (a ceiling, or the steepest "
        "slope allowed over the second half); red title: beyond it; grey: broker restarts",
        fontsize=10,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_growth(cell: Any, row: Row, minutes: Numbers, values: Numbers) -> float:
    """Draw the steepest slope that is allowed, from where the second half begins; return its end."""
    middle = (minutes[0] + minutes[-1]) / 2
    from_value = float(np.median(values[minutes >= middle][:WINDOW]))
    until_value = from_value + (row.measure.growth or 0)
    cell.plot([middle, minutes[-1]], [from_value, until_value], color=LIMIT, linestyle="--", linewidth=1.2)
    return until_value


def _running_median(values: Numbers) -> Numbers:
    reach = WINDOW // 2
    return np.array([np.median(values[max(0, n - reach) : n + reach + 1]) for n in range(len(values))])
