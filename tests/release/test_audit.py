"""The auditor catches what was planted, and what Hypothesis makes of a good clip; that itself passes."""

import random
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.release.audit import Promise, audit
from device.release.audit_boxes import AuditedFile, read_file
from device.release.clip_cutter import cut
from device.release.leak_scan import Pattern, found_in, patterns, place_canaries
from tests.support.doorbell import BIN
from tests.support.films import film, made, nothing, promise, wanted
from tests.support.h264_violations import H264_FORGERIES
from tests.support.mp4_violations import MP4_FORGERIES, SOUND_FORGERIES
from tests.support.violations import VIOLATIONS


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Promise]:
    folder = tmp_path_factory.mktemp("good")
    source = film(folder / "film.mp4", seconds=4)
    of = wanted(source, 0, 3_000_000)
    return made(folder, source, of).read_bytes(), promise(of)


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Promise]:
    folder = tmp_path_factory.mktemp("sounding")
    source = film(folder / "film.mp4", seconds=2, sound="aac")
    of = wanted(source, 0, 1_500_000, audio=True)
    return made(folder, source, of).read_bytes(), promise(of)


def test_the_clip_that_everything_is_planted_into_passes(tmp_path: Path, good: tuple[bytes, Promise]) -> None:
    (tmp_path / "clip.mp4").write_bytes(good[0])
    report = audit(tmp_path / "clip.mp4", good[1], patterns(["Anna's door"]))
    assert report.good, report.wrong
    assert [proof.name for proof in report.proofs] == [
        "boxes", "sound", "headers", "pictures", "times", "decoded", "as encoded", "names",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape_px", "how"),
    [
        ((180, 320), {}),
        ((240, 180), {}),
        ((1920, 1080), {"seconds": 0.4}),
        ((2592, 1944), {"seconds": 0.2}),
        ((322, 182), {}),
        ((34, 18), {}),
        ((320, 180), {"seconds": 1 / 15}),
        ((320, 180), {"seconds": 65}),
        ((320, 180), {"sound": "aac", "seconds": 1}),
        ((320, 180), {"codec": "libx265", "seconds": 1}),
        ((320, 180), {"b_frames": 3, "noise": 40, "seconds": 1}),
    ],
    ids=str,
)
def test_clips_of_every_kind_pass(tmp_path: Path, shape_px: tuple[int, int], how: dict[str, Any]) -> None:
    source = film(tmp_path / "film.mp4", shape_px=shape_px, **{"seconds": 2.2, **how})
    of = wanted(source, 0, 100_000_000, audio="sound" in how)
    target = tmp_path / "clip.mp4"
    digest = cut(source, target, of, nothing)
    report = audit(target, promise(of, digest), [])
    assert report.good, report.wrong
    assert abs(report.length_us - (of.last_us - of.first_us)) <= 12 * of.frames
    with av.open(str(target)) as file:
        frame = next(file.decode(file.streams.video[0]))
    assert (frame.width, frame.height) == tuple(-(-side // 16) * 16 for side in shape_px)
    planes = frame.to_ndarray()
    assert (planes[shape_px[1] : frame.height] < 40).all()  # black below the picture


def test_there_are_hundreds_of_violations() -> None:
    assert len(VIOLATIONS | H264_FORGERIES | MP4_FORGERIES | SOUND_FORGERIES) >= 300


@pytest.mark.parametrize("what", [*VIOLATIONS, *H264_FORGERIES, *MP4_FORGERIES])
def test_a_planted_violation_is_caught(tmp_path: Path, good: tuple[bytes, Promise], what: str) -> None:
    refused(tmp_path, good, (VIOLATIONS | H264_FORGERIES | MP4_FORGERIES)[what](good[0]))


@pytest.mark.parametrize("what", list(SOUND_FORGERIES))
def test_a_violation_in_sound_is_caught(tmp_path: Path, sounding: tuple[bytes, Promise], what: str) -> None:
    refused(tmp_path, sounding, SOUND_FORGERIES[what](sounding[0]))


def refused(folder: Path, good: tuple[bytes, Promise], changed: bytes) -> None:
    assert changed != good[0]
    path = folder / "clip.mp4"
    path.write_bytes(changed)
    report = audit(path, good[1], [])
    assert not report.good
    assert report.wrong


def test_sound_is_refused_where_none_was_approved(tmp_path: Path, sounding: tuple[bytes, Promise]) -> None:
    (tmp_path / "clip.mp4").write_bytes(sounding[0])
    silent = replace(sounding[1], sound=False)
    assert "sound" in audit(tmp_path / "clip.mp4", silent, []).wrong


def test_every_bit_in_front_of_the_macroblocks_is_proved(tmp_path: Path, good: tuple[bytes, Promise]) -> None:
    content, of = good
    begin, end = read(content).media
    path = tmp_path / "clip.mp4"
    for offset in [*range(begin), *range(end, len(content))]:
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 0x41]) + content[offset + 1 :])
        assert not audit(path, of, []).good, offset


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


@pytest.mark.parametrize("name", ["Ärger-Tür", "Žižkov door", "МОЯ ДВЕРЬ", "hannah", "banana-pi", "48.858"])
def test_other_letters_are_found_in_each_case(tmp_path: Path, name: str) -> None:
    for written in (name, name.upper(), name.lower()):
        path = tmp_path / "file"
        path.write_bytes(bytes(99) + written.encode() + bytes(99))
        with path.open("rb") as file:
            assert found_in(file, patterns([name])) == [name]


def test_texts_that_repeat_themselves_are_not_looked_for() -> None:
    assert patterns(["aaaaaa", "ababab", "abcabc", "UUUUUUUU", "", "a"]) == []


def test_names_that_turn_up_by_chance_are_not_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(3_000_000))  # noqa: S311
    with path.open("rb") as file:
        assert found_in(file, patterns(["pi4", "pi", "door", "a-b"])) == []


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
    assert "NAL unit of type 6 (SEI message" in done.stdout
    assert doorbell(tmp_path / "none.mp4").stderr.strip().endswith("No such file or directory")
