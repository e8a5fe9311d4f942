"""Why it was motion, what other settings would do, and that the daemon decides as the bench does."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from device.camera.luma import luma_of
from device.config import MotionConfig, ZoneConfig
from device.events import LumaFrame, MotionEnded, MotionSettling, MotionStarted
from device.motion.detector import make
from device.motion.frame_sampler import FrameSampler
from device.motion.worker import MotionWorker
from device.system.clock import SystemClock
from device.system.worker import Worker
from server.dev_processes import wait_for
from tests.support import motion_scenes
from tests.support.broker import Listener
from tests.support.doorbell import Doorbell

Make = Callable[..., Doorbell]
SCENE = {"width_px": 320, "height_px": 180, "light": "day", "first_visit_s": 3, "visit_every_s": 60}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return motion_scenes.draw(tmp_path_factory.mktemp("porch"), ["near_crosser"]) / "near_crosser.mp4"


def tune(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "device.cli", "motion", "tune", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tune_prints_what_other_settings_would_find(recording: Path) -> None:
    done = tune(recording, "--set", "confirm_s=30")
    assert done.returncode == 0
    assert "as it is now: 1 visit\n" in done.stdout
    assert "went to the right" in done.stdout
    assert "with confirm_s 30: no visits\nnot found any more: at " in done.stdout


def test_tune_draws_the_score_and_the_moments(recording: Path, tmp_path: Path) -> None:
    picture = tmp_path / "timeline.png"
    done = tune(recording, "--sensitivity", "0.2", "--png", picture)
    assert f"drawn in {picture}" in done.stdout
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.shape[1] == 1280
    assert drawn.shape[0] > 700
    blue = (drawn == (180, 90, 20)).all(axis=2)
    assert blue[:420].sum() > 300, "the score and the bar of the visit"
    assert blue[420:].sum() > 300, "boxes on the pictures"


def test_tune_takes_zones_and_settings_from_a_configuration(recording: Path, tmp_path: Path) -> None:
    config = tmp_path / "doorbelld.toml"
    points = "[[0.0, 0.0], [1.0, 0.0], [1.0, 0.2], [0.0, 0.2]]"
    config.write_text(f'[[zones]]\nname = "sky"\nkind = "include"\npoints = {points}\n')
    assert "as it is now: no visits" in tune(recording, "--config", config).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "confirm=1"], "'confirm' is no number of the detector; did you mean confirm_s?"),
        (["--set", "confirm_s=soon"], "--set confirm_s=soon: 'soon' is no number"),
        (["--png", "/nowhere/a.png"], "/nowhere/a.png: No such file or directory"),
        (["--sensitivity", "2"], "'2' is not a number from 0 to 1"),
    ],
)
def test_a_wrong_argument_of_tune_is_reported(recording: Path, words: list[str], message: str) -> None:
    done = tune(recording, *words)
    assert done.returncode in (1, 2)
    assert message in done.stderr


def test_a_file_that_is_not_a_recording_is_reported(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    assert "text.mp4: Invalid data found" in tune(text).stderr
    assert "nowhere is no file here, and as a clip: " in tune("nowhere").stderr


@pytest.mark.long
def test_why_says_where_somebody_was(doorbell: Make, listener: Listener, tmp_path: Path) -> None:
    zones = [{"name": "path", "kind": "include", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}]
    camera = {"kind": "scene", "scene": {**SCENE, "visitor_presses": False}}
    door = doorbell(camera, motion={"enabled": True, "quiet_s": 3}, zones=zones).start()
    assert door.run("motion", "why", "last").returncode == 1
    clip = door.clips(1)[0]
    ended = wait_for("the end", lambda: listener.log("motion_ended"))[0]
    assert ended["event_id"] == clip["event_id"]
    done = door.run("motion", "why", "last")
    assert done.returncode == 0
    assert "somebody moved in path for" in done.stdout
    assert "0.50 is just enough" in done.stdout
    picture = tmp_path / "why.png"
    short = door.run("motion", "why", ended["event_id"][-6:], "--json", "--png", str(picture))
    assert json.loads(short.stdout)[0]["why"] == ended["why"]
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert (drawn[40:] != 170).mean() > 0.5, "the clip's picture is behind the boxes"
    wrong = door.run("motion", "why", "nothing")
    assert wrong.returncode == 1
    assert "there is no event nothing; `doorbell log` shows them" in wrong.stderr
    ring = door.ring()["event_id"]
    if ring != ended["event_id"]:
        assert "was not started by motion" in door.run("motion", "why", ring).stderr
    assert listener.of("motion").count("ON") == 1


@pytest.mark.long
def test_the_state_says_what_motion_does(doorbell: Make, listener: Listener) -> None:
    camera = {"kind": "scene", "scene": {**SCENE, "visitor_presses": False}}
    door = doorbell(camera, motion={"enabled": True, "quiet_s": 1}).start()
    wait_for("a visit", lambda: "ON" in listener.of("motion"))
    wait_for("its end", lambda: listener.of("motion")[-1] == "OFF")
    states = [json.loads(state)["motion"] for state in listener.of("state")]
    assert "settling" in states
    assert door.status()["motion"] in ("still", "moving")


class Showing:
    """Replaces LatestValue, so that no picture is lost however busy the machine is."""

    def __init__(self, frames: list[LumaFrame], worker: Worker) -> None:
        self._frames, self._worker = iter(frames), worker

    def take(self, timeout_s: float) -> LumaFrame | None:
        assert timeout_s > 0
        frame = next(self._frames, None)
        if frame is None:
            self._worker.stopping.set()
        return frame


def test_the_daemon_decides_as_the_bench_does(recording: Path) -> None:
    facts: list[object] = []
    watch = MotionWorker(
        MotionConfig(), list[ZoneConfig](), inbox=facts.append, clock=SystemClock(), enabled=lambda: True
    )
    moves, pace = make(640, 360, None), FrameSampler()
    frames, moving_us = list[LumaFrame](), list[int]()
    with av.open(str(recording)) as file:
        for frame in file.decode(video=0):
            mono_us = 1_000_000_000 + round((frame.time or 0) * 1e6)
            plane: Any = frame.planes[0]
            full = np.frombuffer(plane, np.uint8).reshape(360, -1)[:, :640]
            if moves(full, mono_us):
                moving_us.append(mono_us)
            if pace.takes(mono_us):  # as every camera does
                frames.append(LumaFrame(luma=luma_of(frame), mono_us=mono_us))
    # Nobody for long enough that the visit ends.
    frames += [
        LumaFrame(luma=frames[-1].luma, mono_us=frames[-1].mono_us + n * 100_000) for n in range(1, 200)
    ]
    worker = Worker("motion", watch.run, inbox=facts.append, patience_s=60)
    watch.latest_frame = Showing(frames, worker)  # type: ignore[assignment]
    watch.run(worker)
    settling, settled, started, ended = facts
    assert isinstance(settling, MotionSettling)
    assert isinstance(settled, MotionSettling)
    assert (settling.settling, settled.settling) == (True, False)
    assert isinstance(started, MotionStarted)
    assert isinstance(ended, MotionEnded)
    assert started.mono_us == moving_us[0]
    # `make` says the last look's word of every picture, also of those that were not looked at.
    assert 0 <= moving_us[-1] - ended.last_us < 300_000
