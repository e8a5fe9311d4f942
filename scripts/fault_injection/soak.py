"""Run the real daemon for hours, with ten times as many presses and visits an hour as on a busy day.

The clock runs at normal speed; only the events are closer together. A camera, a clip's post-roll and a broker's
PUBACK take their normal time. `--hours 24` is 2,000 presses and 5,000 visits in 2.4 hours of real time. The
storage limit is small, so that retention deletes clips all the time, and the broker restarts now and then. The
daemon's memory, threads, descriptors and disk use are sampled throughout. At the end the run fails if one of
them grows, or if acknowledged data is lost.
"""

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from device.cli.client import ask
from device.errors import DoorbellError
from device.store.layout import Layout
from scripts.benchmarks import rig
from scripts.fault_injection import soak_environment
from scripts.fault_injection.leaky import LEAKS
from scripts.fault_injection.soak_verdict import (
    Finding,
    Measure,
    Row,
    judge,
    judge_episodes,
    judge_log,
    judge_presses,
)
from tests.support.broker import Broker
from tests.support.doorbell import BIN

FASTER = 10
PRESSES_A_DAY = 2000
SAMPLE_EVERY_S = 2.0
BROKER_AWAY_S = 3.0
FEWEST_RESTARTS = 3
HOURS_A_RESTART = 0.5
LIMIT_BYTES = 10_000_000
LOG_ROWS = 1000
HEARD_S = 20.0
SAY_EVERY_S = 60.0
ROOT = "doorbelld/bench"
MIN_HOURS, MAX_HOURS = 0.25, 240.0
"""With fewer there is too little to judge by."""

TABLES: dict[str, Any] = {
    "motion": {"quiet_s": 1.0},
    "clips": {"pre_roll_s": 0.5, "post_roll_s": 1.0},
    "storage": {"limit_bytes": LIMIT_BYTES, "reserve_bytes": 0, "log_rows": LOG_ROWS},
}
"""A visit must be over before the next comes, 1.7 s later; so each makes a clip of its own."""

MEASURES = (
    Measure(key="memory_mb", title="resident memory", unit="MB", growth=4.0),
    Measure(key="threads", title="threads", unit="", growth=1.5),
    Measure(key="descriptors", title="open descriptors", unit="", growth=1.5),
    Measure(key="disk_mb", title="clips on disk", unit="MB"),  # the ceiling is known at the end
    Measure(key="clips", title="clips", unit=""),
    Measure(key="other_files", title="other files", unit="", growth=1.5),
    # Two write-ahead logs of 4 MB at most, a thousand rows, and an index of some dozen clips.
    Measure(key="databases_mb", title="log and index", unit="MB", ceiling=10.0),
    Measure(key="controller", title="facts before the controller", unit="", growth=1.5),
    Measure(key="storage", title="orders before the storage worker", unit="", growth=1.5),
    Measure(key="log_pending", title="log rows pending", unit="", growth=5.0),
    Measure(key="camera_drops", title="small pictures dropped", unit=""),
    Measure(key="cpu_percent", title="processor", unit="% of a core", growth=10.0),
)


@dataclass(slots=True)
class Seen:
    """The samples and counts of the run."""

    times_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    series: dict[str, list[float]] = field(default_factory=lambda: {m.key: [] for m in MEASURES})
    largest_clip_bytes: int = 0
    sent: int = 0
    acknowledged: int = 0
    restarts_s: list[float] = field(default_factory=list)
    span_us: tuple[int, int] = (0, 0)
    """Real time that the actions took."""
    troubles: list[str] = field(default_factory=list)


def plan(hours: float) -> list[tuple[float, str]]:
    """Return the actions in order: (real seconds from the start; press, sample, down or up)."""
    real_s = hours * 3600 / FASTER
    presses = max(1, round(hours * PRESSES_A_DAY / 24))
    restarts = max(FEWEST_RESTARTS, round(hours / HOURS_A_RESTART))
    deeds = [((number + 0.5) * real_s / presses, "press") for number in range(presses)]
    samples = int(real_s / SAMPLE_EVERY_S)
    deeds += [((number + 1) * SAMPLE_EVERY_S, "sample") for number in range(samples)]
    for number in range(1, restarts + 1):
        at_s = number * real_s / (restarts + 1)
        deeds += [(at_s, "down"), (at_s + BROKER_AWAY_S, "up")]
    return sorted(deeds)


@dataclass(slots=True)
class Environment:
    """A broker, a dashboard and the daemon, which looks at a looped video."""

    broker: Broker
    dashboard: soak_environment.Dashboard
    daemon: rig.BenchDoorbell

    @property
    def layout(self) -> Layout:
        """Where the daemon keeps what it keeps."""
        return Layout(self.daemon.state / "state")


@contextmanager
def started(folder: Path, plant: str | None) -> Iterator[Environment]:
    """Start it; end whatever still runs of it."""
    main = soak_environment.draw_visits(folder / "main.mp4", width_px=1280, kbps=1500)
    small = soak_environment.draw_visits(folder / "small.mp4", width_px=320, kbps=200)
    program = [sys.executable, "-m", "scripts.fault_injection.leaky", plant] if plant else [BIN / "doorbelld"]
    camera = {"kind": "stream", "stream": {"url": str(main), "substream_url": str(small)}}
    with ExitStack() as stack:
        broker = Broker(folder)
        stack.callback(broker.stop)
        dashboard = soak_environment.Dashboard(broker.port, ROOT)
        stack.callback(dashboard.close)
        daemon = rig.BenchDoorbell(folder, broker.port, camera, program=program, **TABLES)
        stack.callback(_end, daemon)
        yield Environment(broker, dashboard, daemon)


def _end(daemon: rig.BenchDoorbell) -> None:
    if daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.wait(10)


def drive(environment: Environment, deeds: list[tuple[float, str]], seen: Seen) -> None:
    """Carry out the plan; stop early if the daemon ends."""
    began_s = said_s = time.monotonic()
    seen.cpu_s = sum(map(rig.cpu_s, soak_environment.family(environment.daemon.process.pid)))
    for at_s, deed in deeds:
        time.sleep(max(0.0, began_s + at_s - time.monotonic()))
        if environment.daemon.process.poll() is not None:
            seen.troubles.append(
                f"the daemon ended by itself, status {environment.daemon.process.returncode}"
            )
            return
        match deed:
            case "press":
                _press(environment, seen)
            case "sample":
                _sample(environment, seen, time.monotonic() - began_s)
            case "down":
                environment.broker.stop()
                seen.restarts_s.append(time.monotonic() - began_s)
            case "up":
                environment.broker.start()
        if time.monotonic() - said_s > SAY_EVERY_S:
            said_s = time.monotonic()
            memory_mb = "".join(f", {mb:.0f} MB" for mb in seen.series["memory_mb"][-1:])
            print(f"  … {at_s / 60:.0f} of {deeds[-1][0] / 60:.0f} min{memory_mb}", file=sys.stderr)


def _press(environment: Environment, seen: Seen) -> None:
    seen.sent += 1
    try:
        environment.daemon.press()
        seen.acknowledged += 1
    except (OSError, ValueError, KeyError) as error:  # no answer, half a one, or a refusal
        seen.troubles.append(f"press {seen.sent} was not acknowledged: {error!r}")


def _sample(environment: Environment, seen: Seen, at_s: float) -> None:
    """Look at the daemon from outside, and ask it as its owner would, each time over a new connection."""
    pids = soak_environment.family(environment.daemon.process.pid)
    try:
        status = ask(environment.daemon.state, "GET", "/status")
        ask(environment.daemon.state, "GET", "/clips")
        ask(environment.daemon.state, "GET", "/log")
        cpu_s = sum(map(rig.cpu_s, pids))
        found = {
            "memory_mb": sum(map(rig.rss_mb, pids)),
            "threads": sum(map(soak_environment.threads, pids)),
            "descriptors": sum(map(soak_environment.descriptors, pids)),
        }
    except (DoorbellError, OSError, ValueError, IndexError) as error:  # it may end while it is looked at
        seen.troubles.append(f"no sample at {at_s:.0f} s: {error!r}")
        return
    sizes = soak_environment.sizes(environment.layout.state_dir)
    clips_folder = environment.layout.clips.relative_to(environment.layout.state_dir)
    clips = {name: size for name, size in sizes.items() if Path(name).parent == clips_folder}
    seen.largest_clip_bytes = max([seen.largest_clip_bytes, *clips.values()])
    whole = sum(name.endswith(".mp4") for name in clips)
    since_s = at_s - (seen.times_s[-1] if seen.times_s else 0.0)
    found |= {
        "disk_mb": sum(clips.values()) / 1e6,
        "clips": whole,
        "other_files": len(sizes) - whole,
        "databases_mb": sum(size for name, size in sizes.items() if ".db" in name) / 1e6,
        "controller": status["waiting"]["controller"],
        "storage": status["waiting"]["storage"],
        "log_pending": status["storage"]["log_pending"],
        "camera_drops": status["camera_drops"],
        "cpu_percent": 100 * (cpu_s - seen.cpu_s) / since_s,
    }
    seen.times_s.append(at_s)
    seen.cpu_s = cpu_s
    for key, value in found.items():
        seen.series[key].append(value)


def settle(environment: Environment, seen: Seen) -> list[Finding]:
    """Stop in order, and judge what was counted."""
    by_itself = environment.daemon.process.poll() is not None
    if not by_itself:
        _stop(environment, seen)
    acked_seq = _acked_seq(environment.layout.event_log)
    until_s = time.monotonic() + HEARD_S
    while time.monotonic() < until_s and all(
        row["seq"] != acked_seq for _, row in environment.dashboard.log()
    ):
        time.sleep(0.2)
    heard = environment.dashboard.log()
    rows = list({row["seq"]: row for _, row in heard}.values())
    kinds = Counter(row["kind"] for row in rows)
    starts_us = sorted(_wall_us(row["occurred_at"]) for row in rows if row["kind"] == "motion_started")
    faults = Counter(row["code"] for row in rows if row["kind"] == "fault_raised")
    others = sum(faults.values()) - faults["mqtt_down"]
    tracebacks = environment.daemon.log_path.read_text(errors="replace").count("Traceback")
    return [
        judge_presses(
            sent=seen.sent,
            acknowledged=seen.acknowledged,
            rows=[row for row in rows if row["kind"] == "press"],
            live=environment.dashboard.live_presses(),
        ),
        judge_episodes(
            starts_us, kinds["motion_ended"], span_us=seen.span_us, every_us=soak_environment.EPISODE_US
        ),
        judge_log(heard, acked_seq=acked_seq, restarts=len(seen.restarts_s)),
        Finding(
            text=f"clips: {kinds['clip_kept']} kept, {kinds['clip_dropped']} dropped",
            wrong=not kinds["clip_kept"] or kinds["clip_dropped"] > 0,
        ),
        Finding(
            text="faults: " + (", ".join(f"{n} x {code}" for code, n in sorted(faults.items())) or "none"),
            wrong=others > 0,
        ),
        Finding(
            text=f"the daemon ended with status {environment.daemon.process.returncode}",
            wrong=by_itself or environment.daemon.process.returncode != 0,
        ),
        Finding(text=f"tracebacks in its log: {tracebacks}", wrong=tracebacks > 0),
        _check(environment.daemon.state),
        *(Finding(text=text, wrong=True) for text in seen.troubles),
    ]


def _stop(environment: Environment, seen: Seen) -> None:
    try:
        standing = [fault["code"] for fault in ask(environment.daemon.state, "GET", "/status")["faults"]]
        seen.troubles += [f"the fault {code} stands at the end" for code in standing]
    except DoorbellError as error:
        seen.troubles.append(f"no status at the end: {error}")
    try:
        environment.daemon.stop()
    except subprocess.TimeoutExpired as error:
        seen.troubles.append(f"the daemon did not stop: {error}")
        _end(environment.daemon)


def _acked_seq(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as log:
        return int(log.execute("SELECT acked_seq FROM sent").fetchone()[0])


def _wall_us(rfc3339: str) -> int:
    return round(datetime.fromisoformat(rfc3339).timestamp() * 1e6)


def _check(state: Path) -> Finding:
    """Run `doorbell check --deep` on what the daemon left."""
    command: list[str | Path] = [BIN / "doorbell", "--state", state, "check", "--deep"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    output = (done.stdout + done.stderr).strip().replace("\n", "; ")
    return Finding(text=f"doorbell check --deep: {output}", wrong=done.returncode != 0)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `soak`."""
    parser = subparsers.add_parser(
        "soak",
        help="a day at ten times the daily rate: fails if memory, disk use or a queue grows",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--hours",
        type=_hours,
        default=24.0,
        help="hours to simulate, each with 83 presses and 208 visits; the run takes a tenth of that time "
        "(default %(default)g)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/soak"),
        metavar="DIR",
        help="folder for soak.csv, soak.png and the daemon's log (default %(default)s)",
    )
    parser.add_argument(
        "--plant", choices=LEAKS, help="leak a megabyte or a descriptor a second; the run must detect it"
    )
    parser.set_defaults(run=run)


def _hours(text: str) -> float:
    hours = float(text)
    if not MIN_HOURS <= hours <= MAX_HOURS:
        raise argparse.ArgumentTypeError(f"{text} is not from {MIN_HOURS:g} to {MAX_HOURS:g}")
    return hours


def run(given: argparse.Namespace) -> int:
    """Print what was found; 1 if something grows beyond its limit, or was lost."""
    from scripts.fault_injection import (
        soak_report,  # loads matplotlib, which the other trials need not wait for
    )

    given.out.mkdir(parents=True, exist_ok=True)
    deeds, seen = plan(given.hours), Seen()
    with tempfile.TemporaryDirectory() as directory, started(Path(directory), given.plant) as environment:
        try:
            environment.daemon.live()
            began_us = time.time_ns() // 1000
            drive(environment, deeds, seen)
            seen.span_us = began_us, time.time_ns() // 1000
            findings = settle(environment, seen)
        finally:
            shutil.copyfile(environment.daemon.log_path, given.out / "doorbelld.log")
    rows = judged(seen)
    title = (
        f"{given.hours:g} h at ten times the daily rate: {deeds[-1][0] / 60:.0f} minutes of real time, "
        f"{len(seen.times_s)} samples{f'; planted: {given.plant}' if given.plant else ''}"
    )
    print(title)
    for line in soak_report.table(rows):
        print(f"  {line}")
    for finding in findings:
        print(f"  {'WRONG' if finding.wrong else 'ok':<6}{finding.text}")
    soak_report.write_csv(given.out / "soak.csv", seen.times_s, seen.series)
    soak_report.plot(given.out / "soak.png", title, rows, seen.times_s, seen.series, seen.restarts_s)
    print(f"  {given.out}/soak.csv, soak.png")
    return int(any(row.wrong for row in rows) or any(finding.wrong for finding in findings))


def judged(seen: Seen) -> list[Row]:
    """Judge every measure; of the disk the limit is what the storage may take, and one clip."""
    if not seen.times_s:
        raise SystemExit(f"faults: the daemon could not be sampled: {seen.troubles}")
    most_mb = (LIMIT_BYTES + seen.largest_clip_bytes) / 1e6
    measures = [replace(m, ceiling=most_mb) if m.key == "disk_mb" else m for m in MEASURES]
    return [judge(measure, seen.times_s, seen.series[measure.key]) for measure in measures]
