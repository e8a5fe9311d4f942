"""Privacy masks: nothing that is decoded, and nothing that leaves, shows what they cover."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.camera.capture import capture, open_camera
from device.config import CameraConfig
from device.errors import CameraError
from device.events import LumaFrame, Packet
from device.media.masks import GREY, Masks
from device.motion.zones import filled
from device.system.clock import SystemClock
from device.system.worker import Worker
from server.dev_processes import PATIENCE_S, wait_for
from tests.support.broker import Listener
from tests.support.doorbell import Doorbell
from tests.support.videos import flashes_and_beeps, make_flashing

Make = Callable[..., Doorbell]
WINDOW = ((0.3, 0.2), (0.8, 0.3), (0.6, 0.9))
MASK = {"name": "window", "points": [list(corner) for corner in WINDOW]}


def inside(picture: NDArray[Any], polygon: Any = WINDOW) -> NDArray[Any]:
    found = picture[filled(polygon, picture.shape[1], picture.shape[0]) > 0]
    assert found.size
    return found


def deep_inside(picture: NDArray[Any]) -> NDArray[Any]:
    """Return the part of the mask that an encoder's ringing from outside does not reach."""
    cover = filled(WINDOW, picture.shape[1], picture.shape[0])
    return picture[cv2.erode(cover, np.ones((19, 19), np.uint8)) > 0]


@pytest.mark.parametrize("size", [(320, 180), (321, 181), (64, 48), (1920, 1080), (7, 5)])
def test_every_pixel_that_the_polygon_touches_is_covered(size: tuple[int, int]) -> None:
    width, height = size
    masks, plane = Masks([WINDOW]), np.full((height, width), 255, np.uint8)
    masks.burn(plane)
    fine = filled(WINDOW, width * 16, height * 16).reshape(height, 16, width, 16)
    touched = fine.any(axis=(1, 3))
    assert touched.any()
    assert (plane[touched] == GREY).all()
    assert (plane == 255).any()


def test_no_colour_is_left_where_a_mask_is() -> None:
    planes = np.full((180 * 3 // 2, 320), 60, np.uint8)
    Masks([WINDOW]).burn_yuv420(planes)
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p").to_ndarray(format="rgb24")
    covered = inside(frame[..., 0]), inside(frame[..., 1]), inside(frame[..., 2])
    assert all(len(np.unique(channel)) == 1 for channel in covered)
    assert np.unique(np.concatenate(covered)).size == 1, "grey"


def test_no_mask_changes_nothing() -> None:
    plane = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Masks().burn(plane)
    assert not Masks()
    assert plane.tolist() == np.arange(256).reshape(16, 16).tolist()


class Seen:
    closed = False

    def __init__(self) -> None:
        self.lumas: list[LumaFrame] = []
        self.packets: list[Packet] = []

    def luma(self, frame: LumaFrame) -> None:
        self.lumas.append(frame)

    def packet(self, packet: Packet) -> None:
        self.packets.append(packet)

    def sound(self, packet: object) -> None:
        pass

    def note(self, text: str) -> None:
        pass


@pytest.mark.parametrize("kind", ["scene", "stream"])
def test_motion_never_sees_what_is_covered(kind: str, video: Path) -> None:
    clock, seen, masks = SystemClock(), Seen(), Masks([WINDOW])
    scene = {"width_px": 320, "height_px": 180, "visitors": False, "light": "day"}
    config = CameraConfig.model_validate({"kind": kind, "scene": scene, "stream": {"url": str(video)}})
    camera = open_camera(config, clock=clock, masks=masks)
    worker: Worker

    def work(worker: Worker) -> None:
        capture(
            worker,
            camera=camera,
            make_sink=lambda: seen,
            inbox=lambda _: None,
            clock=clock,
            masks=masks,
        )

    worker = Worker("camera", work, inbox=lambda _: None, patience_s=60)
    worker.start()
    try:
        wait_for("pictures", lambda: len(seen.lumas) >= 5 and len(seen.packets) >= 20)
    finally:
        assert worker.stop(PATIENCE_S)
    for frame in seen.lumas:
        assert (inside(frame.luma) == GREY).all()
        assert frame.luma.std() > 1


def test_what_the_doorbell_encodes_itself_is_covered_in_the_recording(doorbell: Make, tmp_path: Path) -> None:
    scene = {"kind": "scene", "scene": {"width_px": 320, "height_px": 180, "visitors": False, "light": "day"}}
    door = doorbell(scene, masks=[MASK]).start()
    door.ring()
    clip = door.clips(1)[0]
    with av.open(clip["file"]) as file:
        for frame in file.decode(video=0):
            assert np.abs(deep_inside(frame.to_ndarray(format="gray")).astype(int) - GREY).max() < 6
    copy = door.json("clips", "export", clip["id"], str(tmp_path / "copy.mp4"))
    assert (copy["masked"], copy["sha256"]) == (False, clip["sha256"])


def test_an_exported_clip_is_covered_in_every_picture_and_keeps_its_times_and_sound(
    doorbell: Make, tmp_path: Path, listener: Listener
) -> None:
    flashing = make_flashing(tmp_path / "flashing.mp4", sound="aac", seconds=8)
    camera = {"kind": "stream", "stream": {"url": str(flashing), "audio": True}}
    door = doorbell(camera, masks=[MASK]).start()
    door.ring()
    clip = door.clips(1)[0]
    target = tmp_path / "copy.mp4"
    copy = door.json("clips", "export", clip["id"], str(target))
    assert copy["masked"] is True
    assert copy["sha256"] != clip["sha256"]
    with av.open(str(target)) as new, av.open(clip["file"]) as old:
        pictures = [(f.time, f.to_ndarray(format="gray")) for f in new.decode(video=0)]
        times = [f.time for f in old.decode(video=0)]
    assert [time for time, _ in pictures] == pytest.approx(times, abs=0.002)
    for _, picture in pictures:
        assert np.abs(deep_inside(picture).astype(int) - GREY).max() < 6
    flashes, beeps = flashes_and_beeps(target)
    assert flashes
    assert beeps[0] == pytest.approx(flashes_and_beeps(clip["file"])[1][0], abs=0.03)
    assert list(tmp_path.glob(".*growing")) == []
    again = door.run("clips", "export", clip["id"], str(target))
    assert "exists already; name another file" in again.stderr
    plain = door.run("clips", "export", clip["id"], str(tmp_path / "plain.mp4"), "--unmasked")
    assert "this copy shows what the privacy masks cover" in plain.stdout


def test_a_camera_that_covers_them_itself_has_its_clips_copied(doorbell: Make, tmp_path: Path) -> None:
    door = doorbell(masks=[MASK], clips={"masked_by": "camera"}).start()
    door.ring()
    clip = door.clips(1)[0]
    assert door.json("clips", "export", clip["id"], str(tmp_path / "copy.mp4"))["sha256"] == clip["sha256"]


def test_motion_behind_a_mask_is_not_reported(doorbell: Make, listener: Listener) -> None:
    scene = {"width_px": 320, "height_px": 180, "light": "day", "first_visit_s": 3, "visit_every_s": 60}
    everything = {"name": "all", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    camera = {"kind": "scene", "scene": scene}
    doorbell(camera, motion={"enabled": True, "quiet_s": 1}, masks=[everything]).start()
    wait_for("the visitor's press", lambda: listener.of("press"))
    assert "ON" not in listener.of("motion")


def test_a_camera_error_is_not_swallowed() -> None:
    with pytest.raises(CameraError):
        open_camera(
            CameraConfig.model_validate({"kind": "stream", "stream": {"url": "/nowhere.mp4"}}),
            clock=SystemClock(),
            masks=Masks([WINDOW]),
        ).run(Seen(), threading.Event(), lambda: None)
