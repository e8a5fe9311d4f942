"""A consent service with a real ledger and spool on a real disk; its clips and parcels are what a test says."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from device.config import NeighbourhoodConfig
from device.consent import keys
from device.consent.offer import Cut
from device.consent_service.release_protocol import ReleaseBackend, ReleaseRun
from device.consent_service.service import ConsentService
from device.errors import CommandError
from device.events import ClockFlag, Fact
from device.spool.folders import Item, SpoolWriter, Unreadable, bundle
from device.spool.parcels import Grant, Receipt, UploadReport, grant_in, names_in
from tests.support import envelopes

US = 1_000_000
ID = envelopes.REQUEST_PAYLOAD["id"]


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.wall_s = envelopes.NOW
        self.is_synchronised = True

    def mono_us(self) -> int:
        return self.wall_s * US

    def wall_us(self) -> int:
        return self.wall_s * US

    def flag(self) -> ClockFlag:
        return "synchronised" if self.is_synchronised else "unsynchronised"


class Clips:
    """Two clips of the hour that is asked about."""

    def __init__(self) -> None:
        start_us = (envelopes.NOW - 5 * 3600 + 600) * US
        one = Cut(
            clip_id="one",
            sha256="1" * 64,
            clock="synchronised",
            start_us=start_us,
            end_us=start_us + 20 * US,
            first_us=0,
            last_us=20 * US,
            frames=300,
        )
        self.stored = [
            one,
            replace(
                one, clip_id="two", sha256="2" * 64, start_us=start_us + 60 * US, end_us=start_us + 80 * US
            ),
        ]
        self.covered: list[list[tuple[float, float]]] = []
        self.asked = 0

    def has(self, start_us: int, end_us: int) -> bool:
        self.asked += 1
        return any(cut.end_us > start_us and cut.start_us < end_us for cut in self.stored)

    def cuts(self, spans: Callable[[str], tuple[int, int] | None], start_us: int, end_us: int) -> list[Cut]:
        chosen = [(cut, spans(cut.clip_id)) for cut in self.stored]
        return [
            replace(cut, start_us=max(cut.start_us, span[0]), end_us=min(cut.end_us, span[1]))
            for cut, span in chosen
            if span
        ]

    def are_there(self, clip_ids: Iterable[str]) -> bool:
        return {cut.clip_id for cut in self.stored} >= set(clip_ids)

    def masks(self, clip_ids: Iterable[str]) -> Sequence[Sequence[tuple[float, float]]]:
        return self.covered


class NoClips:
    """Nothing is to be backed up, unless a test says so: clip → file."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}

    def next_clip(self, since_us: int, known: Callable[[str], bool]) -> str | None:
        return next((clip for clip in self.files if not known(clip)), None)

    def file_of(self, clip_id: str, beat: Callable[[], None]) -> Path | None:
        return self.files.get(clip_id)


class NoMaker:
    """Makes nothing: what comes after an approval is tried in tests/release."""

    def begin(self, folder: Path, offer: Mapping[str, Any], offer_hash: str, **_how: object) -> ReleaseRun:
        raise CommandError("nothing is made here")

    def sealed(self, folder: Path) -> Path:
        return folder / "parcel.age"


class NeverStopping:
    """A worker that runs until it is stopped."""

    def __init__(self) -> None:
        self.stopping = threading.Event()

    def beat(self) -> None: ...


class ConsentHarness:
    """A consent service, its spool, and the facts that it sent."""

    def __init__(self, folder: Path, release_backend: ReleaseBackend | None = None, **settings: Any) -> None:
        """`settings` are of the configuration's table `neighbourhood`."""
        self.folder = folder
        self.release_backend = release_backend or NoMaker()
        self.backups = NoClips()
        for name in ("in", "out"):
            (folder / "spool" / name).mkdir(parents=True, exist_ok=True)
        self.clock, self.clips = Clock(), Clips()
        self.facts: list[Fact] = []
        self.config = NeighbourhoodConfig(
            enabled=True,
            longitude=envelopes.PLACE[0],
            latitude=envelopes.PLACE[1],
            broker_host="town.example",
            spool_dir=folder / "spool",
            lease_dir=folder / "leases",
            **settings,
        )
        self.open()

    def open(self) -> None:
        """Start, perhaps again."""
        self.consent_service = ConsentService(
            path=self.folder / "ledger.db",
            working=self.folder / "releases",
            config=self.config,
            clock=self.clock,
            inbox=self.facts.append,
            footage=self.clips,
            release_backend=self.release_backend,
            clips=self.backups,
        )
        self.consent_service.ledger_store.open()
        self.worker: Any = NeverStopping()

    def pin(self) -> None:
        content = envelopes.signed(
            envelopes.header(envelopes.RECORD, envelopes.kid(envelopes.AGENCY)),
            envelopes.text(envelopes.RECORD_PAYLOAD),
        )
        self.consent_service.pin(content, keys.spoken(envelopes.kid(envelopes.AGENCY)))

    def hear(self, *items: tuple[str, bytes]) -> None:
        outbox = SpoolWriter(self.folder / "spool/in", self.folder / "spool/out")
        outbox.put(bundle([Item(source=source, content=content) for source, content in items]))
        self.step()

    def step(self) -> None:
        for _ in range(3):
            self.consent_service.inbox_worker.step(self.worker)

    def ledger(self) -> list[Any]:
        return list(self.consent_service.ledger(1000)["entries"])

    def states(self) -> list[str]:
        return [row["state"] for row in self.consent_service.requests()]


def grants(folder: Path) -> list[Grant]:
    """Return the grants of a doorbell at this moment."""
    out, found = folder / "spool/out", []
    for digest in names_in(out, "grant"):
        with suppress(Unreadable):  # torn by a cut: no courier takes it for one
            found.append(grant_in(out, digest))
    return [grant for grant in found if grant]


def delivery_report(grant: Grant) -> UploadReport:
    """Return the courier's report once a parcel has arrived whole."""
    receipt: Receipt = {
        "sha256": grant.sha256,
        "size_bytes": grant.size_bytes,
        "kind": grant.kind,
        "origin": grant.origin,
        "said": {"date": "today"},
    }
    return UploadReport(
        sha256=grant.sha256,
        kind=grant.kind,
        origin=grant.origin,
        size_bytes=grant.size_bytes,
        state="stored",
        sent_bytes=grant.size_bytes,
        left_bytes=grant.size_bytes,
        receipt=receipt,
    )
