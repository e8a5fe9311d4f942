"""A doorbell of any name can release; a name that is in the footage, or anywhere it does not belong, is found."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from device.consent.documents import Manifest, ManifestClip
from device.release.audit import audit
from device.release.audit_parcel import audit_parcel
from device.release.errors import NotAllowed
from device.release.job import PARCEL, Job
from device.release.leak_scan import patterns
from device.release.manifest import FILE, signed
from device.release.parcel import archive
from device.release.process import Release
from tests.support.films import film, made, promise, wanted
from tests.support.neighbourhood import Sender
from tests.support.release_jobs import job_of
from tests.support.surgery import taken_apart, together

WORDS = (
    "video", "start", "window", "camera", "frames", "synchronised", "unsynchronised", "evidence", "clip-1",
    "clip-1.mp4", "manifest", "manifest.jws", "parcel-manifest+jws", "software", "ustar", "0000644",
    "isomiso6mp41", "ftypisom", "moovmvhd", "VideoHandler", "x264 - core", "deadbeef", "aaaaaaaa", "bbbbbbbb",
    "2026-11-24", "T22:10:00", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "eyJhbGciOiJFZERTQSIsInR5cCI6", "000000", "UUUUUU",
    "wwwwww", "localhost", "192.168.1.10", "pi", "d", "age1", "true",
)  # fmt: skip


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Sender:
    return Sender(tmp_path_factory.mktemp("agency") / "keys")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("source") / "one.mp4", seconds=1, sound="aac")


def vocabulary() -> Iterator[str]:
    """Yield every word of the manifest, and of what is around it."""
    yield from WORDS
    yield from get_type_hints(Manifest)
    yield from get_type_hints(ManifestClip)


def test_a_doorbell_of_any_name_can_release(tmp_path: Path, source: Path, agency: Sender) -> None:
    names = list(vocabulary())
    names += [name.upper() for name in names]
    result = Release(job_of(tmp_path / "job", source, agency, names), lambda _line: None).run()
    assert (tmp_path / "job" / PARCEL).stat().st_size == result["bytes"]


def test_a_name_of_the_manifest_is_still_found_in_the_footage(tmp_path: Path, source: Path) -> None:
    of = wanted(source, 0, 900_000, audio=True)
    path = made(tmp_path, source, of)
    file = taken_apart(path.read_bytes())
    mdat = file.find(b"mdat")
    mdat.content = mdat.content[:-40] + b"the window" + mdat.content[-30:]  # in its last samples of sound
    path.write_bytes(together(file))
    assert audit(path, promise(of), patterns(["doors"])).good
    assert "'window'" in audit(path, promise(of), patterns(["window"])).wrong


def test_a_parcel_with_a_name_in_the_footage_is_not_released(
    tmp_path: Path, source: Path, agency: Sender
) -> None:
    job = job_of(tmp_path / "job", source, agency, [])
    of = wanted(source, 0, 900_000, audio=True)
    sound = taken_apart(made(tmp_path, source, of).read_bytes()).find(b"mdat").content[-2000:]
    # What the footage holds is a "name" that the encoder will make again.
    name = sound[:900].decode("latin-1")
    with pytest.raises(NotAllowed, match="nothing was released"):
        Release(
            Job(**{**{n: getattr(job, n) for n in Job.__slots__}, "canaries": [name]}), lambda _line: None
        ).run()


# --- the parcel's own audit ---------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "v": 1,
    "request": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "request_sha256": "a" * 64,
    "window": {"start": "2026-11-24T22:00:00Z", "end": "2026-11-24T23:00:00Z"},
    "recipient": "age1" + "q" * 58,
    "offer_hash": "b" * 64,
    "software": "0.1.0",
}


def parcel(folder: Path, manifest: dict[str, Any], content: bytes = b"a clip") -> tuple[Path, str]:
    digest = hashlib.sha256(content).hexdigest()
    clip = {
        "file": "clip-1.mp4", "sha256": digest, "bytes": len(content), "start": "2026-11-24T22:10:00.000000Z",
        "end": "2026-11-24T22:10:01.000000Z", "clock": "synchronised", "frames": 3, "length_us": 200_000,
        "sound": False, "masks": 0, "blurs": 0,
    }  # fmt: skip
    (folder / FILE).write_bytes(signed({"clips": [clip | manifest.pop("clip", {})], **manifest}, bytes(32)))  # type: ignore[typeddict-item]
    (folder / "clip-1.mp4").write_bytes(content)
    target = folder / "parcel.tar"
    target.unlink(missing_ok=True)
    archive(target, [(FILE, folder / FILE), ("clip-1.mp4", folder / "clip-1.mp4")])
    return target, digest


def test_an_archive_as_it_is_made_passes(tmp_path: Path) -> None:
    target, digest = parcel(tmp_path, dict(GOOD))
    assert audit_parcel(target, [digest]) == ""
    assert "other clips" in audit_parcel(target, ["c" * 64])


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Anna's door"},
        {"software": "0.1.0 on annas-door"},
        {"software": "Anna"},
        {"request_sha256": "Anna".ljust(64, "a")},
        {"window": {"start": "2026-11-24T22:00:00Z", "end": "2026-11-24T23:00:00Z", "home": "48.858"}},
        {"window": {"start": "2026-11-24T22:00:00Z", "end": "tonight"}},
        {"recipient": "Anna"},
        {"v": "1.0"},
        {"clip": {"note": "Anna"}},
        {"clip": {"clock": "Anna's clock"}},
        {"clip": {"file": "annas-door.mp4"}},
        {"clip": {"masks": 10**15}},
        {"clip": {"frames": [65, 110]}},
        {"clip": {"bytes": 7}},
    ],
    ids=json.dumps,
)
def test_a_manifest_has_no_place_for_a_name(tmp_path: Path, change: dict[str, Any]) -> None:
    target, digest = parcel(tmp_path, GOOD | change)
    assert audit_parcel(target, [digest])


def behind(data: bytes) -> bytes:
    return data[:-5] + b"Anna."


def owner(data: bytes) -> bytes:
    return data.replace(b"ustar\x0000", b"ustar\x0000anna", 1).replace(b"00anna" + bytes(4), b"00anna", 1)


def time_of(data: bytes) -> bytes:
    return data[:136] + b"14555555555" + data[147:]


def between(data: bytes) -> bytes:
    at = data.index(b"a clip") + 6
    return data[:at] + b"Anna" + data[at + 4 :]


def other_clip(data: bytes) -> bytes:
    return data.replace(b"a clip", b"A clip")


@pytest.mark.parametrize("change", [behind, owner, time_of, between, other_clip])
def test_an_archive_has_no_place_for_a_name(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    target, digest = parcel(tmp_path, dict(GOOD))
    data = target.read_bytes()
    assert change(data) != data
    target.write_bytes(change(data))
    assert audit_parcel(target, [digest])
