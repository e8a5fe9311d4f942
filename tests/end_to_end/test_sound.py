"""A story of sound through the real commands; the rest is in tests/camera/test_audio.py."""

import signal
from collections.abc import Callable
from pathlib import Path

from server.dev_processes import wait_for
from tests.support.doorbell import Doorbell
from tests.support.videos import flashes_and_beeps, make_flashing


def test_a_clip_of_a_killed_daemon_has_picture_and_sound(
    doorbell: Callable[..., Doorbell], tmp_path: Path
) -> None:
    video = make_flashing(tmp_path / "door.mp4", sound="aac", seconds=6)
    door = doorbell(
        {"kind": "stream", "stream": {"url": str(video), "audio": True}}, clips={"post_roll_s": 30}
    ).start()
    wait_for("some pre-roll", lambda: door.status()["uptime_s"] > 3)
    door.ring()
    folder = door.state / "state" / "clips"
    wait_for("some fragments", lambda: sum(p.stat().st_size for p in folder.iterdir()) > 25_000)
    door.stop(signal.SIGKILL)
    assert [p.suffix for p in folder.iterdir()] == [".part"]
    door.start(camera=False)
    flashes, beeps = flashes_and_beeps(door.clips(1)[0]["file"])
    assert len(flashes) >= 2
    assert max(min(abs(flash - beep) for beep in beeps) for flash in flashes) < 0.1
    assert door.run("check").returncode == 0
    assert "sound is on: aac is recorded as it comes" in door.log_path.read_text()
