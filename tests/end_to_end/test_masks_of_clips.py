"""Masks belong to clips: whatever way a picture leaves, the masks of its recording and those of now cover it."""

import io
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.cli.client import ask_raw
from device.errors import CommandError
from device.media.masks import GREY
from device.motion.zones import filled
from device.store.mp4 import whole_fragments
from server.dev_processes import PATIENCE_S, wait_for
from tests.support.doorbell import Doorbell
from tests.support.videos import frames_of
from tests.web.visitor import Visitor

Make = Callable[..., Doorbell]
Polygon = tuple[tuple[float, float], ...]
Pictures = list[NDArray[Any]]

LEFT: Polygon = ((0.05, 0.1), (0.4, 0.1), (0.4, 0.9), (0.05, 0.9))
RIGHT: Polygon = ((0.6, 0.1), (0.95, 0.1), (0.95, 0.9), (0.6, 0.9))
SCENE = {"kind": "scene", "scene": {"width_px": 320, "height_px": 180, "visitors": False, "light": "day"}}
COPIED = None
"""The fixture's own camera: a stream whose packets are recorded as they come."""
KINDS = pytest.mark.parametrize("camera", [COPIED, SCENE], ids=["copied", "encoded here"])


def masks(*polygons: Polygon) -> list[dict[str, Any]]:
    return [{"name": f"mask {number}", "points": [list(at) for at in p]} for number, p in enumerate(polygons)]


def set_masks(door: Doorbell, *polygons: Polygon) -> None:
    door.ask("PATCH", "/config", {"changes": {"masks": masks(*polygons)}})


def grey(picture: NDArray[Any], polygon: Polygon) -> bool:
    """Return whether the part of a mask that ringing from outside does not reach is grey."""
    cover = filled(polygon, picture.shape[1], picture.shape[0])
    deep = picture[cv2.erode(cover, np.ones((15, 15), np.uint8)) > 0]
    assert deep.size
    return bool(np.abs(deep.astype(int) - GREY).max() < 8)


def decoded(source: str | io.BytesIO) -> Pictures:
    with av.open(source, "r") as file:
        return [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]


def jpeg(data: bytes) -> NDArray[Any]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture


def ways_out(door: Doorbell, clip: dict[str, Any], folder: Path) -> Iterator[tuple[str, Pictures]]:
    """Yield every way that a clip's pictures leave, and what they show."""
    number = len(list(folder.glob("copy*")))
    target = folder / f"copy{number}.mp4"
    door.json("clips", "export", clip["id"], str(target))
    yield "export", decoded(str(target))
    path = f"/clips/{clip['id']}"
    for download in ("true", "false"):
        film = ask_raw(door.state, "GET", f"{path}/video", download=download)
        yield f"video download={download}", decoded(io.BytesIO(film))
    yield "picture", [jpeg(ask_raw(door.state, "GET", f"{path}/picture.jpg", at_us=300_000))]

    def thumbnail() -> bytes | None:
        try:
            return ask_raw(door.state, "GET", f"{path}/thumbnail.jpg")
        except CommandError:
            return None

    yield "thumbnail", [jpeg(wait_for("the thumbnail", thumbnail))]


def shown(door: Doorbell, clip: dict[str, Any], folder: Path) -> dict[str, list[tuple[bool, bool]]]:
    """Return of each way out whether LEFT and RIGHT are grey: each distinct answer of its pictures."""
    return {
        way: sorted({(grey(picture, LEFT), grey(picture, RIGHT)) for picture in pictures})
        for way, pictures in ways_out(door, clip, folder)
    }


def everywhere(answer: tuple[bool, bool], found: dict[str, list[tuple[bool, bool]]]) -> bool:
    assert found == {way: [answer] for way in found}
    return True


def recorded(door: Doorbell, count: int = 1) -> dict[str, Any]:
    door.ring()
    return door.clips(count)[-1]


def growing(door: Doorbell) -> Path:
    """Ring, and return the clip's file while it grows and has pictures."""
    door.ring()

    def part() -> Path | None:
        found = [path for path in (door.state / "state" / "clips").glob("*.part") if whole_fragments(path)]
        return found[0] if found else None

    found: Path = wait_for("a fragment", part)
    return found


@KINDS
def test_a_mask_that_was_removed_since_covers_the_clips_of_its_time(
    doorbell: Make, tmp_path: Path, camera: Any
) -> None:
    door = doorbell(camera).start()
    set_masks(door, LEFT)
    clip = recorded(door)
    assert everywhere((True, False), shown(door, clip, tmp_path))
    set_masks(door)
    assert everywhere((True, False), shown(door, clip, tmp_path))
    door.ask("POST", "/config/undo")
    assert everywhere((True, False), shown(door, clip, tmp_path))


@KINDS
def test_a_mask_that_was_added_since_covers_every_clip(doorbell: Make, tmp_path: Path, camera: Any) -> None:
    door = doorbell(camera).start()
    clip = recorded(door)
    assert everywhere((False, False), shown(door, clip, tmp_path))
    set_masks(door, RIGHT)
    assert everywhere((False, True), shown(door, clip, tmp_path))
    door.ask("POST", "/config/undo")
    assert everywhere((False, False), shown(door, clip, tmp_path))


@KINDS
def test_masks_that_were_moved_cover_both_places(doorbell: Make, tmp_path: Path, camera: Any) -> None:
    door = doorbell(camera, masks=masks(LEFT)).start()
    clip = recorded(door)
    set_masks(door, RIGHT)
    assert everywhere((True, True), shown(door, clip, tmp_path))
    exported = door.run("clips", "export", clip["id"], str(tmp_path / "said.mp4"))
    assert "masks: 1 as recorded, 1 added since" in exported.stdout


@KINDS
def test_a_change_while_a_clip_is_recorded_covers_all_of_it_with_both(
    doorbell: Make, tmp_path: Path, camera: Any
) -> None:
    door = doorbell(camera, masks=masks(LEFT), clips={"post_roll_s": 90}).start()
    part = growing(door)
    set_masks(door, RIGHT)
    set_masks(door)
    assert part.exists(), "it is still being recorded"
    assert door.stop() == 0  # which ends the clip in good order
    door.start()
    clip = door.clips(1)[0]
    assert everywhere((True, True), shown(door, clip, tmp_path))
    assert door.run("clips", "verify").returncode == 0
    assert door.run("check", "--deep").returncode == 0


@KINDS
def test_the_record_outlives_index_thumbnails_and_copies(doorbell: Make, tmp_path: Path, camera: Any) -> None:
    door = doorbell(camera, masks=masks(LEFT)).start()
    clip = recorded(door)
    set_masks(door)
    assert everywhere((True, False), shown(door, clip, tmp_path))
    assert door.stop() == 0
    for path in (door.state / "state").glob("index.db*"):
        path.unlink()
    door.start()
    again = door.clips(1)[0]
    assert (again["id"], again["sha256"]) == (clip["id"], clip["sha256"])
    assert everywhere((True, False), shown(door, again, tmp_path))


@KINDS
@pytest.mark.parametrize("changed", [False, True], ids=["as at the start", "changed while recorded"])
def test_a_clip_that_was_cut_off_keeps_its_masks(
    doorbell: Make, tmp_path: Path, camera: Any, *, changed: bool
) -> None:
    door = doorbell(camera, masks=masks(LEFT), clips={"post_roll_s": 90}).start()
    part = growing(door)
    if changed:
        set_masks(door, RIGHT)
        size = part.stat().st_size
        wait_for("more fragments", lambda: part.stat().st_size > size)
    door.stop(signal.SIGKILL)
    settings = door.state / "state" / "page-settings.json"
    settings.unlink(missing_ok=True)
    door.config.write_text(door.config.read_text().replace("[[masks]]", "[[zones]]\nkind = 'include'"))
    door.start()
    clip = door.clips(1)[0]
    assert frames_of(clip["file"]) > 10
    assert everywhere((True, changed), shown(door, clip, tmp_path))


def test_a_clip_without_a_record_shows_nothing(doorbell: Make, tmp_path: Path) -> None:
    door = doorbell().start()
    clip = recorded(door)
    assert door.stop() == 0
    path = Path(clip["file"])
    path.write_bytes(path.read_bytes().replace(b"masks/1 ", b"masks/0 "))
    for index in (door.state / "state").glob("index.db*"):
        index.unlink()
    door.start()
    assert everywhere((True, True), shown(door, door.clips(1)[0], tmp_path))


@pytest.mark.parametrize("drawn_by", ["doorbelld", "the camera"])
def test_a_clip_whose_picture_has_its_masks_is_copied(doorbell: Make, tmp_path: Path, drawn_by: str) -> None:
    camera, tables = (SCENE, {}) if drawn_by == "doorbelld" else (None, {"clips": {"masked_by": "camera"}})
    door = doorbell(camera, masks=masks(LEFT), **tables).start()
    clip = recorded(door)
    inner: Polygon = ((0.1, 0.2), (0.3, 0.2), (0.3, 0.8))

    def is_copied(number: int) -> bool:
        copy = door.json("clips", "export", clip["id"], str(tmp_path / f"{number}.mp4"))
        film = ask_raw(door.state, "GET", f"/clips/{clip['id']}/video")
        assert (film == Path(clip["file"]).read_bytes()) is (not copy["masked"])
        return bool(copy["sha256"] == clip["sha256"]) and not copy["masked"]

    assert is_copied(0)
    set_masks(door)
    assert is_copied(1), "its picture has the mask that was removed"
    set_masks(door, inner)
    assert is_copied(2), "its picture has more than that"
    set_masks(door, LEFT, RIGHT)
    assert not is_copied(3)


def test_clips_from_before_the_camera_drew_the_masks_are_still_covered(
    doorbell: Make, tmp_path: Path
) -> None:
    door = doorbell(masks=masks(LEFT)).start()
    clip = recorded(door)
    assert door.stop() == 0
    text = door.config.read_text()
    door.config.write_text(text.replace("[clips]\n", '[clips]\nmasked_by = "camera"\n'))
    door.start()
    assert everywhere((True, False), shown(door, clip, tmp_path))


def test_a_picture_of_now_is_covered_by_the_mask_that_held_when_it_was_taken(doorbell: Make) -> None:
    door = doorbell(masks=masks(LEFT)).start()

    def now() -> NDArray[Any]:
        return jpeg(ask_raw(door.state, "GET", "/snapshot.jpg"))

    wait_for("a picture", lambda: grey(now(), LEFT))
    set_masks(door, RIGHT)
    both: Sequence[Polygon] = (LEFT, RIGHT)
    picture = now()
    assert all(grey(picture, mask) for mask in both)
    wait_for("pictures of after the change alone", lambda: not grey(now(), LEFT))
    assert grey(now(), RIGHT)


@KINDS
def test_the_live_view_after_a_change_has_the_masks_of_both_moments(
    doorbell: Make, tmp_path: Path, camera: Any
) -> None:
    door = doorbell(camera, page={"enabled": True, "port": 0}, masks=masks(LEFT)).start()
    owner = Visitor(door.page).claim(door).step_up()
    wait_for("a picture", lambda: grey(jpeg(ask_raw(door.state, "GET", "/snapshot.jpg")), LEFT))
    assert owner.ask("PATCH", "/api/config", {"changes": {"masks": masks(RIGHT)}}).status == 200
    with owner.socket("/api/live") as live:
        film, parts = b"", 0
        while parts < 3:
            message = live.recv(timeout=PATIENCE_S)
            if isinstance(message, bytes):
                film, parts = film + message, parts + 1
    pictures = decoded(io.BytesIO(film))
    assert pictures
    assert {(grey(picture, LEFT), grey(picture, RIGHT)) for picture in pictures} == {(True, True)}
