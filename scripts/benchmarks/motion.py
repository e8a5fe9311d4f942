"""Motion detection: recall, false detections, latency and cost, beside other detectors.

    scripts/bench motion [--data FOLDER] [--noise LEVELS] [--fps N] [--only PREFIX,…] [--peers NAME,…]
    scripts/bench motion --data FOLDER --leave-one-out tracks.confirm_s=0.5,0.6,0.8 [scene.floor_levels=4,5,6]

FOLDER has truth.json and its clips; without it the project's own drawn set is used.
"""

import argparse
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from device.motion.detector import Tuning, make
from scripts.benchmarks import motion_debian
from scripts.benchmarks.motion_clips import Clip, Luma, clips, pictures
from scripts.benchmarks.motion_peers import PEERS, Make
from scripts.benchmarks.motion_rules import Outcome, Span, detections, judge, together
from tests.support import motion_scenes
from tests.support.processes import shared

OURS = "doorbelld"
START_US = 1_000_000_000
SMALL = (320, 180)
MAX_COMBINATIONS = 64
AIMS = (
    "aims (docs/motion.md): F1 >= 0.95, recall >= 0.95, <= 5 false/h, latency <= 1.2 / 3 s, <= 5 x the floor"
    " (3 x where nothing stirs)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The noise and frame rate of the clips for every detector."""

    noise_levels: float = 0.0
    fps: float = 0.0


@dataclass(slots=True, kw_only=True)
class Cost:
    """CPU time of a detector and of the floor on the same pictures."""

    pictures: int = 0
    us: float = 0.0
    floor_us: float = 0.0

    def add(self, other: "Cost") -> None:
        """Take in another clip's."""
        self.pictures += other.pictures
        self.us += other.us
        self.floor_us += other.floor_us

    @property
    def ratio(self) -> float:
        """Of the detector's time to the floor's."""
        return self.us / self.floor_us if self.floor_us else 0.0


@dataclass(slots=True, kw_only=True)
class Run:
    """One detector on one clip."""

    spans: list[Span]
    full: Cost = field(default_factory=Cost)
    small: Cost = field(default_factory=Cost)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="truth.json and clips; else a drawn set")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="only write the drawn set to this folder")
    parser.add_argument("--noise", type=float, default=0.0, metavar="LEVELS", help="add sensor noise")
    parser.add_argument("--fps", type=float, default=0.0, metavar="N", help="reduce to N pictures a second")
    parser.add_argument(
        "--only", default="", metavar="PREFIX,…", help="only clips whose names begin like this"
    )
    parser.add_argument(
        "--peers", metavar="NAME,…", help=f"of {', '.join(PEERS)}, {motion_debian.NAME}; 'none' for none"
    )
    parser.add_argument("--jobs", type=int, default=2, help="clips in parallel (2)")
    parser.add_argument(
        "--leave-one-out",
        nargs="+",
        metavar="NAME=A,B,…",
        help="choose these parameters without the clip that is judged",
    )


def main(given: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for, print the tables, and return the figures."""
    cv2.setNumThreads(1)
    if given.draw:
        print(f"drawn: {_drawn(given.draw, given.jobs)}")
        return {}
    with tempfile.TemporaryDirectory() as directory:
        folder = given.data or _drawn(Path(directory) / "porch", given.jobs)
        chosen = clips(folder, tuple(filter(None, given.only.split(","))))
        shown = Shown(noise_levels=given.noise, fps=given.fps)
        hours = sum(clip.truth.seconds for clip in chosen) / 3600
        print(
            f"motion: {len(chosen)} clips, {sum(len(c.truth.events) for c in chosen)} events,"
            f" {hours * 60:.1f} min;"
            f" one false event is {1 / hours:.1f} per hour"
        )
        if given.leave_one_out:
            return _leave_one_out(chosen, shown, given.leave_one_out, given.jobs)
        return _compare(chosen, shown, given.peers, given.jobs)


def _drawn(folder: Path, jobs: int) -> Path:
    print(f"drawing {len(motion_scenes.scenes())} clips (seeded), about a minute", flush=True)
    return motion_scenes.draw(folder, jobs=jobs)


def _compare(chosen: list[Clip], shown: Shown, peers: str | None, jobs: int) -> dict[str, Any]:
    names = list(PEERS) if peers is None else [name for name in PEERS if name in peers.split(",")]
    makes: dict[str, Make] = {OURS: make, **{name: PEERS[name] for name in names}}
    runs = _runs(chosen, shown, makes, jobs, small=True)
    detectors = list(makes)
    if peers is None or motion_debian.NAME in peers.split(","):
        why_not = _debian(chosen, shown, runs)
        print(f"{motion_debian.NAME}: {why_not}") if why_not else detectors.append(motion_debian.NAME)
    judged = {
        name: {clip.name: judge(clip.truth, runs[clip.name][name].spans) for clip in chosen}
        for name in detectors
    }
    result = {name: _figures(chosen, runs, judged[name], name) for name in detectors}
    for line in _lines(chosen, judged, result):
        print(line)
    print(AIMS)
    return {"shown": asdict(shown), "detectors": result}


def _debian(chosen: list[Clip], shown: Shown, runs: dict[str, dict[str, Run]]) -> str:
    """Add what Motion tells to `runs`, or return why it was not asked."""
    if not motion_debian.installed():
        return "is not installed (Debian's package `motion`)"
    if shown.noise_levels or shown.fps:
        return "reads the files itself, without noise or thinning"
    for name, spans in motion_debian.run(chosen).items():
        runs[name][motion_debian.NAME] = Run(spans=spans)
    return ""


def _runs(
    chosen: list[Clip], shown: Shown, makes: dict[str, Make], jobs: int, *, small: bool
) -> dict[str, dict[str, Run]]:
    """Run each detector on each clip; `small`: measure the cost at 320 x 180, too."""
    run = partial(_run, shown=shown, makes=makes, small=small)
    return dict(shared(run, [(clip,) for clip in chosen], jobs, begin=partial(cv2.setNumThreads, 1)))


def _run(clip: Clip, *, shown: Shown, makes: dict[str, Make], small: bool) -> tuple[str, dict[str, Run]]:
    frames = list(pictures(clip, noise_levels=shown.noise_levels, fps=shown.fps))
    smaller = [
        (us, np.asarray(cv2.resize(picture, SMALL, interpolation=cv2.INTER_AREA), np.uint8))
        for us, picture in (frames if small else ())
    ]
    return clip.name, {name: _watch(clip, frames, smaller, create) for name, create in makes.items()}


def _watch(clip: Clip, frames: list[tuple[int, Luma]], smaller: list[tuple[int, Luma]], create: Make) -> Run:
    says, full = _timed(clip, frames, create)
    run = Run(spans=detections([us / 1e6 for us, _ in frames], says), full=full)
    if smaller:
        _, run.small = _timed(clip, smaller, create)
    return run


def _timed(clip: Clip, frames: list[tuple[int, Luma]], create: Make) -> tuple[list[bool], Cost]:
    height, width = frames[0][1].shape
    zone = clip.mask(640, 360)
    if zone is not None and (width, height) != (640, 360):
        zone = cv2.resize(zone.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    moves, says, cost, before = create(width, height, zone), list[bool](), Cost(), None
    for us, picture in frames:
        began_ns = time.thread_time_ns()
        says.append(bool(moves(picture, START_US + us)))
        took_ns = time.thread_time_ns() - began_ns
        if before is not None:
            cost.add(Cost(pictures=1, us=took_ns / 1e3, floor_us=_floor_us(picture, before)))
        before = picture
    return says, cost


def _floor_us(picture: Luma, before: Luma) -> float:
    began_ns = time.thread_time_ns()
    difference = cv2.absdiff(picture, before)
    _, difference = cv2.threshold(difference, 25, 255, cv2.THRESH_BINARY)
    cv2.countNonZero(difference)
    return (time.thread_time_ns() - began_ns) / 1e3


def _still(clip: Clip) -> bool:
    return not clip.truth.events and not (set(clip.tags) - {"night", "noise"})


def _figures(
    chosen: list[Clip], runs: dict[str, dict[str, Run]], outcomes: dict[str, Outcome], name: str
) -> dict[str, Any]:
    full, small, still = Cost(), Cost(), Cost()
    for clip in chosen:
        run = runs[clip.name][name]
        full.add(run.full)
        small.add(run.small)
        if _still(clip):
            still.add(run.full)
    return {
        "all": _summary(together(outcomes.values())),
        "camera": _summary(together(outcomes[clip.name] for clip in chosen if clip.camera)),
        "us_640x360": full.us / max(1, full.pictures),
        "us_320x180": small.us / max(1, small.pictures),
        "ratio_640x360": full.ratio,
        "ratio_320x180": small.ratio,
        "ratio_still": still.ratio,
        "by_tag": {
            tag: _summary(together(outcomes[clip.name] for clip in chosen if tag in clip.tags))
            for tag in sorted({tag for clip in chosen for tag in clip.tags})
        },
    }


def _summary(outcome: Outcome) -> dict[str, Any]:
    return {
        "clips": outcome.clips,
        "events": outcome.events,
        "found": outcome.found,
        "false": outcome.false,
        "precision": outcome.precision,
        "recall": outcome.recall,
        "f1": outcome.f1,
        "false_per_h": outcome.false_per_h,
        "latency_median_s": outcome.latency_s(50),
        "latency_p90_s": outcome.latency_s(90),
        "covered": outcome.covered,
    }


def _lines(
    chosen: list[Clip], judged: dict[str, dict[str, Outcome]], result: dict[str, Any]
) -> Iterable[str]:
    heads = f"{'prec.':>6}{'recall':>7}{'F1':>6}{'false/h':>8}{'latency s':>12}{'covered':>8}"
    yield f"{'':22}{heads}{'µs 640':>8}{'µs 320':>8}{'ratio':>7}{'still':>6}"
    for part in ("all", "camera"):
        if not result[OURS][part]["clips"]:
            continue
        yield f"{part} ({result[OURS][part]['clips']} clips)"
        for name, figures in result.items():
            yield f"  {name:20}" + _row(figures[part]) + (_costs(figures) if part == "all" else "")
    yield "found of events, and false events, by nuisance (a clip may have several)"
    yield f"  {'':20}" + "".join(f"{name:>22}" for name in result)
    for tag in result[OURS]["by_tag"]:
        cells = (figures["by_tag"][tag] for figures in result.values())
        yield f"  {tag:20}" + "".join(f"{c['found']:>12}/{c['events']}, {c['false']} false" for c in cells)
    still = ", ".join(clip.name for clip in chosen if _still(clip)) or "none"
    yield f"where nothing stirs (column still): {still}"
    for clip in chosen:
        outcome = judged[OURS][clip.name]
        if outcome.found < outcome.events or outcome.false:
            yield f"{OURS} {clip.name}: found {outcome.found} of {outcome.events}, {outcome.false} false"


def _row(row: dict[str, Any]) -> str:
    latency = f"{row['latency_median_s']:.2f} / {row['latency_p90_s']:.2f}"
    scores = f"{row['precision']:6.2f}{row['recall']:7.3f}{row['f1']:6.3f}{row['false_per_h']:8.0f}"
    return f"{scores}{latency:>12}{row['covered']:8.2f}"


def _costs(figures: dict[str, Any]) -> str:
    if not figures["us_640x360"]:
        return ""  # a process of its own, which decodes as well
    us = f"{figures['us_640x360']:8.0f}{figures['us_320x180']:8.0f}"
    return f"{us}{figures['ratio_640x360']:7.1f}{figures['ratio_still']:6.1f}"


def _leave_one_out(chosen: list[Clip], shown: Shown, asked: list[str], jobs: int) -> dict[str, Any]:
    names, combinations = _combinations(asked)
    makes: dict[str, Make] = {
        str(number): partial(_tuned, tuning=_tuning(names, values))
        for number, values in enumerate(combinations)
    }
    runs = _runs(chosen, shown, makes, jobs, small=False)
    outcomes = {key: {c.name: judge(c.truth, runs[c.name][key].spans) for c in chosen} for key in makes}
    picked, left_out = Counter[str](), []
    for clip in chosen:
        others = {
            key: together(o for name, o in rows.items() if name != clip.name)
            for key, rows in outcomes.items()
        }
        best = max(others, key=lambda key: (others[key].f1, _plateau(key, others, combinations)))
        picked[best] += 1
        left_out.append(outcomes[best][clip.name])
    total = _summary(together(left_out))
    print(f"leave one clip out, {len(combinations)} combinations of {', '.join(names)}:")
    print(
        f"  F1 {total['f1']:.3f} recall {total['recall']:.3f} false/h {total['false_per_h']:.0f}"
        f" latency {total['latency_median_s']:.2f} / {total['latency_p90_s']:.2f} s"
    )
    choices = []
    for key, times in picked.most_common():
        values = dict(zip(names, combinations[int(key)], strict=True))
        choices.append({"values": values, "clips": times})
        print(f"  chosen for {times} of {len(chosen)} clips: {values}")
    for number, tried in enumerate(combinations):
        row = together(outcomes[str(number)].values())
        print(f"  {tried}: F1 {row.f1:.3f}, {row.found} of {row.events} found, {row.false} false")
    return {"left_out": total, "chosen": choices}


def _plateau(key: str, others: dict[str, Outcome], combinations: list[tuple[float, ...]]) -> float:
    """Return the mean F1 of those that differ in one number: of equals, the one on the widest plateau."""
    mine = combinations[int(key)]
    near = [
        others[str(number)].f1
        for number, values in enumerate(combinations)
        if sum(a != b for a, b in zip(mine, values, strict=True)) == 1
    ]
    return sum(near) / max(1, len(near))


def _tuned(width: int, height: int, zone: Any, *, tuning: Tuning) -> Any:
    return make(width, height, zone, tuning)


def _combinations(asked: list[str]) -> tuple[list[str], list[tuple[float, ...]]]:
    names, ranges = [], []
    for text in asked:
        name, _, values = text.partition("=")
        _tuning([name], [0.0])  # complains about a name that is none
        names.append(name)
        ranges.append([float(value) for value in values.split(",")])
    combinations = list(itertools.product(*ranges))
    if len(combinations) > MAX_COMBINATIONS:
        raise SystemExit(f"bench: {len(combinations)} combinations; at most {MAX_COMBINATIONS} are tried")
    return names, combinations


def _tuning(names: Iterable[str], values: Iterable[float]) -> Tuning:
    tuning = Tuning()
    for name, value in zip(names, values, strict=True):
        part, _, number = name.partition(".")
        if tuning.numbers().get(number) != part:
            raise SystemExit(
                f"bench: {name} is no number of the detector; scene.… or tracks.… (device/policy)"
            )
        tuning = tuning.changed(number, value)
    return tuning
