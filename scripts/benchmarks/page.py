"""The owner's page: latency of pictures and presses, load time, and the cost of its viewers.

Debian's Chromium, on the same machine as the daemon: both use the same cores, so the figures are
worse than on a doorbell whose page is open on another device.
"""

import http.client
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from device.store.clip_name import ClipName
from device.store.event_log import EventLog
from device.store.index import ClipRow, Index
from device.store.layout import Layout
from device.store.messages import NewFact
from device.system.ulid import new_ulid
from scripts.benchmarks import rig
from scripts.benchmarks.press import SPACING_S, subscriber
from server.dev_processes import free_port
from tests.support.broker import broker
from tests.support.videos import draw_video

TRIES = 100
TITLE = "page: Chromium and daemon on one machine"
PASSWORD = "a password of the bench"  # noqa: S105
WINDOW_S = 20
VIEWERS = (0, 1, 4)
EVENTS = (10_000, 100_000)
PAINTS = 5
FRAMES_S = 15
NONSENSE_MS = 60_000
DAY_US = 86_400_000_000
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-features=WebRtcHideLocalIpsWithMdns",
]  # fmt: skip

# Reads the fields that camera.scene.time_code draws into the foot of each picture that is shown.
DELAYS = """(seconds) => new Promise((done) => {
    const video = document.querySelector("video");
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 16 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const delays = [];
    const until = performance.now() + seconds * 1000;
    const look = () => {
        const now = performance.timeOrigin + performance.now();
        context.drawImage(video, 0, video.videoHeight * 15.2 / 16, video.videoWidth, video.videoHeight * 0.6 / 16, 0, 0, 320, 16);
        const data = context.getImageData(0, 8, 320, 1).data;
        let code = 0;
        for (let bit = 0; bit < 32; bit += 1) code = code * 2 + (data[(bit * 10 + 5) * 4] > 127 ? 1 : 0);
        delays.push((Math.round(now) % 4294967296) - code);
        if (performance.now() < until) video.requestVideoFrameCallback(look);
        else done(delays);
    };
    video.requestVideoFrameCallback(look);
})"""  # noqa: E501
PLAYS = """() => {
    const video = document.querySelector("video");
    return (video?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 20;
}"""
VIEWER = """
import sys, time
from websockets.sync.client import connect
with connect(sys.argv[1], origin=sys.argv[2], additional_headers={"Cookie": sys.argv[3]}, proxy=None) as live:
    while True:
        live.recv()
"""


class Owner:
    """Signed in, over HTTP."""

    def __init__(self, daemon: rig.BenchDoorbell, port: int) -> None:
        self.host, self.origin = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
        code = daemon.ask("GET", "/page/code")["code"]
        connection = http.client.HTTPConnection(self.host)
        body = json.dumps({"code": code, "password": PASSWORD})
        headers = {"Origin": self.origin, "Content-Type": "application/json"}
        connection.request("POST", "/api/claim", body, headers)
        answer = connection.getresponse()
        self.cookie = str(answer.headers["set-cookie"]).split(";")[0]
        connection.close()

    def seconds(self, path: str) -> tuple[float, int]:
        """Return how long an answer took, and its length in bytes."""
        connection = http.client.HTTPConnection(self.host)
        connection.connect()
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": self.cookie})
        length = len(connection.getresponse().read())
        taken = time.perf_counter() - began
        connection.close()
        return taken, length

    def browse(self, browser: Browser) -> BrowserContext:
        """Return a browser that is signed in."""
        context = browser.new_context(viewport={"width": 390, "height": 844})
        name, _, value = self.cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": self.origin}])
        return context


def measure(tries: int) -> dict[str, Any]:
    """Measure everything; `tries`: of presses."""
    with (
        tempfile.TemporaryDirectory() as directory,
        broker(Path(directory)) as port,
        sync_playwright() as playwright,
    ):
        found: dict[str, Any] = {"tries": tries}
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with _porch(Path(directory), port) as (daemon, owner):
            found["delay_ms"] = {way: _delays(owner, browser, way) for way in ("mse", "webrtc")}
            found["press_to_page_ms"] = _presses(owner, browser, daemon, tries)
            found["first_paint_ms"] = _paints(owner, browser, "/#/")
            browser.close()
        with _stream(Path(directory), port) as (daemon, owner):
            found["viewers"] = _viewers(daemon, owner)
            found["press_to_mqtt_ms"] = _mqtt(daemon, owner, port, tries)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        found["days"] = {f"{events:,}": _day(Path(directory), port, browser, events) for events in EVENTS}
        browser.close()
    return found


@contextmanager
def _doorbell(
    parent: Path, broker: int, name: str, camera: dict[str, Any]
) -> Iterator[tuple[rig.BenchDoorbell, Owner]]:
    port = free_port()
    folder = parent / name
    folder.mkdir(exist_ok=True)
    page = {"enabled": True, "port": 0, "loopback_port": port}
    storage = {"reserve_bytes": 0, "log_rows": 1_000_000}
    daemon = rig.BenchDoorbell(folder, broker, camera, page=page, storage=storage).live()
    try:
        yield daemon, Owner(daemon, port)
    finally:
        daemon.stop()


@contextmanager
def _porch(parent: Path, broker: int, name: str = "live") -> Iterator[tuple[rig.BenchDoorbell, Owner]]:
    scene = {"light": "day", "visitor_presses": False, "time_code": True}
    with _doorbell(parent, broker, name, {"kind": "scene", "scene": scene}) as found:
        yield found


@contextmanager
def _stream(parent: Path, broker: int) -> Iterator[tuple[rig.BenchDoorbell, Owner]]:
    """A camera that sends 1080p15 and a small stream beside it: what a viewer costs shows better."""
    main = draw_video(parent / "main.mp4", width_px=1920, seconds=20, keyframe_s=2, kbps=4000)
    small = draw_video(parent / "sub.mp4", width_px=640, seconds=20, keyframe_s=2, kbps=500)
    stream = {"url": str(main), "substream_url": str(small)}
    with _doorbell(parent, broker, "stream", {"kind": "stream", "stream": stream}) as found:
        yield found


def _delays(owner: Owner, browser: Browser, way: str) -> dict[str, float]:
    context = owner.browse(browser)
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('live-way', '{way}')")
    began = time.perf_counter()
    page.goto(owner.origin)
    page.wait_for_function(
        "() => (document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 0"
    )
    first_ms = (time.perf_counter() - began) * 1000
    page.wait_for_function(PLAYS)
    if page.evaluate("() => Boolean(document.querySelector('video').srcObject)") != (way == "webrtc"):
        raise SystemExit(f"bench: Chromium does not play {way}")
    delays: list[float] = page.evaluate(DELAYS, FRAMES_S)
    context.close()
    # A picture that is torn while it is read gives nonsense; none may be early or a minute late.
    good = [delay for delay in delays if 0 <= delay < NONSENSE_MS]
    return {
        "frames": len(good),
        "unread": len(delays) - len(good),
        "p50_ms": statistics.median(good),
        "p99_ms": statistics.quantiles(good, n=100, method="inclusive")[98],
        "page_to_first_picture_ms": round(first_ms),
    }


def _presses(owner: Owner, browser: Browser, daemon: rig.BenchDoorbell, tries: int) -> dict[str, float]:
    context = owner.browse(browser)
    page = context.new_page()
    page.goto(f"{owner.origin}/#/health")
    page.wait_for_selector("dd")
    page.wait_for_timeout(500)
    page.evaluate("""() => {
        self.shown = {};
        new MutationObserver(() => {
            const box = document.querySelector(".ringing");
            if (box) self.shown[box.dataset.shownMs] = 1;
        }).observe(document.body, { childList: true });
    }""")
    pressed = []
    for _ in range(tries):
        at = daemon.ask("POST", "/ring")["occurred_at"]
        pressed.append(datetime.fromisoformat(at).timestamp() * 1000)
        time.sleep(0.15)
    shown = sorted(float(at_ms) for at_ms in page.evaluate("() => Object.keys(self.shown)"))
    context.close()
    if len(shown) != tries:
        raise SystemExit(f"bench: {len(shown)} of {tries} presses were shown")
    return rig.percentiles([round((late - early) * 1000) for early, late in zip(pressed, shown, strict=True)])


def _paints(owner: Owner, browser: Browser, path: str) -> dict[str, float]:
    taken = []
    for _ in range(PAINTS):
        context = owner.browse(browser)
        page: Page = context.new_page()
        page.goto(f"{owner.origin}{path}")
        page.wait_for_selector(".visit, .empty, #live")
        taken.append(
            page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 1e9")
        )
        context.close()
    return {"median_ms": round(statistics.median(taken)), "worst_ms": round(max(taken))}


@contextmanager
def _watching(owner: Owner, count: int) -> Iterator[None]:
    address = f"ws://{owner.host}/api/live"
    viewers = [
        subprocess.Popen([sys.executable, "-c", VIEWER, address, owner.origin, owner.cookie])
        for _ in range(count)
    ]
    time.sleep(2)
    try:
        if any(viewer.poll() is not None for viewer in viewers):
            raise SystemExit("bench: a viewer was refused")
        yield
    finally:
        for viewer in viewers:
            viewer.terminate()
            viewer.wait()


def _viewers(daemon: rig.BenchDoorbell, owner: Owner) -> dict[str, dict[str, float]]:
    found = {}
    for count in VIEWERS:
        with _watching(owner, count):
            before = rig.cpu_s(daemon.process.pid)
            time.sleep(WINDOW_S)
            used_s = rig.cpu_s(daemon.process.pid) - before
            found[str(count)] = {
                "cpu_s_per_min": round(used_s * 60 / WINDOW_S, 2),
                "rss_mb": round(rig.rss_mb(daemon.process.pid), 1),
            }
    return found


def _mqtt(daemon: rig.BenchDoorbell, owner: Owner, broker: int, tries: int) -> dict[str, Any]:
    """Press with and without four viewers, in turns of ten, so that both meet the same machine."""
    arrivals = subscriber(broker, "doorbelld/bench/press")
    latencies: dict[str, list[int]] = {"none": [], "four": []}
    turns = max(1, tries // 10)
    for _ in range(turns):
        for name, count in (("none", 0), ("four", 4)):
            with _watching(owner, count):
                for _ in range(10):
                    edge_us = daemon.press()
                    latencies[name].append(arrivals.get(timeout=10) - edge_us)
                    time.sleep(SPACING_S)
    rows: dict[str, Any] = {name: rig.percentiles(values) for name, values in latencies.items()}
    rows["p99_ratio"] = round(rows["four"]["p99_ms"] / rows["none"]["p99_ms"], 2)
    rows["p50_ratio"] = round(rows["four"]["p50_ms"] / rows["none"]["p50_ms"], 2)
    return rows


def _day(parent: Path, broker: int, browser: Browser, events: int) -> dict[str, float]:
    """List a day of 10,000 visits, each with a clip, in a store of `events`; all of one visit a row."""
    name = f"day{events}"
    layout = Layout(parent / name / "doorbell" / "state")
    layout.make()
    midnight_us = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6)
    days = events // 10_000
    index = Index(layout.index)
    event_log = EventLog(layout.event_log, boot_id="bench", keep_rows=10_000_000)
    for day in range(days):
        facts = []
        for number in range(10_000):
            wall_us = midnight_us - (day + 1) * DAY_US + number * DAY_US // 10_000
            event_id = new_ulid(wall_us)
            fields = {"score": 0.7, "zones": ["path"]}
            common = {"mono_us": 0, "wall_us": wall_us, "clock": "synchronised", "late": False}
            facts.append(NewFact(kind="motion_started", event_id=event_id, fields=fields, **common))  # type: ignore[arg-type]
            facts.append(NewFact(kind="press", event_id=event_id, fields={"press_number": 1}, **common))  # type: ignore[arg-type]
            clip = ClipName(started_wall_us=wall_us, event_id=event_id, cause="press", clock="synchronised")
            (layout.clips / clip.file_name).write_bytes(b".")
            index.add(_row(clip))
        event_log.write(facts, [], None)
    index.close()
    event_log.close()
    with _porch(parent, broker, name) as (_, owner):
        listed = f"/api/visits?from_wall_us={midnight_us - DAY_US}&until_wall_us={midnight_us}"
        owner.seconds(listed)
        taken = [owner.seconds(listed) for _ in range(20)]
        yesterday = datetime.fromtimestamp((midnight_us - DAY_US // 2) / 1e6, UTC)
        paints = _paints(owner, browser, f"/#/visits/{yesterday:%Y-%m-%d}")
    return {
        "list_median_ms": round(statistics.median(seconds for seconds, _ in taken) * 1000, 1),
        "list_worst_ms": round(max(seconds for seconds, _ in taken) * 1000, 1),
        "bytes": taken[0][1],
        "first_paint_median_ms": paints["median_ms"],
    }


def _row(name: ClipName) -> ClipRow:
    return ClipRow(
        clip_id=name.clip_id, event_id=name.event_id, cause=name.cause, file_name=name.file_name,
        started_wall_us=name.started_wall_us, duration_us=12_000_000, clock=name.clock, boot_id="bench",
        started_mono_us=0, size_bytes=1, disk_bytes=4096, sha256="0" * 64,
    )  # fmt: skip


def table(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    lines = []
    for way, row in result["delay_ms"].items():
        lines.append(
            f"camera → seen, {way:<6}  p50 {row['p50_ms']:.0f} ms, p99 {row['p99_ms']:.0f} ms "
            f"({row['frames']} pictures); first picture {row['page_to_first_picture_ms']} ms after opening"
        )
    press = result["press_to_page_ms"]
    lines.append(f"press → page             p50 {press['p50_ms']:.0f} ms, p99 {press['p99_ms']:.0f} ms")
    paint = result["first_paint_ms"]
    lines.append(
        f"first paint              median {paint['median_ms']} ms, worst {paint['worst_ms']} ms ({PAINTS})"
    )
    for events, row in result["days"].items():
        lines.append(
            f"10,000 a day of {events:>7} listed in {row['list_median_ms']} ms, worst {row['list_worst_ms']}"
            f" ({row['bytes'] // 1000} kB); first paint {row['first_paint_median_ms']} ms"
        )
    for count, row in result["viewers"].items():
        lines.append(
            f"{count} viewers                processor {row['cpu_s_per_min']} s a minute, {row['rss_mb']} MB"
        )
    mqtt = result["press_to_mqtt_ms"]
    for name in ("none", "four"):
        row = mqtt[name]
        lines.append(f"press → MQTT, {name} watch  p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms")
    lines.append(f"four beside none         p50 {mqtt['p50_ratio']} x, p99 {mqtt['p99_ratio']} x (aim 1.2)")
    return lines
