"""What the page can do beyond letting people in: clips, visits, settings; the same on the command socket."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.config import PAGE_KEYS
from server.dev_processes import PATIENCE_S, free_port, wait_for
from tests.support.broker import Broker, Listener
from tests.support.doorbell import Doorbell
from tests.support.videos import make_video
from tests.web.conftest import QUIET_SCENE
from tests.web.description import Description
from tests.web.visitor import PASSWORD, Visitor

Make = Callable[..., Doorbell]


def day() -> str:
    now = time.time_ns() // 1000
    return f"from_wall_us={now - 3_600_000_000}&until_wall_us={now + 3_600_000_000}"


def decoded(jpeg: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags), np.uint8)


def test_a_press_reaches_an_open_page_and_is_then_in_the_day_s_list(door: Doorbell, owner: Visitor) -> None:
    with owner.socket("/api/events") as events:
        rung = door.ring()
        facts: list[dict[str, Any]] = []
        while not any(fact.get("kind") == "clip_kept" for fact in facts):
            facts.append(json.loads(events.recv(timeout=PATIENCE_S)))
    press = next(fact for fact in facts if fact.get("kind") == "press")
    assert press["event_id"] == rung["event_id"]
    table = owner.ask("GET", f"/api/visits?{day()}").json
    (visit,) = (dict(zip(table["columns"], row, strict=True)) for row in table["rows"])
    assert (visit["id"], visit["press"], visit["motions"], visit["picture"]) == (rung["event_id"], 1, 0, 1)
    kept = owner.ask("GET", f"/api/visits/{rung['event_id']}").json
    assert (kept["clips"], [number for number, _ in kept["pictures"]]) == (visit["clips"], [1])
    ((clip_id, _, length_ms, star),) = visit["clips"]
    assert clip_id == door.clips(1)[0]["id"]
    assert length_ms > 1000
    assert star == 0
    marks = owner.ask("GET", f"/api/calendar?{day()}").json  # two, if the clip began in the quarter before
    assert all((begin_s % 900, visits, rings) == (0, 1, 1) for begin_s, visits, rings in marks)
    assert marks


def test_a_clip_is_served_in_ranges_and_as_a_download(door: Doorbell, owner: Visitor) -> None:
    door.ring()
    clip = door.clips(1)[0]
    content = Path(clip["file"]).read_bytes()
    path = f"/api/clips/{clip['id']}/video"
    part = owner.ask("GET", path, Range="bytes=100-199")
    assert (part.status, part.body) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert owner.ask("GET", path, Range=f"bytes={len(content)}-").status == 416
    whole = owner.ask("GET", f"{path}?download=true")
    assert whole.body == content
    assert whole.headers["content-disposition"] == f'attachment; filename="{clip["id"]}.mp4"'


def test_a_clip_gets_a_small_picture_that_goes_with_it(door: Doorbell, owner: Visitor) -> None:
    door.ring()
    clip = door.clips(1)[0]
    path = f"/api/clips/{clip['id']}/thumbnail.jpg"
    answer = wait_for("the thumbnail", lambda: (a := owner.ask("GET", path)).status == 200 and a)
    picture = decoded(answer.body)
    assert picture.shape == (180, 320, 3)
    thumbnail = door.state / "state" / "thumbnails" / f"{clip['id']}.jpg"
    (of_press,) = (door.state / "state" / "press_pictures").iterdir()
    taken = sum(path.stat().st_blocks * 512 for path in (thumbnail, Path(clip["file"]), of_press))
    wait_for("the account of it", lambda: door.status()["storage"]["used_bytes"] == taken)
    # Torn, as a power cut may leave it, it is made again.
    thumbnail.write_bytes(thumbnail.read_bytes()[:500])
    wait_for("the thumbnail again", lambda: owner.ask("GET", path).body == answer.body)
    owner.step_up().ask("DELETE", f"/api/clips/{clip['id']}")
    wait_for("its end", lambda: not thumbnail.exists())
    assert wait_for("nothing used", lambda: door.status()["storage"]["used_bytes"] == 0)


def test_a_snapshot_shows_what_the_camera_sees(door: Doorbell, owner: Visitor, tmp_path: Path) -> None:
    answer = owner.ask("GET", "/api/snapshot.jpg")
    picture = decoded(answer.body)
    assert picture.shape == (180, 320, 3)
    assert picture.std() > 20
    assert door.run("snapshot", str(tmp_path / "now.jpg")).returncode == 0
    assert decoded((tmp_path / "now.jpg").read_bytes()).shape == (180, 320, 3)
    door.run("switch", "privacy", "ON")
    wait_for("privacy", lambda: door.status()["camera"]["state"] == "private")
    refused = owner.ask("GET", "/api/snapshot.jpg")
    assert refused.status == 409
    assert "privacy" in refused.json["error"]


def test_live_pictures_are_a_file_that_plays(door: Doorbell, owner: Visitor) -> None:
    with owner.socket("/api/live") as live:
        head = json.loads(live.recv(timeout=PATIENCE_S))
        assert head["codec"].startswith("avc1.")
        assert (head["width"], head["height"]) == (320, 180)
        data = b"".join(
            part for part in (live.recv(timeout=PATIENCE_S) for _ in range(30)) if isinstance(part, bytes)
        )
    path = door.state / "live.mp4"
    path.write_bytes(data)
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    assert len(frames) >= 25
    assert frames[0].key_frame


def test_h265_is_announced_by_its_codec(doorbell: Make, tmp_path: Path) -> None:
    video = make_video(tmp_path / "hevc.mp4", seconds=6, codec="libx265")
    camera = {"kind": "stream", "stream": {"url": str(video)}}
    door = doorbell(camera, page={"enabled": True, "port": 0}).start()
    with Visitor(door.page).claim(door).socket("/api/live") as live:
        assert json.loads(live.recv(timeout=PATIENCE_S))["codec"].startswith("hev1.1.6.L")


def test_every_operation_describes_its_answer_and_the_doorbell_answers_like_that(
    door: Doorbell, owner: Visitor
) -> None:
    page = Description(owner.ask("GET", "/api/openapi.json").json)
    socket = Description(door.ask("GET", "/openapi.json"))
    assert len(list(page.operations())) > 40
    assert page.undescribed() == []
    assert socket.undescribed() == []

    event_id = door.ring()["event_id"]
    clip_id = door.clips(1)[0]["id"]
    path_values = {"{event_id}": event_id, "{clip_id}": clip_id}
    asked = 0
    for method, template, operation in page.operations():
        path = template
        for parameter, value in path_values.items():
            path = path.replace(parameter, value)
        needed = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query" and p["required"]]
        endless = "multipart/x-mixed-replace" in operation["responses"].get("200", {}).get("content", {})
        if method == "GET" and "{" not in path and not needed and not endless:
            answer = owner.ask(method, path)  # which checks it against the description
            assert answer.status == 200 or path.endswith("thumbnail.jpg"), path
            asked += 1
    assert asked > 15


@pytest.mark.curl
def test_the_same_api_answers_on_the_command_socket(door: Doorbell) -> None:
    status = subprocess.run(
        ["curl", "-s", "--unix-socket", door.state / "run" / "doorbelld.sock", "http://localhost/api/status"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(status.stdout)["device"] == "porch"
    routes = subprocess.run(
        ["curl", "-s", "--unix-socket", door.state / "run" / "doorbelld.sock", "http://x/api/openapi.json"],
        capture_output=True, check=True,
    )  # fmt: skip
    page = Visitor(door.page).claim(door).ask("GET", "/api/openapi.json").json["paths"]
    only_page = set(page) - set(json.loads(routes.stdout)["paths"])
    assert only_page
    # Who may come in, what streams to a browser, and previews; all else is on both.
    ways = (
        "/api/live",
        "/api/log",
        "/api/s",
        "/api/claim",
        "/api/pass",
        "/api/requests/{request_id}/preview",
    )
    assert all(path.startswith(ways) for path in only_page)
    assert "/api/config" not in only_page


# --- settings ---------------------------------------------------------------------------------------


def test_a_setting_takes_effect_at_once_outlives_a_restart_and_is_taken_back(
    door: Doorbell, owner: Visitor
) -> None:
    def row(key: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = door.json("config", "show")
        return next(setting for setting in rows if setting["key"] == key)

    assert row("storage.limit_bytes")["source"] == "default"
    assert row("clips.pre_roll_s") == {
        "key": "clips.pre_roll_s", "value": 2, "default": 5.0, "source": "file", "on_page": True,
    }  # fmt: skip
    changes = {"storage.limit_bytes": 9_000_000_000, "clips.pre_roll_s": 3.0}
    assert owner.ask("PATCH", "/api/config", {"changes": changes}).status == 200
    assert row("storage.limit_bytes")["value"] == 9_000_000_000
    assert row("clips.pre_roll_s")["source"] == "page"
    assert door.status()["storage"]["limit_bytes"] == 9_000_000_000
    before = door.config.read_text()
    door.stop()
    door.start()
    assert row("clips.pre_roll_s")["value"] == 3
    assert door.config.read_text() == before
    assert door.run("config", "undo", "--yes").returncode == 0
    assert row("clips.pre_roll_s")["source"] == "file"
    assert row("storage.limit_bytes")["source"] == "default"
    assert "no change to take back" in door.run("config", "undo").stderr


def test_a_mistake_has_the_same_message_as_in_the_file(door: Doorbell) -> None:
    done = door.run("config", "set", "motion.sensitivity=1.5")
    assert done.returncode == 1
    assert done.stderr.strip() == "motion.sensitivity: 1.5 is too large; choose 0 to 1"
    assert "not changed on the page" in door.run("config", "set", "device.id=other").stderr
    crossed = '[{name="z", kind="include", points=[[0,0],[1,1],[1,0],[0,1]]}]'
    assert "cross" in door.run("config", "set", f"zones={crossed}").stderr
    assert door.run("config", "show", "--changed").stdout.count("page ") == 0


def test_zones_change_what_is_watched_without_a_restart(doorbell: Make) -> None:
    scene = {**QUIET_SCENE["scene"], "visitors": True, "first_visit_s": 6, "visit_every_s": 16}  # type: ignore[dict-item]
    door = doorbell({"kind": "scene", "scene": scene}, motion={"enabled": True}).start()
    everything = '[{name="all", kind="ignore", points=[[0,0],[1,0],[1,1],[0,1]]}]'
    assert door.run("config", "set", f"zones={everything}").returncode == 0
    wait_for("settling", lambda: door.status()["motion"] == "settling")
    wait_for("the scene to be learnt", lambda: door.status()["motion"] == "still")
    part = '[{name="path", kind="include", sensitivity=0.7, points=[[0.1,0.1],[0.9,0.1],[0.9,1],[0.1,1]]}]'
    assert door.run("config", "set", f"zones={part}").returncode == 0
    row = wait_for(
        "motion in the zone",
        # On a busy machine somebody may come before the first change; that motion has no zone.
        lambda: next((r for r in door.json("log") if r["kind"] == "motion_started" and r["zones"]), None),
    )
    assert row["zones"] == ["path"]


def test_masks_drawn_on_the_page_cover_at_once(door: Doorbell, owner: Visitor) -> None:
    mask = {"name": "left", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
    assert owner.step_up().ask("PATCH", "/api/config", {"changes": {"masks": [mask]}}).status == 200

    def covered() -> bool:
        data = owner.ask("GET", "/api/snapshot.jpg").body
        picture = decoded(data)
        return bool(picture[:, :150].std() < 8 < picture[:, 170:].std())

    assert covered()


def test_quiet_hours_silence_the_chime_and_nothing_else(door: Doorbell, listener: Listener) -> None:
    assert door.run("config", "set", "chime.quiet_hours=00:00-00:00").returncode == 0
    door.ring()
    wait_for("the press over MQTT", lambda: listener.of("press"))
    assert "chime=" not in door.log_path.read_text()
    assert door.run("config", "set", "chime.quiet_hours=").returncode == 0
    door.ring()
    wait_for("the chime", lambda: "chime=" in door.log_path.read_text())


def test_another_broker_is_tried_then_used_and_no_press_is_lost(
    doorbell: Make, broker: Broker, tmp_path: Path
) -> None:
    door = doorbell(
        QUIET_SCENE, mqtt={"host": "127.0.0.1", "port": free_port()}, page={"enabled": True, "port": 0}
    )
    door.start()
    owner = Visitor(door.page).claim(door).step_up()
    refused = owner.ask("POST", "/api/mqtt/test", {"changes": {"mqtt.port": free_port()}})
    assert refused.status == 409
    assert "refused" in refused.json["error"].lower()
    outside = owner.ask("POST", "/api/mqtt/test", {"changes": {"mqtt.host": "8.8.8.8"}})
    assert "outside the home network" in outside.json["error"]
    good = owner.ask("POST", "/api/mqtt/test", {"changes": {"mqtt.port": broker.port}})
    assert "accepts the connection" in good.json["result"]
    heard = Listener(broker.port)
    door.ring()
    changes = {"mqtt.port": broker.port, "mqtt.password": "a secret of the broker's"}
    assert owner.ask("PATCH", "/api/config", {"changes": changes}).status == 200
    wait_for("the connection", lambda: door.status()["mqtt"]["state"] == "up")
    try:
        door.ring()
        wait_for("the press", lambda: heard.of("press"))
        assert wait_for("the state", lambda: heard.of("state"))
        wait_for("both presses in the log", lambda: len(heard.log("press")) == 2)
        assert [row["late"] for row in heard.log("press")] == [True, False]
    finally:
        heard.close()
    file = door.state / "state" / "mqtt-password"
    wrong = {"mqtt.port": 0, "mqtt.password": "of a change that is refused"}
    assert owner.ask("PATCH", "/api/config", {"changes": wrong}).status == 409
    assert file.read_text() == "a secret of the broker's"
    assert file.stat().st_mode & 0o007 == 0
    assert "a secret" not in json.dumps(door.json("config", "show"))
    assert "a secret" not in door.log_path.read_text()
    assert owner.ask("PATCH", "/api/config", {"changes": {"mqtt.enabled": False}}).status == 200
    wait_for("no link", lambda: door.status()["mqtt"]["state"] == "off")
    door.ring()
    assert door.status()["faults"] == []


def test_settings_that_cannot_be_read_are_a_fault_and_the_file_holds(doorbell: Make) -> None:
    door = doorbell(QUIET_SCENE)
    (door.state / "state").mkdir(parents=True)
    (door.state / "state" / "page-settings.json").write_text('{"version": 1, "settings": {"device.id": "x"}}')
    door.start()
    (fault,) = door.status()["faults"]
    assert fault["code"] == "settings_unreadable"
    assert door.status()["device"] == "porch"


def test_every_key_that_the_page_may_change_is_a_setting() -> None:
    from device.config import Config

    for key in PAGE_KEYS:
        table, _, name = key.rpartition(".")
        assert hasattr(getattr(Config(), table) if table else Config(), name), key


def test_masked_clips_are_shown_masked_on_the_page(doorbell: Make, tmp_path: Path) -> None:
    video = make_video(tmp_path / "walk.mp4", seconds=8)
    mask = {"name": "all", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    camera = {"kind": "stream", "stream": {"url": str(video)}}
    door = doorbell(camera, page={"enabled": True, "port": 0}, masks=[mask]).start()
    owner = Visitor(door.page).claim(door)
    door.ring()
    clip = door.clips(1)[0]["id"]
    (tmp_path / "seen.mp4").write_bytes(owner.ask("GET", f"/api/clips/{clip}/video").body)
    with av.open(str(tmp_path / "seen.mp4")) as file:
        spread = [frame.to_ndarray(format="gray").std() for frame in file.decode(video=0)]
    assert len(spread) > 10
    assert max(spread) < 3
    thumbnail = wait_for(
        "the thumbnail",
        lambda: (a := owner.ask("GET", f"/api/clips/{clip}/thumbnail.jpg")).status == 200 and a,
    )
    assert decoded(thumbnail.body, cv2.IMREAD_GRAYSCALE).std() < 3


def test_the_live_view_is_covered_too_also_of_a_mask_drawn_while_somebody_watches(
    doorbell: Make, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "walk.mp4", seconds=8)
    camera = {"kind": "stream", "stream": {"url": str(video)}}
    door = doorbell(camera, page={"enabled": True, "port": 0}).start()
    owner = Visitor(door.page).claim(door).step_up()
    with owner.socket("/api/live") as live:
        live.recv(timeout=PATIENCE_S)
        mask = {"name": "all", "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}
        assert owner.ask("PATCH", "/api/config", {"changes": {"masks": [mask]}}).status == 200
        # A new head begins a new file, of covered pictures alone.
        head = next(
            m
            for m in (live.recv(timeout=PATIENCE_S) for _ in range(300))
            if isinstance(m, str) and "codec" in m
        )
        parts = [
            part for part in (live.recv(timeout=PATIENCE_S) for _ in range(30)) if isinstance(part, bytes)
        ]
    assert json.loads(head)["width"] == 320
    (tmp_path / "live.mp4").write_bytes(b"".join(parts))
    with av.open(str(tmp_path / "live.mp4")) as file:
        frames = list(file.decode(video=0))
    assert len(frames) > 10
    assert all(frame.to_ndarray(format="gray").std() < 3 for frame in frames)


def test_the_password_again_and_a_wrong_one(door: Doorbell, owner: Visitor) -> None:
    assert owner.ask("POST", "/api/step-up", {"password": PASSWORD + "!"}).json["code"] == "wrong_password"


def test_where_memory_may_not_be_made_executable_low_delay_is_refused_in_words() -> None:
    code = """
import asyncio, ctypes, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, what the unit's MemoryDenyWriteExecute= does
    sys.exit("no such prctl")
from device.errors import CommandError
from device.web.live import Live
from device.web.whep import Whep
try:
    asyncio.run(Whep(Live(lambda: None, None)).answer("v=0", lambda: True))
except CommandError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if "no such prctl" in done.stderr:
        pytest.skip("needs Linux 6.3")
    assert "MemoryDenyWriteExecute" in done.stdout, done.stderr
