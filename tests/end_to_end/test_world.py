"""External faults: brokers, disks, cameras, strangers."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.dev_processes import PATIENCE_S, Process, free_port, wait_for
from tests.support.broker import Listener
from tests.support.doorbell import Doorbell
from tests.support.videos import frames_of, make_video

Make = Callable[..., Doorbell]


def test_the_oldest_clips_go_when_the_quota_is_reached(doorbell: Make, listener: Listener) -> None:
    door = doorbell(
        storage={"limit_bytes": 10_000_000, "reserve_bytes": 0}, clips={"pre_roll_s": 0, "post_roll_s": 1}
    )
    folder = door.state / "state" / "clips"
    folder.mkdir(parents=True)
    # Clips of another run: real ones, made large by an ordinary `free` box behind them.
    small = make_video(door.state / "small.mp4", seconds=1).read_bytes()
    padding = (3_000_000).to_bytes(4) + b"free" + bytes(3_000_000 - 8)
    for hour in range(3):
        name = f"20250101T0{hour}0000.000Z_01JGFJJZ000000000000000000_motion_s.mp4"
        (folder / name).write_bytes(small + padding)
    door.start()
    assert len(door.clips(3)) == 3, "files without rows are adopted"
    (folder / "20250101T090000.000Z_01JGFJJZ000000000000000000_motion_s.mp4").write_bytes(small + padding)
    door.stop()
    door.start()
    wait_for("the quota to be held", lambda: door.status()["storage"]["used_bytes"] <= 10_000_000)
    left = [clip["started_at"] for clip in door.json("clips", "list")]
    assert left == ["2025-01-01T01:00:00.000Z", "2025-01-01T02:00:00.000Z", "2025-01-01T09:00:00.000Z"]
    assert door.run("check").returncode == 0


def test_a_second_daemon_on_the_same_state_refuses_and_names_the_first(doorbell: Make) -> None:
    door = doorbell().start()
    assert door.process is not None
    second = subprocess.run(
        [Path(sys.executable).parent / "doorbelld", "--config", door.config],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert second.returncode == 1
    assert f"another doorbelld (pid {door.process.pid}) runs on the state directory" in second.stderr


def test_hostile_mqtt_changes_nothing(doorbell: Make, listener: Listener) -> None:
    door = doorbell().start()
    before = door.status()["settings"]
    hostile: list[bytes | str] = [
        b"", b"\xff\xfe\x00", "on", "TRUE", "[" * 250, "A" * 300, b"x" * 100_000, "ON\n",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "'; DROP TABLE clip; --",
        "../../etc/passwd", "{}", '{"a":' * 40,
    ]  # fmt: skip
    for payload in hostile:
        for name in ("motion_enabled", "privacy", "quiet_until", "clip", "unknown", "a" * 200):
            if (name, payload) != ("quiet_until", b""):
                listener.say(f"{name}/set", payload)
    listener.say("privacy/set", "ON", retain=True)
    listener.say("privacy/set", "", retain=True)
    wait_for("a report", lambda: listener.log("setting_refused"))
    after = door.status()
    assert after["settings"] == before
    assert after["ready"]
    assert door.ring()["event_type"] == "ring"


def test_two_doorbells_with_one_name_are_reported_and_do_not_reconnect_in_a_loop(doorbell: Make) -> None:
    one, two = doorbell().start(), doorbell(name="e").start()
    wait_for("the hint", lambda: "Each needs a device.id of its own" in one.log_path.read_text())
    time.sleep(4)  # what must not happen is a matter of time: without a pause it would be some hundred
    ups = [door.log_path.read_text().count("mqtt state=up") for door in (one, two)]
    assert sum(ups) < 10


def test_a_flood_of_settings_is_bounded(doorbell: Make, listener: Listener) -> None:
    door = doorbell().start()
    assert door.process is not None

    def memory_kb() -> int:
        text = Path(f"/proc/{door.process.pid}/status").read_text()  # type: ignore[union-attr]
        return int(text.split("VmRSS:")[1].split()[0])

    before_kb = memory_kb()
    for number in range(3000):
        listener.say("chime_muted/set", "ON" if number % 2 else "OFF")
    rows = len(listener.log("setting_changed"))
    assert rows < 100, "at most ten at once and two a second are obeyed"
    assert memory_kb() - before_kb < 20_000
    wait_for("the report", lambda: [r for r in listener.log("setting_refused") if r["count"] > 100])


def test_settings_change_over_mqtt_and_outlive_a_restart(doorbell: Make, listener: Listener) -> None:
    door = doorbell().start()
    listener.say("chime_muted/set", "ON")
    wait_for("the echo", lambda: listener.of("chime_muted")[-1:] == ["ON"])
    wait_for("the log", lambda: listener.log("setting_changed"))
    door.stop()
    door.start()
    assert door.status()["settings"]["chime_muted"] is True


def test_privacy_closes_the_camera_and_the_bell_still_rings(doorbell: Make, listener: Listener) -> None:
    door = doorbell().start()
    listener.say("privacy/set", "ON")
    wait_for("the camera to close", lambda: door.status()["camera"]["state"] == "private")
    door.ring()
    wait_for("the press", lambda: listener.of("press"))
    assert list((door.state / "state" / "clips").iterdir()) == []
    listener.say("privacy/set", "OFF")
    wait_for("the camera", lambda: door.status()["camera"]["state"] == "live")


def test_the_end_of_a_video_file_is_a_fault_and_the_bell_still_rings(doorbell: Make, video: Path) -> None:
    door = doorbell({"kind": "stream", "stream": {"url": str(video), "loop": False}}).start()
    fault = wait_for("the fault", lambda: door.status()["faults"])[0]
    assert fault["code"] == "camera_down"
    assert "the stream ended" in fault["text"]
    assert door.ring()["event_type"] == "ring"


def test_a_camera_that_is_not_there_leaves_a_working_bell(doorbell: Make, listener: Listener) -> None:
    url = f"rtsp://owner:secret@127.0.0.1:{free_port()}/door"
    door = doorbell({"kind": "stream", "stream": {"url": url}}).start(camera=False)
    fault = wait_for("the fault", lambda: door.status()["faults"])[0]
    assert "secret" not in json.dumps(door.status())
    assert fault["text"].startswith("camera rtsp://127.0.0.1:")
    door.ring()
    wait_for("the press", lambda: listener.of("press"))


@pytest.mark.rtsp
@pytest.mark.long
def test_an_rtsp_camera_dies_in_mid_clip_and_comes_back(
    doorbell: Make, listener: Listener, video: Path
) -> None:
    port = free_port()

    def serve() -> Process:
        script = Path(__file__).parents[1] / "support/rtsp_server.py"
        command = ["/usr/bin/python3", str(script), str(video), "--port", str(port), "--seconds", "90"]
        return Process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    server = serve()
    try:
        url = f"rtsp://127.0.0.1:{port}/door"
        door = doorbell(
            {"kind": "stream", "stream": {"url": url, "timeout_s": 2}}, clips={"post_roll_s": 60}
        ).start()

        def growing() -> bool:
            parts = (door.state / "state" / "clips").glob("*.part")
            return any(part.stat().st_size > 8000 for part in parts)

        door.ring()
        wait_for("a clip to grow", growing)
        server.end(signal.SIGKILL)
        wait_for("the fault", lambda: door.status()["faults"])
        first = door.clips(1)[0]
        assert frames_of(first["file"]) > 5
        server = serve()
        wait_for("the camera", lambda: door.status()["camera"]["state"] == "live")
        wait_for("the visit to go on", growing)
        door.stop()
        names = sorted((door.state / "state" / "clips").iterdir())
        assert len(names) == 2, "the same event goes on in a second clip"
        assert frames_of(str(names[1])) > 5
    finally:
        server.end(signal.SIGKILL)


def test_without_a_daemon_the_command_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        [Path(sys.executable).parent / "doorbell", "--state", tmp_path, "ring"],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("doorbell: no doorbelld is running here")


def test_without_picamera2_the_fault_says_how_to_get_it_and_the_bell_rings(
    doorbell: Make, listener: Listener
) -> None:
    door = doorbell({"kind": "pi"}).start(camera=False)
    fault = wait_for("the fault", lambda: door.status()["faults"])[0]
    assert fault["code"] == "camera_down"
    assert fault["text"].startswith("camera.kind pi needs picamera2")
    door.ring()
    wait_for("the press", lambda: listener.of("press"))


def test_the_embedded_broker_speaks_3_1_1_and_a_press_gets_through(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "amqtt.yaml"
    config.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    words = [Path(sys.executable).parent / "amqtt", "-c", config]
    broker = Process(words, log=tmp_path / "amqtt.log")
    door = Doorbell(tmp_path / "d", port, {"kind": "pi"})
    try:
        door.start(camera=False)
        mqtt = wait_for(
            "the connection", lambda: m if (m := door.status()["mqtt"])["state"] == "up" else None
        )
        assert mqtt["protocol"] == "3.1.1"
        listener = Listener(port)
        door.ring()
        wait_for("the press", lambda: listener.of("press"))
        listener.close()
        assert door.stop() == 0
    finally:
        if door.process:
            door.process.end(signal.SIGKILL)
        broker.end()
