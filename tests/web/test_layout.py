"""What a finger, a keyboard and a small or a large screen do with the page's frame."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from device.store.event_log import EventLog
from device.store.layout import Layout
from device.store.messages import NewFact
from device.system.ulid import new_ulid
from tests.support.doorbell import Doorbell
from tests.support.storage import press_at
from tests.web.browser import DESKTOP, PHONE, Watched
from tests.web.conftest import claim

pytestmark = pytest.mark.chromium

Make = Callable[..., Doorbell]
Open = Callable[..., Watched]
SCENE: dict[str, Any] = {
    "width_px": 640, "height_px": 360, "light": "day", "visitors": False, "visitor_presses": False,
}  # fmt: skip
NARROW = {**PHONE, "viewport": {"width": 320, "height": 640}}
ROWS = 60


@pytest.fixture
def door(doorbell: Make) -> Doorbell:
    return doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0}).start()


@pytest.fixture
def busy_door(doorbell: Make) -> Doorbell:
    """A doorbell with some rings in each hour of yesterday, more than fit on a screen."""
    door = doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0})
    layout = Layout(door.state / "state")
    layout.make()
    begin_us = int(yesterday().timestamp() * 1e6)
    event_log = EventLog(layout.event_log, boot_id="test", keep_rows=1000)
    every_us = 86_400_000_000 // ROWS
    event_log.write([press_at(begin_us + number * every_us) for number in range(ROWS)], [], None)
    event_log.close()
    return door.start()


def yesterday() -> datetime:
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1)


def open_yesterday(page: Page, door: Doorbell) -> str:
    url = f"{door.page}/#/visits/{yesterday():%Y-%m-%d}"
    page.goto(url)
    expect(page.locator(".message")).to_have_text(f"{ROWS} entries")
    return url


def drag(page: Page, begin: tuple[int, int], end: tuple[int, int]) -> None:
    """Move one finger in ten steps, as the browser's own input."""
    session = page.context.new_cdp_session(page)
    for step in range(11):
        x, y = (a + (b - a) * step / 10 for a, b in zip(begin, end, strict=True))
        kind = "touchMove" if step else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


@pytest.mark.parametrize("form", [NARROW, DESKTOP], ids=["narrow", "desk"])
def test_a_finger_can_hit_each_hour(busy_door: Doorbell, open_page: Open, form: dict[str, Any]) -> None:
    page = open_page(busy_door, **form).page
    claim(page, busy_door)
    open_yesterday(page, busy_door)
    boxes = page.locator(".hour").evaluate_all(
        "all => all.map((one) => { const { width, height } = one.getBoundingClientRect(); return [width, height]; })"
    )
    assert len(boxes) in {12, 24}
    assert min(side for box in boxes for side in box) >= 24  # WCAG 2.2, 2.5.8


def test_scrolling_with_a_drift_stays_on_the_day_and_a_swipe_leaves_it(
    busy_door: Doorbell, open_page: Open
) -> None:
    page = open_page(busy_door, **PHONE).page
    claim(page, busy_door)
    url = open_yesterday(page, busy_door)
    drag(page, (300, 700), (202, 400))  # 98 px to the side while it scrolls
    page.wait_for_function("() => document.getElementById('day').scrollTop > 100")
    drag(page, (300, 700), (180, 640))
    assert page.url == url
    drag(page, (100, 600), (320, 605))
    page.wait_for_url(re.compile(f"{yesterday() - timedelta(days=1):%Y-%m-%d}"))


def test_going_back_shows_the_list_where_it_was(busy_door: Doorbell, open_page: Open) -> None:
    page = open_page(busy_door, **PHONE).page
    claim(page, busy_door)
    open_yesterday(page, busy_door)
    place = "document.getElementById('day')?.scrollTop"
    for go_back in (page.go_back, page.locator("a.back").click):
        page.evaluate("() => { document.getElementById('day').scrollTop = 2000; }")
        # The rows of that place are drawn with the next frame.
        page.wait_for_function(
            "() => [...document.querySelectorAll('#day .visit')].some((row) => row.getBoundingClientRect().top > 300)"
        )
        page.evaluate("() => [...document.querySelectorAll('#day .visit')].at(-1).click()")
        page.wait_for_selector("a.back")
        go_back()
        page.wait_for_function(f"() => {place} === 2000")
    # What is opened anew begins at the top.
    page.get_by_role("button", name="Previous day").click()
    page.get_by_role("button", name="Next day").click()
    expect(page.locator(".message")).to_have_text(f"{ROWS} entries")
    assert page.evaluate(place) == 0


def test_a_ring_takes_the_focus_names_itself_in_the_title_and_goes_with_escape(
    door: Doorbell, open_page: Open
) -> None:
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Quiet from").focus()
    door.ring()
    expect(page.locator(".ringing")).to_be_focused()
    expect(page).to_have_title(re.compile("Somebody is at the door . Doorbell$"))
    page.keyboard.press("Escape")
    expect(page.locator(".ringing")).to_have_count(0)
    expect(page.get_by_label("Quiet from")).to_be_focused()
    expect(page).to_have_title("Doorbell")
    # A ring is seen above a dialog too; Escape closes one after the other.
    page.get_by_role("button", name="Change password").click()
    door.ring()
    expect(page.locator("dialog .ringing")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".ringing")).to_have_count(0)
    expect(page.locator("dialog")).to_be_visible()
    door.ring()
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".ringing")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("visits/2999-01-01", "is in the future"),
        ("visits/2026-02-31", "“2026-02-31” is not a day"),
        ("visits/%E0%A4%A", "“%E0%A4%A” is not a day"),
        ("visit/01ARZ3NDEKTSV4RRFFQ69G5FAV", "knows no visit with this address"),
        ("visit/nonsense", "knows no visit with this address"),
        ("nowhere", "no view with this address"),
    ],
)
def test_an_address_that_leads_nowhere_is_answered(
    door: Doorbell, open_page: Open, address: str, answer: str
) -> None:
    watched = open_page(door, **PHONE)
    watched.expected = ("404", "409", "422")
    claim(watched.page, door)
    watched.page.goto(f"{door.page}/#/{address}")
    expect(watched.page.get_by_role("alert")).to_contain_text(answer)


def test_claim_and_sign_in_have_room_on_a_desk(door: Doorbell, open_page: Open) -> None:
    page = open_page(door, **DESKTOP).page
    box = page.locator("#password").bounding_box()
    assert box
    assert box["width"] > 300
    assert abs(box["x"] + box["width"] / 2 - 640) < 2


LOW = {**PHONE, "viewport": {"width": 844, "height": 390}}
ZOOMED = {"viewport": {"width": 640, "height": 400}}  # a desk's 1280 x 800 at 200 %


@pytest.mark.parametrize("form", [LOW, ZOOMED], ids=["phone on its side", "200 %"])
def test_on_a_low_screen_the_tabs_stand_beside_the_picture(
    door: Doorbell, open_page: Open, form: dict[str, Any]
) -> None:
    page = open_page(door, **form).page
    claim(page, door)
    tabs, picture = page.locator("nav").bounding_box(), page.locator(".stage").bounding_box()
    assert tabs
    assert picture
    assert tabs["x"] + tabs["width"] <= picture["x"]
    assert picture["y"] + picture["height"] <= form["viewport"]["height"]
    assert picture["width"] > 300


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_no_label_of_a_narrow_screen_runs_into_another(door: Doorbell, open_page: Open, locale: str) -> None:
    page = open_page(door, locale=locale, **NARROW).page
    claim(page, door)
    for view in ("", "visits", "requests", "health", "settings", "zones", "backups", "senders", "ledger"):
        page.goto(f"{door.page}/#/{view}")
        page.wait_for_selector("h1")
        page.wait_for_timeout(300)
        wide = page.evaluate(
            """() => [...document.querySelectorAll("nav a span, h1, h2, label, dt, dd, button, .button, p")]
            .filter((one) => one.checkVisibility() && !one.closest(".unseen") && one.scrollWidth > one.clientWidth + 1
                && getComputedStyle(one).display !== "inline")
            .map((one) => one.textContent)"""
        )
        assert wide == [], view
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 320


def test_a_long_name_ends_in_an_ellipsis(doorbell: Make, open_page: Open) -> None:
    door = doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0})
    layout = Layout(door.state / "state")
    layout.make()
    at_us = int(yesterday().timestamp() * 1e6)
    event_log = EventLog(layout.event_log, boot_id="test", keep_rows=1000)
    zones = ["the path from the garden gate to the front door", "the bench"]
    fact = NewFact(
        kind="motion_started", mono_us=0, wall_us=at_us, clock="synchronised", late=False,
        event_id=new_ulid(at_us), fields={"zones": zones},
    )  # fmt: skip
    event_log.write([fact], [], None)
    event_log.close()
    door.start()
    page = open_page(door, **NARROW).page
    claim(page, door)
    page.goto(f"{door.page}/#/visits/{yesterday():%Y-%m-%d}")
    words = page.locator(".visit .text")
    expect(words).to_contain_text("garden gate")
    assert words.evaluate("(one) => getComputedStyle(one).textOverflow") == "ellipsis"
    assert words.evaluate("(one) => one.scrollWidth > one.clientWidth")
    box = words.bounding_box()
    assert box
    assert box["x"] + box["width"] <= 320


def test_leaving_asks_while_a_form_is_not_saved(door: Doorbell, open_page: Open) -> None:
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Seconds after").fill("7")
    page.get_by_role("link", name="Health").click()
    page.get_by_role("button", name="Stay here").click()
    expect(page.get_by_label("Seconds after")).to_have_value("7")
    assert page.url.endswith("#/settings")
    page.locator("section", has_text="Seconds after").get_by_role("button", name="Save").click()
    message = page.locator("#settings-message")
    expect(message).to_have_text("Saved.")
    # It is in the part that was saved, covers nothing, and goes.
    assert message.evaluate("(one) => one.closest('section').querySelector('#post-roll') !== null")
    assert message.evaluate("(one) => getComputedStyle(one).position") == "static"
    expect(message).to_be_hidden()
    page.get_by_role("link", name="Health").click()
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    page.go_back()
    page.get_by_label("Seconds before").fill("1")
    page.go_back()
    page.get_by_role("button", name="Leave without saving").click()
    expect(page.get_by_role("heading", name="Settings")).to_have_count(0)
