"""The files of a preview are those of the parcel, byte for byte; whatever differs is not released."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.release.errors import NotAllowed
from device.release.job import PARCEL, Job
from device.release.process import Release
from tests.support.films import film
from tests.support.neighbourhood import Sender
from tests.support.release_jobs import job_of

CORNER = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5)]


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Sender:
    return Sender(tmp_path_factory.mktemp("agency") / "keys")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("source") / "one.mp4", seconds=1, sound="aac")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def link(job: Job, source: Path) -> None:
    (job.folder / "one.mp4").write_bytes(source.read_bytes())


def played(folder: Path, source: Path, agency: Sender) -> Job:
    """Make a preview; return the job that would seal its files."""
    job = replace(job_of(folder, source, agency, ["Anna's door"]), seal=False)
    files = Release(Job.read(job.text()), lambda _line: None).preview()
    assert [path.name for path in folder.iterdir()] == ["clip-1.mp4"], "no source and no parcel is left"
    assert files[0]["sha256"] == digest(folder / "clip-1.mp4")
    link(job, source)
    return replace(job, seal=True, files=[file["sha256"] for file in files])


def test_a_parcel_holds_the_files_that_were_played(tmp_path: Path, source: Path, agency: Sender) -> None:
    job = played(tmp_path / "job", source, agency)
    parcel = Release(Job.read(job.text()), lambda _line: None).run()
    assert [clip["sha256"] for clip in parcel["clips"]] == job.files
    assert [path.name for path in job.folder.iterdir()] == [PARCEL]


def lost(file: Path) -> None:
    file.unlink()


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [lost, cut_short])
def test_a_file_that_a_power_cut_took_is_made_again_to_the_last_byte(
    tmp_path: Path, source: Path, agency: Sender, damage: Callable[[Path], Any]
) -> None:
    job = played(tmp_path / "job", source, agency)
    damage(job.folder / "clip-1.mp4")
    parcel = Release(job, lambda _line: None).run()
    assert [clip["sha256"] for clip in parcel["clips"]] == job.files


def test_a_mask_that_was_added_after_the_preview_stops_the_release(
    tmp_path: Path, source: Path, agency: Sender
) -> None:
    job = replace(played(tmp_path / "job", source, agency), later_masks=[CORNER])
    with pytest.raises(NotAllowed, match="mask was added"):
        Release(Job.read(job.text()), lambda _line: None).run()
    assert not (job.folder / PARCEL).exists()


def test_other_files_than_those_that_were_played_are_not_released(
    tmp_path: Path, source: Path, agency: Sender
) -> None:
    job = replace(played(tmp_path / "job", source, agency), files=["0" * 64])
    with pytest.raises(NotAllowed, match="not the file that you played"):
        Release(job, lambda _line: None).run()
    assert not (job.folder / PARCEL).exists()


def test_a_preview_has_the_masks_and_passes_the_audit_like_a_release(
    tmp_path: Path, source: Path, agency: Sender
) -> None:
    plain = played(tmp_path / "plain", source, agency)
    job = replace(job_of(tmp_path / "masked", source, agency, []), seal=False, later_masks=[CORNER])
    (file,) = Release(job, lambda _line: None).preview()
    assert file["sha256"] != plain.files[0]
