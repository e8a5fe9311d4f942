"""A maker for tests: the parcel is some bytes, made at once or when the test says so."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from device.consent.documents import Parcel, ParcelClip, clip_file
from device.consent_service.release_protocol import Failed, Made, Previewed, Progress

CANARY = b"a face at Anna's door, 48.8584 2.2945"


class TestMaking:
    __test__ = False

    def __init__(
        self,
        release_backend: "FakeReleaseBackend",
        folder: Path,
        *,
        clips: int,
        files: Sequence[str],
        seal: bool,
    ) -> None:
        self.release_backend, self.folder, self.stopped = release_backend, folder, False
        self.files, self.seal = files, seal
        self.paths = [folder / clip_file(number) for number in range(1, clips + 1)]
        self.was_there = [path.exists() for path in self.paths]
        for path in self.paths:
            if not path.exists():
                path.write_bytes(CANARY + path.name.encode())  # what a kill would leave

    def poll(self) -> Progress | Made | Previewed | Failed:
        if self.release_backend.fails:
            return Failed(why=self.release_backend.fails)
        if self.release_backend.waits:
            return Progress(stage="cutting", part=0.4)
        made = [digest_of(path) for path in self.paths]
        if self.files and made != list(self.files):
            return Failed(why="not the file that you played")
        if not self.seal:
            clips: list[ParcelClip] = [
                {"file": path.name, "sha256": digest, "bytes": path.stat().st_size}
                for path, digest in zip(self.paths, made, strict=True)
            ]
            return Previewed(files=clips)
        for path in self.paths:
            path.unlink()
        sealed = self.release_backend.sealed(self.folder)
        self.release_backend.made += 1
        sealed.write_bytes(b"age-encryption.org/v1 sealed %d" % self.release_backend.made)
        parcel: Parcel = {
            "sha256": digest_of(sealed), "bytes": sealed.stat().st_size, "key": "k", "clips": [],
        }  # fmt: skip
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

    def begin(
        self,
        folder: Path,
        offer: Mapping[str, Any],
        offer_hash: str,
        *,
        files: Sequence[str] = (),
        seal: bool = True,
    ) -> TestMaking:
        self.begun.append(TestMaking(self, folder, clips=len(offer["clips"]), files=files, seal=seal))
        return self.begun[-1]

    def sealed(self, folder: Path) -> Path:
        return folder / "parcel.age"


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
