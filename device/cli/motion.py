"""`doorbell motion why` and `doorbell motion tune`."""

import argparse
import difflib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from device.cli.client import OK, ApiObject, NoDaemon, ask, clip_path, print_json
from device.config import Config, load_config
from device.errors import CommandError

if TYPE_CHECKING:
    from device.cli.motion_analysis import DetectorSettings, Luma, Story
    from device.media.masks import Masks
    from device.motion.detector import Tuning
    from device.motion.visit import VisitEnded

WHERE = {
    "nearer": "came nearer",
    "away": "went away",
    "left": "went to the left",
    "right": "went to the right",
    "none": "stayed about where it was",
}
MAX_MOMENTS = 8


def why(arguments: argparse.Namespace) -> int:
    """Say why an event was motion."""
    rows = [
        row
        for row in ask(arguments.state, "GET", f"/events/{quote(arguments.event, safe='')}")
        if "motion" in row["kind"]
    ]
    visits = list(_visits(rows))
    if not visits:
        raise CommandError(
            f"event {arguments.event} was not started by motion, or it goes on; see `doorbell log`"
        )
    if arguments.png:
        _draw(arguments, visits[-1])
    if arguments.json:
        print_json(visits)
        return OK
    for visit in visits:
        print(_visit_text(visit))
    if arguments.png:
        print(f"drawn in {arguments.png}")
    return OK


def _visits(rows: list[ApiObject]) -> Iterator[ApiObject]:
    started: ApiObject | None = None
    for row in rows:
        if row["kind"] == "motion_started":
            started = row
        elif row["kind"] == "motion_ended" and started is not None:
            yield {**row, "started_at": started["occurred_at"], "first_score": started["score"]}
            started = None


def _visit_text(visit: ApiObject) -> str:
    zones = f" in {', '.join(visit['zones'])}" if visit["zones"] else ""
    where = WHERE.get(visit["direction"], visit["direction"])
    lines = [
        f"event {visit['event_id']}, {visit['started_at']}",
        f"somebody moved{zones} for {visit['moved_s']:.1f} s and {where};",
        f"at most {visit['peak_score']:.2f} sure (0.50 is just enough)",
        f"{'SECONDS':>9} {'SURE':>6} {'LEFT':>6} {'TOP':>6} {'WIDE':>6} {'HIGH':>6}  ZONE",
    ]
    for glimpse in visit["why"]:
        shares = " ".join(f"{share:>6.0%}" for share in glimpse["box"])
        lines.append(
            f"{glimpse['s']:>9.1f} {glimpse['score']:>6.2f} {shares}  {glimpse['zone'] or ''}".rstrip()
        )
    return "\n".join(lines)


def _draw(arguments: argparse.Namespace, visit: ApiObject) -> None:
    from device.cli import motion_plot  # loads OpenCV, for this command only

    behind = _behind(arguments.state, visit)
    note = "" if behind is not None else " (its clip is not there any more)"
    boxes = [(glimpse["s"], glimpse["box"]) for glimpse in visit["why"]]
    title = f"{visit['started_at']}  {WHERE.get(visit['direction'], '')}, {visit['moved_s']:.1f} s{note}"
    motion_plot.event(arguments.png, title, boxes, behind)


def _behind(state: Path | None, visit: ApiObject) -> "Luma | None":
    """Return the picture of the event's clip at the surest moment, or None without a clip."""
    from device.cli.motion_analysis import pictures_at
    from device.media.masks import Masks

    best = max(visit["why"], key=lambda glimpse: float(glimpse["score"]))
    at = datetime.fromisoformat(visit["started_at"]).timestamp() + best["s"]
    for clip in ask(state, "GET", "/clips"):
        starts = datetime.fromisoformat(clip["started_at"]).timestamp()
        if clip["event_id"] == visit["event_id"] and starts <= at <= starts + clip["duration_s"]:
            try:
                masks = Masks(ask(state, "GET", clip_path(clip["id"]))["masks"])
                return pictures_at(Path(clip["file"]), [at - starts], masks)[0]
            except CommandError:
                return None
    return None


def tune(arguments: argparse.Namespace) -> int:
    """Replay a recording with other settings; print and plot what would change."""
    from device.cli import motion_plot
    from device.cli.motion_analysis import pictures_at, stories

    config = load_config(arguments.config) if arguments.config else Config()
    path, masks = _recording(arguments, config)
    now, changed = _settings(config, arguments, changed=False), _settings(config, arguments, changed=True)
    asked = _asked(arguments)
    analyses, count = stories(path, [now, changed] if asked else [now], masks)
    names = ["as it is now", *([f"with {asked}"] if asked else [])]
    if arguments.png:
        moments_s = _moments(analyses)
        shown = pictures_at(path, moments_s, masks)
        title = f"{path.name}: motion score, {count} pictures in {analyses[0].seconds:.1f} s"
        motion_plot.timeline(arguments.png, title, list(zip(names, analyses, strict=True)), moments_s, shown)
    if arguments.json:
        print_json(
            [
                {"settings": n, "visits": [_plain(v) for v in s.visits]}
                for n, s in zip(names, analyses, strict=True)
            ]
        )
        return OK
    print(f"{path}: {analyses[0].seconds:.1f} s, {count} pictures")
    for name, story in zip(names, analyses, strict=True):
        print(f"{name}: {len(story.visits) or 'no'} visit{'' if len(story.visits) == 1 else 's'}")
        for visit in story.visits:
            print(f"  {_line(visit)}")
    if asked:
        print(_difference(*analyses))
    if arguments.png:
        print(f"drawn in {arguments.png}")
    return OK


def _recording(arguments: argparse.Namespace, config: Config) -> "tuple[Path, Masks]":
    """Return the file meant and what is covered in it: one that is there, or the clip of that id."""
    from device.media.masks import Masks
    from device.store.mask_record import WHOLE, masks_in

    path = Path(arguments.recording)
    polygons = [mask.points for mask in config.masks]
    if path.is_file():
        try:
            recorded = masks_in(path)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from error
        return path, Masks([*polygons, *(recorded.held if recorded != WHOLE else ())])
    try:
        clip = ask(arguments.state, "GET", clip_path(arguments.recording))
    except (NoDaemon, CommandError) as error:
        raise CommandError(f"{arguments.recording} is no file here, and as a clip: {error}") from error
    return Path(clip["file"]), Masks([*polygons, *clip["masks"]])


def _settings(config: Config, arguments: argparse.Namespace, *, changed: bool) -> "DetectorSettings":
    from device.cli.motion_analysis import DetectorSettings
    from device.motion.detector import Tuning
    from device.motion.zones import Zones

    tuning = Tuning()
    for text in arguments.set if changed else ():
        tuning = _with(tuning, text)
    sensitivity = arguments.sensitivity if changed else None
    return DetectorSettings(
        zones=Zones.configured(config.zones, config.motion, sensitivity=sensitivity),
        tuning=tuning,
        quiet_us=int(config.motion.quiet_s * 1e6),
    )


def _with(tuning: "Tuning", text: str) -> "Tuning":
    """Return the tuning with NAME=VALUE. Raises CommandError."""
    name, _, value = text.partition("=")
    known = tuning.numbers()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        raise CommandError(f"--set {text}: {name!r} is no number of the detector; {hint}")
    try:
        return tuning.changed(name, value)
    except ValueError as error:
        raise CommandError(f"--set {text}: {value!r} is no number") from error


def _asked(arguments: argparse.Namespace) -> str:
    words = [] if arguments.sensitivity is None else [f"sensitivity {arguments.sensitivity:g}"]
    return ", ".join([*words, *(text.replace("=", " ") for text in arguments.set)])


def _span(visit: "VisitEnded") -> tuple[float, float]:
    from device.cli.motion_analysis import Story

    return Story.at_s(visit.started_us), Story.at_s(visit.last_us)


def _plain(visit: "VisitEnded") -> ApiObject:
    start, end = _span(visit)
    return {
        "start_s": round(start, 2),
        "end_s": round(end, 2),
        "peak_score": round(visit.peak_score, 2),
        "zones": list(visit.zones),
        "direction": visit.direction,
    }


def _line(visit: "VisitEnded") -> str:
    start, end = _span(visit)
    zones = f", in {', '.join(visit.zones)}" if visit.zones else ""
    return f"{start:6.1f} s to {end:6.1f} s  {visit.peak_score:.2f} sure, {WHERE[visit.direction]}{zones}"


def _difference(now: "Story", changed: "Story") -> str:
    """Return which visits only one of the two has."""

    def only(ours: "Story", theirs: "Story") -> list[str]:
        return [
            f"{start:.1f} s"
            for start, end in map(_span, ours.visits)
            if not any(start <= b and end >= a for a, b in map(_span, theirs.visits))
        ]

    new, gone = only(changed, now), only(now, changed)
    if not new and not gone:
        return "the same visits are found"
    words = [f"found in addition: at {', '.join(new)}"] if new else []
    return "; ".join([*words, *([f"not found any more: at {', '.join(gone)}"] if gone else [])])


def _moments(analyses: "list[Story]") -> list[float]:
    """Return the seconds worth a look: where the stories differ most, the peaks, and the highest rest."""
    from device.motion.detector import THRESHOLD

    chosen: list[float] = []
    peaks = [story.at_s(visit.peak_us) for story in analyses for visit in story.visits]
    differ = sorted(
        (
            s
            for s, look in analyses[-1].looks
            if (look.score >= THRESHOLD) != (analyses[0].look_at(s).score >= THRESHOLD)
        ),
        key=lambda s: -abs(analyses[-1].look_at(s).score - analyses[0].look_at(s).score),
    )
    rest = sorted(
        (s for s, look in analyses[-1].looks if look.movers), key=lambda s: -analyses[-1].look_at(s).score
    )
    even = [analyses[0].seconds * part / MAX_MOMENTS for part in range(1, MAX_MOMENTS)]
    for s in [*peaks, *differ, *rest, *even]:
        if all(abs(s - other) > analyses[0].seconds / 20 for other in chosen):
            chosen.append(s)
        if len(chosen) == MAX_MOMENTS:
            break
    return sorted(chosen)
