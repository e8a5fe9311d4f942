"""Where the long run happens: a video whose movements are known, a dashboard, a look at /proc."""

import json
import os
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

EPISODE_FRAMES = 27
FPS = Fraction(125, 8)
EPISODE_US = round(EPISODE_FRAMES / FPS * 1_000_000)
"""1.728 s: 5,000 of them take 2.4 h, the tenth of a day."""
MOVING_FRAMES = 10
LOOP_EPISODES = 10
SHADES = 3
"""Of noise, in grey levels; less than what counts as a change."""
HEARD_S = 20.0


def draw_visits(path: Path, *, width_px: int, kbps: int) -> Path:
    """Draw a still background as H.264, past which something runs once every `EPISODE_US`, for 0.64 s of it.

    16:9; `LOOP_EPISODES` long; a keyframe three times an episode.
    """
    height_px = width_px * 9 // 16
    side_px = width_px // 8
    dice = np.random.default_rng(5)
    background = dice.integers(60, 120, (height_px // 8 + 1, width_px // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    background = background[:height_px, :width_px]
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.bit_rate = kbps * 1000
        stream.gop_size = EPISODE_FRAMES // 3
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "scenecut=0"}
        for number in range(EPISODE_FRAMES * LOOP_EPISODES):
            picture = background + dice.integers(0, SHADES, background.shape)
            step = number % EPISODE_FRAMES
            if step < MOVING_FRAMES:
                x_px = side_px + step * side_px // 2
                picture[height_px // 2 :, x_px : x_px + side_px] = 220
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


class Dashboard:
    """Listens to log and presses with a session that outlives restarts of the broker."""

    def __init__(self, port: int, root: str) -> None:
        self._connections = 0
        self._heard: list[tuple[int, str, bytes]] = []
        self._root = root
        subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id="dashboard",
            protocol=mqtt.MQTTv311,
            clean_session=False,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        if not subscribed.wait(HEARD_S):
            raise SystemExit("faults: the broker does not answer")

    def _subscribe(self, client: mqtt.Client, *_: object) -> None:
        self._connections += 1  # on the receiving thread, to separate messages before and after a break
        client.subscribe([(f"{self._root}/log", 1), (f"{self._root}/press", 1)])

    def _hear(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        # No decoding here: an exception in a callback of paho's ends its thread without a word.
        self._heard.append((self._connections, message.topic, bytes(message.payload)))

    def _of(self, subtopic: str) -> list[tuple[int, dict[str, Any]]]:
        topic = f"{self._root}/{subtopic}"
        heard = list(self._heard)
        return [
            (connection, json.loads(payload)) for connection, heard_on, payload in heard if heard_on == topic
        ]

    def log(self) -> list[tuple[int, dict[str, Any]]]:
        """Return every row as it came: (over which connection, row)."""
        return self._of("log")

    def live_presses(self) -> set[tuple[str, int]]:
        """Return the (event, number within it) of the presses that came on the press topic."""
        return {(press["event_id"], press["press_number"]) for _, press in self._of("press")}

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    found = [pid]
    for member in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == member]
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, none if it has gone meanwhile."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def descriptors(pid: int) -> int:
    """Return how many files, sockets and pipes a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def sizes(folder: Path) -> dict[str, int]:
    """Return the bytes on disk of each file below a folder; one that goes meanwhile has none."""
    found: dict[str, int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found[str(Path(parent, name).relative_to(folder))] = (
                    os.lstat(Path(parent, name)).st_blocks * 512
                )
            except FileNotFoundError:
                continue
    return found
