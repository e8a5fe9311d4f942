"""A maker for tests: the parcel is some bytes, made at once or when the test says so."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device.consent.documents import Parcel
from device.consent_service.release_protocol import Failed, Made, Progress

CANARY = b"a face at Anna's door, 48.8584 2.2945"


class TestMaking:
    __test__ = False

    def __init__(self, release_backend: "FakeReleaseBackend", folder: Path) -> None:
        self.release_backend, self.folder, self.stopped = release_backend, folder, False
        (folder / "clip-1.mp4").write_bytes(CANARY)  # what a kill would leave

    def poll(self) -> Progress | Made | Failed:
        if self.release_backend.fails:
            return Failed(why=self.release_backend.fails)
        if self.release_backend.waits:
            return Progress(stage="cutting", part=0.4)
        (self.folder / "clip-1.mp4").unlink()
        sealed = self.release_backend.sealed(self.folder)
        self.release_backend.made += 1
        sealed.write_bytes(b"age-encryption.org/v1 sealed %d" % self.release_backend.made)
        digest = hashlib.sha256(sealed.read_bytes()).hexdigest()
        parcel: Parcel = {"sha256": digest, "bytes": sealed.stat().st_size, "key": "k", "clips": []}
        return Made(parcel=parcel, path=sealed)

    def stop(self) -> None:
        self.stopped = True


class FakeReleaseBackend:
    """`waits`: nothing is finished; `fails`: why nothing is."""

    __test__ = False

    def __init__(self) -> None:
        self.waits = False
        self.fails = ""
        self.made = 0
        self.begun: list[TestMaking] = []

    def begin(self, folder: Path, offer: Mapping[str, Any], offer_hash: str) -> TestMaking:
        self.begun.append(TestMaking(self, folder))
        return self.begun[-1]

    def sealed(self, folder: Path) -> Path:
        return folder / "parcel.age"
