"""What the storage worker reports about each clip: being written, kept, not recorded or deleted, and why."""

import json
import queue
from dataclasses import replace
from pathlib import Path

import pytest

from device.events import ClipDeleted, ClipDropped, ClipKept, Fact, Fault, RecordingNow
from device.policy.episode import CloseClip, OpenClip
from device.store.layout import Layout
from device.store.messages import DeleteClip, NewFact, StorageMessage
from device.store.ring import RingBuffer
from device.store.timeline_query import visits_json
from tests.support.storage import FPS, Time, pictures, storage_worker

EVENT = "01KA0000000000000000000001"
OTHER = "01KA0000000000000000000002"


class Store:
    """A storage worker whose camera delivers when a test says so."""

    def __init__(self, folder: Path, *, limit_bytes: int = 1 << 50, reserve_bytes: int = 0) -> None:
        self.folder = folder
        self.time = Time()
        self.ring = RingBuffer(keep_us=60_000_000, limit_bytes=2_000_000)
        self.facts: list[Fact] = []
        self.orders: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
        self.worker = storage_worker(
            folder, self.time, self.orders, inbox=self.facts.append, ring=self.ring,
            limit_bytes=limit_bytes, reserve_bytes=reserve_bytes,
        )  # fmt: skip
        assert self.worker.open(lambda: None)
        self._pictures = pictures()

    def order(self, *orders: StorageMessage) -> None:
        for order in orders:
            self.orders.put(order)
        self.worker.step(wait_s=0)

    def visit(self, event_id: str, *, seconds: int = 2, camera: bool = True) -> None:
        """Record a visit from its first picture to its end, and let the recording come to its own end."""
        self.order(OpenClip(event_id=event_id, cause="press", from_us=self.time.now_us))
        self.pass_s(seconds, camera=camera)
        self.order(CloseClip(event_id=event_id, until_us=self.time.now_us))
        self.pass_s(4, camera=camera)

    def pass_s(self, seconds: int, *, camera: bool = True) -> None:
        for number in range(seconds * FPS):
            self.time.now_us += 1_000_000 // FPS
            if camera:
                picture = self._pictures[number % len(self._pictures)]
                at_us = self.time.now_us
                self.ring.writer().append(replace(picture, pts_us=at_us, dts_us=at_us))
        self.worker.step(wait_s=0)

    def dropped(self) -> list[tuple[str, str]]:
        return [(fact.event_id, fact.reason) for fact in self.facts if isinstance(fact, ClipDropped)]

    def deleted(self) -> list[tuple[str, str]]:
        return [(fact.event_id, fact.reason) for fact in self.facts if isinstance(fact, ClipDeleted)]


def test_a_visit_is_being_recorded_while_its_file_grows_and_not_before_a_picture(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.order(OpenClip(event_id=EVENT, cause="press", from_us=store.time.now_us))
    assert [fact for fact in store.facts if isinstance(fact, RecordingNow)] == []
    store.pass_s(1)
    store.order(CloseClip(event_id=EVENT, until_us=store.time.now_us))
    store.pass_s(1)
    reports = [fact for fact in store.facts if isinstance(fact, RecordingNow | ClipKept)]
    assert reports[0] == RecordingNow(event_ids=(EVENT,))
    assert isinstance(reports[1], ClipKept)
    assert reports[2:] == [RecordingNow(event_ids=())]
    assert store.dropped() == []


def test_a_visit_without_pictures_is_reported_when_it_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.visit(EVENT, camera=False)
    assert store.dropped() == [(EVENT, "no_pictures")]


@pytest.mark.parametrize("recorded", [False, True])
def test_privacy_ends_a_recording_and_is_the_reason_if_nothing_was_written(
    tmp_path: Path, *, recorded: bool
) -> None:
    store = Store(tmp_path)
    store.order(OpenClip(event_id=EVENT, cause="press", from_us=store.time.now_us))
    store.pass_s(2, camera=recorded)
    store.ring.close()
    store.order(CloseClip(event_id=EVENT, until_us=store.time.now_us))
    store.ring.open()
    store.pass_s(5)
    kept = [fact.duration_us for fact in store.facts if isinstance(fact, ClipKept)]
    assert (len(kept), store.dropped()) == ((1, []) if recorded else (0, [(EVENT, "privacy")]))
    assert all(length_us <= 2_000_000 for length_us in kept), "nothing of after privacy is in it"


def test_what_the_owner_deletes_and_what_the_limit_deletes_have_their_reasons(tmp_path: Path) -> None:
    store = Store(tmp_path, limit_bytes=60_000)
    store.visit(EVENT)
    (kept,) = [fact for fact in store.facts if isinstance(fact, ClipKept)]
    store.order(DeleteClip(clip_id=kept.clip_id, reply=lambda _: None))
    assert store.deleted() == [(EVENT, "owner")]
    for _ in range(6):
        store.visit(OTHER)
    assert set(store.deleted()[1:]) == {(OTHER, "limit")}


def test_a_card_that_others_fill_is_named_as_such_and_a_higher_limit_is_not_the_remedy(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path, reserve_bytes=1 << 49)
    store.visit(EVENT)
    assert store.deleted() == [(EVENT, "reserve")]
    store.pass_s(6)
    fault = next(fact for fact in store.facts if isinstance(fact, Fault) and fact.code == "storage_full")
    assert fault.reason == "reserve"
    assert "limit_bytes" not in fault.text + fault.remedy


def test_the_visits_say_why_they_have_no_clip(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fact(kind: str, event_id: str, **fields: str) -> NewFact:
        return NewFact(
            kind=kind, mono_us=0, wall_us=store.time.wall_us(), clock="synchronised", late=False,
            event_id=event_id, fields=fields,
        )  # fmt: skip

    third = EVENT[:-1] + "3"
    store.visit(OTHER)
    store.order(
        *(fact("motion_started", event_id) for event_id in (EVENT, OTHER, third)),
        fact("clip_dropped", EVENT, reason="disk_slow"),
        fact("clip_deleted", EVENT, reason="reserve"),
        fact("clip_dropped", OTHER, reason="disk_slow"),
    )
    layout = Layout(tmp_path)
    table = json.loads(visits_json(layout.event_log, layout.index, 0, store.time.wall_us() + 1_000_000))
    rows = {row[0]: row[table["columns"].index("no_clip")] for row in table["rows"]}
    assert rows == {EVENT: "reserve", OTHER: None, third: None}
