"""The ring and the log, on their own."""

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device.events import Packet, SoundFormat, SoundPacket, VideoFormat
from device.store.clip_name import ClipName
from device.store.event_log import EventLog, EventLogReader
from device.store.messages import NewFact
from device.store.ring import RingBuffer

VIDEO = VideoFormat(codec="h264", width_px=2, height_px=2, epoch=1)


def packet(number: int, *, gop: int, size: int = 100) -> Packet:
    us = number * 100_000
    return Packet(
        data=b"", size_bytes=size, pts_us=us, dts_us=us, duration_us=100_000,
        is_keyframe=number % gop == 0, format=VIDEO,
    )  # fmt: skip


@pytest.mark.parametrize("gop", [10, 20, 40])
def test_any_pre_roll_begins_with_a_keyframe_at_or_before_it(gop: int) -> None:
    ring = RingBuffer(keep_us=5_000_000, limit_bytes=10_000_000)
    for number in range(500):
        ring.writer().append(packet(number, gop=gop))
        if number > 100:
            wanted = number * 100_000 - 5_000_000
            first = next(ring.reader(wanted).take())
            assert first.is_keyframe
            assert wanted - gop * 100_000 < first.pts_us <= wanted


def test_bytes_are_a_hard_limit_and_a_slow_reader_is_told() -> None:
    ring = RingBuffer(keep_us=60_000_000, limit_bytes=5000)
    reader = ring.reader(0)
    for number in range(200):
        ring.writer().append(packet(number, gop=10))
        assert ring.size_bytes <= 5000
    packets = list(reader.take())
    assert reader.lost + len(packets) == 200
    assert packets[0].is_keyframe
    assert list(reader.take()) == []


def test_sound_counts_in_the_ring_and_a_keyframes_sound_is_found_in_front_of_it() -> None:
    ring = RingBuffer(keep_us=60_000_000, limit_bytes=60_000)
    form = SoundFormat(codec="aac", rate_hz=48_000, channels=1, header=b"")
    for number in range(1000):
        # As from a camera whose pictures are coded for 0.3 s, and its sound for none.
        ahead_us = number * 100_000 + 300_000
        sound = SoundPacket(data=b"", size_bytes=50, pts_us=ahead_us, duration_us=100_000, format=form)
        ring.writer().append(sound)
        ring.writer().append(packet(number, gop=20))
        assert ring.size_bytes <= 60_000
    (first, *rest) = ring.reader(90_000_000).take()
    assert isinstance(first, SoundPacket)
    keyframe = next(p for p in rest if p.is_keyframe)
    assert first.pts_us == keyframe.pts_us == 90_000_000


def test_a_readers_packets_are_the_cameras_own_and_no_copies() -> None:
    ring = RingBuffer(keep_us=1_000_000, limit_bytes=5000)
    given = [replace(packet(number, gop=10), data=bytearray(100)) for number in range(30)]
    reader = ring.reader(0)
    for one in given:
        ring.writer().append(one)
    packets = list(reader.take())
    assert packets
    for packet_out, packet_in in zip(packets, given[reader.lost :], strict=True):
        assert packet_out is packet_in
        assert packet_out.data is packet_in.data


def test_packets_that_the_ring_drops_are_freed() -> None:
    ring = RingBuffer(keep_us=60_000_000, limit_bytes=5000)
    watched = []
    for number in range(200):
        data = np.ones(100, np.uint8)
        watched.append(weakref.ref(data))
        ring.writer().append(replace(packet(number, gop=10), data=data))
        del data
        held = [alive for ref in watched if (alive := ref()) is not None]
        assert sum(alive.nbytes for alive in held) == ring.size_bytes <= 5000
        del held


def test_one_packet_larger_than_the_limit_is_not_held_either() -> None:
    ring = RingBuffer(keep_us=60_000_000, limit_bytes=5000)
    for number in range(30):
        ring.writer().append(packet(number, gop=10, size=6000 if number == 15 else 100))
        assert ring.size_bytes <= 5000
    assert next(ring.reader(0).take()).is_keyframe


def test_privacy_empties_the_ring_and_ends_whoever_reads_and_writes_it() -> None:
    ring = RingBuffer(keep_us=60_000_000, limit_bytes=5000)
    writer, idle, busy = ring.writer(), ring.reader(0), ring.reader(0)
    for number in range(5):
        writer.append(packet(number, gop=10))
    taken = busy.take()
    assert next(taken).pts_us == 0
    ring.close()
    assert list(taken) == [], "what a reader was just handed ends too"
    assert (list(idle.take()), list(busy.take())) == ([], [])
    assert ring.size_bytes == 0
    in_privacy = ring.writer()
    in_privacy.append(packet(10, gop=10))
    assert list(ring.reader(0).take()) == []
    ring.open()
    for late in (writer, in_privacy):  # a camera that codes what it saw before, or a thread that woke up late
        late.append(packet(20, gop=10))
    after, reader = packet(30, gop=10), ring.reader(0)
    ring.writer().append(after)
    assert list(reader.take()) == [after]
    for before in (idle, busy):
        before.seek(0)
        assert list(before.take()) == []
    assert [one.closed for one in (writer, in_privacy, idle, busy, reader)] == [True] * 4 + [False]


def test_a_reader_that_breaks_off_goes_on_there_and_skips_only_ahead() -> None:
    ring = RingBuffer(keep_us=60_000_000, limit_bytes=50_000)
    writer, reader = ring.writer(), ring.reader(0)
    for number in range(25):
        writer.append(packet(number, gop=10))
    for one in reader.take():
        if one.pts_us == 300_000:
            break
    assert next(reader.take()).pts_us == 400_000
    assert reader.skip()
    assert next(reader.take()).pts_us == 2_000_000
    assert not reader.skip(), "the newest keyframe is behind it"
    assert next(reader.take()).pts_us == 2_100_000


def fact(kind: str, *, late: bool | None = False, press_id: int | None = None) -> NewFact:
    return NewFact(kind=kind, mono_us=0, wall_us=0, clock="synchronised", late=late, press_id=press_id)


def test_nothing_behind_an_undecided_press_is_sent_and_a_restart_decides(tmp_path: Path) -> None:
    event_log = EventLog(tmp_path / "log.db", boot_id="b", keep_rows=100)
    event_log.write([fact("a"), fact("press", late=None, press_id=1), fact("c")], [], None)
    assert [row.payload["kind"] for row in event_log.pending(0, 10)] == ["a"]
    event_log.write([], [(1, False)], None)
    assert [row.payload["late"] for row in event_log.pending(0, 10)] == [False, False, False]
    event_log.write([fact("press", late=None, press_id=2)], [], 3)
    event_log.close()
    event_log = EventLog(tmp_path / "log.db", boot_id="b", keep_rows=100)
    assert [(row.seq, row.payload["late"]) for row in event_log.pending(3, 10)] == [(4, True)]
    assert event_log.pending_count() == 1
    assert event_log.acked_seq() == 3


def test_the_log_keeps_its_newest_rows_and_never_reuses_a_number(tmp_path: Path) -> None:
    event_log = EventLog(tmp_path / "log.db", boot_id="b", keep_rows=10)
    for _ in range(30):
        event_log.write([fact("x")], [], None)
    rows = EventLogReader(tmp_path / "log.db").latest(100)
    assert [row.seq for row in rows] == list(range(21, 31))


def test_a_clip_name_says_all_and_reads_back(tmp_path: Path) -> None:
    name = ClipName(
        started_wall_us=1_764_015_617_123_000, event_id="01KAVZ0000000000000000ABCD",
        cause="press", clock="unsynchronised",
    )  # fmt: skip
    assert ClipName.parse(name.file_name) == name
    assert name.clip_id.endswith("-ABCD")
    assert not name.is_taken(tmp_path)
    for other in (
        replace(name, started_wall_us=name.started_wall_us + 1000),
        replace(name, event_id="0" * 26),
    ):
        (tmp_path / other.file_name).touch()
    assert not name.is_taken(tmp_path)
    (tmp_path / (replace(name, cause="motion", clock="synchronised").file_name + ".part")).touch()
    assert name.is_taken(tmp_path)
    for bad in ("x.mp4", name.file_name + "x", name.file_name.replace("press", "other")):
        assert ClipName.parse(bad) is None
