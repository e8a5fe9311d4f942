"""`doorbell agency`, `source` and `notices`: pinned senders, feeds, and what they publish."""

import argparse
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from device.cli.client import FAILED, OK, ask, ask_raw, print_json
from device.cli.formatting import local_time_text, save, typed_answer
from device.consent.keys import spoken
from device.consent.views import SenderView
from device.errors import CommandError


def pin(arguments: argparse.Namespace) -> int:
    """Pin an agency or a source."""
    record = _record(arguments.file)
    said = _look(arguments, record)
    wants_police = arguments.role == "agency"
    if (said["kind"] == "police") != wants_police:
        raise CommandError(
            f"{arguments.file}: is the record of a {said['kind']} source; use `doorbell "
            f"{'source add' if wants_police else 'agency pin'}`"
        )
    if arguments.map:
        save(arguments.map, ask_raw(arguments.state, "POST", "/senders/look/map.svg", {"record": record}))
    _tell_sender(said)
    print(
        "\nType its fingerprint, taken from somewhere other than this file: a poster, a letter, its web site."
    )
    typed = typed_answer("fingerprint: ")
    ask(arguments.state, "POST", "/senders", {"record": record, "fingerprint": typed})
    print(f"pinned {said['name']}; `doorbell {arguments.role} list` shows it")
    return OK


def add_source(arguments: argparse.Namespace) -> int:
    """Add a source: a signed record's file, or a feed's address."""
    if not arguments.what.startswith(("https://", "http://")):
        arguments.file = Path(arguments.what)
        return pin(arguments)
    if not arguments.name:
        raise CommandError("a feed needs a name: --name weather, for instance")
    ask(arguments.state, "POST", "/feeds", {"name": arguments.name, "url": arguments.what})
    print(f"the courier now fetches {arguments.what}; the contents of a feed are not signed")
    return OK


def rotate(arguments: argparse.Namespace) -> int:
    """Take a newer record of a pinned sender."""
    record = _record(arguments.file)
    said = _look(arguments, record)
    if not said["signed_by_pinned_key"]:
        raise CommandError(
            f"{arguments.file}: is not signed with a key of {said['sender']} that you have pinned"
        )
    _tell_sender(said)
    if typed_answer("\nReplace the pinned record by this one? Type yes: ") != "yes":
        print("nothing was changed")
        return FAILED
    ask(arguments.state, "PUT", "/senders", {"record": record})
    print(f"{said['name']}: record {said['serial']} is now in use")
    return OK


def list_senders(arguments: argparse.Namespace) -> int:
    """List the pinned senders and the feeds."""
    told = ask(arguments.state, "GET", "/senders")
    agencies = arguments.role == "agency"
    rows = [each for each in told["senders"] if (each["kind"] == "police") == agencies]
    if arguments.json:
        print_json(rows if agencies else {"sources": rows, "feeds": told["feeds"]})
        return OK
    for row in rows:
        print(f"{row['sender']:<20} {row['kind']:<13} {row['name']}  {spoken(row['keys'][0]['kid'])}")
    feeds = {} if agencies else told["feeds"]
    for name, url in feeds.items():
        print(f"{name:<20} {'feed':<13} {url}")
    if not rows and not feeds:
        print("none" if agencies else "none; a signed record or a feed is added with `doorbell source add`")
    return OK


def show_sender(arguments: argparse.Namespace) -> int:
    """Show one pinned sender."""
    told = ask(arguments.state, "GET", "/senders")
    for row in told["senders"]:
        if row["sender"] == arguments.id:
            if arguments.map:
                place = f"/senders/{quote(arguments.id, safe='')}/map.svg"
                save(arguments.map, ask_raw(arguments.state, "GET", place))
            if arguments.json:
                print_json(row)
            else:
                _tell_sender(row)
            return OK
    raise CommandError(
        f"{arguments.id} is not pinned; `doorbell agency list` and `doorbell source list` show the pinned ones"
    )


def unpin(arguments: argparse.Namespace) -> int:
    """End a pin, or a feed."""
    told = ask(arguments.state, "GET", "/senders")
    kind = "feeds" if arguments.id in told["feeds"] else "senders"
    ask(arguments.state, "DELETE", f"/{kind}/{quote(arguments.id, safe='')}")
    print(f"{arguments.id} was removed" + ("; its open requests ended" if kind == "senders" else ""))
    return OK


def notices(arguments: argparse.Namespace) -> int:
    """Show the notices of the chosen sources."""
    told = ask(arguments.state, "GET", "/notices")
    if arguments.json:
        print_json(told)
        return OK
    for row in told["notices"]:
        if not row["here"] and not arguments.all:
            continue
        state = "" if row["state"] == "current" else f" ({row['state']})"
        who = (
            f"signed by {row['signed_by']}"
            if row["signed_by"]
            else f"not signed; from {row['feed'] or row['source']}"
        )
        severity = "" if row["severity"] == "unknown" else f", {row['severity']}"
        print(f"{local_time_text(row['sent'])}  {row['kind']}{severity}{state}: {row['headline']}")
        print(f"{'':18}{who}")
        if row["text"]:
            print(textwrap.fill(row["text"], 96, initial_indent=" " * 18, subsequent_indent=" " * 18))
    print(told["reminder"])
    return OK


def _tell_sender(said: SenderView) -> None:
    print(f"{said['name']} ({said['sender']}, {said['kind']}), record {said['serial']}")
    print(f"{'contact':>12}  {said['contact']}")
    for key in said["keys"]:
        valid = f"valid {_day(key['valid_from'])} to {_day(key['valid_until'])}"
        print(f"{'key':>12}  {spoken(key['kid'])}, {valid}")
    for recipient in said["recipients"]:
        print(f"{'encrypts for':>12}  {recipient['name']}: {recipient['age']}")
    for upload in said["uploads"]:
        print(f"{'sent to':>12}  {upload['name']}: {upload['origin']} ({upload['kind']})")
    ring = said["jurisdiction"]["coordinates"][0]
    west, east = min(x for x, _ in ring), max(x for x, _ in ring)
    south, north = min(y for _, y in ring), max(y for _, y in ring)
    print(
        f"{'jurisdiction':>12}  {len(ring) - 1} corners, {south:.3f} to {north:.3f} north, "
        f"{west:.3f} to {east:.3f} east; --map FILE draws it"
    )


def _look(arguments: argparse.Namespace, record: str) -> SenderView:
    try:
        said: SenderView = ask(arguments.state, "POST", "/senders/look", {"record": record})
    except CommandError as error:
        raise CommandError(f"{arguments.file}: is not a valid sender's record: {error}") from error
    return said


def _record(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is not a sender's record") from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
