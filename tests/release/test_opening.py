"""A department opens a parcel: what an honest one shows, and what each dishonest one is caught at.

Whoever has the department's public key can seal something for it, so the seal proves nothing about who wrote
what is inside; everything else has to.
"""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from device.release.job import PARCEL, Job
from device.release.manifest import FILE, release_seed, signed
from device.release.parcel import MIB, size_class
from device.release.process import Release
from server.agency.manifest_reader import BadManifest, verified
from server.agency.opening import Opened, open_parcel
from server.agency.paper import SEALING_KEY, AgencyError
from server.agency.report import write_report
from tests.support.films import film, wanted
from tests.support.neighbourhood import Sender
from tests.support.tampering import changed as changed_byte
from tests.support.tampering import forged
from tests.support.violations import VIOLATIONS

Members = list[tuple[tarfile.TarInfo, bytes]]
WINDOW = {"start": "2026-11-24T22:00:00Z", "end": "2026-11-24T23:00:00Z"}


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Sender:
    return Sender(tmp_path_factory.mktemp("agency") / "keys")


@pytest.fixture(scope="module")
def parcel(tmp_path_factory: pytest.TempPathFactory, agency: Sender) -> Path:
    """A parcel as a doorbell makes it."""
    folder = tmp_path_factory.mktemp("parcel")
    source = film(folder / "one.mp4", seconds=4)
    of = wanted(source, 0, 3_000_000)
    clip = {
        "id": "one",
        "sha256": __import__("hashlib").sha256(source.read_bytes()).hexdigest(),
        "clock": "synchronised",
        "start": "2026-11-24T22:10:00.000000Z",
        "end": "2026-11-24T22:10:03.000000Z",
        "first_us": of.first_us,
        "last_us": of.last_us,
        "frames": of.frames,
        "blur": [],
    }
    offer: Any = {
        "request": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "request_sha256": "a" * 64,
        "window": WINDOW,
        "recipient": {"name": "evidence", "age": agency.folder.recipient},
        "audio": False,
        "masks": [],
        "clips": [clip],
    }
    job = Job(
        folder=folder,
        offer=offer,
        offer_hash="b" * 64,
        seed=bytes(32),
        version="0",
        canaries=("Anna's door",),
        home=(48.8584, 2.2945),
    )
    result = Release(Job.read(job.text()), lambda _line: None).run()
    assert sorted(path.name for path in folder.iterdir()) == [PARCEL]  # nothing plain is left
    assert (folder / PARCEL).stat().st_size == result["bytes"]
    return folder / PARCEL


def opened(agency: Sender, parcel: Path, out: Path) -> Opened:
    return open_parcel(parcel, agency.folder.path, out, [])


def test_an_honest_parcel_opens_and_everything_holds(agency: Sender, parcel: Path, tmp_path: Path) -> None:
    found = opened(agency, parcel, tmp_path / "out")
    assert found.good, [check for check in found.checks if not check.good]
    page = write_report(found).read_text()
    assert "Everything holds" in page
    for tool in ("age --decrypt", "sha256sum", "openssl pkeyutl", "ffprobe"):
        assert tool in page
    assert page.count("data:image/jpeg") == 3
    assert "one.mp4" not in page  # names of the doorbell's own are not in it


def changed(agency: Sender, parcel: Path, target: Path, change: Callable[[Members], None]) -> Path:
    """Seal another archive for the agency, as anybody could."""
    identity = pyrage.x25519.Identity.from_str((agency.folder.path / SEALING_KEY).read_text().split()[-1])
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(parcel.read_bytes(), [identity]))) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]
    change(members)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    padded = plain.getvalue().ljust(size_class(len(plain.getvalue())), b"\0")
    target.write_bytes(pyrage.encrypt(padded, [pyrage.x25519.Recipient.from_str(agency.folder.recipient)]))
    return target


def with_manifest(members: Members, **changes: Any) -> None:
    manifest: Any = verified(members[0][1])
    manifest.pop("key")
    manifest["clips"][0].update(changes)
    members[0] = (members[0][0], signed(manifest, bytes(31) + b"x"))


def say_more_frames(members: Members) -> None:
    with_manifest(members, frames=46)


def say_another_time(members: Members) -> None:
    with_manifest(members, start="2026-11-24T21:59:59.000000Z", end="2026-11-24T22:00:02.000000Z")


def swap_the_clip(members: Members) -> None:
    members[1] = (members[1][0], changed_byte(members[1][1]))


def hide_text_in_the_clip(members: Members) -> None:
    import hashlib

    content = VIOLATIONS["an SEI with a GPS string"](members[1][1])
    members[1] = (members[1][0], content)
    with_manifest(members, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


NOT_GOOD = {
    "more frames than there are": (say_more_frames, "content"),
    "a time outside the window": (say_another_time, "times"),
    "another clip": (swap_the_clip, "SHA-256"),
    "text in the clip": (hide_text_in_the_clip, "content"),
}


@pytest.mark.parametrize("what", list(NOT_GOOD))
def test_a_parcel_that_was_changed_is_shown_as_such(
    agency: Sender, parcel: Path, tmp_path: Path, what: str
) -> None:
    change, where = NOT_GOOD[what]
    found = opened(agency, changed(agency, parcel, tmp_path / "p", change), tmp_path / "out")
    assert not found.good
    assert any(where in check.name for check in found.checks if not check.good)
    assert "NOT everything holds" in write_report(found).read_text()


def one_more_file(members: Members) -> None:
    members.append((tarfile.TarInfo("more.txt"), b"x"))


def climb_out(members: Members) -> None:
    members[1][0].name = "../clip-1.mp4"


def a_link(members: Members) -> None:
    members[1][0].type, members[1][0].linkname = tarfile.SYMTYPE, "/etc/passwd"
    members[1] = (members[1][0], b"")


def another_signature(members: Members) -> None:
    members[0] = (members[0][0], forged(members[0][1]))


def no_manifest(members: Members) -> None:
    members.pop(0)


@pytest.mark.parametrize("change", [one_more_file, climb_out, a_link, another_signature, no_manifest])
def test_a_parcel_that_is_none_is_not_unpacked(
    agency: Sender, parcel: Path, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    with pytest.raises(AgencyError):
        opened(agency, changed(agency, parcel, tmp_path / "p", change), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".mp4"] == []


def test_nobody_else_opens_it(parcel: Path, tmp_path: Path) -> None:
    other = Sender(tmp_path / "other")
    with pytest.raises(AgencyError, match="cannot be opened"):
        opened(other, parcel, tmp_path / "out")


# --- small rules --------------------------------------------------------------------------------------


def test_sizes_tell_a_class_and_no_more() -> None:
    assert [size_class(n) / MIB for n in (1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 1, 100 * MIB)] == [
        1,
        1,
        1.5,
        2,
        4,
        128,
    ]
    assert all(n <= size_class(n) <= max(MIB, 1.5 * n + 1) for n in range(1, 40 * MIB, 99_991))


def test_two_answers_cannot_be_linked_and_one_answer_has_one_key() -> None:
    secret = bytes(range(32))
    keys = {release_seed(secret, request) for request in ("one", "two", "three")}
    assert len(keys) == 3
    assert release_seed(secret, "one") in keys
    assert release_seed(bytes(32), "one") not in keys


@pytest.mark.parametrize("content", [b"", b"..", b"a.b.c", b"\xff" * 9, b"." * 50, b"x" * 2_000_000])
def test_an_invalid_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(BadManifest):
        verified(content)


def test_a_manifest_says_nothing_of_the_doorbell(agency: Sender, parcel: Path, tmp_path: Path) -> None:
    manifest = opened(agency, parcel, tmp_path / "out").manifest
    assert set(manifest) == {
        "v", "request", "request_sha256", "window", "recipient", "offer_hash", "software", "key", "clips",
    }  # fmt: skip
    assert "one" not in json.dumps(manifest["clips"])
    assert (tmp_path / "out" / FILE).exists()
