"""A job for the release process: one clip, as the daemon hands it over."""

import hashlib
from pathlib import Path
from typing import Any

from device.release.job import Job
from tests.support.films import wanted
from tests.support.neighbourhood import Sender


def job_of(folder: Path, source: Path, agency: Sender, names: list[str]) -> Job:
    folder.mkdir()
    (folder / "one.mp4").write_bytes(source.read_bytes())
    of = wanted(source, 0, 900_000)
    offer: Any = {
        "request": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "request_sha256": "a" * 64,
        "window": {"start": "2026-11-24T22:00:00Z", "end": "2026-11-24T23:00:00Z"},
        "recipient": {"name": "evidence", "age": agency.folder.recipient},
        "audio": True,
        "masks": [],
        "clips": [
            {
                "id": "one",
                "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
                "clock": "synchronised",
                "start": "2026-11-24T22:10:00.000000Z",
                "end": "2026-11-24T22:10:01.000000Z",
                "first_us": of.first_us,
                "last_us": of.last_us,
                "frames": of.frames,
                "blur": [],
            }
        ],
    }
    return Job(
        folder=folder,
        offer=offer,
        offer_hash="b" * 64,
        seed=bytes(32),
        version="0.1.0",
        canaries=names,
        home=None,
    )
