"""Exactly the pictures that were offered, each of them, and nothing besides (invariant 7)."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.media.frame_selection import inside
from device.release.audit import audit
from device.release.errors import NotAllowed
from device.release.leak_scan import patterns
from tests.support.films import FPS, US, coded, film, made, numbers, promise, wanted
from tests.support.videos import flashes_and_beeps, make_flashing

FORMS: dict[str, dict[str, Any]] = {
    "h264": {},
    "h264, B-frames": {"b_frames": 3},
    "h264, AAC": {"sound": "aac"},
    "h264, Opus": {"sound": "libopus"},
    "h265": {"codec": "libx265"},
    "h265, B-frames": {"codec": "libx265", "b_frames": 3},
}
SPANS = [(0, 6_000_000), (1_100_000, 4_700_000), (2_000_000, 4_000_000), (2_500_001, 5_999_999)]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    return film(folder / f"{request.param.replace(', ', '-').replace(' ', '')}.mp4", **FORMS[request.param])


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_a_cut_has_the_pictures_of_its_span_and_no_other(
    tmp_path: Path, source: Path, span: tuple[int, int]
) -> None:
    of = wanted(source, *span)
    done = made(tmp_path, source, of)
    found = numbers(done)
    assert found == [n for n in range(6 * FPS) if n * US // FPS >= span[0] and (n + 1) * US // FPS <= span[1]]
    report = audit(done, promise(of), [])
    assert report.good, report.wrong
    assert report.frames == of.frames


def test_a_camera_with_open_gops_is_cut(tmp_path: Path) -> None:
    source = film(tmp_path / "open.mp4", b_frames=3, params="open-gop=1:keyint=15:min-keyint=15")
    of = wanted(source, 1_100_000, 4_700_000)
    assert audit(made(tmp_path, source, of), promise(of), []).good


def test_sound_stays_out_unless_it_was_chosen_and_ends_with_the_pictures(tmp_path: Path) -> None:
    for codec in ("aac", "libopus"):
        source = film(tmp_path / f"{codec}.mp4", sound=codec)
        without = wanted(source, 1_000_000, 4_000_000)
        with av.open(str(made(tmp_path, source, without))) as file:
            assert [stream.type for stream in file.streams] == ["video"]
        with_it = wanted(source, 1_000_000, 4_000_000, audio=True)
        done = made(tmp_path, source, with_it)
        assert audit(done, promise(with_it), []).good
        assert "sound" in audit(done, promise(without), []).wrong
        with av.open(str(done), options={"err_detect": "explode"}) as file:
            sound = file.streams.audio[0]
            heard = sum(frame.samples for frame in file.decode(sound)) / 16_000
        assert 2.85 < heard <= (with_it.last_us - with_it.first_us) / US


@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_sound_is_heard_when_its_picture_is_shown(tmp_path: Path, codec: str) -> None:
    source = make_flashing(tmp_path / "flash.mp4", sound=codec, seconds=6)
    of = wanted(source, 1_200_000, 5_300_000, audio=True)
    flashes, beeps = flashes_and_beeps(made(tmp_path, source, of))
    assert len(flashes) == len(beeps) >= 3
    assert all(abs(flash - beep) < 0.03 for flash, beep in zip(flashes, beeps, strict=True))


def test_masks_and_blur_are_in_every_picture_and_nothing_else_is_touched(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4")
    corner = [(0.0, 0.5), (0.4, 0.5), (0.4, 1.0), (0.0, 1.0)]
    bits = [(0.0, 0.05), (1.0, 0.05), (1.0, 0.4), (0.0, 0.4)]
    masked = wanted(source, 1_000_000, 3_000_000, masks=[corner])
    done = made(tmp_path, source, masked)
    assert numbers(done) == list(range(15, 45))
    with av.open(str(done)) as file:
        for frame in file.decode(video=0):
            grey = frame.to_ndarray(format="gray")
            assert abs(float(grey[100:170, 5:120].mean()) - 128) < 3
            assert float(grey[100:170, 140:].mean()) < 100
    blurred = wanted(source, 1_000_000, 3_000_000, blurs=[bits])
    with av.open(str(made(tmp_path, source, blurred))) as file:
        for frame in file.decode(video=0):
            grey = frame.to_ndarray(format="gray")
            cells = grey[25:33, 24:300]  # a row of cells, eleven pixels each
            edges = np.abs(np.diff(cells.astype(int), axis=1)).max(axis=0)
            assert (edges > 20).sum() <= 2 * len(range(24, 300, 11))
    assert audit(done, promise(masked), []).good


def test_metadata_of_cameras_and_encoders_is_left_out(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", sound="aac")
    with_tags = tmp_path / "tagged.mp4"
    with av.open(str(source)) as old, av.open(str(with_tags), "w", format="mp4") as new:
        new.metadata["title"] = "Anna's door at 48.8584"
        new.metadata["location"] = "+48.8584+002.2945/"
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    assert b"Anna" in with_tags.read_bytes()
    assert b"x264 - core" in with_tags.read_bytes()
    of = wanted(with_tags, 0, 6_000_000, audio=True)
    done = made(tmp_path, with_tags, of).read_bytes()
    for trace in (b"Anna", b"48.8584", b"x264", b"Lavf", b"Lavc", b"udta", b"elst", b"free"):
        assert trace not in done
    assert audit(made(tmp_path, with_tags, of), promise(of), patterns(["Anna's door", "x264 - core"])).good


def test_a_clip_that_is_another_than_was_offered_is_not_cut(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4")
    of = wanted(source, 1_000_000, 3_000_000)
    shorter = film(tmp_path / "shorter.mp4", seconds=2)
    with pytest.raises(NotAllowed, match="were offered"):
        made(tmp_path, shorter, of)


@given(start=st.integers(0, 6_000_000), length=st.integers(0, 6_000_000))
def test_no_cut_ever_reaches_over_its_span(start: int, length: int) -> None:
    for found in CODED:
        chosen = [found[index] for index in inside(found, start, start + length)]
        assert all(p.from_us >= start and p.until_us <= start + length for p in chosen)
        shown = sorted((p.pts_ticks, p.until_ticks) for p in chosen)
        assert all(one[1] == other[0] for one, other in pairwise(shown))


def _coded_films() -> list[Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return [
            coded(film(Path(folder) / f"{bees}.mp4", b_frames=bees, params="open-gop=1" if bees > 3 else ""))
            for bees in (0, 3, 5)
        ]


CODED = _coded_films()
