"""Run one release from the offer to its end, in one process, for recording: FOLDER MARKS HOW [PLANT]

HOW is `delivered`, `withdrawn` (once it is handed over) or `fails` (the clip was changed). Everything is real
except the courier (a function that writes reports) and the process that makes parcels (called directly).
PLANT breaks one rule of docs/decisions/0012, to show that a crash detects it.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from device.consent.documents import Offer
from device.consent.ledger_state import Case
from device.consent.offer import Cut
from device.consent.states import State
from device.consent_service.release_protocol import Failed, Made, Progress
from device.consent_service.release_worker import ReleaseWorker
from device.consent_service.working_folder import erase
from device.release.errors import NotAllowed
from device.release.job import PARCEL, Job
from device.release.process import Release
from device.spool.parcels import (
    Grant,
    stage_parcel,
    write_grant,
    write_report,
)
from device.store.clip_query import cut_of
from device.store.files import sha256_of
from device.store.index import ClipRow
from device.system.durable_files import sync_folder
from tests.support import envelopes
from tests.support.consent import ID, US, ConsentHarness, delivery_report, grants
from tests.support.films import film
from tests.support.tampering import changed

FILM = "film.mp4"
MAX_STEPS = 30
SEED = bytes(range(32))


@dataclass(frozen=True, slots=True)
class _Done:
    """A parcel that is already complete."""

    found: Made | Failed

    def poll(self) -> Progress | Made | Failed:
        """Return it."""
        return self.found

    def stop(self) -> None:
        """It has ended already."""


class ScriptedBackend:
    """Makes the parcel like the process, but synchronously in this one."""

    def __init__(self, clip: Path) -> None:
        self._clip = clip

    def begin(self, folder: Path, offer: Offer, offer_hash: str, **_how: object) -> _Done:
        """Link the clip and make the parcel."""
        (folder / f"{offer['clips'][0]['id']}.mp4").hardlink_to(self._clip)
        job = Job(
            folder=folder,
            offer=offer,
            offer_hash=offer_hash,
            seed=SEED,
            version="0",
            canaries=("Anna's door",),
            home=(48.858, 2.294),
        )
        try:
            return _Done(Made(parcel=Release(job, lambda _line: None).run(), path=folder / PARCEL))
        except NotAllowed as error:
            return _Done(Failed(why=str(error)))

    def sealed(self, folder: Path) -> Path:
        """Return the parcel's path."""
        return folder / PARCEL


def a_cut(clip: Path) -> Cut:
    """Return the part of the film that an offer contains."""
    row = ClipRow(
        clip_id="one",
        event_id="one",
        cause="press",
        file_name=clip.name,
        started_wall_us=(envelopes.NOW - 5 * 3600 + 600) * US,
        duration_us=2 * US,
        clock="synchronised",
        boot_id="one",
        started_mono_us=0,
        size_bytes=clip.stat().st_size,
        disk_bytes=clip.stat().st_size,
        sha256=sha256_of(clip),
    )
    cut = cut_of(clip.parent, row, row.started_wall_us, row.started_wall_us + 2 * US)
    if cut is None:
        raise SystemExit("the film has no picture")
    return cut


def carried(folder: Path, grant: Grant) -> None:
    """Act as the courier of a parcel: report that all of it has arrived."""
    write_report(folder / "spool/in", delivery_report(grant))


def grant_before_the_entry() -> None:
    """Release a parcel, and write its entry afterwards."""
    honest = ReleaseWorker._hand_over

    def hasty(self: ReleaseWorker, case: Case) -> None:
        before, case.state = case.state, State.HANDED_OVER
        self._stage_parcel(case)
        case.state = before

        stage_parcel(self._folder, self._spool / "out" / f"{case.sealed_parcel()['sha256']}.parcel", "back")
        (self._folder / case.handle).mkdir(exist_ok=True)
        (self._folder / "back.parcel").rename(self._sealed(case))
        honest(self, case)

    ReleaseWorker._hand_over = hasty  # type: ignore[method-assign]


def erase_before_the_grant() -> None:
    """Delete the working copy before the parcel is in the spool."""

    def hasty(self: ReleaseWorker, case: Case) -> None:
        content = self._sealed(case).read_bytes()
        erase(self._folder / case.handle)
        parcel = self._folder.parent / "kept"
        parcel.write_bytes(content)
        upload = case.approved_offer()["upload"]
        stage_parcel(self._spool / "out", parcel, case.sealed_parcel()["sha256"])
        grant = Grant(
            sha256=case.sealed_parcel()["sha256"],
            size_bytes=case.sealed_parcel()["bytes"],
            kind=upload["kind"],
            origin=upload["origin"],
        )
        write_grant(self._spool / "out", grant)
        parcel.unlink()

    ReleaseWorker._stage_parcel = hasty  # type: ignore[method-assign]


def never_sync() -> None:
    """Skip every fsync."""
    os.fsync = lambda _fd: None  # type: ignore[assignment]


PLANTS = {plant.__name__: plant for plant in (grant_before_the_entry, erase_before_the_grant, never_sync)}


def main() -> int:
    """Run the path."""
    folder, marks, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    for plant in sys.argv[4:]:
        PLANTS[plant]()
    (folder / "clips").mkdir()
    clip = folder / "clips" / FILM
    # FFmpeg writes elsewhere, and the bytes are copied: the disk's model knows no other way.
    clip.write_bytes(film(marks.with_suffix(".mp4"), seconds=2).read_bytes())
    doorbell = ConsentHarness(folder, ScriptedBackend(clip))
    doorbell.clips.stored = [a_cut(clip)]
    for name in ("", "clips", "spool", "spool/in", "spool/out"):
        sync_folder(folder / name)  # made when it was installed, long ago
    doorbell.pin()
    doorbell.hear(("request", envelopes.request()))

    def mark(line: str) -> None:
        with marks.open("a") as file:
            file.write(line + "\n")

    mark("offered")
    doorbell.consent_service.approve(ID, doorbell.consent_service.request(ID)["offer_hash"])
    mark("approved")
    if how == "fails":
        clip.write_bytes(changed(clip.read_bytes()))
    for _ in range(MAX_STEPS):
        doorbell.consent_service.release_worker.step()
        for grant in grants(folder):
            if how == "withdrawn":
                doorbell.consent_service.withdraw(ID)
                mark("withdrawn")
            else:
                carried(folder, grant)
        if doorbell.states()[0] in ("delivered", "withdrawn", "failed"):
            doorbell.consent_service.release_worker.step()
            break
    mark(f"ended {doorbell.states()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
