"""`doorbell requests`: requests for footage, from a terminal of the owner's group."""

import argparse
import re
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import TypedDict
from urllib.parse import quote

from device.cli.client import FAILED, OK, ask, ask_raw, print_json
from device.cli.formatting import bytes_text, local_clock_text, local_time_text, save, typed_answer
from device.cli.progress_bar import Bar
from device.consent.documents import Offer
from device.consent.keys import spoken
from device.consent.views import EmptyOffer, PlaceView, ReleaseView, RequestView, WithdrawalView
from device.errors import CommandError

FOLLOW_S = 0.5
_ID = re.compile(r"(.+\.)?[0-7][0-9A-HJKMNP-TV-Z]{25}")
"""A ULID, perhaps behind its sender's name."""
_OPEN = ("offered", "approved", "sealed", "handed over")
_WHY_EMPTY: Mapping[EmptyOffer, str] = {
    "left_out": "you left out every clip",
    "deleted": "the clips of this time are not on the doorbell any more",
    "no_picture": "no picture is whole in the times that you or the request name",
}
NOT_EMERGENCY = "This is not a replacement for calling the emergency number."


class ClipChoice(TypedDict, total=False):
    """The part of a clip to share, and the areas to blur (corners relative to the picture)."""

    start: str
    end: str
    blur: list[list[tuple[float, float]]]


class ChoiceBody(TypedDict, total=False):
    """The body of `POST …/offer`; an empty one is all clips, without sound."""

    audio: bool
    clips: dict[str, ClipChoice | None]


def list_requests(arguments: argparse.Namespace) -> int:
    """Show what agencies have asked for."""
    rows = ask(arguments.state, "GET", "/requests")
    if arguments.json:
        print_json(rows)
        return OK
    if not rows:
        print("no requests from pinned agencies; `doorbell agency list` shows the pinned ones")
    for row in rows:
        print(f"{_name_of(row, rows)}  {row['state']}")
        print(f"    {row['agency_name']}, {_window(row)}, {_where(row['place'])}")
    print(NOT_EMERGENCY)
    return OK


def show_request(arguments: argparse.Namespace) -> int:
    """Show one request and exactly what would leave."""
    row = _asked(arguments)
    if arguments.map:
        save(arguments.map, ask_raw(arguments.state, "GET", f"{_path(arguments)}/map.svg"))
    if arguments.json:
        print_json(row)
        return OK
    _tell_request(row)
    return OK


def approve(arguments: argparse.Namespace) -> int:
    """Share exactly what is shown."""
    row = _asked(arguments)
    if not row.get("offer"):
        raise CommandError(f"the request is {row['state']}: there is nothing to decide")
    shown = row["offer_hash"]
    if arguments.offer_hash is None:
        _tell_request(row)
        print(
            "\nA video that was sent cannot be recalled. You may decline or ignore the request: nobody sees "
            "that you did."
        )
        if typed_answer("Share exactly this? Type yes to share, anything else to leave it: ") != "yes":
            print("nothing was shared; the request stays as it was")
            return FAILED
    elif arguments.offer_hash != shown:
        raise CommandError(f"the offer's hash is {shown}: it is not what you were shown")
    body = {"offer_hash": shown, **_chosen(arguments)}
    answer = ask(arguments.state, "POST", f"{_path(arguments)}/approve", body)
    if arguments.json:
        print_json(answer)
    else:
        print(f"approved until {local_time_text(answer['ends_at'])}, or until it has arrived")
        print("`doorbell requests follow` shows the progress; `withdraw` stops it")
    return OK


def follow(arguments: argparse.Namespace) -> int:
    """Show the progress of a release until it has arrived or ended."""
    bar, shown = Bar(), ""
    try:
        while True:
            row = ask(arguments.state, "GET", _path(arguments))
            if row["release"] is None:
                raise CommandError(f"the request is {row['state']}: nothing is being sent")
            progress = row["release"]["progress"]
            if row["state"] not in ("approved", "sealed", "handed over"):
                break
            hot = progress is not None and progress["hot"]
            stage = "waiting for the board to cool" if hot else progress["stage"] if progress else ""
            if stage and stage != shown:
                bar.clear()
                print(stage)
                bar, shown = Bar(), stage
            if progress and sys.stderr.isatty():
                bar.show(round(progress["part"] * 1000), 1000)
            time.sleep(FOLLOW_S)
    finally:
        bar.clear()
    print(row["state"] + (f": {row['why']}" if row["why"] else ""))
    _tell_release(row["release"])
    return OK if row["state"] == "delivered" else FAILED


def decline(arguments: argparse.Namespace) -> int:
    """Decline."""
    ask(arguments.state, "POST", f"{_path(arguments)}/decline")
    print("declined; nobody outside learns of it")
    return OK


def withdraw(arguments: argparse.Namespace) -> int:
    """Take an approval back, or all of them."""
    if bool(arguments.id) is arguments.all:
        raise CommandError("name one request, or --all")
    path = "/withdrawals" if arguments.all else f"{_path(arguments)}/withdraw"
    done: WithdrawalView = ask(arguments.state, "POST", path)
    if arguments.all and not done["requests"] and not done["parcels"] and done["recorded_in"] == "ledger":
        print("no release is under way: there is nothing to withdraw")
        return OK
    print("withdrawn: nothing more is sent")
    for parcel in done["parcels"]:
        left, size = bytes_text(parcel["left_bytes"]), bytes_text(parcel["of_bytes"])
        print(f"parcel {parcel['sha256'][:16]}: at most {left} of {size} had left")
    if done["recorded_in"] == "ledger":
        print("`doorbell requests show` will show how much had been sent before")
    else:
        print(
            "the ledger cannot be written: doorbelld keeps this beside it, and copies it once it is repaired"
        )
    return OK


def _asked(arguments: argparse.Namespace) -> RequestView:
    chosen = _chosen(arguments)
    if chosen:
        found: RequestView = ask(arguments.state, "POST", f"{_path(arguments)}/offer", chosen)
    else:
        found = ask(arguments.state, "GET", _path(arguments))
    return found


def _chosen(arguments: argparse.Namespace) -> ChoiceBody:
    """Return the body for the options; an empty one is all clips, without sound."""
    body: ChoiceBody = {}
    if arguments.sound:
        body["audio"] = True
    if not arguments.clip and not arguments.blur:
        return body
    offer = ask(arguments.state, "GET", _path(arguments)).get("offer") or {"clips": []}
    ids = [clip["id"] for clip in offer["clips"]]
    spans = {_clip(name, ids): choice for name, choice in _spans(arguments.clip).items()}
    for text in arguments.blur:
        number, _, corners = text.partition("=")
        name = _clip(number, ids)
        if spans and name not in spans:
            raise CommandError(f"{text}: --blur names a clip that is not in --clip")
        choice = spans.get(name) or {}
        choice["blur"] = [*choice.get("blur", ()), _shape(text, corners)]
        spans[name] = choice
    if not arguments.clip:
        spans = {name: spans.get(name) for name in ids}
    body["clips"] = spans
    return body


def _clip(name: str, ids: Sequence[str]) -> str:
    """Return the id of a clip that was named by its number in `show`, or by its id. Raises CommandError."""
    if name in ids:
        return name
    if name.isdecimal() and 1 <= int(name) <= len(ids):
        return ids[int(name) - 1]
    raise CommandError(f"{name}: there is no such clip; `doorbell requests show` numbers them")


def _shape(text: str, corners: str) -> list[tuple[float, float]]:
    try:
        left, top, right, bottom = (float(number) for number in corners.split(","))
    except ValueError:
        raise CommandError(f"{text}: write N=LEFT,TOP,RIGHT,BOTTOM, each 0 to 1 of the picture") from None
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _spans(clips: Sequence[str]) -> dict[str, ClipChoice | None]:
    """Return the choice for each clip, given as N or N=FROM/UNTIL."""
    spans: dict[str, ClipChoice | None] = {}
    for text in clips:
        name, given, span = text.partition("=")
        start, slash, end = span.partition("/")
        if given and not slash:
            raise CommandError(f"{text}: write N, or N=FROM/UNTIL with two times like 2026-11-24T22:00:00Z")
        spans[name] = {"start": start, "end": end} if given else None
    return spans


def _path(arguments: argparse.Namespace) -> str:
    """Return the path of the request that the user named. Raises CommandError."""
    return f"/requests/{quote(_handle(arguments), safe='')}"


def _handle(arguments: argparse.Namespace) -> str:
    """Return the handle of a request that was named by its case; an id or a handle stays as it is.

    The list is asked for a case only: a request is withdrawn by its id also while the ledger cannot be read.
    """
    if _ID.fullmatch(arguments.id):
        return str(arguments.id)
    named = [row for row in ask(arguments.state, "GET", "/requests") if row["case"] == arguments.id]
    found = [row for row in named if row["state"] in _OPEN] or named
    if len(found) == 1:
        return str(found[0]["handle"])
    if found:
        handles = " or ".join(row["handle"] for row in found)
        raise CommandError(f"there are several requests for case {arguments.id}: write {handles}")
    raise CommandError(f"there is no request for case {arguments.id}; `doorbell requests list` shows them")


def _name_of(row: RequestView, rows: Sequence[RequestView]) -> str:
    """Return what names a request to `show`: its case, or its handle if others have the same case."""
    alike = [each for each in rows if each["case"] == row["case"]]
    return row["case"] if len(alike) == 1 else f"{row['case']} ({row['handle']})"


def _where(place: PlaceView) -> str:
    return f"{place['across_m']} m across, {place['distance_m']} m {place['direction'].replace('_', '-')} of your home"


def _tell_request(row: RequestView) -> None:
    print(f"{row['agency_name']} asks for footage ({row['state']})")
    for name, text in (
        ("case", row["case"]),
        ("why", row["purpose"]),
        ("when", _window(row)),
        ("where", _where(row["place"])),
        ("contact", row["contact"]),
        ("ends", local_time_text(row["exp"])),
        ("signed by", ", ".join(spoken(kid) for kid in row["signed_by"])),
        ("reason", row["why"]),
    ):
        if text:
            print(textwrap.fill(text, 96, initial_indent=f"{name:>10}  ", subsequent_indent=" " * 12))
    if row.get("offer"):
        _tell_offer(row["offer"], row["offer_hash"], empty=row["offer_empty"])
    elif row["release"]:
        _tell_offer(row["release"]["offer"], row["approved_hash"], "Exactly this was approved:")
        _tell_release(row["release"])
    print(NOT_EMERGENCY)


def _tell_release(release: ReleaseView) -> None:
    parcel, receipt = release["parcel"], release["receipt"]
    if release["progress"]:
        print(f"  now: {release['progress']['stage']}, {release['progress']['part']:.0%}")
    if parcel:
        print(f"  encrypted as {parcel['sha256']}, {parcel['bytes']} bytes")
    if receipt:
        print(
            f"  arrived at {receipt['origin']}: {', '.join(f'{k} {v}' for k, v in receipt['said'].items())}"
        )
    elif parcel and release["accounted"]:
        print(f"  {release['left_bytes']} encrypted bytes had been sent when it ended")
    elif parcel and not release["progress"]:
        print(
            f"  at most {release['left_bytes']} of its bytes have been sent; the courier has not reported yet"
        )


def _tell_offer(
    offer: Offer,
    offer_hash: str,
    title: str = "Exactly this would leave, and nothing else:",
    *,
    empty: EmptyOffer | None = None,
) -> None:
    print(f"\n{title}")
    for number, clip in enumerate(offer["clips"], 1):
        flag = "" if clip["clock"] == "synchronised" else "  (the clock was not set by a time server then)"
        seconds = (clip["last_us"] - clip["first_us"]) / 1e6
        span = f"{local_clock_text(clip['start'])} to {local_clock_text(clip['end'])}"
        blur = f", {len(clip['blur'])} areas blurred" if clip["blur"] else ""
        print(f"  clip {number}  {span}  {seconds:.1f} s, {clip['frames']} frames{blur}{flag}")
    if empty:
        print(f"  nothing: {_WHY_EMPTY[empty]}")
    masks = f"{len(offer['masks'])} privacy masks applied" if offer["masks"] else "no privacy masks"
    print(f"  {'with' if offer['audio'] else 'without'} sound, {masks}")
    print("  re-encoded, which takes a while; nothing of the camera's files is copied")
    print(f"  encrypted for {offer['recipient']['name']} ({offer['recipient']['age']})")
    print(f"  sent to {offer['upload']['origin']}")
    print(f"  offer hash {offer_hash}")


def _window(row: RequestView) -> str:
    return f"{local_time_text(row['window']['start'])} to {local_time_text(row['window']['end'])}"
