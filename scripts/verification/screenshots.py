"""Pictures of every view of the page at each size, in each colour scheme and language, checked with axe."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from device.store.event_log import EventLog
from device.store.layout import Layout
from scripts.benchmarks.page import FLAGS
from tests.support.doorbell import Doorbell
from tests.support.storage import press_at

PASSWORD = "a password for pictures"  # noqa: S105
_TOUCH = {"has_touch": True, "is_mobile": True}
FORMS: dict[str, dict[str, Any]] = {
    "narrow": {"viewport": {"width": 320, "height": 640}, **_TOUCH},
    "phone": {"viewport": {"width": 390, "height": 844}, **_TOUCH},
    "side": {"viewport": {"width": 844, "height": 390}, **_TOUCH},
    "desk": {"viewport": {"width": 1280, "height": 800}},
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LANGUAGES = {"en": "en-GB", "de": "de-DE"}
VIEWS = (
    "door", "visits", "across", "requests", "senders", "ledger", "health", "settings", "zones", "backups", "readers",
    "visit", "nowhere",
)  # fmt: skip
SETTLED_MS = 700
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
YESTERDAYS_RINGS = 40


def main(arguments: list[str]) -> int:
    """Take the pictures; return 1 if axe or the layout has anything to report."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        door = _doorbell(Path(state))
        try:
            path = shutil.which("chromium") or "/usr/bin/chromium"
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            _claim(browser, door)
            door.ring()
            visit = door.clips(1)[0]["event_id"]
            found = list(_pictures(browser, door, visit, options.folder, options.only))
        finally:
            door.stop()
    for line in found:
        print(line)
    print(f"{len(list(options.folder.glob('*.png')))} pictures in {options.folder}, {len(found)} findings")
    return 1 if found else 0


def _doorbell(state: Path) -> Doorbell:
    """Start a doorbell with rings of yesterday and one fault: its broker is not there."""
    scene = {"width_px": 1280, "height_px": 720, "light": "day", "visitors": False, "visitor_presses": False}
    mqtt = {"enabled": True, "host": "127.0.0.1", "port": 9}
    door = Doorbell(
        state / "d", None, {"kind": "scene", "scene": scene}, page={"enabled": True, "port": 0}, mqtt=mqtt
    )
    layout = Layout(door.state / "state")
    layout.make()
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    begin_us = int((midnight - timedelta(days=1)).timestamp() * 1e6)
    event_log = EventLog(layout.event_log, boot_id="pictures", keep_rows=1000)
    times = [begin_us + number * 86_400_000_000 // YESTERDAYS_RINGS for number in range(YESTERDAYS_RINGS)]
    event_log.write([press_at(at_us) for at_us in times], [], None)
    event_log.close()
    return door.start()


def _claim(browser: Browser, door: Doorbell) -> None:
    page = browser.new_page()
    page.goto(door.page)
    page.fill("#code", door.claim_code())
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#live")
    page.close()


def _pictures(browser: Browser, door: Doorbell, visit: str, folder: Path, only: str) -> Iterator[str]:
    for form, scheme, language in product(FORMS, SCHEMES, LANGUAGES):
        names = [f"{form}-{scheme}-{language}-{view}" for view in ("enter", "ringing", *VIEWS)]
        if not any(only in name for name in names):
            continue
        context = browser.new_context(locale=LANGUAGES[language], color_scheme=scheme, **FORMS[form])
        page = context.new_page()
        page.goto(door.page)
        page.wait_for_selector("#password")
        for name in names:
            view = name.rpartition("-")[2]
            if view == "ringing":
                _sign_in(page)
                page.goto(f"{door.page}/#/health")
                door.ring()
                page.wait_for_selector(".ringing")
            elif view != "enter":
                page.keyboard.press("Escape")
                address = {"door": "", "visit": f"visit/{visit}", "visits": _yesterday()}.get(view, view)
                page.goto(f"{door.page}/#/{address}")
                page.wait_for_selector("main :is(h1, [role=alert])")
            if only in name:
                yield from _take(page, name, folder)
        context.close()


def _yesterday() -> str:
    return f"visits/{datetime.now().astimezone() - timedelta(days=1):%Y-%m-%d}"


def _sign_in(page: Page) -> None:
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#live")


def _take(page: Page, name: str, folder: Path) -> Iterator[str]:
    """Take one picture; yield what is wrong in it."""
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=folder / f"{name}.png", animations="disabled")
    print(name, file=sys.stderr)
    if page.evaluate("() => document.documentElement.scrollWidth > innerWidth"):
        yield f"{name}: scrolls sideways"
    result = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    for violation in result.response["violations"]:
        for node in violation["nodes"]:
            yield f"{name}: {violation['id']}: {node['html'][:120]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
