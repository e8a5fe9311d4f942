"""Clips that leave for the owner's backup or for a department are covered as any others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from device.config import Sources, config_below
from device.consent.offer import _millionths
from device.daemon.clip_access import ClipAccess
from device.daemon.release_runner import ReleaseRunner
from device.daemon.wiring import Daemon
from device.events import Packet, VideoFormat
from device.media.encoder import SoftwareEncoder
from device.media.mask_history import SpanMasks
from device.media.masks import GREY, Masks
from device.motion.zones import filled
from device.policy.settings import Settings
from device.release.job import PARCEL
from device.store.clip_file import ClipFile
from device.store.clip_name import ClipName
from device.store.files import sha256_of
from device.store.index import ClipRow, Index
from device.store.mask_record import MARK
from device.store.reconcile import row_for
from device.system.clock import SystemClock
from device.system.sd_notify import Notifier
from server.agency.opening import open_parcel
from server.dev_processes import wait_for
from tests.support.neighbourhood import Sender

LEFT = ((0.05, 0.1), (0.4, 0.1), (0.4, 0.9), (0.05, 0.9))
RIGHT = ((0.6, 0.1), (0.95, 0.1), (0.95, 0.9), (0.6, 0.9))
HELD = SpanMasks(held=(LEFT,))
DRAWN = SpanMasks(held=(LEFT,), drawn=(LEFT,))
SECOND_US, FPS = 1_000_000, 15
STARTED_US = 1_764_000_000_000_000


def is_grey(path: Path, polygon: Any) -> bool:
    """Return whether a mask's inner part is grey in every picture of a film."""
    with av.open(str(path)) as file:
        pictures = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert pictures
    cover = cv2.erode(filled(polygon, 320, 180), np.ones((15, 15), np.uint8)) > 0
    # A release is padded to whole macroblocks.
    inside = [picture[: cover.shape[0], : cover.shape[1]] for picture in pictures]
    return all(bool(np.abs(picture[cover].astype(int) - GREY).max() < 8) for picture in inside)


def packets(drawn: SpanMasks) -> Iterator[Packet]:
    """Encode a dark film, two seconds long, as a camera that draws these masks."""
    video = VideoFormat(codec="h264", width_px=320, height_px=180, epoch=1)
    encoder = SoftwareEncoder(video, fps=FPS, bitrate_kbps=300, keyframe_every_s=1, masks=Masks(drawn.drawn))
    for number in range(2 * FPS):
        picture = np.full((180, 320, 3), 30, np.uint8)
        picture[80:100, number * 8 : number * 8 + 40] = 220
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        yield from encoder.encode(frame, SECOND_US + number * SECOND_US // FPS)


class BuiltDoorbell:
    """A daemon that is built but not started, and its clips."""

    def __init__(self, folder: Path) -> None:
        tables = {"device": {"id": "porch"}, "mqtt": {"enabled": False}, "camera": {"kind": "scene"}}
        values = config_below(folder, {**tables, "button": {"kind": "simulated"}})
        self.sources = Sources(path=folder / "doorbelld.toml", file=values)
        self.daemon = Daemon(self.sources, SystemClock(), Settings(), Notifier())
        self.daemon.layout.make()
        self.index = Index(self.daemon.layout.index)
        self.clips = ClipAccess(self.daemon)

    def record(self, masks: SpanMasks, event: str = "1") -> ClipRow:
        name = ClipName(
            started_wall_us=STARTED_US, event_id="01KA" + event * 22, cause="press", clock="synchronised"
        )
        film = list(packets(masks))
        growing = ClipFile(self.daemon.layout.clips / name.file_name, film[0].format, masks)
        for packet in film:
            growing.add(packet)
        digest = growing.close(growing.final_path)
        row = row_for(name, growing.final_path, duration_us=2 * SECOND_US, sha256=digest)
        self.index.add(row)
        return row

    def mask(self, *polygons: Any) -> None:
        masks = [{"name": str(n), "points": list(map(list, p))} for n, p in enumerate(polygons)]
        self.daemon.apply(self.sources.changed({"masks": masks}))


@pytest.fixture
def built(tmp_path: Path) -> Iterator[BuiltDoorbell]:
    built = BuiltDoorbell(tmp_path)
    yield built
    built.index.close()


def test_a_backup_has_the_masks_of_the_recording_and_of_now(built: BuiltDoorbell) -> None:
    row, beats = built.record(HELD), [0]

    def beat() -> None:
        beats[0] += 1

    built.mask(RIGHT)
    copy = built.clips.file_of(row.clip_id, beat)
    assert copy
    assert is_grey(copy, LEFT)
    assert is_grey(copy, RIGHT)
    assert MARK not in copy.read_bytes(), "a copy says nothing of the doorbell's masks"
    assert [path.suffix for path in built.daemon.layout.masked.iterdir()] == [".mp4"]


def test_a_backup_of_a_clip_that_has_its_masks_is_its_file(built: BuiltDoorbell) -> None:
    row = built.record(DRAWN)
    assert built.clips.file_of(row.clip_id, lambda: None) == built.daemon.layout.clips / row.file_name


def test_a_clip_that_cannot_be_masked_is_not_backed_up(built: BuiltDoorbell) -> None:
    row = built.record(HELD)
    path = built.daemon.layout.clips / row.file_name
    path.write_bytes(b"no film")
    with pytest.raises(Exception, match="cannot be encoded with its masks"):
        built.clips.file_of(row.clip_id, lambda: None)
    assert not list(built.daemon.layout.masked.iterdir())


CASES: dict[str, tuple[SpanMasks, list[Any], list[Any]]] = {
    # masks of the recording, masks when the offer was made, masks when the parcel is made
    "removed since": (HELD, [], []),
    "added since": (SpanMasks(), [RIGHT], [RIGHT]),
    "moved": (HELD, [RIGHT], [RIGHT]),
    "added after the approval": (SpanMasks(), [], [RIGHT]),
    "removed after the approval": (SpanMasks(), [RIGHT], []),
    "drawn by the camera": (DRAWN, [], []),
    "drawn by the camera, and one more": (DRAWN, [LEFT, RIGHT], [RIGHT]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_parcel_is_covered_by_the_masks_of_then_and_of_now(
    built: BuiltDoorbell, tmp_path: Path, case: str
) -> None:
    recorded, offered, made = CASES[case]
    agency = Sender(tmp_path / "keys")
    row = built.record(recorded)
    built.mask(*offered)
    span: Callable[[str], tuple[int, int]] = lambda _clip: (STARTED_US, STARTED_US + 3 * SECOND_US)  # noqa: E731
    (cut,) = built.clips.cuts(span, *span(row.clip_id))
    offer: Any = {
        "request": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "request_sha256": "a" * 64,
        "window": {"start": "2025-11-24T16:00:00Z", "end": "2025-11-24T17:00:00Z"},
        "recipient": {"name": "evidence", "age": agency.folder.recipient},
        "audio": False,
        "masks": [_millionths(mask) for mask in built.clips.masks([row.clip_id])],
        "clips": [
            {
                "id": row.clip_id,
                "sha256": sha256_of(built.daemon.layout.clips / row.file_name),
                "clock": "synchronised",
                "start": "2025-11-24T16:00:00.000000Z",
                "end": "2025-11-24T16:00:02.000000Z",
                "first_us": cut.first_us,
                "last_us": cut.last_us,
                "frames": cut.frames,
                "blur": [],
            }
        ],
    }
    built.mask(*made)
    folder = tmp_path / "release"
    folder.mkdir()
    running = ReleaseRunner(built.daemon).begin(folder, offer, "b" * 64)
    done = wait_for("the parcel", lambda: (p := running.poll()) and not hasattr(p, "stage") and p)
    assert not hasattr(done, "why"), done
    found = open_parcel(folder / PARCEL, agency.folder.path, tmp_path / "out", [])
    film = next((tmp_path / "out").rglob("clip-1.mp4"))
    for mask in {*recorded.held, *offered, *made}:
        assert is_grey(film, mask), case
    assert is_grey(film, LEFT) == (LEFT in {*recorded.held, *offered, *made})
    assert MARK not in film.read_bytes()
    assert found


def test_clips_that_leave_together_share_their_masks(built: BuiltDoorbell) -> None:
    one, two = built.record(HELD, "1"), built.record(DRAWN, "2")
    assert built.clips.masks([one.clip_id, two.clip_id]) == [LEFT]
    assert built.clips.masks([two.clip_id]) == []
    assert built.clips.masks(["gone"]) == []
    (built.daemon.layout.clips / two.file_name).unlink()
    assert len(built.clips.masks([two.clip_id])) == 1, "what cannot be read is covered whole"
