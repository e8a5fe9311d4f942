"""Settings that delete, expose or close, by the API and by `doorbell config`; and an edited configuration file."""

import sqlite3
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import tomli_w
from playwright.sync_api import expect

from server.dev_processes import wait_for
from tests.support.broker import Broker, Listener
from tests.support.doorbell import Doorbell
from tests.web.browser import PHONE, Watched
from tests.web.conftest import QUIET_SCENE, claim
from tests.web.visitor import PASSWORD, Visitor

Make = Callable[..., Doorbell]
Open = Callable[..., Watched]
CLIP_BYTES = 20_000_000
LIMIT = "storage.limit_bytes"
MASK = {"name": "left", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
PART = {"name": "left", "points": [[0, 0], [0.4, 0], [0.4, 1], [0, 1]]}


@pytest.fixture
def door(doorbell: Make) -> Doorbell:
    """A doorbell with two clips that count as 20 MB each."""
    door = doorbell(QUIET_SCENE, mqtt={"enabled": False}, page={"enabled": True, "port": 0}).start()
    for count in (1, 2):
        door.ring()
        door.clips(count)
    door.stop()
    with sqlite3.connect(door.state / "state" / "index.db") as index:
        index.execute("UPDATE clip SET disk_bytes = ?", [CLIP_BYTES])
    index.close()
    return door.start()


@pytest.fixture
def owner(door: Doorbell) -> Visitor:
    return Visitor(door.page).claim(door)


def value(door: Doorbell, key: str) -> Any:
    return next(row["value"] for row in door.json("config", "show") if row["key"] == key)


def waiting(door: Doorbell) -> dict[str, tuple[int, int]]:
    rows = door.status()["storage"]["waiting"]
    assert all(3000 < row["wait_s"] <= 3600 for row in rows)
    return {row["key"]: (row["in_force"], row["coming"]) for row in rows}


def test_a_smaller_limit_is_shown_confirmed_with_the_password_and_waits(
    door: Doorbell, owner: Visitor
) -> None:
    changes = {"changes": {LIMIT: 25_000_000}}
    found = owner.ask("POST", "/api/config/effects", changes).json
    assert found["effects"] == {LIMIT: "destroys"}
    oldest = door.clips(2)[0]["started_at"]
    deletion = found["deletion"]
    assert (deletion["clips"], deletion["of_clips"], deletion["bytes"]) == (1, 2, CLIP_BYTES)
    assert (deletion["oldest_at"], deletion["newest_at"], deletion["wait_s"]) == (oldest, oldest, 3600)
    owner.step_up()
    without = owner.ask("PATCH", "/api/config", changes)
    assert (without.status, without.json["code"]) == (403, "step_up"), "a recent password is not enough"
    wrong = owner.ask("PATCH", "/api/config", {**changes, "password": "a wrong password"})
    assert wrong.status == 403
    assert waiting(door) == {}
    assert owner.ask("PATCH", "/api/config", {**changes, "password": PASSWORD}).status == 200
    assert waiting(door) == {LIMIT: (8_000_000_000, 25_000_000)}
    assert door.status()["storage"]["limit_bytes"] == 8_000_000_000
    assert "takes effect in" in door.run("status").stdout
    door.stop()
    door.start()
    assert waiting(door) == {LIMIT: (8_000_000_000, 25_000_000)}
    assert len(door.clips(2)) == 2
    assert owner.ask("POST", "/api/config/undo").status == 200, (
        "the way back deletes nothing and needs no password"
    )
    assert waiting(door) == {}
    assert value(door, LIMIT) == 8_000_000_000


def test_an_edited_file_waits_too_and_the_limit_in_force_can_be_kept(door: Doorbell, owner: Visitor) -> None:
    assert owner.ask("POST", "/api/config/keep-limits").json["code"] == "no_limit_waits"
    door.stop()
    tables = tomllib.loads(door.config.read_text())
    tables["storage"] |= {"limit_bytes": 25_000_000, "longest_age_days": 1}
    door.config.write_text(tomli_w.dumps(tables))
    door.start()
    both = {LIMIT: (8_000_000_000, 25_000_000), "storage.longest_age_days": (30, 1)}
    assert waiting(door) == both
    assert door.run("config", "undo").stderr.strip() == "there is no change to take back"
    assert owner.ask("POST", "/api/config/keep-limits").status == 200
    assert waiting(door) == {}
    assert (value(door, LIMIT), value(door, "storage.longest_age_days")) == (8_000_000_000, 30)
    back = door.run("config", "undo", typed="yes\n")
    assert "deletes 1 of 2 clips" in back.stdout
    assert waiting(door) == both
    assert door.run("config", "undo", "--limits").returncode == 0
    assert waiting(door) == {}


def test_the_terminal_names_what_goes_and_asks(door: Doorbell) -> None:
    change = ("config", "set", f"{LIMIT}=25_000_000")
    for typed in ("", "no\n", "y\n"):
        refused = door.run(*change, typed=typed)
        assert refused.returncode == 1
        assert "storage.limit_bytes: deletes 1 of 2 clips (20.0 MB, from 20" in refused.stdout
        assert "takes effect in 1 h 0 min" in refused.stdout
        assert "nothing was changed" in refused.stdout
    assert value(door, LIMIT) == 8_000_000_000
    assert door.run(*change, typed="yes\n").returncode == 0
    assert door.run("config", "set", f"{LIMIT}=20_000_000", "--yes").returncode == 0
    assert waiting(door) == {LIMIT: (8_000_000_000, 20_000_000)}
    assert "storage.limit_bytes: 8.0 GB holds; 20.0 MB takes effect in" in door.run("config", "show").stdout
    everything = door.run("config", "set", "storage.reserve_bytes=100_000_000_000_000")
    assert "storage.reserve_bytes: deletes 2 of 2 clips (40." in everything.stdout
    assert "privacy" not in door.run("switch", "privacy", "ON").stdout
    assert door.run("switch", "privacy", "OFF").returncode == 1
    assert door.status()["settings"]["privacy"] is True
    assert door.run("switch", "privacy", "OFF", "--yes").returncode == 0


def test_check_config_prints_what_a_start_with_a_file_would_do(door: Doorbell) -> None:
    assert door.run("check-config", str(door.config)).stdout == f"{door.config}: good\n"
    tables = tomllib.loads(door.config.read_text())
    tables["storage"]["limit_bytes"] = 25_000_000
    tables["device"] |= {"id": "back", "name": "Back door"}
    tables["camera"]["stream"] = {"audio": True}
    edited = door.state / "edited.toml"
    edited.write_text(tomli_w.dumps(tables))
    lines = door.run("check-config", str(edited)).stdout.splitlines()
    assert lines[0] == f"{edited}: good"
    assert [line.partition(":")[0] for line in lines[2:]] == ["device.id", "camera.stream.audio", LIMIT]
    assert "deletes 1 of 2 clips" in lines[-1]
    door.stop()
    assert door.run("check-config", str(edited)).stdout == f"{edited}: good\n"


def test_what_exposes_needs_a_recent_password_and_what_closes_does_not(
    door: Doorbell, owner: Visitor
) -> None:
    def change(key: str, *, new: Any) -> int:
        status: int = owner.ask("PATCH", "/api/config", {"changes": {key: new}}).status
        return status

    assert change("masks", new=[MASK]) == 200
    assert change("masks", new=[PART]) == 403
    assert change("masks", new=[]) == 403
    assert owner.ask("POST", "/api/config/undo").status == 403, "the way back shows what the mask covers"
    assert value(door, "masks") == [MASK]
    assert change("mqtt.host", new="127.0.0.1") == 200, "MQTT is off"
    assert change("mqtt.enabled", new=True) == 403
    assert owner.ask("PUT", "/api/switches/privacy", {"value": "ON"}).status == 200
    assert owner.ask("PUT", "/api/switches/privacy", {"value": "OFF"}).status == 403
    owner.step_up()
    assert owner.ask("PUT", "/api/switches/privacy", {"value": "OFF"}).status == 200
    assert change("masks", new=[PART]) == 200
    assert change("mqtt.enabled", new=True) == 200
    again = Visitor(door.page).login()
    password = {"changes": {"mqtt.password": "x"}}
    assert again.ask("PATCH", "/api/config", password).status == 403
    assert again.ask("PATCH", "/api/config", {"changes": {"mqtt.enabled": False}}).status == 200
    assert again.ask("PATCH", "/api/config", password).status == 200


def test_the_page_shows_what_goes_until_when_and_how_to_undo_it(door: Doorbell, open_page: Open) -> None:
    watched = open_page(door, **PHONE)
    watched.expected = ("403",)  # a wrong password is refused by such an answer
    page = watched.page
    claim(page, door)
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Limit in GB").fill("0.03")
    storage = page.locator("section", has_text="Maximum age")
    storage.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 of 2 clips will be deleted (20 MB)")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert value(door, LIMIT) == 8_000_000_000
    storage.get_by_role("button", name="Save").click()
    dialog.get_by_label("Password").fill("not the password")
    dialog.get_by_role("button", name="Confirm").click()
    expect(dialog.get_by_role("alert")).not_to_be_empty()
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Confirm").click()
    card = page.locator("[data-waits]")
    expect(card).to_contain_text("Size limit: 8 GB holds. 30 MB takes effect at")
    page.get_by_role("link", name="Health").click()
    expect(card).to_contain_text("8 GB holds")
    expect(page.locator("dl.facts")).to_contain_text("of 8 GB")
    card.get_by_role("link").click()
    card.get_by_role("button", name="Undo").click()
    expect(page.locator("#settings-message")).to_have_text("Undone: the limit stays as it was.")
    expect(card).to_have_count(0)
    expect(page.get_by_label("Limit in GB")).to_have_value("8")
    wait_for("the limit", lambda: value(door, LIMIT) == 8_000_000_000)


def test_a_new_name_is_on_the_page_and_in_home_assistant_at_once(doorbell: Make, broker: Broker) -> None:
    discovered = Listener(broker.port, root="homeassistant")
    door = doorbell(QUIET_SCENE, page={"enabled": True, "port": 0}).start()
    owner = Visitor(door.page).claim(door)
    changed = owner.ask("PATCH", "/api/config", {"changes": {"device.name": "Back gate"}})
    assert changed.status == 200
    assert owner.ask("GET", "/api/session").json["name"] == "Back gate"
    assert owner.ask("GET", "/manifest.webmanifest").json["name"] == "Back gate"
    wait_for(
        "the name", lambda: any('"name":"Back gate"' in text for _, text, _ in list(discovered.messages))
    )
    discovered.close()
    assert owner.ask("PATCH", "/api/config", {"changes": {"device.name": "two\nlines"}}).status == 409
    door.stop()
    door.start()
    assert owner.ask("GET", "/api/session").json["name"] == "Back gate"
