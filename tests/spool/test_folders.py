"""F19: hostile and half-written files in the spool; and mutual independence of its two sides."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.spool.folders import (
    MAX_BUNDLE_BYTES,
    Item,
    SpoolReader,
    SpoolWriter,
    Unreadable,
    bundle,
    items_of,
    read_small,
    write_small,
)


class Box:
    """A spool with both its sides."""

    def __init__(self, folder: Path) -> None:
        self.inside, self.out = folder / "in", folder / "out"
        self.inside.mkdir()
        self.out.mkdir()

    def courier(self) -> SpoolWriter:
        return SpoolWriter(self.inside, self.out)

    def doorbell(self) -> SpoolReader:
        return SpoolReader(self.inside, self.out)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def one(text: str) -> bytes:
    return bundle([Item(source="notice", content=text.encode())])


def drain(doorbell: SpoolReader) -> list[str]:
    heard = []
    for number in doorbell.waiting():
        heard += [item.content.decode() for item in items_of(doorbell.open(number), str(number))]
        doorbell.done(number)
    return heard


def test_bundles_are_read_once_in_order_and_then_pruned(box: Box) -> None:
    courier, doorbell = box.courier(), box.doorbell()
    for number in range(5):
        courier.put(one(f"{number}"))
    assert drain(doorbell) == ["0", "1", "2", "3", "4"]
    assert drain(doorbell) == []
    courier.prune()
    assert list(box.inside.iterdir()) == []
    courier.put(one("5"))
    assert drain(doorbell) == ["5"]


def test_each_side_may_restart_at_any_time(box: Box) -> None:
    box.courier().put(one("a"))
    box.courier().put(one("b"))
    assert drain(box.doorbell()) == ["a", "b"]
    box.courier().prune()
    box.courier().put(one("c"))
    assert drain(box.doorbell()) == ["c"]
    # The courier's folder was wiped: its numbers go on behind what was read.
    for left in box.inside.iterdir():
        left.unlink()
    box.courier().put(one("d"))
    assert drain(box.doorbell()) == ["d"]


def test_the_doorbell_may_be_away_for_a_week_and_the_folder_stays_bounded(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.spool.folders.MAX_IN_BYTES", 10_000)
    courier = box.courier()
    put = 0
    while courier.has_room(1000):
        courier.put(one("x" * 700))
        put += 1
    assert 5 < put < 15
    assert len(drain(box.doorbell())) == put
    courier.prune()
    assert courier.has_room(1000)


def test_a_half_written_file_is_never_seen(box: Box) -> None:
    (box.inside / ".000000000001.in.77").write_bytes(one("half")[:5])
    assert box.doorbell().waiting() == []
    box.courier()
    assert list(box.inside.iterdir()) == []


def hostile(box: Box, kind: str) -> Path:
    path = box.inside / "000000000001.in"
    match kind:
        case "symlink":
            (box.out / "secret").write_text("the doorbell's own")
            path.symlink_to(box.out / "secret")
        case "dangling":
            path.symlink_to("/nowhere")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(path))
        case "hard link":
            (box.out / "secret").write_text("the doorbell's own")
            path.hardlink_to(box.out / "secret")
        case "giant":
            with path.open("wb") as file:
                file.truncate(MAX_BUNDLE_BYTES + 1)
    return path


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("symlink", "not_a_file"),
        ("dangling", "not_a_file"),
        ("fifo", "not_a_file"),
        ("folder", "not_a_file"),
        ("socket", "not_a_file"),
        ("hard link", "not_a_file"),
        ("giant", "too_large"),
    ],
)
def test_a_file_that_is_not_the_courier_s_is_refused_and_blocks_nothing(
    box: Box, kind: str, word: str
) -> None:
    hostile(box, kind)
    doorbell = box.doorbell()
    (number,) = doorbell.waiting()
    with pytest.raises(Unreadable) as error:
        doorbell.open(number)
    assert error.value.word == word
    doorbell.done(number)
    assert doorbell.waiting() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(box: Box) -> None:
    box.courier().put(one("x"))
    os.chown(box.inside / "000000000001.in", 12345, 12345)
    with pytest.raises(Unreadable, match="wrong_owner"):
        box.doorbell().open(1)


@pytest.mark.parametrize(
    "content",
    [
        b"notice",
        b"notice \n",
        b"notice YQ==",
        b"notice YQ\n",
        b"notice Y Q=\n",
        b"../../x YQ==\n",
        b"NOTICE YQ==\n",
        b"\x00\xff\n",
        b"\n",
        b"notice " + b"A" * 1_500_000 + b"\n",
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_bundle_that_no_courier_writes_is_refused_whole(content: bytes) -> None:
    if content == b"notice \n":  # nothing was heard; the gate says so
        assert items_of(content, "1") == [Item(source="notice", content=b"")]
        return
    with pytest.raises(Unreadable, match="broken_file"):
        items_of(content, "1")


@given(st.lists(st.tuples(st.sampled_from(["request", "notice", "feed:weather-1"]), st.binary(max_size=200))))
def test_messages_arrive_unchanged(heard: list[tuple[str, bytes]]) -> None:
    items = [Item(source=source, content=content) for source, content in heard]
    assert items_of(bundle(items), "1") == items


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    with suppress(Unreadable):
        items_of(content, "1")


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    write_small(tmp_path, "settings.json", b"one")
    write_small(tmp_path, "settings.json", b"two")
    assert read_small(tmp_path, "settings.json") == b"two"
    assert read_small(tmp_path, "nothing") is None
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_numbers_that_a_hostile_courier_makes_up_break_nothing(box: Box) -> None:
    (box.inside / "999999999999.in").write_bytes(one("far"))
    (box.inside / "١٢٣.in").write_bytes(one("arabic digits"))
    (box.inside / "0.in").write_bytes(one("short"))
    doorbell = box.doorbell()
    assert drain(doorbell) == ["far"]
    # What comes after it is read, from a courier that goes on and from one that starts again.
    for text in ("next", "after a restart"):
        box.courier().put(one(text))
        assert drain(doorbell) == [text]
        assert drain(box.doorbell()) == []
    assert not (box.inside / "1000000000000.in").exists()
    courier = box.courier()
    courier.prune()
    courier.put(one("after pruning"))
    assert drain(box.doorbell()) == ["after pruning"]
    assert sorted(doorbell.strangers()) == ["0.in", "١٢٣.in"]


@pytest.mark.parametrize("name", ["999999999999.in", "000000000002.in", "000000004097.in"])
def test_an_empty_bundle_of_any_number_makes_nobody_deaf(box: Box, name: str) -> None:
    courier, doorbell = box.courier(), box.doorbell()
    courier.put(one("before"))
    assert drain(doorbell) == ["before"]
    (box.inside / name).touch()
    assert drain(doorbell) == []
    for number in range(3):
        courier.prune()
        courier.put(one(f"{number}"))
        assert drain(doorbell) == [f"{number}"]
    courier.prune()
    assert list(box.inside.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "fifo", "symlink", "socket", "giant"])
def test_anything_with_the_name_of_a_bundle_stops_no_courier(box: Box, kind: str) -> None:
    courier = box.courier()
    for number in (2, 5):
        path = hostile(box, kind).rename(box.inside / f"{number:012d}.in")
        if kind == "folder":
            (path / "with").mkdir()
            (path / "with/contents").touch()
        (box.out / "secret").unlink(missing_ok=True)
    courier.put(one("first"))
    courier.put(one("second"))
    doorbell = box.doorbell()
    heard = []
    for number in doorbell.waiting():
        with suppress(Unreadable):
            heard += [item.content for item in items_of(doorbell.open(number), "")]
        doorbell.done(number)
    assert heard == [b"first", b"second"]
    courier.prune()
    assert courier.obstacle == ""
    assert list(box.inside.iterdir()) == []


def test_a_courier_that_starts_removes_what_no_courier_writes(box: Box) -> None:
    for name in ("000000000001.in", ".half", "status.json", "strange"):
        (box.inside / name).mkdir()
    os.mkfifo(box.inside / "000000000002.in")
    box.courier()
    assert list(box.inside.iterdir()) == []


def test_a_doorbell_that_lost_its_place_reads_again_and_goes_on(box: Box) -> None:
    courier = box.courier()
    for number in range(3):
        courier.put(one(f"{number}"))
    drain(box.doorbell())
    (box.out / "read").write_bytes(b"\xff not a number")
    assert drain(box.doorbell()) == ["0", "1", "2"]
    courier.prune()
    courier.put(one("3"))
    assert drain(box.doorbell()) == ["3"]


def test_the_courier_believes_no_list_that_is_too_long_or_broken(box: Box) -> None:
    box.courier().put(one("a"))
    for content in (b"1\n" * 5000, b"1 -1", b"1 1e9", b"9" * 13, b"\x00"):
        (box.out / "read").write_bytes(content)
        box.courier().prune()
        assert (box.inside / "000000000001.in").exists(), content
