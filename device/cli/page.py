"""`doorbell page`, `config`, `switch` and `snapshot`: what the owner's page does, from a terminal."""

import argparse
import tomllib
from typing import Any

from device.cli.client import OK, ask, ask_raw, print_json
from device.cli.formatting import save
from device.config.toml import quoted
from device.errors import CommandError


def code(arguments: argparse.Namespace) -> int:
    """Show the claim code."""
    answer = ask(arguments.state, "GET", "/page/code")
    if arguments.json:
        print_json(answer)
    elif answer["code"]:
        print(answer["code"])
    else:
        raise CommandError("the page has an owner; `doorbell page reset` makes it free for a new one")
    return OK


def reset(arguments: argparse.Namespace) -> int:
    """Forget the owner."""
    answer = ask(arguments.state, "POST", "/page/reset")
    if arguments.json:
        print_json(answer)
    else:
        print(f"the page has no owner any more; the new code is {answer['code']}. Clips and settings stay")
    return OK


def logout_everywhere(arguments: argparse.Namespace) -> int:
    """Sign every browser out."""
    answer = ask(arguments.state, "POST", "/page/logout-everywhere")
    if arguments.json:
        print_json(answer)
    else:
        print("every browser is signed out")
    return OK


def snapshot(arguments: argparse.Namespace) -> int:
    """Save what the camera sees."""
    save(arguments.file, ask_raw(arguments.state, "GET", "/snapshot.jpg"))
    print(arguments.file)
    return OK


def switch(arguments: argparse.Namespace) -> int:
    """Change a switch."""
    ask(arguments.state, "PUT", f"/switches/{arguments.name}", {"value": arguments.value})
    return OK


def config_show(arguments: argparse.Namespace) -> int:
    """Show every setting and its source."""
    rows = ask(arguments.state, "GET", "/config")
    if arguments.changed:
        rows = [row for row in rows if row["source"] != "default"]
    if arguments.json:
        print_json(rows)
        return OK
    for row in rows:
        print(f"{row['source']:<8} {row['key']} = {_shown(row['value'])}")
    return OK


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case list() if value and isinstance(value[0], dict):
            return f"({len(value)}: {', '.join(zone['name'] for zone in value)})"
    return str(value)


def config_set(arguments: argparse.Namespace) -> int:
    """Change settings."""
    changes = dict(_change(text) for text in arguments.settings)
    ask(arguments.state, "PATCH", "/config", {"changes": changes})
    print("changed; `doorbell config undo` takes it back")
    return OK


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


def config_undo(arguments: argparse.Namespace) -> int:
    """Undo the last change."""
    ask(arguments.state, "POST", "/config/undo")
    print("taken back")
    return OK
