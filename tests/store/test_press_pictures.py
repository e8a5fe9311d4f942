"""The picture of the moment of a press: which one it is, how it is kept, and when it goes."""

import queue
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import StorageConfig
from device.events import Fact, Packet, PressEvent, PressPictureReady, Stamp
from device.media.jpeg import masked_again, smaller
from device.media.mask_history import Polygon
from device.media.masks import GREY, Masks
from device.store.clip_name import ClipName
from device.store.files import is_finished_jpeg, labelled_jpeg
from device.store.index import Index
from device.store.layout import Layout
from device.store.messages import DeleteClip, DeletePictures, KeepPicture, StorageMessage
from device.store.press_picture_name import PressPictureName
from device.store.press_pictures import MAX_WAITING, STALE_US, PressPictures, UnwrittenPictures
from device.store.reconcile import row_for
from device.store.retention import Quota
from device.store.ring import RingBuffer
from device.store.storage_worker import StorageWorker
from tests.support.storage import FPS, HEIGHT_PX, KEYFRAME_EVERY, WIDTH_PX, Time, pictures, storage_worker

EVENT, OTHER = "01KA0000000000000000000001", "01KA0000000000000000000002"
STRIPE_PX = 20
LEFT_HALF: Polygon = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
DAY_US = 86_400_000_000


def decoded(jpeg: bytes) -> NDArray[Any]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


def stripe_at(jpeg: bytes) -> int:
    """Return where the stripe of noise of `pictures` begins: the number of the picture."""
    columns = decoded(jpeg).astype(float).std(axis=(0, 2))
    return int(np.argmax(np.convolve(columns, np.ones(STRIPE_PX), mode="valid")))


def press(mono_us: int, *, number: int = 1, event_id: str = EVENT) -> PressEvent:
    at = Stamp(mono_us=mono_us, wall_us=1_764_000_000_000_000 + mono_us, flag="synchronised")
    return PressEvent(press_id=number, at=at, button="front", event_id=event_id, press_number=number)


class Maker:
    """The maker over a ring of four seconds, ten pictures a second, a keyframe each second."""

    def __init__(self, tmp_path: Path, masks: tuple[Polygon, ...] = ()) -> None:
        self.ring = RingBuffer(keep_us=10_000_000, limit_bytes=1 << 24)
        self.facts: list[Fact] = []
        self.orders: list[StorageMessage] = []
        self.presses: queue.SimpleQueue[PressEvent] = queue.SimpleQueue()
        self.unwritten = UnwrittenPictures()
        self.maker = PressPictures(
            presses=self.presses, ring=self.ring, masks_of=lambda _packets: masks, unwritten=self.unwritten,
            layout=Layout(tmp_path), storage=self.orders.append, inbox=self.facts.append,
        )  # fmt: skip

    def fill(self, packets: list[Packet]) -> None:
        for packet in packets:
            self.ring.writer().append(packet)

    def picture(self, mono_us: int) -> bytes | None:
        self.facts.clear()
        self.maker.make(press(mono_us))
        found = [fact.jpeg for fact in self.facts if isinstance(fact, PressPictureReady)]
        return found[0] if found else None


@pytest.mark.parametrize("number", [0, 1, KEYFRAME_EVERY - 1, KEYFRAME_EVERY, 25, 4 * KEYFRAME_EVERY - 1])
def test_it_shows_the_moment_of_the_press_and_not_the_newest_keyframe(tmp_path: Path, number: int) -> None:
    maker = Maker(tmp_path)
    maker.fill(pictures())
    jpeg = maker.picture(number * 1_000_000 // FPS + 40_000)
    assert jpeg
    assert decoded(jpeg).shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert abs(stripe_at(jpeg) - number) <= 1


def test_it_is_masked_and_told_before_it_is_on_the_disk(tmp_path: Path) -> None:
    maker = Maker(tmp_path, masks=(LEFT_HALF,))
    maker.fill(pictures())
    jpeg = maker.picture(2_540_000)
    assert jpeg
    left = decoded(jpeg)[:, : WIDTH_PX // 2 - 4]
    assert np.abs(left.astype(int) - GREY).max() <= 4
    (ready,) = [fact for fact in maker.facts if isinstance(fact, PressPictureReady)]
    assert (ready.event_id, ready.press_number, ready.path.exists()) == (EVENT, 1, False)
    assert maker.unwritten.get(EVENT, 1) == jpeg
    assert [order.jpeg for order in maker.orders if isinstance(order, KeepPicture)] == [jpeg]


def test_a_camera_that_has_been_still_for_seconds_gives_none(tmp_path: Path) -> None:
    maker = Maker(tmp_path)
    assert maker.picture(1_000_000) is None, "before the first picture"
    maker.fill(pictures())
    assert maker.picture(3_900_000 + STALE_US) is not None
    assert maker.picture(3_900_001 + STALE_US) is None
    assert maker.orders


def test_privacy_that_begins_meanwhile_leaves_none(tmp_path: Path) -> None:
    maker = Maker(tmp_path)
    maker.fill(pictures())
    maker.ring.close()
    assert maker.picture(3_900_000) is None
    maker.ring.open()
    assert maker.picture(3_900_000) is None, "nothing from before privacy is there after it"


def test_a_damaged_picture_is_no_picture_and_no_crash(tmp_path: Path) -> None:
    maker = Maker(tmp_path)
    maker.fill([replace(packet, data=b"\0\0\1\x65rubbish") for packet in pictures()])
    assert maker.picture(3_000_000) is None


def test_only_the_newest_unwritten_pictures_are_in_memory() -> None:
    unwritten = UnwrittenPictures()
    for number in range(1, 30):
        unwritten.put(EVENT, number, b"x")
    assert [number for number in range(1, 30) if unwritten.get(EVENT, number)] == list(range(22, 30))
    unwritten.forget(EVENT, 25)
    assert unwritten.get(EVENT, 25) is None
    unwritten.forget(EVENT)
    assert unwritten.get(EVENT, 29) is None
    assert MAX_WAITING > 0


def test_a_mask_that_is_drawn_later_covers_it_and_a_list_gets_a_small_one() -> None:
    grey = np.full((1080, 1920, 3), 200, np.uint8)
    jpeg = labelled_jpeg(cv2.imencode(".jpg", grey)[1].tobytes(), "none")
    covered = decoded(masked_again(jpeg, Masks([LEFT_HALF])))
    assert np.abs(covered[:, :950].astype(int) - GREY).max() <= 4
    assert covered[:, 980:].min() > 190
    assert decoded(smaller(jpeg, 240)).shape == (135, 240, 3)
    assert smaller(smaller(jpeg, 240), 240) == smaller(jpeg, 240)
    with pytest.raises(ValueError, match="JPEG"):
        smaller(b"\xff\xd8no", 240)


# --- on the disk --------------------------------------------------------------------------------------------

JPEG = labelled_jpeg(cv2.imencode(".jpg", np.zeros((64, 96, 3), np.uint8))[1].tobytes(), "none")


class Store:
    """The real storage worker, with its pictures."""

    def __init__(self, state: Path, limit_bytes: int = 1 << 40) -> None:
        self.layout = Layout(state)
        self.time = Time()
        self.orders: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
        self.limit_bytes = limit_bytes
        self.worker: StorageWorker = storage_worker(
            state, self.time, self.orders, inbox=lambda _fact: None, limit_bytes=limit_bytes
        )
        self.open()

    def open(self) -> None:
        assert self.worker.open(lambda: None)

    def turn(self, *orders: StorageMessage) -> None:
        for order in orders:
            self.orders.put(order)
        self.worker.step(wait_s=0)

    def keep(self, event_id: str, number: int, *, at_s: int = 0, clock: Any = "synchronised") -> str:
        name = PressPictureName(
            pressed_wall_us=self.time.wall_us() + at_s * 1_000_000, event_id=event_id, press_number=number, clock=clock
        )  # fmt: skip
        self.turn(KeepPicture(name=name, jpeg=JPEG))
        return name.file_name

    def clip(self, event_id: str, *, at_s: int, seconds: int = 10, size_bytes: int = 100_000) -> str:
        wall_us = self.time.wall_us() + at_s * 1_000_000
        name = ClipName(started_wall_us=wall_us, event_id=event_id, cause="press", clock="synchronised")
        path = self.layout.clips / name.file_name
        path.write_bytes(bytes(size_bytes))
        self.worker._index.add(row_for(name, path, duration_us=seconds * 1_000_000, sha256=""))  # noqa: SLF001
        return name.clip_id

    def answer(self, make: Callable[[Callable[[dict[str, Any]], None]], StorageMessage]) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        self.turn(make(answers.append))
        return answers[0]

    def delete_clip(self, clip_id: str) -> dict[str, Any]:
        return self.answer(lambda reply: DeleteClip(clip_id=clip_id, reply=reply))

    def limit(self, limit_bytes: int, *, days: int = 3650) -> None:
        storage = StorageConfig.model_construct(
            limit_bytes=limit_bytes, longest_age_days=days, reserve_bytes=0, log_rows=100
        )
        self.worker._quota = Quota(storage, self.time, self.layout.clips)  # noqa: SLF001
        for _ in range(10):
            self.turn()

    def left(self) -> list[str]:
        """Return the files, which agree with the rows."""
        index = Index(self.layout.index, read_only=True)
        rows = [row.file_name for row in index.pictures()]
        used_bytes = index.totals()[1]
        index.close()
        files = sorted(path.name for path in self.layout.press_pictures.iterdir())
        assert sorted(rows) == files
        folders = (self.layout.press_pictures, self.layout.clips)
        assert used_bytes == sum(
            path.stat().st_blocks * 512 for folder in folders for path in folder.iterdir()
        )
        return files

    def clips(self) -> int:
        return len(list(self.layout.clips.iterdir()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_picture_is_on_the_disk_with_its_row_and_counts(store: Store) -> None:
    name = store.keep(EVENT, 1)
    assert store.left() == [name]
    assert is_finished_jpeg(store.layout.press_pictures / name)
    assert PressPictureName.parse(name) == PressPictureName(
        pressed_wall_us=store.time.wall_us() // 1000 * 1000,
        event_id=EVENT,
        press_number=1,
        clock="synchronised",
    )


def test_a_start_makes_rows_and_pictures_agree(store: Store) -> None:
    gone, orphan = store.keep(EVENT, 1), store.keep(EVENT, 2)
    store.worker.close()
    folder = store.layout.press_pictures
    (folder / gone).unlink()
    index = Index(store.layout.index)
    index.remove_picture(orphan)
    index.close()
    (folder / f".{gone}.new").write_bytes(b"half")
    (folder / "holiday.jpg").write_bytes(JPEG)
    (folder / gone.replace("_1_", "_3_")).write_bytes(JPEG[:-20])
    again = Store(store.layout.state_dir)
    assert again.left() == [orphan]
    put_aside = sorted(path.name for path in store.layout.quarantine.iterdir())
    assert put_aside == sorted(["holiday.jpg", gone.replace("_1_", "_3_")])


def test_an_index_that_is_lost_gets_its_pictures_back(store: Store) -> None:
    names = [store.keep(EVENT, number, at_s=number) for number in (1, 2)]
    store.worker.close()
    store.layout.index.write_bytes(b"no database")
    assert Store(store.layout.state_dir).left() == names


def test_a_picture_stays_when_the_limit_takes_its_clip(store: Store) -> None:
    store.clip(EVENT, at_s=0)
    name = store.keep(EVENT, 1, at_s=5)
    store.limit(90_000)
    assert store.clips() == 0
    assert store.left() == [name]


def test_pictures_take_a_quarter_of_the_limit_at_most_and_the_oldest_goes_first(store: Store) -> None:
    names = [store.keep(EVENT, number, at_s=number) for number in range(1, 9)]
    store.clip(OTHER, at_s=20)
    picture_bytes = (store.layout.press_pictures / names[0]).stat().st_blocks * 512
    store.limit(16 * picture_bytes)
    assert store.left() == names[4:]
    assert store.clips() == 0, "room is made by the clip, once the pictures have their share"


def test_without_a_clip_left_pictures_make_room(store: Store) -> None:
    names = [store.keep(EVENT, number, at_s=number) for number in range(1, 4)]
    store.limit(1)
    assert store.left() == [], names


def test_age_takes_pictures_but_not_of_a_starred_visit_nor_of_an_unsure_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Time, "flag", lambda _self: "synchronised")
    store = Store(tmp_path)
    starred = store.clip(EVENT, at_s=0)
    store.worker._index.protect(starred, on=True)  # noqa: SLF001
    kept = [store.keep(EVENT, 1), store.keep(OTHER, 1, clock="unsynchronised")]
    store.keep(OTHER, 2)
    store.time.now_us += 31 * DAY_US
    fresh = store.keep(OTHER, 3)
    store.limit(1 << 40, days=30)
    assert store.left() == sorted([*kept, fresh])


def test_the_owner_s_deletion_of_a_clip_takes_the_pictures_of_its_presses(store: Store) -> None:
    first, second = store.clip(EVENT, at_s=0), store.clip(EVENT, at_s=10)
    early, late = store.keep(EVENT, 1, at_s=5), store.keep(EVENT, 2, at_s=15)
    other = store.keep(OTHER, 1, at_s=5)
    assert store.left() == sorted([early, late, other])
    assert store.delete_clip(first) == {}
    assert store.left() == sorted([late, other])
    missed = store.keep(EVENT, 3, at_s=90)
    assert store.left() == sorted([late, other, missed])
    assert store.delete_clip(second) == {}
    assert store.left() == [other], "with the last clip all pictures of the visit go"


def test_the_owner_deletes_the_pictures_of_a_visit_without_a_clip(store: Store) -> None:
    store.keep(EVENT, 1)
    other = store.keep(OTHER, 1)
    assert store.answer(lambda reply: DeletePictures(event_id=EVENT, reply=reply)) == {}
    assert store.left() == [other]
    assert (
        "no press picture" in store.answer(lambda reply: DeletePictures(event_id=EVENT, reply=reply))["error"]
    )


def test_a_picture_that_cannot_be_written_is_a_fault_and_stops_nothing(store: Store) -> None:
    store.layout.press_pictures.rmdir()
    store.keep(EVENT, 1)
    store.layout.press_pictures.mkdir()
    name = store.keep(EVENT, 2)
    assert store.left() == [name]
