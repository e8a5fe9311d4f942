"""The rows of the page's lists: one for each ring, one for each visit without a ring."""

import json
from pathlib import Path
from typing import Any

import pytest

from device.events import Cause
from device.store.event_log import EventLog
from device.store.index import ClipRow, Index, PressPictureRow
from device.store.messages import NewFact
from device.store.timeline_query import Kind, busy_quarters, visit_json, visits_json
from device.system.ulid import new_ulid

DAY_US = 86_400_000_000
BEGIN_US = 1_764_000_000_000_000 // DAY_US * DAY_US
"""Midnight of a day, UTC."""


class Timeline:
    """A log and an index; times are minutes after midnight."""

    def __init__(self, folder: Path) -> None:
        self.log_path, self.index_path = folder / "log.db", folder / "index.db"
        self.log = EventLog(self.log_path, boot_id="test", keep_rows=1000)
        self.index = Index(self.index_path)

    def event(self, minute: float) -> str:
        return new_ulid(self.us(minute))

    @staticmethod
    def us(minute: float) -> int:
        return BEGIN_US + int(minute * 60_000_000)

    def tell(self, kind: str, event_id: str, minute: float, **fields: Any) -> None:
        fact = NewFact(
            kind=kind, mono_us=0, wall_us=self.us(minute), clock="synchronised", late=False, event_id=event_id,
            fields=fields,
        )  # fmt: skip
        self.log.write([fact], [], None)

    def press(self, event_id: str, minute: float, number: int = 1) -> None:
        self.tell("press", event_id, minute, press_number=number)

    def motion(self, event_id: str, minute: float) -> None:
        self.tell("motion_started", event_id, minute, zones=["path"])

    def clip(
        self,
        event_id: str,
        minute: float,
        minutes: float = 1,
        *,
        starred: bool = False,
        cause: Cause = "motion",
    ) -> str:
        clip_id = f"clip-{minute:g}"
        self.index.add(ClipRow(
            clip_id=clip_id, event_id=event_id, cause=cause, file_name=clip_id, started_wall_us=self.us(minute),
            duration_us=int(minutes * 60_000_000), clock="synchronised", boot_id="", started_mono_us=0, size_bytes=1,
            disk_bytes=1, sha256="", protected=int(starred),
        ))  # fmt: skip
        return clip_id

    def picture(self, event_id: str, minute: float, number: int = 1) -> None:
        self.index.add_picture(PressPictureRow(
            file_name=f"{event_id}-{number}", event_id=event_id, press_number=number, pressed_wall_us=self.us(minute),
            clock="synchronised", disk_bytes=1,
        ))  # fmt: skip

    def rows(
        self, kind: Kind = "all", *, begin: float = 0, end: float = 1440, most: int = 100
    ) -> list[dict[str, Any]]:
        table = json.loads(
            visits_json(self.log_path, self.index_path, self.us(begin), self.us(end), kind=kind, most=most)
        )
        return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]

    def brief(self, kind: Kind = "all", **span: Any) -> list[tuple[float, int, list[str], int]]:
        """Return (minute, press, clips, picture) of each row."""
        return [
            ((row["at_ms"] * 1000 - BEGIN_US) / 60e6, row["press"], [clip[0] for clip in row["clips"]], row["picture"])
            for row in self.rows(kind, **span)
        ]  # fmt: skip


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    return Timeline(tmp_path)


def test_fifteen_rings_of_a_busy_street_are_fifteen_rows_with_their_times(timeline: Timeline) -> None:
    event = timeline.event(600)
    timeline.motion(event, 600)
    for number in range(1, 16):
        timeline.press(event, 600 + number, number)
        timeline.picture(event, 600 + number, number)
    assert timeline.brief() == [(600 + number, number, [], 1) for number in range(15, 0, -1)]


def test_a_ring_has_the_clip_that_shows_it(timeline: Timeline) -> None:
    event = timeline.event(600)
    timeline.motion(event, 600)
    first, second = timeline.clip(event, 600, 2), timeline.clip(event, 602, 2)
    timeline.press(event, 601)
    timeline.press(event, 603.5, 2)
    timeline.press(event, 610, 3)
    assert timeline.brief() == [(610, 3, [], 0), (603.5, 2, [second], 0), (601, 1, [first], 0)]
    assert json.loads(visit_json(timeline.log_path, timeline.index_path, event)) == {
        "clips": [
            [first, timeline.us(600) // 1000, 120_000, 0],
            [second, timeline.us(602) // 1000, 120_000, 0],
        ],
        "pictures": [],
    }


def test_a_ring_after_midnight_is_on_its_own_day_though_the_visit_began_before(timeline: Timeline) -> None:
    event = timeline.event(1439)
    timeline.motion(event, 1439)
    timeline.press(event, 1441)
    assert timeline.brief() == []
    assert timeline.brief(begin=1440, end=2880) == [(1441, 1, [], 0)]


def test_a_visit_without_a_ring_is_one_row_with_all_its_clips(timeline: Timeline) -> None:
    event = timeline.event(600)
    timeline.motion(event, 600)
    timeline.motion(event, 601)
    clips = [timeline.clip(event, 600), timeline.clip(event, 601)]
    (row,) = timeline.rows()
    assert (row["press"], row["motions"], row["zones"], row["picture"]) == (0, 2, ["path"], 0)
    assert [clip[0] for clip in row["clips"]] == clips


def test_what_the_log_forgot_is_built_from_clips_and_pictures(timeline: Timeline) -> None:
    moved, rung, pictured = timeline.event(600), timeline.event(700), timeline.event(800)
    of_motion, of_ring = timeline.clip(moved, 600), timeline.clip(rung, 700, cause="press")
    timeline.picture(pictured, 800, 2)
    assert timeline.brief() == [(800, 2, [], 1), (700, 1, [of_ring], 0), (600, 0, [of_motion], 0)]


def test_a_kind_is_found_over_all_days_newest_first(timeline: Timeline) -> None:
    starred, rung, moved = timeline.event(100), timeline.event(3000), timeline.event(5000)
    timeline.press(starred, 100.5)
    clip = timeline.clip(starred, 100, starred=True)
    timeline.press(rung, 3000)
    timeline.clip(rung, 3000)
    timeline.motion(moved, 5000)
    of_motion = timeline.clip(moved, 5000, starred=True)
    far: dict[str, Any] = {"begin": 0, "end": 100_000}
    assert [row["press"] for row in timeline.rows(**far)] == [0, 1, 1]
    assert timeline.brief("starred", **far) == [(5000, 0, [of_motion], 0), (100.5, 1, [clip], 0)]
    assert [minute for minute, *_ in timeline.brief("rings", **far)] == [3000, 100.5]
    assert [minute for minute, *_ in timeline.brief("motion", **far)] == [5000]
    assert [minute for minute, *_ in timeline.brief("rings", **far, most=1)] == [3000]


def test_the_calendar_marks_the_quarters_with_visits_and_rings(timeline: Timeline) -> None:
    rung, moved = timeline.event(20), timeline.event(75)
    timeline.press(rung, 20)
    timeline.motion(moved, 75)
    timeline.clip(timeline.event(200), 200, cause="press")
    found = busy_quarters(timeline.log_path, timeline.index_path, timeline.us(0), timeline.us(1440))
    begin_s = BEGIN_US // 1_000_000
    assert found == [(begin_s + 900, 1, 1), (begin_s + 4500, 1, 0), (begin_s + 11_700, 1, 1)]
