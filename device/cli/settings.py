"""`doorbell config`: show, change and undo settings. What deletes, exposes or breaks is asked about first."""

import argparse
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device.cli.client import FAILED, OK, ApiObject, NoDaemon, ask, print_json
from device.cli.formatting import bytes_text, clips_text, confirmed, span_text, waiting_texts
from device.config import NOT_SHOWN, Config, effects, flat
from device.config.toml import quoted
from device.errors import CommandError

BREAKS = {
    "device.id": "Home Assistant removes the device with the old id and its history, and finds a new one; automations "
    "that name its entities or topics hear nothing more",
    "device.state_dir": "clips, settings, owner and ledger stay in the old folder; the doorbell begins without them",
    "device.runtime_dir": "`doorbell` looks for the command socket in the old folder",
    "button.name": "events carry the new name; automations that compare it do nothing more",
    "mqtt.prefix": "every MQTT topic begins otherwise; automations that name the old topics hear nothing more",
    "mqtt.discovery_prefix": "Home Assistant hears the announcement only if it has the same prefix",
    "neighbourhood.spool_dir": "the courier finds nothing until it is started with the same folder",
    "neighbourhood.lease_dir": "the courier sends nothing until it is started with the same folder",
}
"""What a change of each setting that breaks something breaks; a test compares it with `EFFECTS`."""
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
    weighed = ask(arguments.state, "POST", "/config/effects", changes)
    if not (arguments.yes or _agreed(weighed)):
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


def of_file(state: Path | None, config: Config) -> list[str]:
    """Return a sentence for each effect that a start with this configuration would have; none if no doorbell runs.

    What the page has changed overrides the file, so it is left out; so is what the doorbell does not show.
    """
    try:
        rows = ask(state, "GET", "/config")
    except NoDaemon:
        return []
    new = flat(config)
    old = {row["key"]: row["value"] for row in rows}
    new |= {row["key"]: row["value"] for row in rows if row["source"] == "page" or row["value"] == NOT_SHOWN}
    # Both as JSON has them: a path is a text, a pair of numbers a list.
    found = effects(old, json.loads(json.dumps({key: new[key] for key in old})))
    stricter = {key: new[key] for key, effect in found.items() if effect == "destroys"}
    deletion = ask(state, "POST", "/config/effects", {"changes": stricter})["deletion"] if stricter else None
    return _sentences(found, deletion)


def _agreed(found: ApiObject) -> bool:
    """Print what a change does and ask, unless it only closes something."""
    questions = _sentences(found["effects"], found["deletion"])
    if not questions:
        return True
    print("\n".join(questions))
    return confirmed()


def _sentences(changes: Mapping[str, str], deletion: ApiObject | None) -> list[str]:
    found = [
        f"{key}: {BREAKS[key] if effect == 'breaks' else _EXPOSES}"
        for key, effect in changes.items()
        if effect in ("breaks", "exposes")
    ]
    return [*found, _deletion_text(changes, deletion)] if deletion else found


def _deletion_text(changes: Mapping[str, str], deletion: ApiObject) -> str:
    keys = " and ".join(key for key, effect in changes.items() if effect == "destroys")
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
