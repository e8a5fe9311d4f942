"""`doorbell`: talk to the doorbell of this machine, from a terminal or a script.

Exit status: 0 done, 1 the thing asked for failed, 2 wrong usage, 3 no daemon.
"""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from device import __version__
from device.cli import clips as of_clips
from device.cli import house as of_house
from device.cli import motion as of_motion
from device.cli.client import FAILED, NO_DAEMON, OK, NoDaemon
from device.errors import DoorbellError


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007  (a day here, whatever the time zone)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2026-11-24") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doorbell",
        description=__doc__.splitlines()[0],
        epilog="exit status: 0 done, 1 what was asked for failed, 2 wrong usage, 3 no daemon is running",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--state",
        type=Path,
        default=os.environ.get("DOORBELL_STATE"),
        metavar="DIR",
        help="the folder given to scripts/run --state (default: the system's doorbelld)",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        parent: Any, name: str, run: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = parent.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    def with_json(command: argparse.ArgumentParser) -> None:
        command.add_argument("--json", action="store_true", help="for machines")

    with_json(add(commands, "ring", of_house.ring, "ring as if the button was pressed"))
    with_json(add(commands, "status", of_house.status, "how the doorbell is, at a glance"))
    with_json(add(commands, "record", of_house.record, "make a clip of this moment"))
    clips = commands.add_parser(
        "clips", help="list, export, star or delete what was recorded"
    ).add_subparsers(metavar="COMMAND", required=True)
    listing = add(clips, "list", of_clips.list_clips, "the clips, oldest first (the newest 1000, or a day's)")
    with_json(listing)
    listing.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="those that began on this day")
    for name, run, text in (
        ("show", of_clips.show, "everything that is known of one clip"),
        ("star", of_clips.star, "keep a clip whatever its age and however full the disk"),
        ("delete", of_clips.delete, "delete a clip, at once and for good"),
    ):
        one = add(clips, name, run, text)
        with_json(one)
        one.add_argument("id", metavar="ID", help="as `doorbell clips list` shows it")
        if name == "star":
            one.add_argument("--off", action="store_true", help="take the star away")
    verify = add(clips, "verify", of_clips.verify, "compare the files with what was recorded (SHA-256)")
    with_json(verify)
    verify.add_argument("ids", metavar="ID", nargs="*", help="these clips (default: all)")
    export = add(clips, "export", of_clips.export, "copy a clip to a file of yours")
    with_json(export)
    export.add_argument("id", metavar="ID", help="as `doorbell clips list` shows it")
    export.add_argument("file", metavar="FILE", type=Path)
    export.add_argument("--unmasked", action="store_true", help="show what the privacy masks cover, too")
    motion = commands.add_parser(
        "motion", help="why something was motion, and what other settings would do"
    ).add_subparsers(metavar="COMMAND", required=True)
    reasons = add(
        motion, "why", of_motion.why, "why an event was motion: where somebody was, and how sure it is"
    )
    with_json(reasons)
    reasons.add_argument("event", metavar="EVENT", help="an event id, its beginning or end, or `last`")
    reasons.add_argument("--png", type=Path, metavar="FILE", help="draw the boxes over the clip's picture")
    tune = add(motion, "tune", of_motion.tune, "replay a recording with other settings and show what changes")
    with_json(tune)
    tune.add_argument("recording", metavar="FILE|CLIP", help="a video file, or a clip's id")
    tune.add_argument("--config", type=Path, metavar="FILE", help="the zones and settings as they are now")
    tune.add_argument("--sensitivity", type=_share, metavar="S", help="0 to 1, for all zones")
    tune.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a number of docs/motion.md"
    )
    tune.add_argument("--png", type=Path, metavar="FILE", help="draw the score over time, with pictures")
    log = add(commands, "log", of_house.log, "what happened, oldest first")
    with_json(log)
    log.add_argument("--last", type=_count, default=50, metavar="N", help="so many rows (default: 50)")
    prove = add(commands, "check", of_house.check, "prove that clips and index agree")
    with_json(prove)
    prove.add_argument("--deep", action="store_true", help="read every clip and compare its SHA-256")
    prove.add_argument(
        "--repair", action="store_true", help="first mend what a start of the daemon would mend"
    )
    check = add(commands, "check-config", of_house.check_config, "read a configuration, say what is wrong")
    check.add_argument("file", metavar="FILE", type=Path)
    return parser


def main() -> int:
    """Run one command; return its exit status."""
    arguments = _parser().parse_args()
    if isinstance(arguments.state, str):
        arguments.state = Path(arguments.state)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except NoDaemon as error:
        print(f"doorbell: {error}", file=sys.stderr)
        return NO_DAEMON
    except DoorbellError as error:
        print(error, file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # `doorbell log | head`
        sys.stderr.close()
        return OK
    except OSError as error:  # standard output to a full disk
        print(f"doorbell: the answer cannot be written: {error.strerror}", file=sys.stderr)
        return FAILED
    return status
