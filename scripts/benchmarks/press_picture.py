"""Edge accepted → the picture of its moment is shown on an open page, by interval of the camera's keyframes.

Debian's Chromium, on the same machine as the daemon. The picture is decoded from the last keyframe on, so a press
late in a long group of pictures waits longest: the presses are spread over the group.
"""

import random
import shutil
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from scripts.benchmarks import rig
from scripts.benchmarks.page import FLAGS, Owner
from server.dev_processes import free_port
from tests.support.broker import broker

TRIES = 100
TITLE = "press → picture of its moment on the page (drawn camera, 720p15); ms"
KEYFRAMES_S = (1.0, 2.0, 4.0)
AIM_MS = 500
SHOWN = """(number) => {
    const image = document.querySelector(`.ringing[data-event="${number[0]}"][data-press="${number[1]}"] img.moment`);
    return image?.dataset.shownMs;
}"""


def measure(tries: int) -> dict[str, Any]:
    """Press `tries` times for each interval of keyframes."""
    with (
        tempfile.TemporaryDirectory() as directory,
        broker(Path(directory)) as port,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        rows = {
            f"{keyframe_s:g}": _pictures(Path(directory), port, browser, keyframe_s, tries)
            for keyframe_s in KEYFRAMES_S
        }
        browser.close()
    return {"tries": tries, "by_keyframe_s": rows}


def _pictures(
    parent: Path, broker_port: int, browser: Browser, keyframe_s: float, tries: int
) -> dict[str, float]:
    folder = parent / f"keyframe{keyframe_s:g}"
    folder.mkdir()
    port = free_port()
    scene = {"light": "day", "visitor_presses": False, "keyframe_every_s": keyframe_s}
    page_table = {"enabled": True, "port": 0, "loopback_port": port}
    daemon = rig.BenchDoorbell(
        folder, broker_port, {"kind": "scene", "scene": scene}, page=page_table, storage={"reserve_bytes": 0}
    ).live()
    try:
        context = Owner(daemon, port).browse(browser)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/#/health")
        page.wait_for_selector("dd")
        page.wait_for_timeout(500)
        dice, taken_us = random.Random(1), []  # noqa: S311  (spreads the presses)
        for _ in range(tries):
            rung = daemon.ask("POST", "/ring")
            pressed_ms = datetime.fromisoformat(rung["occurred_at"]).timestamp() * 1000
            handle = page.wait_for_function(SHOWN, arg=[rung["event_id"], rung["press_number"]])
            taken_us.append(round((float(handle.json_value()) - pressed_ms) * 1000))
            time.sleep(dice.uniform(0.1, 1.1))
        context.close()
    finally:
        daemon.stop()
    return rig.percentiles(taken_us)


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines of the table."""
    return [
        f"a keyframe every {keyframe_s} s   p50 {row['p50_ms']:.0f}, p99 {row['p99_ms']:.0f} (aim {AIM_MS})"
        for keyframe_s, row in result["by_keyframe_s"].items()
    ]
