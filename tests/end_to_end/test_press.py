"""Stories of the button, through the real commands, with real mosquitto and real files."""

import hashlib
import json
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import av
import pytest
from jsonschema import Draft202012Validator

from server.dev_processes import wait_for
from tests.support.broker import Broker, Listener
from tests.support.doorbell import Doorbell
from tests.support.tampering import changed
from tests.support.videos import frames_of, make_video

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"

Make = Callable[..., Doorbell]


def test_a_press_rings_once_and_makes_a_clip_that_starts_before_it(
    doorbell: Make, listener: Listener
) -> None:
    door = doorbell().start()
    wait_for("enough pre-roll", lambda: door.status()["uptime_s"] > 4)
    rung = door.ring()
    clip = door.clips(1)[0]
    assert [json.loads(p)["event_id"] for p in listener.of("press")] == [rung["event_id"]]
    assert clip["event_id"] == rung["event_id"]
    assert clip["cause"] == "press"
    pressed, started = (datetime.fromisoformat(t) for t in (rung["occurred_at"], clip["started_at"]))
    assert (pressed - started).total_seconds() >= 2
    # Behind the end of the clip one or two B-frames may be left out.
    assert frames_of(clip["file"]) >= clip["duration_s"] * 15 - 2.1
    assert hashlib.sha256(Path(clip["file"]).read_bytes()).hexdigest() == clip["sha256"]
    assert [m for m in listener.messages if m[0] == "press" and m[2]] == [], "never retained"
    row = wait_for("clip_kept in log", lambda: listener.log("clip_kept"))[0]
    assert (row["clip_id"], row["sha256"]) == (clip["id"], clip["sha256"])
    assert door.run("check").returncode == 0
    assert door.json("status").keys() == door.status().keys()
    assert "live" in door.run("status").stdout


@pytest.mark.parametrize("keyframe_every_s", [1, 2, 4])
def test_the_pre_roll_is_whole_whatever_the_cameras_keyframe_spacing(
    doorbell: Make, tmp_path: Path, keyframe_every_s: int
) -> None:
    video = make_video(tmp_path / "v.mp4", seconds=12, keyframe_every=15 * keyframe_every_s)
    door = doorbell({"kind": "stream", "stream": {"url": str(video)}}).start()
    wait_for("enough pre-roll", lambda: door.status()["uptime_s"] > 3 + keyframe_every_s)
    pressed = datetime.fromisoformat(door.ring()["occurred_at"])
    clip = door.clips(1)[0]
    before_s = (pressed - datetime.fromisoformat(clip["started_at"])).total_seconds()
    assert 2 <= before_s <= 2 + keyframe_every_s + 0.1
    assert frames_of(clip["file"]) >= clip["duration_s"] * 15 - 2.1


def test_a_visitor_is_one_event_across_motion_press_and_clip(doorbell: Make, listener: Listener) -> None:
    scene = {"width_px": 320, "height_px": 180, "light": "day", "first_visit_s": 3}
    door = doorbell({"kind": "scene", "scene": scene}, motion={"enabled": True}).start()
    press = json.loads(wait_for("the visitor's press", lambda: listener.of("press"))[0])
    door.stop()
    started = listener.log("motion_started")[0]
    clip = listener.log("clip_kept")[0]
    assert started["event_id"] == press["event_id"] == clip["event_id"]
    assert listener.of("motion")[0] == "OFF"
    assert "ON" in listener.of("motion")


@pytest.mark.long
def test_a_visitor_who_does_not_press_makes_a_motion_clip(doorbell: Make, listener: Listener) -> None:
    scene = {"width_px": 320, "height_px": 180, "light": "day", "first_visit_s": 2}
    camera = {"kind": "scene", "scene": {**scene, "visitor_presses": False, "visit_every_s": 60}}
    door = doorbell(camera, motion={"enabled": True, "quiet_s": 3}).start()
    clip = door.clips(1)[0]
    assert clip["cause"] == "motion"
    assert listener.of("press") == []
    assert listener.of("motion").count("ON") == 1


def test_twenty_presses_of_one_visitor_are_one_event_and_one_clip(doorbell: Make, listener: Listener) -> None:
    door = doorbell(clips={"post_roll_s": 60}).start()  # however long twenty commands take
    rung = [door.ring() for _ in range(20)]
    assert door.stop() == 0
    wait_for("the last row", lambda: listener.log("stopped"))
    rows, (clip,) = listener.log("press"), listener.log("clip_kept")
    assert [row["press_number"] for row in rows] == list(range(1, 21))
    assert {row["event_id"] for row in rows} == {clip["event_id"]} == {press["event_id"] for press in rung}
    numbers = [json.loads(press)["press_number"] for press in listener.of("press")]
    assert numbers == list(range(1, 21)), "each rings, in order"


def test_presses_while_the_broker_is_away_are_late_in_log_and_never_live(
    doorbell: Make, broker: Broker
) -> None:
    dashboard = Listener(broker.port, client_id="persistent")
    door = doorbell(mqtt={"keepalive_s": 5}).start()
    wait_for("the connection", lambda: door.status()["mqtt"]["state"] == "up")
    broker.stop()
    wait_for("the connection to be down", lambda: door.status()["mqtt"]["state"] == "down")
    first, second = door.ring(), door.ring()

    def given_up() -> bool:
        rows = [row for row in door.ask("GET", "/log") if row["kind"] == "press"]
        return [row["late"] for row in rows] == [True, True]

    wait_for("ten seconds to pass", given_up)
    assert door.status()["storage"]["log_pending"] >= 2
    wait_for("empty queues", lambda: door.status()["waiting"] == {"controller": 0, "storage": 0})
    broker.start()
    rows = wait_for("both rows", lambda: r if len(r := dashboard.log("press")) == 2 else None)
    assert [row["late"] for row in rows] == [True, True]
    assert rows[0]["seq"] < rows[1]["seq"]
    assert [r["occurred_at"] for r in rows] == [first["occurred_at"], second["occurred_at"]]
    missed = wait_for("both marks", lambda: r if len(r := dashboard.log("press_missed")) == 2 else None)
    schema = Draft202012Validator(json.loads((SCHEMAS / "missed_ring.json").read_text()))
    assert [(row["event_id"], row["reason"]) for row in missed] == [
        (press["event_id"], "no_connection") for press in (first, second)
    ]
    last = json.loads(wait_for("the entity", lambda: dashboard.of("missed_ring"))[-1])
    assert list(schema.iter_errors(last)) == []
    assert (last["occurred_at"], last["count"]) == (second["occurred_at"], 2)
    door.ring()
    wait_for("the live press", lambda: dashboard.of("press"))
    assert len(dashboard.of("press")) == 1, "only the press after the outage is live"
    seqs = [row["seq"] for row in dashboard.log()]
    assert sorted(set(seqs)) == list(range(min(seqs), max(seqs) + 1)), "no gap"
    dashboard.close()


def test_killed_in_mid_clip_the_next_start_has_the_visit(doorbell: Make, listener: Listener) -> None:
    door = doorbell(clips={"post_roll_s": 30}).start()
    rung = door.ring()
    folder = door.state / "state" / "clips"
    wait_for("some fragments", lambda: sum(p.stat().st_size for p in folder.iterdir()) > 15_000)
    door.stop(signal.SIGKILL)
    assert [p.suffix for p in folder.iterdir()] == [".part"]
    door.start()
    clip = door.clips(1)[0]
    assert clip["event_id"] == rung["event_id"]
    assert frames_of(clip["file"]) > 15
    assert door.run("check").returncode == 0
    assert door.stop() == 0
    assert not list(folder.glob("*.part"))


def test_a_ring_in_a_clip_of_another_cause_outlives_a_power_cut(doorbell: Make) -> None:
    door = doorbell(clips={"post_roll_s": 30}).start()
    wait_for("some pre-roll", lambda: door.status()["uptime_s"] > 3)
    assert door.run("record").returncode == 0

    def growing() -> list[Path]:
        parts = (door.state / "state" / "clips").glob("*.part")
        return [part for part in parts if part.stat().st_size > 8000]

    wait_for("the clip to grow", growing)
    door.ring()
    wait_for("the cause to be raised", lambda: "_press_" in growing()[0].name)
    door.stop(signal.SIGKILL)
    door.start()
    assert door.clips(1)[0]["cause"] == "press"
    assert door.run("check").returncode == 0


def pictures(path: str) -> list[bytes]:
    with av.open(path) as file:
        return [frame.to_ndarray().tobytes() for frame in file.decode(file.streams.video[0])]


def test_an_h265_clip_has_the_tag_that_quicktime_plays(doorbell: Make, tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", seconds=4, codec="libx265")
    door = doorbell({"kind": "stream", "stream": {"url": str(video)}}).start()
    door.ring()
    clip = door.clips(1)[0]
    with av.open(clip["file"]) as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"
    shown, drawn = pictures(clip["file"]), pictures(str(video))
    first = drawn.index(shown[0])
    assert len(shown) >= clip["duration_s"] * 15 - 0.1
    assert shown == [drawn[(first + n) % len(drawn)] for n in range(len(shown))], "decoded to the last bit"
    assert door.run("check").returncode == 0


def test_a_star_outlives_kill_and_a_deleted_clip_does_not_come_back(
    doorbell: Make, listener: Listener
) -> None:
    door = doorbell().start()
    door.ring()
    clip = door.clips(1)[0]
    assert door.run("clips", "star", clip["id"]).returncode == 0
    door.stop(signal.SIGKILL)
    door.start()
    assert door.json("clips", "show", clip["id"])["protected"] is True
    day = datetime.fromisoformat(clip["started_at"]).astimezone()
    assert [c["id"] for c in door.json("clips", "list", "--day", f"{day:%Y-%m-%d}")] == [clip["id"]]
    assert door.json("clips", "list", "--day", f"{day + timedelta(days=1):%Y-%m-%d}") == []
    assert door.run("clips", "list", "--day", "yesterday").returncode == 2
    refused = door.run("clips", "delete", clip["id"])
    assert refused.returncode == 1
    assert "has your star" in refused.stderr
    assert door.run("clips", "star", clip["id"], "--off").returncode == 0
    assert door.run("clips", "verify").stdout == "1 clip: 1 as recorded\n"
    assert door.run("clips", "delete", clip["id"]).returncode == 0
    assert door.json("clips", "list") == []
    assert not Path(clip["file"]).exists()
    row = wait_for("the log", lambda: listener.log("clip_deleted"))[0]
    assert (row["clip_id"], row["event_id"], row["reason"]) == (clip["id"], clip["event_id"], "owner")
    assert door.run("clips", "delete", clip["id"]).returncode == 1
    door.stop(signal.SIGKILL)
    door.start()
    assert door.json("clips", "list") == []
    assert door.run("check").returncode == 0


def test_an_export_is_verified(doorbell: Make, tmp_path: Path) -> None:
    door = doorbell().start()
    door.ring()
    clip = door.clips(1)[0]
    good = door.run("clips", "export", clip["id"], str(tmp_path / "good.mp4"))
    assert good.returncode == 0
    assert clip["sha256"] in good.stdout
    again = door.json("clips", "export", clip["id"], str(tmp_path / "again.mp4"))
    assert again["sha256"] == clip["sha256"]
    assert Path(again["file"]).stat().st_size == again["bytes"] == clip["bytes"]
    file = Path(clip["file"])
    file.write_bytes(changed(file.read_bytes()))
    bad = door.run("clips", "export", clip["id"], str(tmp_path / "bad.mp4"))
    assert bad.returncode == 1
    assert "is not what was recorded" in bad.stderr


def test_check_repairs_what_a_start_would_and_only_without_a_daemon(doorbell: Make) -> None:
    door = doorbell(clips={"post_roll_s": 30}).start()
    wait_for("some pre-roll", lambda: door.status()["uptime_s"] > 3)
    door.ring()
    clips = door.state / "state" / "clips"
    wait_for("the clip to grow", lambda: any(p.stat().st_size > 8000 for p in clips.glob("*.part")))
    refused = door.run("check", "--repair")
    assert refused.returncode == 1
    assert "another doorbelld" in refused.stderr
    door.stop(signal.SIGKILL)
    assert door.run("check").returncode == 1
    repaired = door.run("check", "--repair", "--deep")
    assert repaired.returncode == 0
    assert "was cut off, and saved" in repaired.stderr
    assert repaired.stdout.startswith("1 clip, ")


def test_an_orderly_stop_closes_the_open_clip(doorbell: Make, listener: Listener) -> None:
    door = doorbell(clips={"post_roll_s": 60}).start()
    door.ring()
    wait_for("the file", lambda: list((door.state / "state" / "clips").glob("*.part")))
    assert door.stop() == 0
    names = list((door.state / "state" / "clips").iterdir())
    assert [p.suffix for p in names] == [".mp4"]
    assert frames_of(str(names[0])) > 5
    wait_for("offline", lambda: listener.of("availability")[-1] == "offline")
    assert [row["kind"] for row in listener.log()][-2:] == ["clip_kept", "stopped"]
