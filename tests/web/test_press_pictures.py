"""The picture of the moment of a press, as the page gets it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.media.masks import GREY
from server.dev_processes import PATIENCE_S, wait_for
from tests.support.doorbell import Doorbell
from tests.web.visitor import Visitor

Make = Callable[..., Doorbell]
LEFT = {"name": "left", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}


def decoded(jpeg: bytes) -> NDArray[Any]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


def files(door: Doorbell) -> list[Path]:
    return sorted((door.state / "state" / "press_pictures").iterdir())


def pictured(door: Doorbell, owner: Visitor) -> str:
    """Ring, and wait for the picture of it; return its path on the page."""
    with owner.socket("/api/events") as events:
        rung = door.ring()
        while True:
            fact = json.loads(events.recv(timeout=PATIENCE_S))
            if fact.get("kind") == "press_picture":
                break
    assert (fact["event_id"], fact["press_number"]) == (rung["event_id"], rung["press_number"])
    assert fact["occurred_at"] == rung["occurred_at"]
    return f"/api/press-pictures/{rung['event_id']}/{rung['press_number']}.jpg"


def test_an_open_page_gets_the_picture_while_the_clip_still_grows(door: Doorbell, owner: Visitor) -> None:
    path = pictured(door, owner)
    answer = owner.ask("GET", path)
    assert answer.status == 200
    assert decoded(answer.body).shape == (180, 320, 3)
    assert decoded(owner.ask("GET", f"{path}?small=true").body).shape == (180, 320, 3)
    assert owner.ask("GET", path, If_None_Match=answer.headers["etag"]).status == 304
    assert door.ask("GET", "/clips") == [], "the clip is not finished yet"
    assert owner.ask("GET", path.replace("/1.jpg", "/2.jpg")).status == 404
    assert Visitor(door.page).ask("GET", path).status == 401


def test_it_is_there_after_a_restart_and_a_mask_drawn_since_covers_it(door: Doorbell, owner: Visitor) -> None:
    path = pictured(door, owner)
    before = owner.ask("GET", path).body
    wait_for("the file", lambda: [file for file in files(door) if file.suffix == ".jpg"])
    door.stop()
    door.start()
    assert owner.ask("GET", path).body == before
    owner.step_up().ask("PATCH", "/api/config", {"changes": {"masks": [LEFT]}})
    covered = decoded(owner.ask("GET", path).body)
    assert np.abs(covered[:, :150].astype(int) - GREY).max() <= 6
    assert np.abs(covered[:, 170:].astype(int) - decoded(before)[:, 170:]).mean() < 4


def test_it_goes_with_its_clip_when_the_owner_deletes_that(door: Doorbell, owner: Visitor) -> None:
    path = pictured(door, owner)
    clip = door.clips(1)[0]
    assert owner.step_up().ask("DELETE", f"/api/clips/{clip['id']}").status == 200
    assert owner.ask("GET", path).status == 404
    assert files(door) == []


def test_the_owner_deletes_a_picture_whose_clip_is_gone(door: Doorbell, owner: Visitor) -> None:
    path = pictured(door, owner)
    wait_for("the file", lambda: [file for file in files(door) if file.suffix == ".jpg"])
    assert owner.step_up().ask("DELETE", path.rpartition("/")[0]).status == 200
    assert owner.ask("GET", path).status == 404
    assert owner.ask("DELETE", path.rpartition("/")[0]).status == 409


def test_there_is_none_while_privacy_is_on(door: Doorbell, owner: Visitor) -> None:
    door.run("switch", "privacy", "ON")
    wait_for("privacy", lambda: door.status()["camera"]["state"] == "private")
    hidden = door.ring()
    door.ask("PUT", "/switches/privacy", {"value": "OFF"})
    wait_for("the camera", lambda: door.status()["camera"]["state"] == "live")
    pictured(door, owner)  # a later one, so the earlier one would be there by now
    assert owner.ask("GET", f"/api/press-pictures/{hidden['event_id']}/1.jpg").status == 404
