"""scripts/agency: what a police department or a news source does, with files that anybody can look into.

Everything it makes is a signed text; docs/consent-protocol.md describes each. Nothing it does reaches a
doorbell: what is published goes to the community server, and the only answer is a parcel that an owner decided to
send.
"""

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from device.consent import keys
from device.consent.envelope import NOTICE, RECORD, REQUEST, JsonObject, header
from device.consent.ledger_state import LedgerState
from device.consent.models import time_text
from device.consent.owner_actions import pinned
from device.consent.reasons import Reason, Refused
from device.consent.sender_records import record_in
from device.consent.validation import HomePosition, heard
from device.system.core_dumps import forbid_core_dumps
from device.system.durable_files import new_private_file
from server.agency.opening import open_parcel
from server.agency.paper import DAY_S, AgencyError, Folder, explained, fresh_id, now_s, polygon_of
from server.agency.publish import publish
from server.agency.report import write_report
from server.agency.signing import signed_envelope


def keygen(arguments: argparse.Namespace) -> int:
    """Make keys."""
    name = Folder(arguments.folder).make()
    print(f"fingerprint {keys.spoken(name)}")
    print("print it where residents see it: they type it when they pin you. The keys stay in this folder")
    return 0


def record(arguments: argparse.Namespace) -> int:
    """Write the record that residents pin."""
    folder = Folder(arguments.folder)
    police = arguments.kind == "police"
    upload = {"name": "store", "kind": arguments.upload_kind, "origin": arguments.upload}
    fields = {
        "sender": arguments.id,
        "kind": arguments.kind,
        "name": arguments.name,
        "contact": arguments.contact,
        "recipients": [{"name": "evidence", "age": folder.recipient}] if police else [],
        "uploads": [upload] if police else [],
        "jurisdiction": polygon_of(arguments.area, arguments.around, arguments.radius_m, jurisdiction=True),
    }
    if police and not arguments.upload:
        raise AgencyError("a police record names where parcels go: --upload https://evidence.example")
    content = folder.record(fields=fields, days=arguments.days, now=now_s())
    _save(arguments.out, content)
    return 0


def request(arguments: argparse.Namespace) -> int:
    """Write a footage request."""
    now = now_s()
    folder = Folder(arguments.folder)
    content = folder.request(
        id=fresh_id(now),
        case=arguments.case,
        purpose=arguments.purpose,
        area=polygon_of(arguments.area, arguments.around, arguments.radius_m),
        window={"start": time_text(arguments.start), "end": time_text(arguments.end)},
        iat=time_text(now),
        exp=time_text(now + round(arguments.days * DAY_S)),
        upload="store",
        recipient="evidence",
        contact=arguments.contact or folder.who()["contact"],
    )
    _explain(content, folder)
    _save(arguments.out, content)
    return 0


def notice(arguments: argparse.Namespace) -> int:
    """Write a notice."""
    now = now_s()
    folder = Folder(arguments.folder)
    content = folder.notice(
        id=fresh_id(now),
        kind=arguments.kind,
        severity=arguments.severity,
        headline=arguments.headline,
        text=arguments.text,
        area=polygon_of(arguments.area, arguments.around, arguments.radius_m),
        iat=time_text(now),
        exp=time_text(now + round(arguments.hours * 3600)),
        supersedes=arguments.supersedes,
    )
    _explain(content, folder)
    _save(arguments.out, content)
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Take a request or notice back."""
    typ = _typ(_read(arguments.file))
    name = str(_payload(arguments.file)["id"])
    _save(arguments.out, Folder(arguments.folder).cancellation(typ, name, now_s()))
    return 0


def validate(arguments: argparse.Namespace) -> int:
    """Say whether a doorbell that pinned the record would take the file."""
    content = _read(arguments.file)
    try:
        if _typ(content) == RECORD:
            _, parsed = record_in(content)
            print(f"a record of {parsed.name}; serial {parsed.serial}")
        else:
            record_content = _read(arguments.record) if arguments.record else _own(Folder(arguments.folder))
            _judge(content, record_content)
            print("a doorbell that has pinned this record takes it")
    except Refused as error:
        print(f"refused: {explained(error)}")
        return 1
    return 0


def open_it(arguments: argparse.Namespace) -> int:
    """Open a parcel, check everything that it says, and write a report."""
    out = arguments.out or arguments.parcel.with_suffix("")
    opened = open_parcel(arguments.parcel, arguments.folder, out, arguments.request)
    for check in opened.checks:
        print(f"{'ok ' if check.good else 'NO '} {check.name}: {check.result}")
    print(write_report(opened))
    if not opened.good:
        print("not everything holds: do not rely on this parcel", file=sys.stderr)
    return 0 if opened.good else 1


def _judge(content: bytes, record_content: bytes) -> None:
    """Raise Refused unless a doorbell that pinned a record takes a request or notice."""
    envelope, parsed = record_in(record_content)
    ledger_state, now = LedgerState(), now_s()
    draft = pinned(record_content, envelope.kid, ledger_state=ledger_state, now=now)
    ledger_state.take(draft.kind, draft.data, draft.body, now)
    ring = parsed.jurisdiction.coordinates[0]
    home = HomePosition(longitude=ring[0][0], latitude=ring[0][1])
    source = "request" if _typ(content) == REQUEST else "notice"
    for draft in heard(source, content, ledger_state=ledger_state, home=home, now=now):
        if draft.data.get("to") == "rejected":
            word, _, detail = draft.data["why"].partition(": ")
            raise Refused(Reason(word), detail)


def _explain(content: bytes, folder: Folder) -> None:
    """Say now what every doorbell would say to itself later."""
    try:
        _judge(content, _own(folder))
    except Refused as error:
        raise AgencyError(f"every doorbell would refuse it: {explained(error)}") from error


def _own(folder: Folder) -> bytes:
    """Return the folder's own record, signed again."""
    return signed_envelope(RECORD, folder.who(), folder.key)


def _typ(content: bytes) -> str:
    return header(content, (REQUEST, NOTICE, RECORD))[0]


def _payload(path: Path) -> JsonObject:
    from device.consent.envelope import read

    return read(_read(path), types=(REQUEST, NOTICE, RECORD), kids=None).payload


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise AgencyError(f"{path}: {error.strerror}") from error


def _save(path: Path, content: bytes) -> None:
    try:
        with new_private_file(path) as file:
            file.write(content + b"\n")
    except FileExistsError:
        raise AgencyError(f"{path} exists already; name another file") from None
    except OSError as error:
        raise AgencyError(f"{path}: {error.strerror}") from error
    print(path)


def _moment(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2026-11-24T22:00+01:00") from None
    return round(found.astimezone().timestamp())


def _parser() -> argparse.ArgumentParser:  # noqa: PLR0915  (a command after the other)
    parser = argparse.ArgumentParser(prog="scripts/agency", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=Path("agency"), help="where the keys are (default: %(default)s)"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=run.__doc__)
        one.set_defaults(run=run)
        return one

    def add_area(one: argparse.ArgumentParser, radius_m: float) -> None:
        where = one.add_mutually_exclusive_group(required=True)
        where.add_argument("--area", type=Path, metavar="FILE", help="GeoJSON with one polygon")
        where.add_argument("--around", metavar="LAT,LON", help="a circle around a position")
        one.add_argument("--radius-m", type=float, default=radius_m, help="its radius (default: %(default)s)")

    add("keygen", keygen, "make a signing key and a sealing key")
    one = add("record", record, "write the record that residents pin")
    one.add_argument("--id", required=True, help="a short name: a-z, 0-9, hyphens")
    one.add_argument("--kind", choices=("police", "news", "neighbourhood"), default="police")
    one.add_argument("--name", required=True, help="as residents know you")
    one.add_argument("--contact", required=True, help="how a resident reaches you")
    one.add_argument("--upload", help="police: the https:// origin that takes parcels")
    one.add_argument(
        "--upload-kind", choices=("tus", "s3"), default="tus", help="what is there (default: %(default)s)"
    )
    one.add_argument("--days", type=int, default=730, help="how long the key is valid (default: %(default)s)")
    add_area(one, 5000)
    one.add_argument("out", type=Path, metavar="OUT")
    one = add("request", request, "write a footage request")
    one.add_argument("--case", required=True)
    one.add_argument("--purpose", required=True, help="in plain words, at most 500 letters")
    one.add_argument("--from", dest="start", type=_moment, required=True, metavar="TIME")
    one.add_argument("--to", dest="end", type=_moment, required=True, metavar="TIME")
    one.add_argument(
        "--days", type=float, default=7, help="how long it is open (default: %(default)s, most 14)"
    )
    one.add_argument("--contact", help="if it is not the record's")
    add_area(one, 250)
    one.add_argument("out", type=Path, metavar="OUT")
    one = add("notice", notice, "write an alert, an update or news")
    one.add_argument("--kind", choices=("alert", "update", "news"), required=True)
    one.add_argument(
        "--severity", choices=("extreme", "severe", "moderate", "minor", "unknown"), default="unknown"
    )
    one.add_argument("--headline", required=True)
    one.add_argument("--text", required=True)
    one.add_argument(
        "--hours", type=float, default=12, help="until it expires (default: %(default)s, most 168)"
    )
    one.add_argument(
        "--supersedes", action="append", default=[], metavar="ID", help="a notice that this replaces"
    )
    add_area(one, 1000)
    one.add_argument("out", type=Path, metavar="OUT")
    one = add("cancel", cancel, "take a request or notice back")
    one.add_argument("file", type=Path, metavar="FILE", help="the request or notice")
    one.add_argument("out", type=Path, metavar="OUT")
    one = add("validate", validate, "say whether a doorbell would take it, and if not, why")
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="the record that the doorbell has pinned (default: your own)",
    )
    one = add("open", open_it, "open a parcel: unseal, check, and write a report that a court can follow")
    one.add_argument("parcel", type=Path, metavar="PARCEL")
    one.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder (default: the parcel's name)")
    one.add_argument(
        "--request", type=Path, action="append", default=[], metavar="FILE", help="your requests, to compare"
    )
    one = add(
        "publish",
        publish,
        "send it to the community server: one PUT; the answer only confirms that it arrived",
    )
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--server", required=True, metavar="URL", help="the community server's https:// address")
    one.add_argument(
        "--ca", type=Path, metavar="FILE", help="the authority of its certificate, if it is its own"
    )
    return parser


def main() -> int:
    """Run one command; exit status 0 done, 1 not, 2 wrong usage."""
    arguments = _parser().parse_args()
    forbid_core_dumps()
    try:
        status: int = arguments.run(arguments)
    except (AgencyError, Refused) as error:
        print(f"scripts/agency: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
