"""`doorbell`: control the doorbell of this machine, from a terminal or a script.

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
from device.cli import daemon as of_daemon
from device.cli import motion as of_motion
from device.cli import page as of_page
from device.cli import readers as of_readers
from device.cli import settings as of_settings
from device.cli.client import FAILED, NO_DAEMON, OK, NoDaemon
from device.cli.consent_arguments import add_consent
from device.errors import DoorbellError
from device.policy.settings import QUIET_UNTIL, SWITCHES
from device.system.core_dumps import forbid_core_dumps


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


def _add(
    parent: Any, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = parent.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    return command


def _with_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _with_yes(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--yes", action="store_true", help="do not ask, even if it deletes, exposes or breaks something"
    )


def _add_owner(commands: Any) -> None:
    page = commands.add_parser("page", help="manage access to the owner's page").add_subparsers(
        metavar="COMMAND", required=True
    )
    _with_json(_add(page, "code", of_page.code, "show the claim code for the first visit to the page"))
    _with_json(
        _add(
            page,
            "reset",
            of_page.reset,
            "remove the owner account, sign out every browser, and make a new claim code",
        )
    )
    _with_json(_add(page, "logout-everywhere", of_page.logout_everywhere, "sign out every browser"))
    snapshot = _add(commands, "snapshot", of_page.snapshot, "save the current camera picture as JPEG")
    snapshot.add_argument("file", metavar="FILE", type=Path)
    switch = _add(
        commands, "switch", of_page.switch, "mute the chime, or turn motion detection or privacy on or off"
    )
    switch.add_argument("name", choices=[*SWITCHES, QUIET_UNTIL])
    switch.add_argument("value", help="ON or OFF; for quiet_until a time such as 2026-11-24T22:00:00Z, or ''")
    _with_yes(switch)
    mqtt = commands.add_parser("mqtt", help="manage what the MQTT broker keeps").add_subparsers(
        metavar="COMMAND", required=True
    )
    _with_json(
        _add(
            mqtt,
            "forget",
            of_page.mqtt_forget,
            "turn MQTT off and remove the doorbell from the broker, and so from Home Assistant",
        )
    )
    config = commands.add_parser("config", help="show or change settings").add_subparsers(
        metavar="COMMAND", required=True
    )
    shown = _add(
        config,
        "show",
        of_settings.show,
        "show every setting and where its value comes from: default, file or page",
    )
    _with_json(shown)
    shown.add_argument("--changed", action="store_true", help="only settings that differ from the default")
    setting = _add(config, "set", of_settings.change, "change settings, as on the page")
    setting.add_argument(
        "settings",
        nargs="+",
        metavar="KEY=VALUE",
        help="VALUE in TOML syntax; an empty VALUE returns to the configuration file",
    )
    _with_yes(setting)
    undo = _add(
        config, "undo", of_settings.undo, "undo the last change made on the page or with `config set`"
    )
    undo.add_argument(
        "--limits",
        action="store_true",
        help="keep the storage limits in force instead of those that wait, also of the configuration file",
    )
    _with_yes(undo)


def _add_readers(commands: Any) -> None:
    reader = commands.add_parser(
        "reader", help="let dashboards and recorders of the home network read pictures, or stop them"
    ).add_subparsers(metavar="COMMAND", required=True)
    new = _add(reader, "add", of_readers.add, "let a client read pictures; prints its token, once")
    _with_json(new)
    new.add_argument("name", metavar="NAME", help="a-z, 0-9, hyphens; mqtt is the broker")
    new.add_argument(
        "--scope",
        action="append",
        choices=of_readers.SCOPES,
        help="what it may read (default: snapshot); may be given several times",
    )
    new.add_argument("--yes", action="store_true", help="do not ask")
    _with_json(_add(reader, "list", of_readers.list_readers, "list who may read what"))
    end = _add(reader, "revoke", of_readers.revoke, "end a client's access and its open streams, at once")
    end.add_argument("name", metavar="NAME")


def _add_motion(commands: Any) -> None:
    motion = commands.add_parser(
        "motion", help="explain motion events; try other settings on a recording"
    ).add_subparsers(metavar="COMMAND", required=True)
    reasons = _add(
        motion, "why", of_motion.why, "explain a motion event: what was detected, where, and with which score"
    )
    _with_json(reasons)
    reasons.add_argument(
        "event", metavar="EVENT", help="an event id, the first or last characters of one, or `last`"
    )
    reasons.add_argument(
        "--png", type=Path, metavar="FILE", help="draw the detections over a picture of the clip"
    )
    tune = _add(
        motion, "tune", of_motion.tune, "run motion detection on a recording with other settings, and compare"
    )
    _with_json(tune)
    tune.add_argument("recording", metavar="FILE|CLIP", help="a video file, or a clip's id")
    tune.add_argument("--config", type=Path, metavar="FILE", help="the configuration to compare with")
    tune.add_argument("--sensitivity", type=_share, metavar="S", help="0 to 1, for all zones")
    tune.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter that docs/motion.md lists",
    )
    tune.add_argument("--png", type=Path, metavar="FILE", help="plot the score over time, with pictures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doorbell",
        description=__doc__.splitlines()[0],
        epilog="exit status: 0 success, 1 failure, 2 wrong usage, 3 doorbelld is not running",
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

    _with_json(_add(commands, "ring", of_daemon.ring, "ring as if the button had been pressed"))
    _with_json(_add(commands, "status", of_daemon.status, "show the state of the doorbell"))
    _with_json(_add(commands, "record", of_daemon.record, "record a clip now"))
    clips = commands.add_parser("clips", help="list, export, star or delete clips").add_subparsers(
        metavar="COMMAND", required=True
    )
    listing = _add(
        clips, "list", of_clips.list_clips, "list clips, oldest first (the newest 1000, or those of a day)"
    )
    _with_json(listing)
    listing.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="only clips that began on this day")
    for name, run, text in (
        ("show", of_clips.show, "show details of a clip"),
        ("star", of_clips.star, "protect a clip from automatic deletion"),
        ("delete", of_clips.delete, "delete a clip; this cannot be undone"),
    ):
        one = _add(clips, name, run, text)
        _with_json(one)
        one.add_argument("id", metavar="ID", help="clip id, from `doorbell clips list`")
        if name == "star":
            one.add_argument("--off", action="store_true", help="remove the star")
    verify = _add(clips, "verify", of_clips.verify, "compare clip files with their recorded SHA-256")
    _with_json(verify)
    verify.add_argument("ids", metavar="ID", nargs="*", help="these clips (default: all)")
    export = _add(clips, "export", of_clips.export, "copy a clip to a file")
    _with_json(export)
    export.add_argument("id", metavar="ID", help="clip id, from `doorbell clips list`")
    export.add_argument("file", metavar="FILE", type=Path)
    export.add_argument("--unmasked", action="store_true", help="export without the privacy masks")
    _add_motion(commands)
    _add_owner(commands)
    add_consent(commands, _add, _with_json)
    _add_readers(commands)
    log = _add(commands, "log", of_daemon.log, "show the event log, oldest first")
    _with_json(log)
    log.add_argument("--last", type=_count, default=50, metavar="N", help="number of rows (default: 50)")
    prove = _add(commands, "check", of_daemon.check, "check that clips and index agree")
    _with_json(prove)
    prove.add_argument("--deep", action="store_true", help="also read every clip and compare its SHA-256")
    prove.add_argument(
        "--repair", action="store_true", help="first repair what a start of doorbelld would repair"
    )
    doctor = commands.add_parser("doctor", help="test this installation").add_subparsers(
        metavar="COMMAND", required=True
    )
    _with_json(
        _add(
            doctor,
            "isolation",
            of_daemon.isolation,
            "check that doorbelld cannot reach the internet, and the courier cannot read the daemon's files",
        )
    )
    check = _add(
        commands,
        "check-config",
        of_daemon.check_config,
        "validate a configuration file; print what a start with it would delete, expose or break",
    )
    check.add_argument("file", metavar="FILE", type=Path)
    return parser


def main() -> int:
    """Run one command; return its exit status."""
    arguments = _parser().parse_args()
    forbid_core_dumps()
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
