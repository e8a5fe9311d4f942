"""Edge accepted → PUBLISH received by a subscriber, beside a bare paho client, in turn."""

import os
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from scripts.benchmarks import rig
from tests.support.broker import broker
from tests.support.videos import draw_video

TRIES = 500
TITLE = "press: edge → PUBLISH received, 1080p15 recorded, a loop of fsync beside it; ms"
BUSY_BYTES = 50_000_000
SPACING_S = 0.05  # longer than the debounce, so that each press is one


class Bare:
    """The baseline: a paho client that publishes when a condition variable says so."""

    def __init__(self, port: int) -> None:
        self._due = threading.Condition()
        self._edges: list[int] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        threading.Thread(target=self._publish, daemon=True).start()

    def _publish(self) -> None:
        while True:
            with self._due:
                while not self._edges:
                    self._due.wait()
                self._edges.pop()
            self._client.publish("bare/press", b"x" * 200, qos=1)

    def press(self) -> int:
        """Press; return the edge's time in monotonic microseconds."""
        with self._due:
            edge_us = time.monotonic_ns() // 1000
            self._edges.append(edge_us)
            self._due.notify()
        return edge_us


def subscriber(port: int, topic: str) -> "queue.SimpleQueue[int]":
    """Subscribe; return when each message came, in monotonic microseconds."""
    arrivals: queue.SimpleQueue[int] = queue.SimpleQueue()
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *_: arrivals.put(time.monotonic_ns() // 1000)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(topic, qos=1)
    if not subscribed.wait(10):
        raise SystemExit("bench: the broker does not answer")
    return arrivals


def _sync_loop(path: Path, done: threading.Event) -> None:
    with path.open("wb") as file:
        while not done.is_set():
            file.write(bytes(65536))
            file.flush()
            os.fsync(file.fileno())
            if file.tell() > BUSY_BYTES:
                file.seek(0)


def measure(tries: int) -> dict[str, Any]:
    """Press both in turn; each press also opens or prolongs a clip, so the daemon records throughout."""
    with tempfile.TemporaryDirectory() as directory, broker(Path(directory)) as port:
        folder = Path(directory)
        main = draw_video(folder / "main.mp4", width_px=1920, seconds=20, keyframe_s=2, kbps=4000)
        sub = draw_video(folder / "sub.mp4", width_px=640, seconds=20, keyframe_s=2, kbps=500)
        ours, bares = subscriber(port, "doorbelld/bench/press"), subscriber(port, "bare/press")
        stream = {"url": str(main), "substream_url": str(sub)}
        daemon = rig.BenchDoorbell(folder, port, {"kind": "stream", "stream": stream}).live()
        bare, done = Bare(port), threading.Event()
        threading.Thread(target=_sync_loop, args=(folder / "busy", done), daemon=True).start()
        found: dict[str, list[int]] = {"doorbelld": [], "bare": []}
        try:
            for _ in range(tries):
                for name, who, arrivals in (("doorbelld", daemon, ours), ("bare", bare, bares)):
                    edge_us = who.press()
                    found[name].append(arrivals.get(timeout=10) - edge_us)
                    time.sleep(SPACING_S)
        finally:
            done.set()
            daemon.stop()
    return rig.compared(found, tries)


table = rig.latency_table
