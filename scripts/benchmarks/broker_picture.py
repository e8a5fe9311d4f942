"""From a press to its picture at an MQTT subscriber, with the drawn camera and with a keyframe every 4 s."""

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from scripts.benchmarks import rig
from server.dev_processes import wait_for
from tests.support.broker import broker
from tests.support.videos import draw_video

TRIES = 60
TITLE = "broker picture: the button's edge → the JPEG at a subscriber of the broker"
BETWEEN_S = 1.3
"""Not a multiple of the keyframe interval, so that presses fall everywhere in the groups of pictures."""


def measure(tries: int) -> dict[str, Any]:
    """Press again and again, and take the time until each picture arrives."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        film = draw_video(folder / "v.mp4", width_px=1920, seconds=16, keyframe_s=4, kbps=4000)
        cameras = {
            "drawn, 1280 x 720, keyframe every 2 s": {
                "kind": "scene",
                "scene": {"visitors": False, "light": "day"},
            },
            "1920 x 1080, keyframe every 4 s": {"kind": "stream", "stream": {"url": str(film)}},
        }
        rows = {
            name: _figures(folder / str(number), camera, tries)
            for number, (name, camera) in enumerate(cameras.items())
        }
    return {"tries": tries, "rows": rows}


def _figures(folder: Path, camera: dict[str, Any], tries: int) -> dict[str, float]:
    folder.mkdir()
    came_us: list[int] = []
    sizes: list[int] = []
    arrived = threading.Event()

    def take(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        came_us.append(time.monotonic_ns() // 1000)
        sizes.append(len(message.payload))
        arrived.set()

    with broker(folder) as port:
        door = rig.BenchDoorbell(folder, port, camera, motion={"enabled": False}).live()
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.on_message = take
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        try:
            wait_for("the ledger", lambda: _granted(door))
            client.connect("127.0.0.1", port)
            client.subscribe("doorbelld/bench/picture", qos=1)
            client.loop_start()
            subscribed.wait(20)
            time.sleep(5)
            took_us = []
            for _ in range(tries):
                arrived.clear()
                pressed_us = door.press()
                if not arrived.wait(10):
                    raise SystemExit("no picture came")
                took_us.append(came_us[-1] - pressed_us)
                time.sleep(BETWEEN_S)
        finally:
            client.loop_stop()
            door.stop()
    return {
        **rig.percentiles(took_us),
        "most_ms": round(max(took_us) / 1000, 1),
        "kb": round(statistics.mean(sizes) / 1000),
    }


def _granted(door: rig.BenchDoorbell) -> bool:
    from device.errors import CommandError

    try:
        door.ask("POST", "/readers", {"name": "mqtt", "scopes": ["press_picture"]})
    except CommandError:  # the ledger has not been opened yet
        return False
    return True


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    lines = []
    for name, row in result["rows"].items():
        times = f"p50 {row['p50_ms']:>6.0f}   p99 {row['p99_ms']:>6.0f}   most {row['most_ms']:>6.0f} ms"
        lines.append(f"{name:<40} {times}   {row['kb']} kB")
    return lines
