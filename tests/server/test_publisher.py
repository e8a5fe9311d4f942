"""The publisher's decisions: what is published, where, and what it ends; without broker and spool."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.consent.area import circle, contains, corners_of
from device.consent.geohash import bounds, geohash
from device.consent.reasons import Refused
from server.cells import cells_of, topic
from server.items import Items
from server.publisher import spooled
from server.render import write_all
from server.validator import Validator
from tests.support import envelopes


class PublisherHarness:
    """A validator with its items."""

    def __init__(self, folder: Path) -> None:
        self.senders = folder / "senders"
        self.senders.mkdir(exist_ok=True)
        for name, payload, key in (
            ("police", envelopes.RECORD_PAYLOAD, envelopes.AGENCY),
            ("news", envelopes.NEWS_PAYLOAD, envelopes.NEWS),
        ):
            content = envelopes.signed(
                envelopes.header(envelopes.RECORD, envelopes.kid(key)), envelopes.text(payload), key
            )
            (self.senders / f"{name}.jws").write_bytes(content + b"\n")
        self.folder = folder
        self.open()

    def open(self) -> None:
        self.items = Items(self.folder / "items.db")
        self.validator = Validator(self.items, self.senders, envelopes.NOW)

    def take(self, content: bytes) -> tuple[list[str], list[str]]:
        new, gone = self.validator.take(content, envelopes.NOW)
        return [f"{item.op} {item.id[-1]}" for item in new], [item.id[-1] for item in gone]

    def live(self) -> list[str]:
        return [f"{item.op} {item.id[-1]}" for item in self.items.live()]


@pytest.fixture
def publisher(tmp_path: Path) -> PublisherHarness:
    return PublisherHarness(tmp_path)


def ulid(number: int) -> str:
    return f"01KA{number:022d}"


def cancel(number: int, role: str = "source", typ: str = envelopes.NOTICE) -> bytes:
    payload = {
        "v": 1,
        "op": "cancel",
        "id": ulid(number),
        role: "paris-example",
        "iat": envelopes.NOTICE_PAYLOAD["iat"],
    }
    return envelopes.signed(envelopes.header(typ, envelopes.kid(envelopes.AGENCY)), envelopes.text(payload))


def test_a_message_of_an_enrolled_sender_is_published_once(publisher: PublisherHarness) -> None:
    assert publisher.take(envelopes.notice(id=ulid(1))) == (["issue 1"], [])
    assert publisher.take(envelopes.notice(id=ulid(1)) + b"\n") == ([], [])
    assert publisher.take(envelopes.request(id=ulid(2))) == (["issue 2"], [])
    assert publisher.live() == ["issue 1", "issue 2"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        envelopes.request(envelopes.STRANGER),
        envelopes.request(agency="lyon-example"),
        envelopes.notice(envelopes.NEWS, source="courier-example"),
        envelopes.signed(
            envelopes.header(envelopes.RECORD, envelopes.kid(envelopes.AGENCY)),
            envelopes.text(envelopes.RECORD_PAYLOAD),
        ),
        envelopes.notice(area=circle(4.8357, 45.7640, 900, 16)),
        cancel(9),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_messages_that_a_doorbell_would_refuse_are_not_published(
    publisher: PublisherHarness, content: bytes
) -> None:
    with pytest.raises(Refused):
        publisher.take(content)
    assert publisher.live() == []


def test_a_newer_notice_removes_the_older_and_a_cancellation_replaces_it(
    publisher: PublisherHarness,
) -> None:
    publisher.take(envelopes.notice(id=ulid(1)))
    assert publisher.take(envelopes.notice(id=ulid(2), supersedes=[ulid(1)])) == (["issue 2"], ["1"])
    assert publisher.live() == ["issue 2"]
    assert publisher.take(cancel(2)) == (["cancel 2"], [])
    for number in (1, 2):  # somebody lays the old ones into the spool again
        assert publisher.take(envelopes.notice(id=ulid(1)) if number == 1 else cancel(2)) == ([], [])
    assert publisher.live() == ["cancel 2"]


def test_everything_is_known_again_after_a_restart(publisher: PublisherHarness) -> None:
    publisher.take(envelopes.request(id=ulid(1)))
    publisher.take(envelopes.notice(id=ulid(2)))
    publisher.take(cancel(1, "agency", envelopes.REQUEST))
    publisher.items.close()
    publisher.open()
    assert publisher.live() == ["issue 2", "cancel 1"]
    assert publisher.take(envelopes.notice(id=ulid(2))) == ([], [])
    assert publisher.take(envelopes.request(id=ulid(1))) == ([], [])
    assert publisher.live() == ["issue 2", "cancel 1"]


def test_expired_messages_are_unpublished_and_later_forgotten(publisher: PublisherHarness) -> None:
    publisher.take(envelopes.notice(id=ulid(1)))
    publisher.items.expire(envelopes.NOW + 7 * 3600)
    assert publisher.live() == []
    assert len(list(publisher.items.all())) == 1
    publisher.items.expire(envelopes.NOW + 60 * 86_400)
    assert list(publisher.items.all()) == []


def test_an_unreadable_record_is_reported_and_enrols_no_sender(publisher: PublisherHarness) -> None:
    (publisher.senders / "broken.jws").write_bytes(b"junk")
    publisher.open()
    assert publisher.take(envelopes.notice(id=ulid(1)))[0] == ["issue 1"]


# --- where ----------------------------------------------------------------------------------------


@given(
    st.floats(-179, 179),
    st.floats(-80, 80),
    st.floats(120, 4000),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
)
def test_every_point_of_an_area_is_in_a_cell_of_its_topics(
    longitude: float, latitude: float, radius_m: float, shares: list[tuple[float, float]]
) -> None:
    corners = corners_of(circle(longitude, latitude, radius_m, 16), 64)
    cells = cells_of(corners)
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    for x_share, y_share in shares:
        x, y = west + (east - west) * x_share, south + (north - south) * y_share
        if contains(corners, x, y):
            assert geohash(x, y, 5) in cells
    for cell in cells:
        left, low, right, high = bounds(cell)
        assert left <= east
        assert right >= west
        assert low <= north
        assert high >= south


def test_an_area_larger_than_a_town_is_refused() -> None:
    corners = np.array([[0.0, 40.0], [10.0, 40.0], [10.0, 50.0], [0.0, 50.0]])
    with pytest.raises(Refused, match="cells"):
        cells_of(corners)


def test_a_topic_has_at_most_five_geohash_letters() -> None:
    assert topic("u09tu", "request", "paris", "01KA") == "hood/cell/u09t/u/request/paris/01KA"


# --- the spool ------------------------------------------------------------------------------------


def test_the_spool_is_read_in_the_order_of_arrival_and_holds_no_traps(tmp_path: Path) -> None:
    for number, name in enumerate(("f" * 32, "0" * 32, "a" * 32)):
        (tmp_path / name).write_bytes(b"%d" % number)
        os.utime(tmp_path / name, ns=(number, number))
    (tmp_path / ("b" * 32)).symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / ("c" * 32))
    (tmp_path / "readme").write_text("not of the spool")
    found = list(spooled(tmp_path, 10))
    assert [content for _, content in found] == [b"0", b"1", b"2"]
    assert {path.name for path in tmp_path.iterdir()} == {"f" * 32, "0" * 32, "a" * 32, "readme"}


def test_a_huge_file_in_the_spool_costs_no_memory(tmp_path: Path) -> None:
    with (tmp_path / ("0" * 32)).open("wb") as giant:
        giant.truncate(10_000_000_000)
    ((_, content),) = spooled(tmp_path, 10)
    assert len(content) < 40_000


def test_the_templates_have_no_unfilled_placeholder(tmp_path: Path) -> None:
    names = ("host", "bind", "https", "mqtts", "cert", "key", "ca", "nginx_user", "broker_user")
    values = {name: f"<{name}>" for name in names}
    values |= {name: str(tmp_path / name) for name in ("spool", "run", "state")}
    write_all(tmp_path, values)
    for name in ("nginx.conf", "mosquitto.conf"):
        assert "@" not in (tmp_path / name).read_text()
    assert json.dumps(sorted(path.name for path in (tmp_path / "spool").iterdir())) == '["in", "part"]'
