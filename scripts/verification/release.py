"""`scripts/prove release`: exactly what the owner approved leaves, and not one frame more.

Attacks each of these promises (docs/consent.md, docs/decisions/0012), and prints the number of attacks and those
that succeeded.

    1   no byte without its entry in the ledger: kills and power cuts at every call of a release that changes
        the disk, on three paths (delivered, withdrawn, failed)
    2   an approval covers exactly the offer that was shown: approvals of one offer with the hash of another
    6   only the pinned agency can open a parcel: other keys, and changed parcels
    7   nothing outside the window leaves: planted violations, spans, whole cuts whose pictures are counted
    9   a withdrawal takes effect within a chunk: real uploads to a real tus server, withdrawn at any moment
    10  tampering is detected: changed ledgers and manifests
"""

import argparse
import base64
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pyrage

from device.consent.documents import Manifest
from device.consent.offer import Choice
from device.consent_service.ledger import Ledger, LedgerBroken
from device.errors import CommandError
from device.media.frame_selection import inside
from device.release.audit import audit
from device.release.manifest import signed
from device.release.parcel import archive, seal
from scripts.verification.release_crash import WAYS, crash
from server.agency.manifest_reader import BadManifest, verified
from tests.support import envelopes
from tests.support.consent import ID, ConsentHarness
from tests.support.courier import CourierHarness
from tests.support.films import FPS, US, coded, film, made, numbers, promise, wanted
from tests.support.network_namespace import STORE_ADDRESS, Island
from tests.support.stores import HOST, Store
from tests.support.violations import VIOLATIONS

CHUNK_BYTES = 65_536
MAX_PRINTED = 5


@dataclass(slots=True)
class Tally:
    """The number of attacks on a promise, and those that succeeded."""

    tried: int = 0
    through: list[str] = field(default_factory=list)

    def count(self, what: str, *, held: bool) -> None:
        """Count one attack."""
        self.tried += 1
        if not held:
            self.through.append(what)


def ledger_first(folder: Path, scale: float, seed: int) -> Tally:
    """Promise 1."""
    tally = Tally()
    for way in WAYS:
        found = crash(way, cuts_a_call=max(1, round(120 * scale)), seed=seed, jobs=2)
        print(
            f"      {way}: {found.calls} calls that change the disk; killed behind {found.kills} of them, "
            f"{found.cuts} different power cuts"
        )
        tally.tried += found.kills + found.cuts
        tally.through += found.wrong
    print(f"      (of the path to a receipt, {all_calls(folder)} system calls in all)")
    return tally


def all_calls(folder: Path) -> int:
    """Return how many system calls of any kind the path makes from the approval on."""
    state, marks, trace = folder / "calls", folder / "marks", folder / "trace"
    state.mkdir()
    command = [sys.executable, "-m", "scripts.verification.release_path", str(state), str(marks), "delivered"]
    subprocess.run(["strace", "-f", "-o", str(trace), *command], check=True, capture_output=True)
    lines = trace.read_text(errors="replace").splitlines()
    begin = next(n for n, line in enumerate(lines) if "write" in line and '"offered' in line)
    return sum("= " in line for line in lines[begin:])


def exactly_what_was_shown(folder: Path, scale: float, seed: int) -> Tally:
    """Promise 2."""
    tally, dice = Tally(), random.Random(seed)  # noqa: S311
    doorbell = ConsentHarness(folder / "two")
    doorbell.pin()
    doorbell.hear(("request", envelopes.request()))
    cuts, start_us = list(doorbell.clips.stored), doorbell.clips.stored[0].start_us
    shapes = [[(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)], [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9)]]

    def span(from_s: int, until_s: int) -> tuple[int, int]:
        return start_us + from_s * US, start_us + until_s * US

    def yes() -> bool:
        return dice.choice((False, True))

    def choice() -> Choice:
        spans = {
            name: dice.choice(
                (None, (start_us + dice.randrange(9) * US, start_us + (9 + dice.randrange(9)) * US))
            )
            for name in dice.sample(("one", "two"), dice.choice((1, 2)))
        }
        blurs = {name: dice.sample(shapes, dice.choice((0, 1))) for name in spans}
        return Choice(
            spans=dice.choice((None, spans)),
            audio=yes(),
            blurs=blurs,
        )

    def change_clips() -> None:
        doorbell.clips.stored = [
            replace(cut, frames=dice.choice((300, 301)), sha256=dice.choice(("1", "2", "3")) * 64)
            for cut in cuts
        ]
        doorbell.clips.covered = dice.sample(shapes, dice.choice((0, 1)))

    while tally.tried < 10_000 * scale:
        change_clips()
        first = choice()
        shown = doorbell.consent_service.request(ID, first)
        change_clips()
        second = choice()
        if doorbell.consent_service.request(ID, second)["offer_hash"] == shown["offer_hash"]:
            continue
        try:
            doorbell.consent_service.approve(ID, shown["offer_hash"], second)
        except CommandError:
            tally.count("", held=True)
        else:
            tally.count(f"{first} approved {second}", held=False)
            return tally
    return tally


def only_the_agency(folder: Path, scale: float, seed: int) -> Tally:
    """Promise 6."""
    tally, dice = Tally(), random.Random(seed)  # noqa: S311
    ours = pyrage.x25519.Identity.generate()
    content = folder / "clip"
    content.write_bytes(dice.randbytes(20_000))
    archive(folder / "tar", [("clip-1.mp4", content)])
    with (folder / "tar").open("r+b") as file:
        file.truncate(64_000)  # small, so that ten thousand tries take a minute
    seal(folder / "tar", folder / "age", str(ours.to_public()))
    parcel = (folder / "age").read_bytes()
    if pyrage.decrypt(parcel, [ours]) != (folder / "tar").read_bytes():
        raise SystemExit("prove release: the agency itself cannot open its parcel")

    def opens(sealed: bytes, key: Any) -> bool:
        try:
            pyrage.decrypt(sealed, [key])
        except (pyrage.DecryptError, ValueError):
            return False
        return True

    for number in range(round(500 * scale)):
        tally.count(f"key {number} opens it", held=not opens(parcel, pyrage.x25519.Identity.generate()))
    while tally.tried < 10_000 * scale:
        offset = dice.randrange(len(parcel))
        match dice.randrange(4):
            case 0:
                changed = (
                    parcel[:offset] + bytes([parcel[offset] ^ 1 << dice.randrange(8)]) + parcel[offset + 1 :]
                )
            case 1:
                changed = parcel[:offset]
            case 2:
                changed = parcel + dice.randbytes(1 + dice.randrange(40))
            case _:
                changed = parcel[:offset] + dice.randbytes(1 + dice.randrange(9)) + parcel[offset:]
        tally.count(f"changed at {offset}, it opens", held=not opens(changed, ours))
    return tally


def nothing_outside(folder: Path, scale: float, seed: int) -> Tally:
    """Promise 7."""
    tally, dice = Tally(), random.Random(seed)  # noqa: S311
    source = film(folder / "film.mp4", seconds=3)
    of = wanted(source, 0, 2 * US)
    good = made(folder, source, of).read_bytes()
    for what, operation in VIOLATIONS.items():
        (folder / "bad.mp4").write_bytes(operation(good))
        tally.count(what, held=not audit(folder / "bad.mp4", promise(of), []).good)
    planted = tally.tried
    films = [
        film(folder / f"{codec}-{bees}.mp4", codec=codec, b_frames=bees, sound="aac", keyframe_every=11)
        for codec, bees in (("libx264", 0), ("libx264", 3), ("libx265", 0))
    ]
    pictures = {path: coded(path) for path in films}
    for _ in range(round(10_000 * scale)):
        path = dice.choice(films)
        start, end = sorted(dice.randrange(6 * US) for _ in range(2))
        chosen = [pictures[path][index] for index in inside(pictures[path], start, end)]
        held = all(picture.from_us >= start and picture.until_us <= end for picture in chosen)
        tally.count(f"{path.name} {start} to {end}", held=held)
    cuts = round(300 * scale)
    for _ in range(cuts):
        path = dice.choice(films)
        start = dice.randrange(3 * US)
        end = start + US + dice.randrange(2 * US)
        if not inside(pictures[path], start, end):
            continue
        masks = [[(0.0, 0.5), (0.3, 0.5), (0.3, 1.0)]] if not dice.randrange(5) else []
        asked = wanted(path, start, end, audio=dice.choice((False, True)), masks=masks)
        done = made(folder, path, asked)
        report, found = audit(done, promise(asked), []), numbers(done)
        honest = [n for n in found if n * US // FPS >= start and (n + 1) * US // FPS <= end + 1]
        held = report.good and honest == found and len(found) == asked.frames
        tally.count(f"{path.name} {start} to {end}: {report.wrong or found}", held=held)
    print(
        f"      {planted} planted violations, {round(10_000 * scale)} spans, {cuts} cuts decoded and counted"
    )
    return tally


def within_a_chunk(folder: Path, scale: float, seed: int) -> Tally:
    """Promise 9."""
    tally, dice = Tally(), random.Random(seed)  # noqa: S311
    most = 0
    with Island(folder / "island", {HOST: STORE_ADDRESS}) as island, Store(folder / "store", island) as store:
        box = CourierHarness(folder / "box", island, store.ca)
        box.limits(kbps=80_000)
        box.start()
        time.sleep(2)
        for _ in range(round(120 * scale)):
            size = 8_000_000
            digest = box.parcel(store.origin, size)
            until = time.monotonic() + 20
            while not (report := box.report(digest)) or not report.place or not in_store(store, report.place):
                if time.monotonic() > until:
                    raise SystemExit(f"prove release: no upload began: {box.status()}")
                time.sleep(0.005)
            time.sleep(dice.random() * 0.5)
            before = in_store(store, report.place)
            box.withdraw(digest)
            report = box.ends(digest, "ended") if not stored(box, digest) else box.report(digest) or report
            if report.state == "stored":
                continue  # it had arrived before
            # What had left by the time of the withdrawal cannot be seen exactly from here: the store is a
            # socket's buffer behind. So the bound is what the store had, a chunk, and the buffers.
            most = max(most, report.left_bytes - before)
            held = in_store(store, report.place) == 0 and report.left_bytes < size and report.receipt is None
            tally.count(f"{digest[:8]}: {report}", held=held)
        box.close()
    print(f"      at most {most / 1e3:.0f} kB between what the store had and what had left")
    return tally


def in_store(store: Store, location: str) -> int:
    """Return the number of bytes of an upload in the store."""
    path = store.files / location.rsplit("/", 1)[1]
    return path.stat().st_size if path.exists() else 0


def stored(box: CourierHarness, digest: str) -> bool:
    """Return whether a parcel had arrived completely before it was withdrawn."""
    time.sleep(0.05)
    report = box.report(digest)
    return report is not None and report.state == "stored"


def found_out(folder: Path, scale: float, seed: int) -> Tally:
    """Promise 10."""
    tally, dice = Tally(), random.Random(seed)  # noqa: S311
    doorbell = ConsentHarness(folder / "ten")
    doorbell.pin()
    doorbell.hear(("request", envelopes.request()))
    doorbell.consent_service.approve(ID, doorbell.consent_service.request(ID)["offer_hash"])
    doorbell.consent_service.withdraw(ID)
    doorbell.consent_service.ledger_store.close()
    path = folder / "ten/ledger.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    good, honest = path.read_bytes(), entries_of(path)
    while tally.tried < 5_000 * scale:
        offset = dice.randrange(len(good))
        other = folder / "ledger.db"
        other.write_bytes(good[:offset] + bytes([good[offset] ^ 1 << dice.randrange(8)]) + good[offset + 1 :])
        # What a changed byte does not change (free space) is no tampering.
        held = bool(faults_of(other)) or entries_of(other) == honest
        tally.count(f"ledger, byte {offset}", held=held)
    manifest = signed(
        cast("Manifest", {"v": 1, "request": ID, "clips": [{"file": "clip-1.mp4", "frames": 30}]}), bytes(32)
    )
    while tally.tried < 10_000 * scale:
        tally.count("manifest", held=not believed(tampered(manifest, dice), manifest))
    return tally


def entries_of(path: Path) -> list[Any] | None:
    """Return the entries of a ledger, None if it cannot be read."""
    try:
        ledger = Ledger(path, read_only=True)
        try:
            return [(entry, ledger.body(entry.body) if entry.body else None) for entry in ledger.entries()]
        finally:
            ledger.close()
    except (LedgerBroken, sqlite3.Error, ValueError):
        return None


def faults_of(path: Path) -> list[str]:
    """Return the faults that `doorbell ledger verify` would print."""
    try:
        ledger = Ledger(path, read_only=True)
    except LedgerBroken as error:
        return [str(error)]
    try:
        return list(ledger.faults())
    finally:
        ledger.close()


def tampered(manifest: bytes, dice: random.Random) -> bytes:
    """Return a manifest that was changed: a bit, or a word of it with everything else as it was."""
    if dice.choice((False, True)):
        offset = dice.randrange(len(manifest))
        return manifest[:offset] + bytes([manifest[offset] ^ 1 << dice.randrange(7)]) + manifest[offset + 1 :]
    head, body, signature = manifest.split(b".")
    payload = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    payload["clips"][0]["frames"] = 31 + dice.randrange(1000)
    coded_body = base64.urlsafe_b64encode(json.dumps(payload, separators=(",", ":"), sort_keys=True).encode())
    return b".".join((head, coded_body.rstrip(b"="), signature))


def believed(changed: bytes, manifest: bytes) -> bool:
    """Return whether a changed manifest is accepted."""
    if changed == manifest:
        return False
    try:
        verified(changed)
    except BadManifest:
        return False
    return True


PROMISES: dict[int, tuple[str, Callable[[Path, float, int], Tally]]] = {
    1: ("no byte without its entry, no approval twice", ledger_first),
    2: ("exactly what was shown", exactly_what_was_shown),
    6: ("only the pinned agency opens it", only_the_agency),
    7: ("nothing outside the window", nothing_outside),
    9: ("a withdrawal takes effect within a chunk", within_a_chunk),
    10: ("whoever tampers is found out", found_out),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this proof's arguments."""
    parser.add_argument("--only", type=int, choices=PROMISES, action="append", help="only these promises")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of attacks by this")
    parser.add_argument("--seed", type=int, default=1)


def main(arguments: argparse.Namespace) -> int:
    """Attack the promises; exit status 1 if an attack succeeded."""
    status = 0
    for number in arguments.only or PROMISES:
        title, attack = PROMISES[number]
        print(f"{number:>4}  {title}", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="prove"))
        began_s = time.monotonic()
        try:
            tally = attack(folder, arguments.scale, arguments.seed)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        status = status or bool(tally.through) or not tally.tried
        print(
            f"      attacked {tally.tried} times, {len(tally.through)} succeeded "
            f"({time.monotonic() - began_s:.0f} s)",
            flush=True,
        )
        for attack_text in tally.through[:MAX_PRINTED]:
            print(f"      SUCCEEDED: {attack_text[:300]}")
    return int(status)
