"""The command line of consent: which commands there are. The modules beside this one do the work."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.cli import backup as of_backup
from device.cli import ledger as of_ledger
from device.cli import release as of_release
from device.cli import requests as of_requests
from device.cli import senders as of_senders

Add = Callable[..., argparse.ArgumentParser]


def add_consent(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add `requests`, `agency`, `source`, `notices` and `ledger`."""
    _add_requests(commands, add, with_json)
    _add_agency(commands, add, with_json)
    _add_source(commands, add, with_json)
    heard = add(
        commands,
        "notices",
        of_senders.notices,
        "show alerts and news for your home, from the sources that you chose",
    )
    with_json(heard)
    heard.add_argument("--all", action="store_true", help="also show notices for other places")
    _add_ledger(commands, add, with_json)
    _add_backup(commands, add, with_json)
    release = commands.add_parser("release", help="check a video before it is sent").add_subparsers(
        metavar="COMMAND", required=True
    )
    look = add(release, "audit", of_release.audit, "check that an MP4 file contains only what may leave")
    with_json(look)
    look.add_argument("file", metavar="FILE", type=Path)
    look.add_argument("--frames", type=int, metavar="N", help="required number of frames")
    look.add_argument("--length-us", type=int, metavar="US", help="maximum length in microseconds")
    look.add_argument("--sound", action="store_true", help="allow an audio track")
    look.add_argument(
        "--canary", action="append", default=[], metavar="TEXT", help="text that the file must not contain"
    )


def _add_backup(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    backup = commands.add_parser(
        "backup", help="back up every clip, encrypted with your own key, to your own storage (off by default)"
    ).add_subparsers(metavar="COMMAND", required=True)
    make = add(
        backup,
        "key",
        of_backup.key,
        "create the key that decrypts your backups; store it away from the doorbell",
    )
    make.add_argument("file", type=Path, metavar="FILE")
    new = add(backup, "add", of_backup.add, "add a backup target; every new clip is encrypted and sent there")
    new.add_argument("name", metavar="NAME", help="a name for it: a-z, 0-9, hyphens")
    new.add_argument("kind", choices=("s3", "webdav", "sftp"))
    new.add_argument(
        "url", metavar="URL", help="https://host/bucket, https://host/folder, sftp://host/folder"
    )
    new.add_argument(
        "--age", required=True, metavar="AGE1…", help="the public key that `doorbell backup key` printed"
    )
    new.add_argument("--user", default="", help="user name, or S3 access key")
    new.add_argument(
        "--secret-file",
        type=Path,
        metavar="FILE",
        help="file with the password, S3 secret or SSH private key (default: ask)",
    )
    new.add_argument(
        "--host-key",
        default="",
        metavar="SHA256:…",
        help="the SFTP server's host key (default: trust the key that it presents now; home network only)",
    )
    new.add_argument(
        "--limit-gb", type=float, default=0, metavar="N", help="maximum total size (default: no limit)"
    )
    with_json(add(backup, "list", of_backup.list_places, "list backup targets and their progress"))
    end = add(backup, "remove", of_backup.remove, "remove a backup target")
    end.add_argument("name", metavar="NAME")
    back = add(backup, "open", of_backup.open_backup, "decrypt backups with your key")
    back.add_argument("files", nargs="+", type=Path, metavar="FILE.age")
    back.add_argument("--key", type=Path, required=True, metavar="FILE")
    back.add_argument("--out", type=Path, default=Path("clips"), metavar="FOLDER")


def _add_requests(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    requests = commands.add_parser(
        "requests", help="view requests for footage; approve or decline them"
    ).add_subparsers(metavar="COMMAND", required=True)
    with_json(add(requests, "list", of_requests.list_requests, "list requests, newest first"))
    for name, run, text in (
        ("show", of_requests.show_request, "show a request and exactly what would be sent"),
        ("approve", of_requests.approve, "approve a request: send exactly what `show` displays"),
        ("follow", of_requests.follow, "follow an approved release until it has been delivered"),
        ("decline", of_requests.decline, "decline a request; nothing is sent to anybody"),
        ("withdraw", of_requests.withdraw, "withdraw an approval"),
    ):
        one = add(requests, name, run, text)
        many = name == "withdraw"
        one.add_argument(
            "id",
            metavar="CASE",
            nargs="?" if many else None,
            help="case of the request, from `doorbell requests list`; or its id, or SENDER.ID",
        )
        if many:
            one.add_argument("--all", action="store_true", help="withdraw every approval")
        if name in ("show", "approve"):
            with_json(one)
            one.add_argument(
                "--clip",
                action="append",
                default=[],
                metavar="N[=FROM/UNTIL]",
                help="only these clips, or parts of them, by their number in `show` (default: all of the window)",
            )
            one.add_argument("--sound", action="store_true", help="include sound")
            one.add_argument(
                "--blur",
                action="append",
                default=[],
                metavar="N=LEFT,TOP,RIGHT,BOTTOM",
                help="blur an area of a clip, as fractions of the picture",
            )
        if name == "show":
            one.add_argument(
                "--map", type=Path, metavar="FILE", help="draw the requested area and your position as SVG"
            )
        if name == "approve":
            one.add_argument(
                "--offer-hash",
                metavar="HASH",
                help="approve without asking, if the offer still has the hash that `show` printed",
            )


def _add_agency(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    agency = commands.add_parser(
        "agency", help="manage the police departments that may request footage"
    ).add_subparsers(metavar="COMMAND", required=True)
    pin = add(
        agency, "pin", of_senders.pin, "allow a department to send requests, after comparing its fingerprint"
    )
    pin.add_argument("file", metavar="FILE", type=Path, help="the record that the department publishes")
    pin.add_argument("--map", type=Path, metavar="FILE", help="draw its area and your position as SVG")
    pin.set_defaults(role="agency")
    _add_common(agency, add, with_json, "agency")
    turn = add(
        agency, "rotate", of_senders.rotate, "replace a record with a newer one, signed with a pinned key"
    )
    turn.add_argument("file", metavar="FILE", type=Path)
    end = add(
        agency,
        "unpin",
        of_senders.unpin,
        "no longer accept requests from a department; its open requests end",
    )
    end.add_argument("id", metavar="AGENCY")


def _add_source(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    source = commands.add_parser(
        "source", help="manage sources of alerts and news: neighbourhood, news, CAP and Atom feeds"
    ).add_subparsers(metavar="COMMAND", required=True)
    new = add(source, "add", of_senders.add_source, "add a signed source or a feed")
    new.add_argument(
        "what", metavar="FILE|URL", help="the record of a source, or the https:// address of a feed"
    )
    new.add_argument("--name", help="a name for the feed: a-z, 0-9, hyphens")
    new.add_argument("--map", type=Path, metavar="FILE", help="draw its area and your position as SVG")
    new.set_defaults(role="source")
    _add_common(source, add, with_json, "source")
    turn = add(
        source, "rotate", of_senders.rotate, "replace a record with a newer one, signed with a pinned key"
    )
    turn.add_argument("file", metavar="FILE", type=Path)
    end = add(source, "remove", of_senders.unpin, "remove a source")
    end.add_argument("id", metavar="SOURCE")


def _add_common(
    commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None], role: str
) -> None:
    what = "pinned departments" if role == "agency" else "sources and feeds"
    listing = add(commands, "list", of_senders.list_senders, f"list {what}")
    with_json(listing)
    listing.set_defaults(role=role)
    shown = add(commands, "show", of_senders.show_sender, "show name, keys and area")
    with_json(shown)
    shown.add_argument("id", metavar=role.upper())
    shown.add_argument("--map", type=Path, metavar="FILE", help="draw its area and your position as SVG")


def _add_ledger(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    ledger = commands.add_parser(
        "ledger", help="show or verify the record of every request, decision and delivery"
    ).add_subparsers(metavar="COMMAND", required=True)
    shown = add(ledger, "show", of_ledger.show, "show the newest entries and what was rejected")
    with_json(shown)
    shown.add_argument("--last", type=int, default=50, metavar="N", help="number of entries (default: 50)")
    proof = add(
        ledger,
        "verify",
        of_ledger.verify,
        "check that no entry was changed or removed; works without doorbelld",
    )
    with_json(proof)
    proof.add_argument("--head", metavar="HASH", help="an earlier head hash that the ledger must contain")
    proof.add_argument("--file", type=Path, metavar="FILE", help="a ledger file (default: this doorbell's)")
    copy = add(ledger, "export", of_ledger.export, "export all entries and received messages as JSON lines")
    copy.add_argument("file", metavar="FILE", type=Path)
