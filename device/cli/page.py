"""`doorbell page`, `switch` and `snapshot`: what the owner's page does, from a terminal."""

import argparse

from device.cli.client import FAILED, OK, ask, ask_raw, print_json
from device.cli.formatting import confirmed, save
from device.errors import CommandError
from device.policy.settings import EXPOSING_SWITCHES


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
    """Change a switch; ask before more is seen than now."""
    if (arguments.name, arguments.value) in EXPOSING_SWITCHES and not arguments.yes:
        print("The camera shows and records again, for everybody who can see the page or the broker.")
        if not confirmed():
            return FAILED
    ask(arguments.state, "PUT", f"/switches/{arguments.name}", {"value": arguments.value})
    return OK


def mqtt_forget(arguments: argparse.Namespace) -> int:
    """Turn MQTT off and remove everything from the broker."""
    answer = ask(arguments.state, "POST", "/mqtt/forget")
    if arguments.json:
        print_json(answer)
    else:
        print(f"MQTT is off, and {answer['topics']} topics are cleared at {answer['broker']}")
        print("`doorbell config set mqtt.enabled=true` turns it on again")
    return OK
