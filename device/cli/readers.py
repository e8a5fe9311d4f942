"""`doorbell reader`: clients of the home network that may read pictures."""

import argparse
import sys
from typing import get_args
from urllib.parse import quote

from device.cli.client import FAILED, OK, ask, print_json
from device.cli.formatting import confirmed, local_time_text
from device.consent.views import ReaderScope, ReaderView

SCOPES: tuple[ReaderScope, ...] = get_args(ReaderScope)


def add(arguments: argparse.Namespace) -> int:
    """Let a client read pictures, and show its token."""
    scopes = arguments.scope or ["snapshot"]
    if not arguments.yes:
        whoever = "Whoever reads the MQTT broker" if arguments.name == "mqtt" else "Whoever has the token"
        print(f"{whoever} sees this doorbell's pictures ({', '.join(scopes)}) from the home network,")
        print("until you run `doorbell reader revoke`. The ledger records it.")
        if not confirmed():
            return FAILED
    added = ask(arguments.state, "POST", "/readers", {"name": arguments.name, "scopes": scopes})
    if arguments.json:
        print_json(added)
        return OK
    if added["token"] is None:
        print("from now on the broker gets the picture of each press")
        return OK
    print(added["token"])
    print(
        "This token is stored nowhere; a lost one is replaced by revoking and adding again.", file=sys.stderr
    )
    return OK


def list_readers(arguments: argparse.Namespace) -> int:
    """Show who may read what."""
    rows: list[ReaderView] = ask(arguments.state, "GET", "/readers")
    if arguments.json:
        print_json(rows)
        return OK
    if not rows:
        print("nobody but you sees pictures; `doorbell reader add` lets a dashboard read them")
    for row in rows:
        used = "not used since the start"
        if row["used_at"]:
            used = f"last used {local_time_text(row['used_at'])} from {row['peers'][-1]}"
        print(
            f"{row['name']:<24} {','.join(row['scopes']):<16} since {local_time_text(row['added_at'])}, {used}"
        )
    return OK


def revoke(arguments: argparse.Namespace) -> int:
    """End a client's access."""
    ask(arguments.state, "DELETE", f"/readers/{quote(arguments.name, safe='')}")
    print(f"{arguments.name} sees nothing any more, and its open streams have ended")
    return OK
