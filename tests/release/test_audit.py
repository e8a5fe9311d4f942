"""The auditor catches what was planted, and what Hypothesis makes of a good clip; that itself passes."""

import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.release.audit import Promise, audit
from device.release.audit_boxes import AuditedFile, read_file
from device.release.leak_scan import Pattern, found_in, patterns, place_canaries
from tests.support.doorbell import BIN
from tests.support.films import film, made, numbers, promise, wanted
from tests.support.violations import VIOLATIONS


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Promise]:
    folder = tmp_path_factory.mktemp("good")
    source = film(folder / "film.mp4", seconds=3)
    of = wanted(source, 0, 2_000_000)
    return made(folder, source, of).read_bytes(), promise(of)


def test_the_clip_that_everything_is_planted_into_passes(tmp_path: Path, good: tuple[bytes, Promise]) -> None:
    (tmp_path / "clip.mp4").write_bytes(good[0])
    report = audit(tmp_path / "clip.mp4", good[1], patterns(["Anna"]))
    assert report.good, report.wrong
    assert [proof.name for proof in report.proofs] == [
        "boxes", "tracks", "media", "headers", "pictures", "times", "another reader", "canaries",
    ]  # fmt: skip


def test_there_are_at_least_forty_violations() -> None:
    assert len(VIOLATIONS) >= 40


@pytest.mark.parametrize("what", list(VIOLATIONS))
def test_a_planted_violation_is_caught(tmp_path: Path, good: tuple[bytes, Promise], what: str) -> None:
    changed = VIOLATIONS[what](good[0])
    assert changed != good[0]
    path = tmp_path / "clip.mp4"
    path.write_bytes(changed)
    report = audit(path, good[1], [])
    assert not report.good
    assert report.wrong


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_outside_the_pictures_goes_unnoticed_unless_it_means_the_same(
    tmp_path: Path, good: tuple[bytes, Promise], data: st.DataObject
) -> None:
    content, of = good
    video = read(content)
    begin, end = video.media
    offset = data.draw(st.one_of(st.integers(0, begin - 1), st.integers(end, len(content) - 1)))
    value = data.draw(st.integers(0, 255).filter(lambda new: new != content[offset]))
    path = tmp_path / "clip.mp4"
    path.write_bytes(content[:offset] + bytes([value]) + content[offset + 1 :])
    report = audit(path, of, [])
    # What may differ and still be proved: how a header describes the same pictures (level, frame rate hints).
    if report.good:
        avcc = content.index(b"avcC")
        assert avcc < offset < content.index(b"stts") - 4
        assert len(numbers(path)) == of.frames


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_inserted_bytes_are_found_anywhere(
    tmp_path: Path, good: tuple[bytes, Promise], data: st.DataObject
) -> None:
    content, of = good
    offset = data.draw(st.integers(0, len(content)))
    more = data.draw(st.binary(min_size=1, max_size=40))
    path = tmp_path / "clip.mp4"
    path.write_bytes(content[:offset] + more + content[offset:])
    assert not audit(path, of, []).good


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400))
def test_a_file_that_is_not_a_clip_is_a_violation_without_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert not audit(path, None, []).good


def test_more_or_less_than_was_promised_is_caught(tmp_path: Path, good: tuple[bytes, Promise]) -> None:
    content, of = good
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    for frames, length_us in (
        (of.frames - 1, of.length_us),
        (of.frames + 1, of.length_us),
        (of.frames, 1_000_000),
    ):
        assert not audit(path, Promise(frames=frames, length_us=length_us, sound=False), []).good


def test_an_h265_clip_with_text_in_its_header_is_caught(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", codec="libx265", seconds=2)
    of = wanted(source, 0, 2_000_000)
    content = made(tmp_path, source, of).read_bytes()
    path = tmp_path / "clip.mp4"
    offset = content.index(b"hvcC")
    # An array of SEI in place of the picture parameter sets.
    array = content.index(b"\xa2\x00\x01", offset)
    path.write_bytes(content[:array] + b"\xa7" + content[array + 1 :])
    assert "array" in audit(path, promise(of), []).wrong
    path.write_bytes(content)
    assert audit(path, promise(of), []).good


def test_sound_that_begins_with_text_is_caught(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", sound="aac", seconds=2)
    of = wanted(source, 0, 2_000_000, audio=True)
    content = made(tmp_path, source, of).read_bytes()
    video = read(content)
    track = next(track for track in video.tracks if not track.is_video)
    first, _ = next(iter(track.samples()))
    path = tmp_path / "clip.mp4"
    path.write_bytes(content[:first] + bytes([6 << 5 | content[first] & 31]) + content[first + 1 :])
    assert "begins with something else" in audit(path, promise(of), []).wrong


# --- the search for what must not leave --------------------------------------------------------------

NAME = "Anna's front door"


def ways(text: str) -> Iterator[tuple[str, bytes]]:
    import base64

    yield "plain", text.encode()
    yield "capitals", text.upper().encode()
    yield "UTF-16", text.encode("utf-16-le")
    yield "UTF-16, big end first", text.encode("utf-16-be")
    yield "hexadecimal", text.encode().hex().encode()
    for skip in range(3):
        yield f"base64 at {skip}", base64.b64encode(b"x" * skip + text.encode())


@pytest.mark.parametrize(("how", "written"), list(ways(NAME)), ids=[how for how, _ in ways(NAME)])
def test_a_name_is_found_however_it_is_written(tmp_path: Path, how: str, written: bytes) -> None:
    path = tmp_path / "file"
    # Over the edge of two blocks that are read.
    path.write_bytes(bytes((1 << 20) - 7) + written + bytes(100))
    with path.open("rb") as file:
        assert found_in(file, patterns([NAME])) == [NAME]


def test_names_that_turn_up_by_chance_are_not_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(3_000_000))  # noqa: S311
    with path.open("rb") as file:
        assert found_in(file, patterns(["pi4", "pi", "door"])) == []


@pytest.mark.parametrize("form", [">d", "<d"])
def test_a_position_is_found_as_text_and_as_number(tmp_path: Path, form: str) -> None:
    texts, found = place_canaries(48.85837, 2.29448)
    wanted_: list[Pattern] = [*patterns(texts), *found]
    for written in (b"+48.8583+", b"2.29448,48.858", struct.pack(form, 48.85837)):
        (tmp_path / "file").write_bytes(b"x" * 50 + written)
        with (tmp_path / "file").open("rb") as file:
            assert found_in(file, wanted_)


def read(content: bytes) -> AuditedFile:
    return read_file(lambda begin, end: content[begin:end], len(content))


def test_the_command_audits_any_file_and_says_what_it_found(
    tmp_path: Path, good: tuple[bytes, Promise]
) -> None:
    (tmp_path / "good.mp4").write_bytes(good[0])
    (tmp_path / "bad.mp4").write_bytes(VIOLATIONS["an SEI with a GPS string"](good[0]))

    def doorbell(*words: object) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [BIN / "doorbell", "release", "audit", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = doorbell(tmp_path / "good.mp4", "--frames", good[1].frames, "--length-us", good[1].length_us)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 8
    done = doorbell(tmp_path / "bad.mp4", "--canary", "Anna")
    assert done.returncode == 1
    assert "a unit of type 6, which is no slice" in done.stdout
    assert doorbell(tmp_path / "none.mp4").stderr.strip().endswith("No such file or directory")
