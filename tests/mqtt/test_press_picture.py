"""The picture of a press over MQTT: only while it is granted, never late, never retained, never in privacy."""

import json
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device.errors import CommandError
from device.mqtt.broker_picture import PressPictureOut
from server.dev_processes import wait_for
from tests.support.broker import ROOT, Broker, Listener
from tests.support.doorbell import Doorbell

Make = Callable[..., Doorbell]
SCENE = {"kind": "scene", "scene": {"width_px": 320, "height_px": 180, "visitors": False, "light": "day"}}
CORNER = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]


class Album:
    """A dashboard that keeps the pictures: (JPEG, whether it was retained)."""

    def __init__(self, port: int, topic: str = f"{ROOT}/picture") -> None:
        self.pictures: list[tuple[bytes, bool]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _c, _u, m: self.pictures.append((bytes(m.payload), m.retain))
        subscribed: list[int] = []
        self._client.on_subscribe = lambda *_: subscribed.append(1)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic, qos=1)
        self._client.loop_start()
        wait_for("the subscription", lambda: subscribed)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def album(broker: Broker) -> Iterator[Album]:
    album = Album(broker.port)
    yield album
    album.close()


def pictured(door: Doorbell, count: int) -> None:
    """Wait until so many presses have their pictures."""
    wait_for("the picture", lambda: door.log_path.read_text().count("press_picture event_id=") >= count)


def test_the_picture_of_a_press_goes_to_the_broker_only_while_it_is_granted(
    doorbell: Make, broker: Broker, listener: Listener, album: Album
) -> None:
    door = doorbell(SCENE, masks=[{"name": "neighbour", "points": CORNER}]).start()
    wait_for("pictures", lambda: door.status()["camera"]["fps"] > 1)
    door.ring()
    pictured(door, 1)
    added = door.ask("POST", "/readers", {"name": "mqtt", "scopes": ["press_picture"]})
    assert added == {"name": "mqtt", "token": None}
    rung = door.ring()
    wait_for("the picture at the broker", lambda: album.pictures)
    ((jpeg, retained),) = album.pictures  # and none of the press before the grant
    assert not retained
    picture = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE))
    height, width = picture.shape
    assert picture[10 : height // 2 - 10, 10 : width // 2 - 10].std() < 3 < picture[height // 2 + 10 :].std()
    late = Album(broker.port)  # whoever comes later gets none
    door.ask("DELETE", "/readers/mqtt")
    door.ring()
    pictured(door, 3)
    last = door.ring()
    wait_for("the last press", lambda: last["event_id"] in listener.of("press")[-1])
    assert len(album.pictures) == 1
    assert late.pictures == []
    late.close()
    entries = [entry["kind"] for entry in door.ask("GET", "/ledger")["entries"]]
    assert entries.count("reader_added") == entries.count("reader_removed") == 1
    assert rung["event_id"]


def test_home_assistant_gets_an_image_entity_with_the_grant_and_loses_it_with_its_end(
    doorbell: Make, broker: Broker
) -> None:
    door = doorbell(SCENE).start(camera=False)
    wait_for("the ledger", lambda: ledger_is_open(door))
    topic = "homeassistant/image/porch/picture/config"
    entity = Album(broker.port, topic)
    door.ask("POST", "/readers", {"name": "mqtt", "scopes": ["press_picture"]})
    wait_for("the entity", lambda: entity.pictures and entity.pictures[-1][0])
    described = json.loads(entity.pictures[-1][0])
    assert (described["platform"], described["image_topic"]) == ("image", f"{ROOT}/picture")
    assert described["device"]["identifiers"] == ["doorbelld_porch"]
    door.stop()
    door.start(camera=False)  # the grant is known once the ledger has been read
    wait_for("the entity again", lambda: json.loads(entity.pictures[-1][0]) and len(entity.pictures) > 1)
    assert all(payload for payload, _ in entity.pictures)
    wait_for("the ledger", lambda: ledger_is_open(door))
    door.ask("DELETE", "/readers/mqtt")
    wait_for("its end", lambda: entity.pictures[-1][0] == b"")
    entity.close()
    later = Album(broker.port, topic)
    door.stop()
    assert later.pictures == []
    later.close()


def ledger_is_open(door: Doorbell) -> bool:
    try:
        door.ask("GET", "/readers")
    except CommandError:
        return False
    return True


def test_a_press_links_to_its_visit_on_the_page(doorbell: Make, listener: Listener) -> None:
    door = doorbell(SCENE, page={"enabled": True, "hosts": ["door.example"]}).start(camera=False)
    rung = door.ring()
    wait_for("the press", lambda: listener.of("press"))
    press = json.loads(listener.of("press")[0])
    assert press["url"].startswith("https://door.example:")
    assert press["url"].endswith(f"/#/visit/{rung['event_id']}")


def test_the_broker_gets_that_picture_and_nothing_else_and_nobody_else_gets_it(doorbell: Make) -> None:
    door = doorbell(SCENE).start(camera=False)
    wait_for("the ledger", lambda: ledger_is_open(door))
    for words in (
        ("mqtt", "--scope", "snapshot"),
        ("tablet", "--scope", "press_picture"),
        ("mqtt", "--scope", "press_picture", "--scope", "live"),
    ):
        refused = door.run("reader", "add", *words, "--yes")
        assert refused.returncode == 1
        assert "press_picture, and nothing else" in refused.stderr
    assert "gets the picture" in door.run("reader", "add", "mqtt", "--scope", "press_picture", "--yes").stdout


def test_no_picture_is_published_late_or_after_privacy() -> None:
    sent: list[tuple[bytes, int]] = []
    allowed = [True]

    def publish(jpeg: bytes, *, expiry_s: int) -> None:
        sent.append((jpeg, expiry_s))

    out = PressPictureOut()
    out.allowed = lambda: allowed[0]
    out.put(b"first", 0)
    out.put(b"second", 1_000_000)  # only the newest waits
    out.pump(publish, 3_000_000)
    out.pump(publish, 3_000_000)
    assert sent == [(b"second", 8)]
    out.put(b"late", 0)
    out.pump(publish, 10_000_000)
    out.put(b"private", 0)
    allowed[0] = False
    out.pump(publish, 1_000_000)
    allowed[0] = True
    out.pump(publish, 1_000_000)
    assert sent == [(b"second", 8)]
