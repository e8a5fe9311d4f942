"""Rings on the page: their pictures, their rows, the moment in a clip, and days found by the calendar."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from device.store.clip_name import ClipName
from device.store.event_log import EventLog
from device.store.layout import Layout
from device.store.messages import NewFact
from device.system.ulid import new_ulid
from tests.support.doorbell import Doorbell
from tests.support.videos import make_video
from tests.web.browser import DESKTOP, PHONE, Watched
from tests.web.conftest import claim
from tests.web.visitor import PASSWORD

pytestmark = pytest.mark.chromium

Make = Callable[..., Doorbell]
Open = Callable[..., Watched]
SCENE: dict[str, Any] = {
    "width_px": 640, "height_px": 360, "light": "day", "visitors": False, "visitor_presses": False,
}  # fmt: skip
DECODED = "(image) => image.decode().then(() => image.naturalWidth)"
NOON = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)


def fact(kind: str, event_id: str, at: datetime, **fields: Any) -> NewFact:
    return NewFact(
        kind=kind, mono_us=0, wall_us=int(at.timestamp() * 1e6), clock="synchronised", late=False,
        event_id=event_id, fields=fields,
    )  # fmt: skip


def lay(door: Doorbell, *facts: NewFact) -> None:
    """Lay rows into the log of a doorbell that is not running."""
    layout = Layout(door.state / "state")
    layout.make()
    event_log = EventLog(layout.event_log, boot_id="test", keep_rows=100_000)
    event_log.write(facts, [], None)
    event_log.close()


def clip_of(door: Doorbell, event_id: str, at: datetime, video: Path) -> None:
    name = ClipName(
        started_wall_us=int(at.timestamp() * 1e6), event_id=event_id, cause="press", clock="synchronised"
    )
    (Layout(door.state / "state").clips / name.file_name).write_bytes(video.read_bytes())


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]


@pytest.fixture
def door(doorbell: Make) -> Doorbell:
    return doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0})


def test_two_rings_have_a_picture_each_while_the_clip_still_grows(doorbell: Make, open_page: Open) -> None:
    clips = {"pre_roll_s": 2, "post_roll_s": 60}
    door = doorbell({"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0}, clips=clips).start()
    page = open_page(door, **PHONE).page
    claim(page, door)
    page.get_by_role("link", name="Visits", exact=True).click()
    for number in (1, 2):
        event_id = door.ring()["event_id"]
        card = page.locator(f".ringing[data-event='{event_id}'][data-press='{number}']")
        expect(card.get_by_alt_text("The picture at the moment of the ring")).to_be_visible()
        assert card.locator("img").evaluate(DECODED) == 640
        assert violations(page) == []
        card.get_by_role("button", name="Dismiss").click()
    rows = page.locator("#day .visit")
    expect(rows).to_have_count(2)
    expect(rows.locator(".words")).to_have_text(["Rang again (2)", "Rang"])
    for row in rows.all():
        expect(row.locator("img.thumbnail")).to_be_visible()
        row.locator("img").evaluate(DECODED)
    assert door.ask("GET", "/clips") == []


def test_a_clip_opens_at_its_ring_and_the_story_leads_to_each_moment(
    door: Doorbell, open_page: Open, tmp_path: Path
) -> None:
    event_id, begin = new_ulid(int(NOON.timestamp() * 1e6)), NOON - timedelta(days=1)

    def seconds(count: int) -> datetime:
        return begin + timedelta(seconds=count)

    lay(
        door,
        fact("motion_started", event_id, seconds(1), score=0.7, zones=[]),
        fact("press", event_id, seconds(3), press_number=1),
        fact("press", event_id, seconds(7), press_number=2),
        fact("press", event_id, seconds(90), press_number=3),
    )
    clip_of(door, event_id, begin, make_video(tmp_path / "visit.mp4", seconds=10))
    door.start()
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    page.goto(f"{door.page}/#/visits/{begin:%Y-%m-%d}")
    expect(page.locator("#day .visit .words")).to_have_text(["Rang again (3)", "Rang again (2)", "Rang"])
    page.locator("#day .visit").nth(1).click()
    shown = "() => document.getElementById('player')?.currentTime"
    page.wait_for_function(f"() => Math.abs(({shown})() - 7) < 0.3")
    expect(page.locator(".ring-mark")).to_have_count(2)
    assert violations(page) == []
    page.locator(".ring-mark").first.click()
    page.wait_for_function(f"() => Math.abs(({shown})() - 3) < 0.3")
    story = page.locator(".story li")
    story.filter(has_text="Motion started").get_by_role("button").click()
    page.wait_for_function(f"() => Math.abs(({shown})() - 1) < 0.3")
    expect(story.filter(has_text="ring 3").get_by_role("button")).to_have_count(0)


def test_pictures_whose_clip_is_gone_are_shown_and_deleted(door: Doorbell, open_page: Open) -> None:
    door.start()
    watched = open_page(door, **PHONE)
    watched.expected = ("Failed to load resource", "WebSocket")  # while the doorbell is restarted
    page = watched.page
    claim(page, door)
    event_id = door.ring()["event_id"]
    clip = door.clips(1)[0]
    # The limit takes the clip, not the owner.
    door.stop()
    Path(clip["file"]).unlink()
    door.start()
    page.goto(f"{door.page}/#/visits")
    page.locator("#day .visit").click()
    assert page.locator("figure.moment img").evaluate(DECODED) == 640
    page.locator("#delete-pictures").click()
    page.locator("#delete-yes").click()
    page.locator("dialog input").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile("#/visits/"))
    assert door.ask("GET", f"/visits/{event_id}") == {"clips": [], "pictures": []}


def test_a_day_is_found_by_the_calendar_and_stars_over_all_days(
    door: Doorbell, open_page: Open, tmp_path: Path
) -> None:
    first = (NOON.replace(day=1) - timedelta(days=1)).replace(day=12)
    rung, moved = new_ulid(int(first.timestamp() * 1e6)), new_ulid(int(first.timestamp() * 1e6) + 1)
    lay(
        door,
        fact("press", rung, first, press_number=1),
        fact("motion_started", moved, first + timedelta(days=1), score=0.7, zones=[]),
    )
    clip_of(door, rung, first - timedelta(seconds=2), make_video(tmp_path / "visit.mp4", seconds=4))
    door.start()
    door.ask("PUT", f"/clips/{door.clips(1)[0]['id']}/star", {"on": True})
    page = open_page(door, **PHONE).page
    claim(page, door)
    page.get_by_role("link", name="Visits", exact=True).click()
    page.get_by_role("button", name="Choose a day").click()
    page.get_by_role("button", name="Previous month").click()
    expect(page.get_by_role("button", name="somebody rang")).to_have_count(1)
    expect(page.get_by_role("button", name="visits without a ring")).to_have_count(1)
    assert violations(page) == []
    page.get_by_role("button", name="somebody rang").click()
    page.wait_for_url(re.compile(f"#/visits/{first:%Y-%m-%d}"))
    expect(page.locator("#day .visit")).to_have_count(1)
    page.get_by_role("link", name="All days").click()
    expect(page.locator(".message")).to_have_text("1 entry")
    assert violations(page) == []
    page.get_by_role("link", name="Motion only").click()
    expect(page.locator("#day .visit .words")).to_have_text(["Motion"])
    page.locator("#day .visit").click()
    expect(page.locator(".story li")).to_have_count(1)


def test_an_hour_of_quiet_begins_on_the_card_and_ends_on_the_door_view(
    door: Doorbell, open_page: Open
) -> None:
    door.start()
    page = open_page(door, **PHONE).page
    claim(page, door)
    door.ring()
    card = page.locator(".ringing")
    card.get_by_role("button", name="Quiet for an hour").click()
    expect(card).to_have_count(0)
    chip = page.get_by_role("button", name=re.compile("^Quiet until [0-9]"))
    expect(chip).to_have_attribute("aria-pressed", "true")
    until = datetime.fromisoformat(door.status()["settings"]["quiet_until"])
    assert timedelta(minutes=50) < until - datetime.now().astimezone() <= timedelta(hours=1)
    chip.click()
    expect(page.get_by_role("button", name="Quiet for an hour")).to_have_attribute("aria-pressed", "false")
    assert door.status()["settings"]["quiet_until"] is None


def test_other_doorbells_are_links_to_their_own_pages(doorbell: Make, open_page: Open) -> None:
    links = [{"name": "Back gate", "url": "https://back.local:8443/"}]
    door = doorbell(
        {"kind": "scene", "scene": SCENE}, page={"enabled": True, "port": 0}, doorbells=links
    ).start()
    page = open_page(door, **PHONE).page
    claim(page, door)
    expect(page.get_by_role("link", name="Back gate")).to_have_attribute("href", "https://back.local:8443/")
