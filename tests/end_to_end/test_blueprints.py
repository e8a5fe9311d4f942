"""The blueprints of docs/blueprints, imported into a real Home Assistant and run by a press."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import cv2
import numpy as np
import pytest

from server.dev_processes import wait_for
from tests.support.home_assistant import DOORBELL_ENTITY, Home, run_home
from tests.support.needs import ROOT, require
from tests.support.phone import Phone

pytestmark = [pytest.mark.long, pytest.mark.home_assistant, pytest.mark.broker, pytest.mark.timeout(1200)]

BLUEPRINTS = ROOT / "docs/blueprints"
MUTED = "switch.porch_chime_muted"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    require("home_assistant")
    with run_home(tmp_path_factory.mktemp("home"), page={"enabled": True, "port": 0}) as running:
        import_all(running)
        yield running


@pytest.fixture(scope="module")
def camera(home: Home) -> str:
    """Add the doorbell's picture as a Generic Camera, as docs/dashboards.md describes; return the entity."""
    token = home.doorbell.json("reader", "add", "home-assistant", "--scope", "snapshot", "--yes")["token"]
    address = {"still_image_url": f"{home.doorbell.page}/api/snapshot.jpg"}
    login = {"username": "home-assistant", "password": token}
    advanced = {"framerate": 2, "verify_ssl": False, "authentication": "basic"}
    home.home_assistant.add_integration(
        "generic", {**address, **login, "advanced": advanced}, {"confirmed_ok": True}
    )

    def entity() -> str | None:
        states = home.home_assistant.states()
        return next((name for name in states if name.startswith("camera.127_0_0_1")), None)

    found: str = wait_for("the camera", entity)
    return found


def import_all(home: Home) -> None:
    """Import every blueprint by its address, as "Import blueprint" does."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(BLUEPRINTS))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for file in sorted(BLUEPRINTS.glob("*.yaml")):
            url = f"http://127.0.0.1:{server.server_address[1]}/{file.name}"
            found = home.home_assistant.command("blueprint/import", url=url)
            assert found["validation_errors"] is None, found
            path = {"domain": "automation", "path": f"doorbelld/{file.name}"}
            home.home_assistant.command("blueprint/save", **path, yaml=found["raw_data"], source_url=url)
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def automation(home: Home, blueprint: str, **values: Any) -> Iterator[None]:
    """Make an automation of a blueprint, as its dialog does, for a while."""
    use = {"path": f"doorbelld/{blueprint}.yaml", "input": {"doorbell": DOORBELL_ENTITY, **values}}
    home.home_assistant.add_automation(blueprint, use_blueprint=use)
    try:
        yield
    finally:
        home.home_assistant.remove_automation(blueprint)


def messages(phone: Phone, count: int) -> list[dict[str, Any]]:
    """Wait for so many notifications."""
    wait_for(f"{count} notifications", lambda: len(phone.notifications) >= count)
    return [notification for _, notification in phone.notifications]


def position(home: Home, switch: str) -> str:
    state = home.home_assistant.state(switch)
    assert state
    return str(state["state"])


def test_a_phone_shows_the_picture_and_its_button_mutes_the_chime(home: Home, camera: str) -> None:
    with Phone() as phone:
        phone.register(home.home_assistant, "Annas phone")
        values = {
            "picture": camera,
            "open": "/lovelace/door",
            "chime_muted": MUTED,
            "mute_for": {"seconds": 1},
        }
        values |= {"phones": [home.home_assistant.device_named("Annas phone")["id"]]}
        with automation(home, "doorbell_notification", **values):
            home.doorbell.ring()
            (shown,) = messages(phone, 1)
            assert (shown["title"], shown["message"]) == ("Doorbell", "Somebody is at the door")
            assert shown["data"]["url"] == shown["data"]["clickAction"] == "/lovelace/door"
            picture = home.home_assistant.read("GET", shown["data"]["image"])
            assert np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)).shape == (
                720,
                1280,
                3,
            )
            opening, muting = shown["data"]["actions"]
            assert (opening["action"], opening["uri"]) == ("URI", "/lovelace/door")
            home.home_assistant.request(
                "POST", "/api/events/mobile_app_notification_action", {"action": muting["action"]}
            )
            wait_for("the muted chime", lambda: position(home, MUTED) == "on")
            wait_for("the end of the time", lambda: position(home, MUTED) == "off")


def test_the_notification_has_the_picture_of_its_press(home: Home) -> None:
    home.doorbell.json("reader", "add", "mqtt", "--scope", "press_picture", "--yes")
    image = "image.porch_picture"
    wait_for("the image", lambda: home.home_assistant.is_available(image))
    with Phone() as phone:
        phone.register(home.home_assistant, "Claras phone")
        phones = [home.home_assistant.device_named("Claras phone")["id"]]
        with automation(home, "doorbell_notification", phones=phones, picture=image):
            rung = home.doorbell.ring()
            (shown,) = messages(phone, 1)
            state = home.home_assistant.state(image)
            assert state
            assert datetime.fromisoformat(state["state"]) >= datetime.fromisoformat(rung["occurred_at"])
            picture = home.home_assistant.read("GET", shown["data"]["image"])
    assert np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)).shape[2] == 3


def test_without_picture_and_switch_the_notification_has_neither(home: Home) -> None:
    with Phone() as phone:
        phone.register(home.home_assistant, "Bens phone")
        phones = [home.home_assistant.device_named("Bens phone")["id"]]
        with automation(home, "doorbell_notification", phones=phones):
            home.doorbell.ring()
            (shown,) = messages(phone, 1)
    assert "image" not in shown["data"]
    assert [button["action"] for button in shown["data"]["actions"]] == ["URI"]


def test_a_wall_panel_shows_the_door_for_a_while(home: Home) -> None:
    with Phone() as panel:
        panel.register(home.home_assistant, "Hall")
        panels = [home.home_assistant.device_named("Hall")["id"]]
        values = {
            "panels": panels,
            "door": "/lovelace/door",
            "otherwise": "/lovelace/0",
            "show_for": {"seconds": 1},
        }
        with automation(home, "doorbell_wall_panel", **values):
            home.doorbell.ring()
            seen = [(shown["message"], shown["data"].get("command")) for shown in messages(panel, 3)]
    assert seen == [
        ("command_screen_on", None),
        ("command_webview", "/lovelace/door"),
        ("command_webview", "/lovelace/0"),
    ]


def test_media_players_chime_unless_the_chime_is_muted(home: Home) -> None:
    sound, player = "media-source://media_source/local/doorbell.mp3", "media_player.walkman"
    with Phone() as phone:
        notify = phone.register(home.home_assistant, "Observer")
        called = {
            "event_type": "call_service",
            "event_data": {"domain": "media_player", "service": "play_media"},
        }
        message = "{{ trigger.event.data.service_data.media_content_id }}"
        observe = {"action": notify, "data": {"message": message}}
        home.home_assistant.add_automation(
            "observer", triggers=[{"trigger": "event", **called}], actions=[observe], mode="queued"
        )
        values = {"players": {"entity_id": [player]}, "sound": sound, "volume": 30, "chime_muted": MUTED}
        with automation(home, "doorbell_chime", **values):
            for switch, expected in (("off", 1), ("on", 1), ("off", 2)):
                home.home_assistant.act(f"switch.turn_{switch}", entity_id=MUTED)
                wait_for("the switch", functools.partial(is_at, home, switch))
                rung = home.doorbell.ring()
                wait_for(
                    "the ring", functools.partial(has_rung, home, rung["event_id"], rung["press_number"])
                )
                seen = messages(phone, expected)
        home.home_assistant.remove_automation("observer")
    assert [shown["message"] for shown in seen] == [sound, sound]
    state = home.home_assistant.state(player)
    assert state
    assert state["attributes"]["volume_level"] == pytest.approx(0.3)


def is_at(home: Home, switch: str) -> bool:
    return position(home, MUTED) == switch


def has_rung(home: Home, event_id: str, press_number: int) -> bool:
    """Return whether Home Assistant has this press."""
    state = home.home_assistant.state(DOORBELL_ENTITY)
    assert state
    names = ("event_id", "press_number")
    return [state["attributes"].get(name) for name in names] == [event_id, press_number]
