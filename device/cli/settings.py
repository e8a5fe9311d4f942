"""`doorbell config`: show, change and undo settings. What deletes, exposes or breaks is asked about first."""

import argparse
import tomllib
from collections.abc import Mapping
from typing import Any

from device.cli.client import FAILED, OK, ApiObject, ask, print_json
from device.cli.formatting import bytes_text, clips_text, span_text, typed_answer, waiting_texts
from device.config.toml import quoted
from device.errors import CommandError

_BREAKS = {
    "mqtt.prefix": "every MQTT topic begins otherwise; whatever names the old topics hears nothing more",
    "mqtt.discovery_prefix": "Home Assistant hears the announcement only if it has the same prefix",
}
_EXPOSES = "more is shown, recorded or sent than now, or to another place, at once"


def show(arguments: argparse.Namespace) -> int:
    """Show every setting and its source."""
    rows = ask(arguments.state, "GET", "/config")
    if arguments.changed:
        rows = [row for row in rows if row["source"] != "default"]
    if arguments.json:
        print_json(rows)
        return OK
    for row in rows:
        print(f"{row['source']:<8} {row['key']} = {_shown(row['value'])}")
    for sentence in waiting_texts(ask(arguments.state, "GET", "/status")):
        print(sentence)
    return OK


def change(arguments: argparse.Namespace) -> int:
    """Change settings."""
    changes = {"changes": dict(_change(text) for text in arguments.settings)}
    effects = ask(arguments.state, "POST", "/config/effects", changes)
    if not (arguments.yes or _agreed(effects)):
        return FAILED
    ask(arguments.state, "PATCH", "/config", changes)
    print("changed; `doorbell config undo` takes it back")
    return OK


def undo(arguments: argparse.Namespace) -> int:
    """Undo the last change, or keep the storage limits in force."""
    if arguments.limits:
        ask(arguments.state, "POST", "/config/keep-limits")
        print("the limits that held stay; nothing is deleted by the others")
        return OK
    if not (arguments.yes or _agreed(ask(arguments.state, "POST", "/config/undo/effects"))):
        return FAILED
    ask(arguments.state, "POST", "/config/undo")
    print("taken back")
    return OK


def _agreed(found: ApiObject) -> bool:
    """Print what a change does and ask, unless it only closes something."""
    effects: Mapping[str, str] = found["effects"]
    questions = [
        f"{key}: {_BREAKS.get(key, 'others know the doorbell by it')}"
        if effect == "breaks"
        else f"{key}: {_EXPOSES}"
        for key, effect in effects.items()
        if effect in ("breaks", "exposes")
    ]
    if found["deletion"]:
        questions.append(_deletion_text(effects, found["deletion"]))
    if not questions:
        return True
    print("\n".join(questions))
    if typed_answer("Type yes: ") == "yes":
        return True
    print("nothing was changed")
    return False


def _deletion_text(effects: Mapping[str, str], deletion: ApiObject) -> str:
    keys = " and ".join(key for key, effect in effects.items() if effect == "destroys")
    goes = "nothing, as things are now"
    if deletion["clips"]:
        goes = (
            f"{deletion['clips']} of {clips_text(deletion['of_clips'])} ({bytes_text(deletion['bytes'])}, "
            f"from {deletion['oldest_at']} to {deletion['newest_at']})"
        )
    if deletion["pictures"]:
        goes += f", and {deletion['pictures']} pictures of presses"
    if deletion["log_rows"]:
        goes += f", and {deletion['log_rows']} rows of the event log"
    return f"{keys}: deletes {goes}. It takes effect in {span_text(deletion['wait_s'])}; until then it can be undone."


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case list() if value and isinstance(value[0], dict):
            return f"({len(value)}: {', '.join(zone['name'] for zone in value)})"
    return str(value)


def _change(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator:
        raise CommandError(f"{text}: write KEY=VALUE, for instance motion.sensitivity=0.6")
    if not value:
        return key.strip(), None
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value  # a text without its quotes, as a shell leaves it
