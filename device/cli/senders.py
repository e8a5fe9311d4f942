"""`doorbell agency`, `source` and `notices`: pinned senders, feeds, and what they publish."""

import argparse
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from device.cli.client import FAILED, OK, ask, ask_raw, print_json
from device.cli.formatting import confirmed, local_time_text, save, typed_answer
from device.consent.keys import spoken
from device.consent.views import SenderView
from device.errors import CommandError


def pin(arguments: argparse.Namespace) -> int:
    """Pin an agency or a source."""
    record = _record(arguments.file)
    sender = _look(arguments, record)
    wants_police = arguments.role == "agency"
    if (sender["kind"] == "police") != wants_police:
        raise CommandError(
            f"{arguments.file}: is the record of a {sender['kind']} source; use `doorbell "
            f"{'source add' if wants_police else 'agency pin'}`"
        )
    if arguments.map:
        save(arguments.map, ask_raw(arguments.state, "POST", "/senders/look/map.svg", {"record": record}))
    _tell_sender(sender)
    print(
        "\nType its fingerprint, taken from somewhere other than this file: a poster, a letter, its web site."
    )
    typed = typed_answer("fingerprint: ")
    ask(arguments.state, "POST", "/senders", {"record": record, "fingerprint": typed})
    print(f"pinned {sender['name']}; `doorbell {arguments.role} list` shows it")
    return OK


def add_source(arguments: argparse.Namespace) -> int:
    """Add a source: a signed record's file, or a feed's address."""
    if not arguments.what.startswith(("https://", "http://")):
        arguments.file = Path(arguments.what)
        return pin(arguments)
    if not arguments.name:
        raise CommandError("a feed needs a name: --name weather, for instance")
    print(f"From now on the courier fetches {arguments.what}; whoever serves it sees this home's address.")
    if not confirmed():
        return FAILED
    ask(arguments.state, "POST", "/feeds", {"name": arguments.name, "url": arguments.what})
    print(f"the courier now fetches {arguments.what}; the contents of a feed are not signed")
    return OK


def rotate(arguments: argparse.Namespace) -> int:
    """Take a newer record of a pinned sender."""
    record = _record(arguments.file)
    sender = _look(arguments, record)
    if not sender["signed_by_pinned_key"]:
        raise CommandError(
            f"{arguments.file}: is not signed with a key of {sender['sender']} that you have pinned"
        )
    _tell_sender(sender)
    if not confirmed("\nReplace the pinned record by this one? Type yes: "):
        return FAILED
    ask(arguments.state, "PUT", "/senders", {"record": record})
    print(f"{sender['name']}: record {sender['serial']} is now in use")
    return OK


def list_senders(arguments: argparse.Namespace) -> int:
    """List the pinned senders and the feeds."""
    answer = ask(arguments.state, "GET", "/senders")
    agencies = arguments.role == "agency"
    rows = [row for row in answer["senders"] if (row["kind"] == "police") == agencies]
    if arguments.json:
        print_json(rows if agencies else {"sources": rows, "feeds": answer["feeds"]})
        return OK
    for row in rows:
        print(f"{row['sender']:<20} {row['kind']:<13} {row['name']}  {spoken(row['keys'][0]['kid'])}")
        if row["name_code_points"]:
            print(f"{'':<34} {row['name_code_points']}")
    feeds = {} if agencies else answer["feeds"]
    for name, url in feeds.items():
        print(f"{name:<20} {'feed':<13} {url}")
    if not rows and not feeds:
        print("none" if agencies else "none; a signed record or a feed is added with `doorbell source add`")
    return OK


def show_sender(arguments: argparse.Namespace) -> int:
    """Show one pinned sender."""
    answer = ask(arguments.state, "GET", "/senders")
    for row in answer["senders"]:
        if row["sender"] == arguments.id:
            if arguments.map:
                path = f"/senders/{quote(arguments.id, safe='')}/map.svg"
                save(arguments.map, ask_raw(arguments.state, "GET", path))
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
    answer = ask(arguments.state, "GET", "/senders")
    kind = "feeds" if arguments.id in answer["feeds"] else "senders"
    ask(arguments.state, "DELETE", f"/{kind}/{quote(arguments.id, safe='')}")
    print(f"{arguments.id} was removed" + ("; its open requests ended" if kind == "senders" else ""))
    return OK


def notices(arguments: argparse.Namespace) -> int:
    """Show the notices of the chosen sources."""
    answer = ask(arguments.state, "GET", "/notices")
    if arguments.json:
        print_json(answer)
        return OK
    for row in answer["notices"]:
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
    print(answer["reminder"])
    return OK


def _tell_sender(sender: SenderView) -> None:
    print(f"{sender['name']} ({sender['sender']}, {sender['kind']}), record {sender['serial']}")
    if sender["name_code_points"]:
        print(f"{'letters':>12}  {sender['name_code_points']}  (not plain Latin: compare them)")
    print(f"{'contact':>12}  {sender['contact']}")
    if sender["contact_code_points"]:
        print(f"{'letters':>12}  {sender['contact_code_points']}")
    for key in sender["keys"]:
        valid = f"valid {_day(key['valid_from'])} to {_day(key['valid_until'])}"
        print(f"{'key':>12}  {spoken(key['kid'])}, {valid}")
    for recipient in sender["recipients"]:
        print(f"{'encrypts for':>12}  {recipient['name']}: {recipient['age']}")
    for upload in sender["uploads"]:
        print(f"{'sent to':>12}  {upload['name']}: {upload['origin']} ({upload['kind']})")
    ring = sender["jurisdiction"]["coordinates"][0]
    west, east = min(x for x, _ in ring), max(x for x, _ in ring)
    south, north = min(y for _, y in ring), max(y for _, y in ring)
    print(
        f"{'jurisdiction':>12}  {len(ring) - 1} corners, {south:.3f} to {north:.3f} north, "
        f"{west:.3f} to {east:.3f} east; --map FILE draws it"
    )


def _look(arguments: argparse.Namespace, record: str) -> SenderView:
    try:
        sender: SenderView = ask(arguments.state, "POST", "/senders/look", {"record": record})
    except CommandError as error:
        raise CommandError(f"{arguments.file}: is not a valid sender's record: {error}") from error
    return sender


def _record(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: is not a sender's record") from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
