"""`doorbell ledger`: show, verify (without the daemon), export."""

import argparse

from device.cli.client import FAILED, OK, ask, ask_raw, print_json, state_dir
from device.cli.formatting import save
from device.consent.keys import spoken
from device.consent.views import EntryView, SubjectView
from device.errors import CommandError


def show(arguments: argparse.Namespace) -> int:
    """Show the newest entries."""
    answer = ask(arguments.state, "GET", "/ledger", newest=arguments.last)
    if arguments.json:
        print_json(answer)
        return OK
    for entry in answer["entries"]:
        flag = "" if entry["clock"] == "synchronised" else " *"
        print(f"{entry['seq']:>6}  {entry['at']}{flag}  {_words(entry)}")
    if any(entry["clock"] != "synchronised" for entry in answer["entries"]):
        print("* the clock was not set by a time server then; the time may be wrong")
    for row in answer["refused"]:
        print(f"refused {row['count']:>6} times: {row['sentence']} (last {row['last']})")
    print(f"head {answer['head']} ({answer['length']} entries)")
    return OK


def verify(arguments: argparse.Namespace) -> int:
    """Check that no entry was changed or removed; works without doorbelld."""
    from device.consent_service.ledger import Ledger, LedgerBroken

    path = arguments.file or state_dir(arguments.state) / "ledger.db"
    if not path.exists():
        raise CommandError(f"{path}: there is no ledger here")
    try:
        ledger = Ledger(path, read_only=True)
        wrong = list(ledger.faults(arguments.head))
    except LedgerBroken as error:
        wrong = [str(error)]
        ledger = None
    result = {
        "file": str(path),
        "entries": ledger.length if ledger else None,
        "head": ledger.head if ledger else None,
        "wrong": wrong,
    }
    if ledger:
        ledger.close()
    if arguments.json:
        print_json(result)
    elif wrong:
        for sentence in wrong:
            print(f"{path}: {sentence}")
    else:
        print(f"{path}: {result['entries']} entries; each stores the previous entry's hash")
        print(f"head {result['head']}")
        if not arguments.head:
            print(
                "--head HASH also checks that an earlier head, as your dashboard shows it, is still in the ledger"
            )
    return FAILED if wrong else OK


def export(arguments: argparse.Namespace) -> int:
    """Write the whole ledger to a file."""
    save(arguments.file, ask_raw(arguments.state, "GET", "/ledger/export"))
    print(arguments.file)
    return OK


def _words(entry: EntryView) -> str:
    data, subject = entry["data"], entry.get("subject", {})
    name = subject.get("sender_name") or data.get("sender") or data.get("source")
    about = _about(subject)
    match entry["kind"]:
        case "request":
            why = f": {data['why']}" if data.get("why") else ""
            sent = (
                f", to {data['destination']['origin']}, offer {data['offer_hash'][:16]}…"
                if "offer" in data
                else ""
            )
            if data["to"] == "sealed":
                sent = f", parcel {data['parcel']['sha256'][:16]}…, {data['parcel']['bytes']} bytes"
            elif data["to"] == "handed over":
                sent = f", parcel {data['sha256'][:16]}… to {data['destination']['origin']}"
            return f"request of {name}, {about}: {data['to']}{why}{sent}"
        case "notice":
            return f"notice from {name}: {about}"
        case "cancellation":
            return f"{name} cancelled: {about}"
        case "sender_pinned" | "sender_rotated":
            verb = "pinned" if entry["kind"] == "sender_pinned" else "newer record of"
            named = f"{name} ({data['kind']}), record {data['serial']}"
            return f"{verb} {named}, {spoken(data['fingerprint'])}"
        case "sender_unpinned":
            return f"unpinned {name}"
        case "feed_added":
            return f"feed {data['name']} added: {data['url']}"
        case "feed_removed":
            return f"feed {data['name']} removed"
        case "left":
            amount = f"{data['left_bytes']} of {data['of_bytes']} bytes had been sent"
            return f"parcel of {about}: {amount} ({data['why']})"
        case "revocation":
            what = f"release of {about}" if data["of"] == "request" else f"{data['of']} {data['name']}"
            return f"stopped without a ledger: {what}"
        case "destination_added":
            return f"backups to {data['name']}: {data['url']}"
        case "destination_removed":
            return f"no more backups to {data['name']}"
        case "backup":
            return f"backup of {data['clip']} to {data['destination']}, encrypted as {data['sha256'][:16]}…"
        case "backed_up":
            return f"backup of {data['clip']} arrived at {data['destination']}"
        case "backup_stopped":
            amount = f"at most {data['left_bytes']} of {data['of_bytes']} bytes had left"
            return f"backup of {data['clip']} to {data['destination']} ended: {amount}"
    return str(entry["kind"])


def _about(subject: SubjectView) -> str:
    if case := subject.get("case"):
        return f"case {case}"
    return f"“{subject['headline']}”" if subject.get("headline") else "(unknown)"
