"""`doorbell`: talk to the doorbell of this machine, from a terminal or a script.

Exit status: 0 done, 1 the thing asked for failed, 2 wrong usage, 3 no daemon.
"""

import argparse
import hashlib
import json
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device import __version__
from device.config import load_config
from device.errors import CommandError, DoorbellError
from device.link.socket_address import SOCKET_NAME, short_address
from device.store.index import Index
from device.store.layout import Layout

OK, FAILED, USAGE, NO_DAEMON = 0, 1, 2, 3
TIMEOUT_S = 10.0
SYSTEM_STATE = Path("/var/lib/doorbelld")
SYSTEM_RUNTIME = Path("/run/doorbelld")


class NoDaemon(DoorbellError):
    """Nobody listens on the command socket."""


def _runtime_dir(state: Path | None) -> Path:
    return state / "run" if state else SYSTEM_RUNTIME


def _state_dir(state: Path | None) -> Path:
    return state / "state" if state else SYSTEM_STATE


def _ask(state: Path | None, **request: Any) -> Any:
    runtime_dir = _runtime_dir(state)
    path = runtime_dir / SOCKET_NAME
    try:
        with short_address(runtime_dir) as address, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(address)
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as lines:
                line = lines.readline()
    except PermissionError as error:
        raise NoDaemon(
            f"{path}: permission denied; be in the group of doorbelld (sudo usermod -aG doorbelld "
            "$USER, then log in again)"
        ) from error
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        hint = "" if state else "; a doorbell started by scripts/run needs `--state DIR`"
        raise NoDaemon(f"no doorbelld is running here (nobody listens on {path}){hint}") from error
    except OSError as error:
        raise NoDaemon(f"{path}: {error}; is doorbelld hanging? see its log") from error
    if not line:
        raise NoDaemon(f"{path}: doorbelld closed the connection; is it stopping?")
    reply = json.loads(line)
    if "error" in reply:
        raise CommandError(reply["error"])
    return reply["ok"]


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


# --- commands ---------------------------------------------------------------------------------------


def _ring(arguments: argparse.Namespace) -> int:
    rung = _ask(arguments.state, do="ring")
    if arguments.json:
        _print_json(rung)
    else:
        print(f"rang at {rung['occurred_at']} (event {rung['event_id']})")
    return OK


def _status(arguments: argparse.Namespace) -> int:
    status = _ask(arguments.state, do="status")
    if arguments.json:
        _print_json(status)
    else:
        print(_status_text(status))
    return OK


def _status_text(status: dict[str, Any]) -> str:
    camera, mqtt, storage, press = (status[k] for k in ("camera", "mqtt", "storage", "press"))
    age = camera["last_frame_age_s"]
    seen = "no picture yet" if age is None else f"last picture {age:.1f} s ago"
    fill = storage["used_bytes"] / storage["limit_bytes"]
    broker = f"{mqtt['host']}:{mqtt['port']}"
    moving = "something moves" if status["motion"]["moving"] else "still"
    used = f"{_bytes(storage['used_bytes'])} of {_bytes(storage['limit_bytes'])} ({fill:.0%})"
    ready = "ready" if status["ready"] else "starting"
    up = _span(status["uptime_s"])
    rows = [
        ("doorbell", f"{status['device']}, {ready}, up {up} (pid {status['pid']})"),
        ("button", f"{status['button']['state']} ({status['button']['kind']})"),
        ("last press", f"{press['last_at'] or 'none'} ({press['count']} since the start)"),
        ("camera", f"{camera['state']} ({camera['kind']}), {camera['fps']:.1f} fps, {seen}"),
        ("motion", moving if status["motion"]["enabled"] else "turned off"),
        ("mqtt", f"{mqtt['state']} ({broker}, {mqtt['topic_root']}/…)"),
        ("storage", f"{_clips(storage['clips'])}, {used} in {storage['path']}"),
        ("settings", _settings_text(status["settings"])),
        ("clock", status["clock"]),
    ]
    lines = [f"{name:>10}  {text}" for name, text in rows]
    faults = status["faults"]
    lines.append(f"{'faults':>10}  {'none' if not faults else len(faults)}")
    for fault in faults:
        lines.append(f"{'!':>10}  {fault['text']} (since {fault['since']})")
        if fault["remedy"]:
            lines.append(f"{'':>10}  → {fault['remedy']}")
    return "\n".join(lines)


def _settings_text(settings: dict[str, Any]) -> str:
    said = []
    if settings["privacy"]:
        said.append("privacy on: nothing is seen or recorded")
    if settings["chime_muted"]:
        said.append("chime muted")
    if settings["quiet_until"]:
        said.append(f"chime quiet until {settings['quiet_until']}")
    return ", ".join(said) or "as usual"


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"


def _span(seconds: float) -> str:
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours >= 48:  # noqa: PLR2004  (two days)
        return f"{hours // 24} days"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":  # noqa: PLR2004  (SI prefixes)
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def _clips_list(arguments: argparse.Namespace) -> int:
    clips = _ask(arguments.state, do="clips")
    if arguments.json:
        _print_json(clips)
        return OK
    if not clips:
        print("no finished clip yet; press the button (`doorbell ring`) or walk past the camera")
        return OK
    print(f"{'ID':<26}  {'CAUSE':<7} {'SECONDS':>7} {'SIZE':>9}")
    for clip in clips:
        flag = "  starred" if clip["protected"] else ""
        flag += "" if clip["clock"] == "synchronised" else "  *"
        size = _bytes(clip["bytes"])
        print(f"{clip['id']:<26}  {clip['cause']:<7} {clip['duration_s']:>7.1f} {size:>9}{flag}")
    if any(clip["clock"] != "synchronised" for clip in clips):
        print("* the clock was not set by a time server then; the time may be wrong")
    return OK


def _clips_export(arguments: argparse.Namespace) -> int:
    clip = _ask(arguments.state, do="clip", id=arguments.id)
    target: Path = arguments.file
    if target.is_dir():
        target /= Path(clip["file"]).name
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with target.open("xb") as copy, Path(clip["file"]).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size_bytes += copy.write(block)
    except FileExistsError as error:
        raise CommandError(f"{target} exists already; name another file") from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error
    if digest.hexdigest() != clip["sha256"]:
        raise CommandError(
            f"{target} is not what was recorded: it has {size_bytes} bytes and SHA-256 {digest.hexdigest()}, "
            f"recorded were {clip['bytes']} and {clip['sha256']}; is the card failing? see dmesg"
        )
    print(f"{target} ({_bytes(size_bytes)}, SHA-256 {clip['sha256']})")
    return OK


def _clips_show(arguments: argparse.Namespace) -> int:
    clip = _ask(arguments.state, do="clip", id=arguments.id)
    if arguments.json:
        _print_json(clip)
        return OK
    for name, value in clip.items():
        print(f"{name:>12}  {value}")
    return OK


def _clips_star(arguments: argparse.Namespace) -> int:
    _ask(arguments.state, do="star", id=arguments.id, on=not arguments.off)
    if arguments.json:
        _print_json({"id": arguments.id, "protected": not arguments.off})
    elif arguments.off:
        print(f"{arguments.id} has no star any more; it goes when its turn comes")
    else:
        print(f"{arguments.id} has your star; it stays until you take that away")
    return OK


def _clips_delete(arguments: argparse.Namespace) -> int:
    _ask(arguments.state, do="delete", id=arguments.id)
    if arguments.json:
        _print_json({"id": arguments.id, "deleted": True})
    else:
        print(f"{arguments.id} is deleted")
    return OK


def _clips_verify(arguments: argparse.Namespace) -> int:
    """Compare the files of some clips, or of all, with what was recorded."""
    clips = _ask(arguments.state, do="clips")
    if arguments.ids:
        clips = [_ask(arguments.state, do="clip", id=clip_id) for clip_id in arguments.ids]
    found = [{"id": clip["id"], "sound": _is_sound(clip)} for clip in clips]
    unsound = [each["id"] for each in found if not each["sound"]]
    if arguments.json:
        _print_json(found)
    else:
        for clip_id in unsound:
            print(f"{clip_id}: is not what was recorded, or is gone; is the card failing? see dmesg")
        print(f"{_clips(len(found))}: {len(found) - len(unsound)} as recorded")
    return FAILED if unsound else OK


def _is_sound(clip: dict[str, Any]) -> bool:
    try:
        with Path(clip["file"]).open("rb") as file:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == clip["sha256"])
    except OSError:
        return False


def _record(arguments: argparse.Namespace) -> int:
    if _ask(arguments.state, do="record")["joined"]:
        print("something is being recorded already; this moment is part of that clip")
    else:
        print("recording; `doorbell clips list` shows it when it is done")
    return OK


def _log(arguments: argparse.Namespace) -> int:
    rows = _ask(arguments.state, do="log")
    if arguments.json:
        _print_json(rows)
        return OK
    for row in rows[-arguments.last :]:
        late = "  (told late)" if row["late"] else ""
        print(f"{row['seq']:>6}  {row['occurred_at']}  {row['kind']:<14} {_log_text(row)}{late}".rstrip())
    return OK


def _log_text(row: dict[str, Any]) -> str:
    """Return what a row tells a person: what is empty or for machines only is left out."""
    known = {"seq", "kind", "event_id", "occurred_at", "clock", "late", "sha256"}
    words = [f"{key}={value}" for key, value in row.items() if key not in known and value]
    event = row["event_id"]
    return " ".join([*words, f"event=…{event[-4:]}"] if event else words)


def _check(arguments: argparse.Namespace) -> int:
    # Reads the files itself, so that it works whether the daemon runs or not.
    from device.store.reconcile import findings  # loads PyAV, for this command only

    layout = Layout(_state_dir(arguments.state))
    if not layout.index.exists():
        raise CommandError(f"{layout.state_dir} holds no index of clips; is it the state directory?")
    try:
        _ask(arguments.state, do="status")
        running = True
    except NoDaemon:
        running = False
    try:
        index = Index(layout.index, read_only=True)
        clips, used_bytes, _ = index.totals()
        found = list(findings(index, layout.clips, running=running))
    except (sqlite3.Error, OSError) as error:
        raise CommandError(f"{layout.index}: {error}; the next start rebuilds it") from error
    for sentence in found:
        print(sentence)
    print(f"{_clips(clips)}, {_bytes(used_bytes)}: {len(found) or 'nothing'} to mend")
    return FAILED if found else OK


def _check_config(arguments: argparse.Namespace) -> int:
    load_config(arguments.file)
    print(f"{arguments.file}: good")
    return OK


# --- the command line -------------------------------------------------------------------------------


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


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

    with_json(add(commands, "ring", _ring, "ring as if the button was pressed"))
    with_json(add(commands, "status", _status, "how the doorbell is, at a glance"))
    add(commands, "record", _record, "make a clip of this moment")
    clips = commands.add_parser(
        "clips", help="list, export, star or delete what was recorded"
    ).add_subparsers(metavar="COMMAND", required=True)
    with_json(add(clips, "list", _clips_list, "the clips, oldest first"))
    for name, run, text in (
        ("show", _clips_show, "everything that is known of one clip"),
        ("star", _clips_star, "keep a clip whatever its age and however full the disk"),
        ("delete", _clips_delete, "delete a clip, at once and for good"),
    ):
        one = add(clips, name, run, text)
        with_json(one)
        one.add_argument("id", metavar="ID", help="as `doorbell clips list` shows it")
        if name == "star":
            one.add_argument("--off", action="store_true", help="take the star away")
    verify = add(clips, "verify", _clips_verify, "compare the files with what was recorded (SHA-256)")
    with_json(verify)
    verify.add_argument("ids", metavar="ID", nargs="*", help="these clips (default: all)")
    export = add(clips, "export", _clips_export, "copy a clip to a file of yours")
    export.add_argument("id", metavar="ID", help="as `doorbell clips list` shows it")
    export.add_argument("file", metavar="FILE", type=Path)
    log = add(commands, "log", _log, "what happened, oldest first")
    with_json(log)
    log.add_argument("--last", type=_count, default=50, metavar="N", help="so many rows (default: 50)")
    add(commands, "check", _check, "prove that clips and index agree")
    check = add(commands, "check-config", _check_config, "read a configuration, say what is wrong")
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


if __name__ == "__main__":
    sys.exit(main())
