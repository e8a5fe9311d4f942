"""The command line of consent: which commands there are. What they do is in consent.py."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.cli import backup as of_backup
from device.cli import consent as of_consent
from device.cli import ledger as of_ledger
from device.cli import release as of_release

Add = Callable[..., argparse.ArgumentParser]


def add_consent(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add `requests`, `agency`, `source`, `notices` and `ledger`."""
    _add_requests(commands, add, with_json)
    _add_agency(commands, add, with_json)
    _add_source(commands, add, with_json)
    heard = add(commands, "notices", of_consent.notices, "what the sources you chose said about here")
    with_json(heard)
    heard.add_argument("--all", action="store_true", help="also what is about other places")
    _add_ledger(commands, add, with_json)
    _add_backup(commands, add, with_json)
    release = commands.add_parser("release", help="what leaves after a yes").add_subparsers(
        metavar="COMMAND", required=True
    )
    look = add(release, "audit", of_release.audit, "prove that a clip holds what may leave, and nothing else")
    with_json(look)
    look.add_argument("file", metavar="FILE", type=Path)
    look.add_argument("--frames", type=int, metavar="N", help="it must have so many pictures")
    look.add_argument("--length-us", type=int, metavar="US", help="and last no longer")
    look.add_argument("--sound", action="store_true", help="and may have sound")
    look.add_argument(
        "--canary", action="append", default=[], metavar="TEXT", help="a text that must not be in it"
    )


def _add_backup(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    backup = commands.add_parser(
        "backup", help="every clip, sealed to your own key, to a place of your own; off until you say so"
    ).add_subparsers(metavar="COMMAND", required=True)
    make = add(backup, "key", of_backup.key, "make the key that opens your backups; keep it elsewhere")
    make.add_argument("file", type=Path, metavar="FILE")
    new = add(backup, "add", of_backup.add, "send every clip from now on to a place, sealed")
    new.add_argument("name", metavar="NAME", help="what to call it: a-z, 0-9, hyphens")
    new.add_argument("kind", choices=("s3", "webdav", "sftp"))
    new.add_argument(
        "url", metavar="URL", help="https://host/bucket, https://host/folder, sftp://host/folder"
    )
    new.add_argument("--age", required=True, metavar="AGE1…", help="as `doorbell backup key` printed it")
    new.add_argument("--user", default="", help="or S3's access key")
    new.add_argument(
        "--secret-file", type=Path, metavar="FILE", help="password, S3 secret or private key (default: asked)"
    )
    new.add_argument(
        "--host-key",
        default="",
        metavar="SHA256:…",
        help="an SFTP server's key (default: as it is now, at home)",
    )
    new.add_argument(
        "--limit-gb", type=float, default=0, metavar="N", help="no more than this (default: any)"
    )
    with_json(add(backup, "list", of_backup.list_places, "the places, and how far each is"))
    end = add(backup, "remove", of_backup.remove, "send nothing to a place any more")
    end.add_argument("name", metavar="NAME")
    back = add(backup, "open", of_backup.open_backup, "open backups with your key")
    back.add_argument("files", nargs="+", type=Path, metavar="FILE.age")
    back.add_argument("--key", type=Path, required=True, metavar="FILE")
    back.add_argument("--out", type=Path, default=Path("clips"), metavar="FOLDER")


def _add_requests(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    requests = commands.add_parser(
        "requests", help="what agencies ask for: look, share exactly what is shown, or decline"
    ).add_subparsers(metavar="COMMAND", required=True)
    with_json(add(requests, "list", of_consent.list_requests, "every request, newest first"))
    for name, run, text in (
        ("show", of_consent.show_request, "one request, and exactly what would leave"),
        ("approve", of_consent.approve, "share exactly what is shown"),
        ("follow", of_consent.follow, "how far what you shared is, until it has arrived"),
        ("decline", of_consent.decline, "say no; nobody outside learns of it"),
        ("withdraw", of_consent.withdraw, "take an approval back"),
    ):
        one = add(requests, name, run, text)
        one.add_argument("id", metavar="ID", help="as `doorbell requests list` shows it")
        if name in ("show", "approve"):
            with_json(one)
            one.add_argument(
                "--clip",
                action="append",
                default=[],
                metavar="ID[=FROM/UNTIL]",
                help="only these clips, or parts of them (default: all, as far as the window goes)",
            )
            one.add_argument(
                "--exact",
                action="store_true",
                help="begin with the first picture of the window, not the first keyframe: encodes anew",
            )
            one.add_argument("--sound", action="store_true", help="with the sound, if there is some")
            one.add_argument(
                "--blur",
                action="append",
                default=[],
                metavar="ID=LEFT,TOP,RIGHT,BOTTOM",
                help="blur an area of a clip (0 to 1 of the picture): encodes it anew",
            )
        if name == "show":
            one.add_argument("--map", type=Path, metavar="FILE", help="draw the area and the house (SVG)")
        if name == "approve":
            one.add_argument(
                "--offer-hash", metavar="HASH", help="do not ask: share what `show` gave this hash"
            )


def _add_agency(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    agency = commands.add_parser(
        "agency", help="police departments that may ask; nobody else can"
    ).add_subparsers(metavar="COMMAND", required=True)
    pin = add(agency, "pin", of_consent.pin, "let a department ask: look at its record, type its fingerprint")
    pin.add_argument("file", metavar="FILE", type=Path, help="the record, as the department hands it out")
    pin.add_argument("--map", type=Path, metavar="FILE", help="draw its jurisdiction and the house (SVG)")
    pin.set_defaults(role="agency")
    _add_common(agency, add, with_json, "agency")
    turn = add(agency, "rotate", of_consent.rotate, "take a newer record, signed with a pinned key")
    turn.add_argument("file", metavar="FILE", type=Path)
    end = add(agency, "unpin", of_consent.unpin, "let it ask no longer; its open requests end")
    end.add_argument("id", metavar="AGENCY")


def _add_source(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    source = commands.add_parser(
        "source", help="who may send notices: neighbourhood and news sources, CAP and Atom feeds"
    ).add_subparsers(metavar="COMMAND", required=True)
    new = add(source, "add", of_consent.add_source, "listen to a signed source, or to a feed")
    new.add_argument("what", metavar="FILE|URL", help="a source's record, or a feed's https:// address")
    new.add_argument("--name", help="what to call a feed: a-z, 0-9, hyphens")
    new.add_argument("--map", type=Path, metavar="FILE", help="draw where it reports on, and the house (SVG)")
    new.set_defaults(role="source")
    _add_common(source, add, with_json, "source")
    turn = add(source, "rotate", of_consent.rotate, "take a newer record, signed with a pinned key")
    turn.add_argument("file", metavar="FILE", type=Path)
    end = add(source, "remove", of_consent.unpin, "listen to it no longer")
    end.add_argument("id", metavar="SOURCE")


def _add_common(
    commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None], role: str
) -> None:
    listing = add(commands, "list", of_consent.list_senders, "who is listened to")
    with_json(listing)
    listing.set_defaults(role=role)
    shown = add(commands, "show", of_consent.show_sender, "who it is, which keys, where it may ask")
    with_json(shown)
    shown.add_argument("id", metavar=role.upper())
    shown.add_argument("--map", type=Path, metavar="FILE", help="draw its jurisdiction and the house (SVG)")


def _add_ledger(commands: Any, add: Add, with_json: Callable[[argparse.ArgumentParser], None]) -> None:
    ledger = commands.add_parser("ledger", help="everything that was heard, decided and sent").add_subparsers(
        metavar="COMMAND", required=True
    )
    shown = add(ledger, "show", of_ledger.show, "the newest entries, and what was refused")
    with_json(shown)
    shown.add_argument("--last", type=int, default=50, metavar="N", help="so many entries (default: 50)")
    proof = add(ledger, "verify", of_ledger.verify, "prove that nothing in it was changed; needs no daemon")
    with_json(proof)
    proof.add_argument("--head", metavar="HASH", help="an earlier head, which must still be in it")
    proof.add_argument("--file", type=Path, metavar="FILE", help="another ledger than this doorbell's")
    copy = add(ledger, "export", of_ledger.export, "all of it, with what was heard, as JSON lines")
    copy.add_argument("file", metavar="FILE", type=Path)
