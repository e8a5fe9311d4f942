"""The bench of motion: its rules by hand, its drawings by their truth, and the whole of it once."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.benchmarks import motion_debian
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.motion_clips import clips, pictures
from scripts.benchmarks.motion_rules import Outcome, Truth, detections, joined, judge, outside, together
from tests.support import motion_scenes


def test_pauses_up_to_two_seconds_belong_to_a_detection() -> None:
    assert joined([(5, 6), (0, 1), (3, 3.5), (8.1, 9)]) == [(0, 6), (8.1, 9)]
    assert outside([(0, 10)], [(2, 3), (9, 12)]) == [(0, 2), (3, 9)]
    assert detections([0.0, 0.1, 0.2, 5.0], [True, False, True, True]) == [(0.0, 5.066)]


@pytest.mark.parametrize(
    ("detections", "found", "false", "latency_s"),
    [
        ([], 0, 0, None),
        ([(10.2, 12)], 1, 0, 0.2),
        ([(9.6, 10.1)], 1, 0, 0.0),
        ([(20.4, 20.5)], 1, 0, 10.4),
        ([(21, 22)], 0, 0, None),  # late, but his
        ([(15, 23.9)], 1, 0, 5.0),  # 0.9 s too long are forgiven
        ([(15, 24.5)], 1, 1, 5.0),
        ([(30, 30.2)], 0, 1, None),
        ([(30, 51)], 0, 3, None),  # one, and one more for each ten seconds
        ([(0, 60)], 1, 1 + 4, 0.0),  # 7.5 s before it, and 37 s after
        ([(0.5, 1.5)], 0, 0, None),  # warm-up
    ],
)
def test_detections_are_counted_as_found_false_or_late(
    detections: list[tuple[float, float]], found: int, false: int, latency_s: float | None
) -> None:
    truth = Truth(seconds=60, events=((10, 20),), ignored=((0, 2),))
    outcome = judge(truth, detections)
    assert (outcome.found, outcome.false) == (found, false)
    assert outcome.latencies_s == (() if latency_s is None else (pytest.approx(latency_s),))


def test_several_clips_are_summed_up() -> None:
    one = Outcome(events=2, found=1, false=1, latencies_s=(0.5,), covered_s=3, truth_s=10, seconds=1800)
    other = Outcome(events=1, found=1, latencies_s=(2.5,), covered_s=2, truth_s=10, seconds=1800)
    total = together([one, other])
    assert (total.clips, total.recall, total.precision, total.false_per_h) == (2, 2 / 3, 2 / 3, 1)
    assert total.f1 == pytest.approx(2 / 3)
    assert (total.latency_s(50), total.latency_s(90), total.covered) == (0.5, 2.5, 0.25)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return motion_scenes.draw(tmp_path_factory.mktemp("porch"), ["calm_nobody", "near_crosser"])


def test_the_drawn_truth_is_where_the_picture_changes(drawn: Path) -> None:
    nobody, crosser = clips(drawn)
    assert nobody.truth.events == ()
    ((start, end),) = crosser.truth.events
    frames = [(us / 1e6, picture.astype(int)) for us, picture in pictures(crosser)]
    empty = frames[0][1]
    differs = [s for s, picture in frames if (np.abs(picture - empty) > 25).sum() > 500]
    assert differs[0] == pytest.approx(start, abs=0.3)
    assert differs[-1] == pytest.approx(end, abs=0.3)


def test_pixels_outside_the_zone_are_black_and_noise_is_reproducible(drawn: Path) -> None:
    clip = clips(drawn, ("calm",))[0]
    one = [picture for _, picture in pictures(clip, noise_levels=6, fps=5)]
    other = [picture for _, picture in pictures(clip, noise_levels=6, fps=5)]
    assert 60 <= len(one) <= 81
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not one[5][: motion_scenes.KERB_PX].any()


def test_the_bench_prints_and_writes_what_it_measured(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "figures.json"
    words = [
        "motion",
        "--data",
        str(drawn),
        "--peers",
        "running average",
        "--jobs",
        "1",
        "--json",
        str(found),
    ]
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    assert main() == 0
    figures = json.loads(found.read_text())["detectors"]
    assert set(figures) == {"doorbelld", "running average"}
    assert figures["doorbelld"]["all"]["f1"] == 1
    assert figures["doorbelld"]["ratio_640x360"] > 0
    assert "where nothing stirs (column still): calm_nobody" in capsys.readouterr().out


def test_leave_one_out_judges_a_clip_by_what_the_others_chose(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tmp_path / "figures.json"
    asked = ["motion", "--data", str(drawn), "--jobs", "1", "--json", str(found), "--leave-one-out"]
    monkeypatch.setattr(sys, "argv", ["bench", *asked, "tracks.confirm_s=0.6,30"])
    main()
    figures = json.loads(found.read_text())
    # Without the crosser nothing tells 0.6 s from 30 s, and the first is taken; else 0.6 s is better.
    assert figures["left_out"]["found"] == 1
    assert figures["chosen"] == [{"values": {"tracks.confirm_s": 0.6}, "clips": 2}]


@pytest.mark.long
@pytest.mark.skipif(not motion_debian.installed(), reason="Debian's motion is not installed")
def test_the_real_motion_detects_the_crosser(drawn: Path) -> None:
    detections = motion_debian.run(clips(drawn))
    ((start, end),) = next(clip.truth.events for clip in clips(drawn) if clip.name == "near_crosser")
    assert detections["calm_nobody"] == []
    assert any(a < end + 1 and b > start - 1 for a, b in detections["near_crosser"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "/nowhere"], "/nowhere/truth.json is not there"),
        (["--leave-one-out", "tracks.confirm=1"], "tracks.confirm is no number of the detector"),
    ],
)
def test_a_wrong_argument_is_reported(
    words: list[str], message: str, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "motion", "--data", str(drawn), *words])
    with pytest.raises(SystemExit, match=message):
        main()
