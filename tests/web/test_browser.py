"""The page in a real browser: what a person does with it, on a phone and at a desk."""

import json
import math
import re
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aioice.ice import get_host_addresses
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from device.store.clip_name import ClipName
from device.store.event_log import EventLog
from device.store.layout import Layout
from device.system.local_network import is_home
from device.system.ulid import new_ulid
from server.dev_processes import free_port, wait_for
from tests.support.doorbell import Doorbell
from tests.support.storage import press_at
from tests.support.videos import make_video
from tests.web.browser import DESKTOP, PHONE, Watched
from tests.web.conftest import claim, sign_in
from tests.web.visitor import PASSWORD, Visitor

pytestmark = pytest.mark.chromium

Make = Callable[..., Doorbell]
Open = Callable[..., Watched]
Take = Callable[[Page, str], None]
SCENE: dict[str, Any] = {
    "width_px": 640, "height_px": 360, "light": "day", "visitors": False, "visitor_presses": False,
}  # fmt: skip
PLAYED = """() => {
    const video = document.querySelector("video");
    const frames = video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
    return frames > 5 && video.readyState >= 2 && video.currentTime > 0;
}"""
PICTURED = {("dark", "desk", ""), ("light", "phone", "requests")}
VIEWS = ("", "visits", "requests", "health", "settings", "zones")


@pytest.fixture
def door(doorbell: Make) -> Doorbell:
    return doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0}).start()


def yesterday_s_visit(state: Path, video: Path) -> datetime:
    """Lay a clip of yesterday into the store, as a copy from another card would be."""
    at = (datetime.now().astimezone() - timedelta(days=1)).replace(
        hour=12, minute=34, second=5, microsecond=0
    )
    wall_us = int(at.timestamp() * 1e6)
    name = ClipName(started_wall_us=wall_us, event_id=new_ulid(wall_us), cause="press", clock="synchronised")
    folder = Layout(state / "state").clips
    folder.mkdir(parents=True)
    (folder / name.file_name).write_bytes(video.read_bytes())
    return at


def test_somebody_who_never_saw_it_claims_watches_finds_yesterday_s_visitor_and_sets_a_zone(
    doorbell: Make, open_page: Open, picture: Take, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    scene = {**SCENE, "width_px": 1280, "height_px": 720, "visitors": True, "first_visit_s": 5}
    door = doorbell(
        {"kind": "scene", "scene": scene}, page={"enabled": True, "port": 0}, motion={"enabled": True}
    )
    visit_at = yesterday_s_visit(door.state, make_video(tmp_path / "yesterday.mp4", seconds=4))
    door.start()
    page = open_page(door, **PHONE).page
    # Claim.
    expect(page.get_by_label("Claim code")).to_be_focused()
    picture(page, "claim")
    claim(page, door)
    # Watch.
    page.wait_for_function(PLAYED)
    if request.config.getoption("--keep-pictures"):
        page.wait_for_timeout(12_000)  # until the visitor stands at the door, for the README's picture
    picture(page, "door")
    # Yesterday.
    page.get_by_role("link", name="Visits", exact=True).click()
    # The day after the visit: today, unless midnight has passed since.
    page.goto(f"{door.page}/#/visits/{visit_at + timedelta(days=1):%Y-%m-%d}")
    page.get_by_role("button", name="Previous day").click()
    page.get_by_role("link", name=re.compile("12:34")).click()
    page.wait_for_function("() => document.getElementById('player')?.readyState >= 1")
    assert page.evaluate("() => document.getElementById('player').duration") == pytest.approx(4, abs=0.2)
    # A zone, with a finger.
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Zones and masks").click()
    page.get_by_role("button", name="Watch an area").tap()
    page.wait_for_function("() => document.querySelector('.frame').naturalWidth > 0")
    tap_corners(page, [(0.25, 0.3), (0.75, 0.3), (0.8, 0.95), (0.2, 0.95)])
    page.get_by_role("button", name="Finish").tap()
    page.get_by_label("Name").fill("path")
    page.get_by_label("Name").press("Tab")
    picture(page, "zones")
    page.get_by_role("button", name="Save").tap()
    expect(page.locator("#zones-message")).to_contain_text("Saved")
    (row,) = [row for row in door.json("config", "show") if row["key"] == "zones"]
    (zone,) = row["value"]
    assert (zone["name"], zone["kind"], len(zone["points"])) == ("path", "include", 4)
    assert zone["points"][0] == pytest.approx([0.25, 0.3], abs=0.02)
    page.reload()
    expect(page.get_by_role("button", name="path (watch)")).to_be_visible()


def tap_corners(page: Page, corners: list[tuple[float, float]]) -> None:
    board = page.locator("#board").bounding_box()
    assert board
    for x, y in corners:
        page.touchscreen.tap(board["x"] + x * board["width"], board["y"] + y * board["height"])


@pytest.mark.parametrize("way", ["mse", "webrtc"])
def test_the_live_view_plays(door: Doorbell, open_page: Open, way: str) -> None:
    addresses = get_host_addresses(use_ipv4=True, use_ipv6=True)
    if way == "webrtc" and not any(map(is_home, addresses)):
        pytest.skip("this machine has no home address but loopback's, which ICE leaves out")
    page = open_page(door, **DESKTOP).page
    page.evaluate(f"localStorage.setItem('live-way', '{way}')")
    claim(page, door)
    page.wait_for_function(PLAYED)
    before = page.evaluate("() => document.querySelector('video').currentTime")
    page.wait_for_function(f"() => document.querySelector('video').currentTime > {before} + 1")
    assert page.evaluate("() => Boolean(document.querySelector('video').srcObject)") == (way == "webrtc")
    expect(page.locator(".over").first).to_be_hidden()


def test_the_live_view_goes_on_after_the_camera_was_away(door: Doorbell, open_page: Open) -> None:
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    page.wait_for_function(PLAYED)
    page.get_by_role("button", name="Privacy").click()
    expect(page.locator(".over").first).to_contain_text("Privacy is on")
    page.get_by_role("button", name="Privacy").click()
    page.fill("#step-up", PASSWORD)  # its end shows more than now
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".over").first).to_be_hidden()
    page.wait_for_function("() => document.querySelector('video').currentTime < 5")
    page.wait_for_function(PLAYED)


def test_h265_is_explained_where_the_browser_cannot_show_it(
    doorbell: Make, open_page: Open, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "hevc.mp4", seconds=6, codec="libx265")
    camera = {"kind": "stream", "stream": {"url": str(video)}}
    door = doorbell(camera, page={"enabled": True, "port": 0}).start()
    page = open_page(door, **PHONE).page
    claim(page, door)
    expect(page.locator(".over").first).to_contain_text("H.265, which this browser cannot show")


def test_a_press_is_shown_at_once_on_every_view(door: Doorbell, open_page: Open, picture: Take) -> None:
    page = open_page(door, **PHONE).page
    claim(page, door)
    page.get_by_role("link", name="Health").click()
    expect(page.locator("#line")).to_be_empty()
    page.wait_for_timeout(500)
    event_id = door.ring()["event_id"]
    banner = page.locator(f".ringing[data-event='{event_id}']")
    expect(banner).to_be_visible()
    picture(page, "ringing")
    banner.get_by_role("button", name="See who it is").click()
    page.wait_for_selector("#live")
    expect(page.locator(".ringing")).to_have_count(0)
    expect(page.locator(f".visit[data-visit='{event_id}']")).to_be_visible()


def test_a_clip_plays_seeks_gets_a_star_and_is_deleted_with_the_password(
    door: Doorbell, open_page: Open, picture: Take
) -> None:
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    door.ring()
    clip = door.clips(1)[0]
    page.get_by_role("link", name="Visits", exact=True).click()
    page.locator("#day .visit").click()
    page.wait_for_function("() => document.getElementById('player')?.readyState >= 2")
    page.evaluate("() => document.getElementById('player').play()")
    page.wait_for_function("() => document.getElementById('player').currentTime > 0.3")
    assert page.evaluate("""async () => {
        const video = document.getElementById("player");
        video.pause();
        const sought = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
        video.currentTime = 1.5;
        await sought;
        return video.currentTime;
    }""") == pytest.approx(1.5, abs=0.1)
    picture(page, "visit")
    page.get_by_role("button", name="Star").click()
    expect(page.get_by_role("button", name="Star")).to_have_attribute("aria-pressed", "true")
    assert door.json("clips", "show", clip["id"])["protected"] is True
    page.get_by_role("button", name="Star").click()
    expect(page.get_by_role("button", name="Star")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Delete").click()
    page.locator("#delete-yes").click()
    page.locator("dialog input").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    wait_for("the deletion", lambda: door.json("clips", "list") == [])
    page.wait_for_url(re.compile("#/visits/"))


def test_a_day_of_ten_thousand_visits_is_a_list_that_scrolls(
    doorbell: Make, open_page: Open, picture: Take
) -> None:
    door = doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0})
    layout = Layout(door.state / "state")
    layout.make()
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    begin_us = int((midnight - timedelta(days=1)).timestamp() * 1e6)
    event_log = EventLog(layout.event_log, boot_id="test", keep_rows=100_000)
    every_us = 86_400_000_000 // 10_000
    event_log.write([press_at(begin_us + number * every_us) for number in range(10_000)], [], None)
    event_log.close()
    door.start()
    page = open_page(door, **PHONE).page
    claim(page, door)
    page.goto(f"{door.page}/#/visits/{midnight - timedelta(days=1):%Y-%m-%d}")
    expect(page.locator(".message")).to_have_text("10000 entries")
    assert page.locator(".virtual li").count() < 40
    # To the end and back, with a few rows in the document at each moment.
    page.evaluate("() => { const box = document.getElementById('day'); box.scrollTop = box.scrollHeight; }")
    expect(page.locator("li[aria-posinset='10000']")).to_be_visible()
    assert page.locator(".virtual li").count() < 40
    page.get_by_role("button", name=re.compile("^12.14 h")).click()
    expect(page.locator(".visit:focus .time")).to_have_text(re.compile("^13:59"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".visit:focus")).to_be_visible()
    picture(page, "day")
    page.keyboard.press("End")
    expect(page.locator(".visit:focus .time")).to_have_text(re.compile("^00:00"))


def test_filters_keyboard_and_the_star_by_a_key(door: Doorbell, open_page: Open) -> None:
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    door.ring()
    clip = door.clips(1)[0]["id"]
    page.get_by_role("link", name="Visits", exact=True).click()
    page.locator("#day .visit").focus()
    page.keyboard.press("s")
    wait_for("the star", lambda: door.json("clips", "show", clip)["protected"])
    page.get_by_role("button", name="Motion only").click()
    expect(page.locator("#day .visit")).to_have_count(0)
    expect(page.locator(".message")).to_have_text("Nothing on that day matches the filter.")
    page.get_by_role("button", name="Starred").click()
    expect(page.locator("#day .visit")).to_have_count(1)
    page.locator("#day .visit").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#player")


def test_log_out_everywhere_logs_out_every_browser(door: Doorbell, open_page: Open) -> None:
    phone, desktop = open_page(door, **PHONE), open_page(door, **DESKTOP)
    phone.expected = desktop.expected = ("401", "403")  # the browser's own lines about what is refused then
    claim(phone.page, door)
    desktop.page.reload()
    sign_in(desktop.page)
    phone.page.get_by_role("link", name="Settings").click()
    phone.page.get_by_role("button", name="Sign out everywhere").click()
    for browser in (phone, desktop):
        expect(browser.page.get_by_role("button", name="Sign in")).to_be_visible()
    assert Visitor(door.page).ask("GET", "/api/session").json["signed_in"] is False
    phone.page.fill("#password", "wrong guess")
    phone.page.click("button[type=submit]")
    expect(phone.page.get_by_role("alert")).to_have_text("Wrong password.")


def test_settings_are_changed_explained_and_undone(door: Doorbell, open_page: Open, picture: Take) -> None:
    phone = open_page(door, **PHONE)
    phone.expected = ("409",)  # what does not fit is refused by such an answer
    page = phone.page
    claim(page, door)
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Quiet from").fill("22:00")
    page.get_by_label("until").fill("06:30")
    page.locator("section", has_text="Chime").get_by_role("button", name="Save").click()
    expect(page.locator("#settings-message")).to_have_text("Saved.")
    page.get_by_label("Sensitivity").focus()
    page.keyboard.press("ArrowRight")
    wait_for("the sensitivity", lambda: setting(door, "motion.sensitivity")["value"] == 0.55)
    assert setting(door, "chime.quiet_hours")["value"] == "22:00-06:30"
    picture(page, "settings")
    page.get_by_label("Limit in GB").fill("0")
    page.locator("section", has_text="Maximum age").get_by_role("button", name="Save").click()
    expect(page.locator("#settings-message")).to_contain_text("“Limit in GB” takes 10 MB to ")
    page.get_by_role("button", name="Test").click()
    page.locator("dialog input").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#mqtt-message")).to_contain_text("It works")
    page.get_by_role("button", name="Undo last change").click()
    expect(page.locator("#settings-message")).to_have_text("Undone.")
    assert setting(door, "motion.sensitivity")["value"] == 0.5
    assert setting(door, "chime.quiet_hours")["value"] == "22:00-06:30"


def setting(door: Doorbell, key: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = door.json("config", "show")
    return next(row for row in rows if row["key"] == key)


def test_a_zone_can_be_moved_by_keys_alone(door: Doorbell, open_page: Open) -> None:
    points = "[[0.2,0.2],[0.8,0.2],[0.8,0.8],[0.2,0.8]]"
    door.run("config", "set", f'zones=[{{name="a", kind="ignore", points={points}}}]')
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    page.goto(f"{door.page}/#/zones")
    page.get_by_role("button", name=re.compile("^Corner 1,")).focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#zones-message")).to_contain_text("Saved")
    assert setting(door, "zones")["value"][0]["points"][0] == [0.25, 0.2]


def test_the_page_says_when_the_doorbell_is_away_and_comes_back_by_itself(
    door: Doorbell, open_page: Open
) -> None:
    watched = open_page(door, **PHONE)
    # It is killed in the middle of whatever it answers.
    watched.expected = ("ERR_CONNECTION_", "WebSocket", "ERR_CONTENT_LENGTH_MISMATCH")
    page = watched.page
    claim(page, door)
    page.evaluate("() => navigator.serviceWorker.ready")
    page.reload()  # so that the shell is what the service worker has kept
    page.wait_for_function(PLAYED)
    door.stop(signal.SIGKILL)
    expect(page.locator("#line")).to_contain_text("Not connected to the doorbell since")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    door.start()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function(PLAYED)


def test_the_last_day_is_a_plot(doorbell: Make, open_page: Open, picture: Take) -> None:
    door = doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0})
    (door.state / "state").mkdir(parents=True)
    now_ms = time.time_ns() // 1_000_000
    samples = [
        {
            "at_ms": now_ms - (1440 - minute) * 60_000,
            "temperature_c": 48 + 9 * math.sin(minute / 230) + minute % 7 / 5,
            "fps": 15 if minute % 400 else 11,
            "used_bytes": 2_000_000_000 + minute * 1_500_000,
            "faults": 0,
        }
        for minute in range(1440)
    ]
    (door.state / "state" / "health.json").write_text(json.dumps(samples))
    door.start()
    page = open_page(door, **PHONE).page
    claim(page, door)
    page.goto(f"{door.page}/#/health")
    expect(page.locator(".plot polyline")).to_have_count(3)
    expect(page.locator(".plot").first).to_contain_text("Temperature now 48.6 °C, between 39 °C and 58.2 °C")
    expect(page.get_by_text("All is well.")).to_be_visible()
    page.locator(".plots").scroll_into_view_if_needed()
    picture(page, "phone-health")


def test_faults_are_shown_with_a_remedy_on_the_door_and_on_the_tab(
    doorbell: Make, open_page: Open, tmp_path: Path
) -> None:
    camera = {"kind": "stream", "stream": {"url": str(tmp_path / "nothing.mp4")}}
    door = doorbell(camera, page={"enabled": True, "port": 0}).start(camera=False)
    page = open_page(door, locale="de-DE", **PHONE).page
    claim(page, door)
    expect(page.locator(".stage .over")).to_contain_text("nothing.mp4 gibt es weder Kamera noch Video")
    expect(page.locator(".faults .fault")).to_contain_text("Abhilfe: Prüfe camera.stream.url")
    expect(page.get_by_role("link", name="Zustand 1 Störung")).to_be_visible()
    page.get_by_role("link", name="Zustand").click()
    expect(page.locator(".fault")).to_contain_text("Abhilfe: Prüfe camera.stream.url")


def test_the_last_ring_is_known_after_a_restart(door: Doorbell, open_page: Open) -> None:
    rang_at = door.ring()["occurred_at"]
    wait_for("the log's row", lambda: any(row["kind"] == "press" for row in door.ask("GET", "/log")))
    door.stop()
    door.start()
    wait_for("the log to be read", lambda: door.status()["press"]["last_at"])
    press = door.status()["press"]
    assert (press["count"], press["last_at"]) == (0, rang_at)


def test_the_page_works_over_https(doorbell: Make, open_page: Open) -> None:
    port = free_port()
    door = doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": port}).start()
    watched = open_page(door, at=f"https://localhost:{port}", ignore_https_errors=True, **PHONE)
    watched.expected = ("SSL certificate",)  # a service worker wants a certificate that is trusted
    page = watched.page
    claim(page, door)
    page.wait_for_function(PLAYED)
    (cookie,) = watched.context.cookies()
    assert cookie["name"] == "__Host-doorbell"
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    door.ring()
    expect(page.locator(".ringing")).to_be_visible()


def test_it_can_be_put_on_the_home_screen(door: Doorbell, open_page: Open) -> None:
    page = open_page(door, **PHONE).page
    manifest = page.evaluate("async () => (await fetch('/manifest.webmanifest')).json()")
    assert (manifest["name"], manifest["display"]) == ("Doorbell", "standalone")
    for icon in manifest["icons"]:
        size = page.evaluate(
            "async (src) => { const i = new Image(); i.src = src; await i.decode(); return i.naturalWidth; }",
            icon["src"],
        )
        assert f"{size}x{size}" == icon["sizes"]


@pytest.mark.parametrize(("scheme", "form"), [("light", "phone"), ("dark", "desk")])
def test_every_view_meets_the_accessibility_rules(
    door: Doorbell, open_page: Open, picture: Take, scheme: str, form: str
) -> None:
    options = PHONE if form == "phone" else DESKTOP
    page = open_page(door, color_scheme=scheme, **options).page
    page.wait_for_selector("#code")
    found = {"claim": violations(page)}
    claim(page, door)
    door.ring()
    door.clips(1)
    found["ringing"] = violations(page)
    page.locator(".ringing").get_by_role("button", name="Dismiss").click()
    for view in VIEWS:
        page.goto(f"{door.page}/#/{view}")
        page.wait_for_selector("h1")
        page.wait_for_timeout(400)
        found[view] = violations(page)
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{view} scrolls sideways"
        if (scheme, form, view) in PICTURED:
            picture(page, f"{form}-{view or 'door'}")
    page.goto(f"{door.page}/#/visits")
    page.locator("#day .visit").click()
    page.wait_for_selector("#player")
    found["visit"] = violations(page)
    page.goto(f"{door.page}/api/docs")
    page.wait_for_selector("dt")
    found["api"] = violations(page)
    assert {view: problems for view, problems in found.items() if problems} == {}


def violations(page: Page) -> list[str]:
    """Run axe-core with the rules of WCAG 2.2 AA and below."""
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    result = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
    return [
        f"{violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for violation in result.response["violations"]
        for node in violation["nodes"]
    ]


def test_the_page_can_be_german_and_remembers_it(door: Doorbell, open_page: Open) -> None:
    page = open_page(door, locale="de-DE", **PHONE).page
    expect(page.get_by_label("Neues Passwort")).to_be_visible()
    claim(page, door)
    expect(page.get_by_role("link", name="Besuche", exact=True)).to_be_visible()
    for view in VIEWS:
        page.goto(f"{door.page}/#/{view}")
        page.wait_for_selector("h1")
        page.wait_for_timeout(200)
        # A key that has no string is shown as it is: small letters with a _ between.
        left = re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b", page.inner_text("body"))
        assert left == []
    page.goto(f"{door.page}/#/settings")
    page.get_by_label("Sprache").select_option("en")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()


def test_the_languages_have_the_same_texts() -> None:
    folder = Path(__file__).parents[2] / "device" / "web" / "static"
    english, german = (json.loads((folder / f"strings/{name}.json").read_text()) for name in ("en", "de"))
    assert english.keys() == german.keys()
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", german[key])), key
    scripts = "\n".join(path.read_text() for path in folder.rglob("*.js"))
    asked = set(re.findall(r"\bt\(\"(\w+)\"", scripts))
    assert asked <= english.keys() | {key.removesuffix("_one") for key in english}


def test_a_long_live_view_stays_close_to_real_time(door: Doorbell, open_page: Open) -> None:
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    page.wait_for_function(PLAYED)
    began = time.monotonic()
    while time.monotonic() - began < 6:
        page.wait_for_timeout(500)
        behind = page.evaluate("""() => {
            const video = document.querySelector("video");
            return video.buffered.end(video.buffered.length - 1) - video.currentTime;
        }""")
        assert behind < 3  # a disaster's bound; `scripts/bench page` has the figures
