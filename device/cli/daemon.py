"""`doorbell ring`, `status`, `record`, `log`, `check` and `check-config`."""

import argparse
import sqlite3
import sys

from device.cli.client import FAILED, OK, NoDaemon, ask, print_json, state_dir
from device.cli.formatting import bytes_text, clips_text, log_text, status_text
from device.cli.progress_bar import Bar
from device.cli.settings import of_file
from device.config import load_config
from device.errors import CommandError, StateError
from device.store.files import StateLock
from device.store.index import Index
from device.store.layout import Layout


def ring(arguments: argparse.Namespace) -> int:
    """Ring."""
    rung = ask(arguments.state, "POST", "/ring")
    if arguments.json:
        print_json(rung)
    else:
        print(f"rang at {rung['occurred_at']} (event {rung['event_id']})")
    return OK


def status(arguments: argparse.Namespace) -> int:
    """Show how the doorbell is."""
    status = ask(arguments.state, "GET", "/status")
    if arguments.json:
        print_json(status)
    else:
        print(status_text(status))
    return OK


def record(arguments: argparse.Namespace) -> int:
    """Make a clip of this moment."""
    answer = ask(arguments.state, "POST", "/record")
    if arguments.json:
        print_json(answer)
    elif answer["joined"]:
        print("something is being recorded already; this moment is part of that clip")
    else:
        print("recording; `doorbell clips list` shows it when it is done")
    return OK


def log(arguments: argparse.Namespace) -> int:
    """Show what happened."""
    rows = ask(arguments.state, "GET", "/log")
    if arguments.json:
        print_json(rows)
        return OK
    for row in rows[-arguments.last :]:
        late = "  (sent late)" if row["late"] else ""
        print(f"{row['seq']:>6}  {row['occurred_at']}  {row['kind']:<14} {log_text(row)}{late}".rstrip())
    return OK


def check(arguments: argparse.Namespace) -> int:
    """Prove that rows and files agree, and with --repair make them agree as a start of the daemon would."""
    # Reads the files itself, so that it works whether the daemon runs or not.
    from device.store.press_picture_files import findings as picture_findings
    from device.store.reconcile import findings  # loads PyAV, for this command only

    layout = Layout(state_dir(arguments.state))
    if not layout.index.exists():
        raise CommandError(f"{layout.state_dir} holds no index of clips; is it the state directory?")
    if arguments.repair:
        _repair(layout)
    try:
        ask(arguments.state, "GET", "/status")
        running = True
    except NoDaemon:
        running = False
    bar = Bar() if arguments.deep and sys.stderr.isatty() else None
    try:
        index = Index(layout.index, read_only=True)
        clips, used_bytes, _ = index.totals()
        found = list(
            findings(
                index,
                layout.clips,
                running=running,
                deep=arguments.deep,
                progress=bar.show if bar else lambda _done, _all: None,
            )
        )
        found += picture_findings(index, layout.press_pictures, running=running)
    except (sqlite3.Error, OSError) as error:
        raise CommandError(f"{layout.index}: {error}; the next start rebuilds it") from error
    finally:
        if bar:
            bar.clear()
    if arguments.json:
        print_json({"clips": clips, "used_bytes": used_bytes, "deep": arguments.deep, "findings": found})
        return FAILED if found else OK
    for sentence in found:
        print(sentence)
    print(f"{clips_text(clips)}, {bytes_text(used_bytes)}: {len(found) or 'nothing'} to repair")
    return FAILED if found else OK


def _repair(layout: Layout) -> None:
    """Do what a start of the daemon does: finish, adopt, put aside. Deletes nothing that it does not know."""
    from device.store.press_picture_files import reconcile_pictures
    from device.store.reconcile import reconcile

    try:
        lock = StateLock(layout.state_dir)
    except StateError as error:
        raise CommandError(f"{error}. doorbelld repairs it at its start") from error
    try:
        index = Index(layout.index)
        for repairs in (
            reconcile(index, layout.clips, layout.quarantine),
            reconcile_pictures(index, layout.press_pictures, layout.quarantine),
        ):
            for repair in repairs:
                print(f"{repair.path.name}: {repair.reason}", file=sys.stderr)
        index.close()
    except (sqlite3.Error, OSError) as error:
        raise CommandError(f"{layout.state_dir}: {error}") from error
    finally:
        lock.close()


def check_config(arguments: argparse.Namespace) -> int:
    """Read a configuration; if a doorbell runs, print what a start with it deletes, exposes or breaks."""
    config = load_config(arguments.file)
    print(f"{arguments.file}: good")
    sentences = of_file(arguments.state, config)
    if sentences:
        print("A start with it, compared with the doorbell that runs:")
        print("\n".join(sentences))
    return OK


def isolation(arguments: argparse.Namespace) -> int:
    """Check the isolation of both processes."""
    answer = ask(arguments.state, "POST", "/doctor/isolation")
    if arguments.json:
        print_json(answer)
        return OK if answer["holds"] else FAILED
    for row in answer["tried"]:
        print(f"{'holds' if row['holds'] else 'OPEN ':<6} {row['who']:<10} {row['what']}: {row['result']}")
    if not answer["holds"]:
        print(
            "the isolation is missing or could not be checked: are both units installed? see systemd/README.md"
        )
    return OK if answer["holds"] else FAILED
