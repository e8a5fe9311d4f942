"""The page while the doorbell is not heard: it claims nothing about the door, every view opens, and it comes back."""

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from device.web.static_files import STATIC
from tests.support.doorbell import Doorbell
from tests.support.frozen_link import FrozenLink
from tests.web.browser import DESKTOP, PHONE, Watched
from tests.web.conftest import claim
from tests.web.test_browser import PLAYED
from tests.web.test_owner import Make
from tests.web.visitor import Visitor

Open = Callable[..., Watched]
LIVE = re.compile(r"^Live · ")
PROVOKED = ("net::ERR", "WebSocket", "Failed to load", "Failed to fetch")
TABS = ("Visits", "Neighbourhood", "Health", "Settings", "Door")


@pytest.fixture
def link(door: Doorbell) -> Iterator[FrozenLink]:
    link = FrozenLink(urlsplit(door.page).port or 0)
    yield link
    link.close()


def until_live(page: Page) -> None:
    page.wait_for_function(PLAYED)
    expect(page.locator(".state")).to_have_text(LIVE)


def all_kept(page: Page) -> None:
    """Wait until the service worker has kept every file of the page."""
    page.wait_for_function(
        """async () => {
            const asked = (await (await fetch("/sw.js")).text()).match(/"paths": (\\[[^\\]]*\\])/);
            const names = await caches.keys();
            if (!asked || !names.length) return false;
            const kept = await (await caches.open(names[0])).keys();
            return kept.length === JSON.parse(asked[1]).length;
        }"""
    )


def every_tab_opens(page: Page) -> None:
    for tab in TABS:
        page.get_by_role("link", name=tab, exact=True).click()
        expect(page.locator("nav [aria-current=page]")).to_contain_text(tab)
        expect(page.locator("#view h1, #view [role=alert]").first).to_be_attached()


def test_a_link_that_stalls_is_not_live(door: Doorbell, link: FrozenLink, open_page: Open) -> None:
    watched = open_page(door, at=f"http://127.0.0.1:{link.port}", **DESKTOP)
    watched.expected = PROVOKED
    page = watched.page
    claim(page, door)
    until_live(page)
    all_kept(page)
    link.freeze()
    expect(page.locator(".stage")).to_have_class(re.compile("past"))
    expect(page.locator(".over").first).to_contain_text("Picture of")
    expect(page.locator(".state")).to_contain_text("Not connected since")
    expect(page.locator("#line")).to_contain_text("Not connected to the doorbell since")
    page.get_by_role("link", name="Settings", exact=True).click()
    expect(page.locator("#view")).to_have_class("view-settings")
    page.get_by_role("link", name="Door", exact=True).click()
    expect(page.locator(".state")).to_contain_text("Not connected since")
    link.thaw()
    until_live(page)
    expect(page.locator("#line")).to_be_empty()


def test_a_daemon_that_ended_is_not_live_and_every_tab_opens(door: Doorbell, open_page: Open) -> None:
    watched = open_page(door, **PHONE)
    watched.expected = PROVOKED
    page = watched.page
    claim(page, door)
    until_live(page)
    all_kept(page)
    door.stop()
    expect(page.locator(".state")).to_contain_text("Not connected since")
    every_tab_opens(page)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    door.start()
    page.get_by_role("button", name="Try again").click()
    until_live(page)


def test_a_camera_that_ended_is_not_live_although_the_doorbell_is_heard(
    doorbell: Make, open_page: Open, video: Path
) -> None:
    camera = {"kind": "stream", "stream": {"url": str(video), "loop": False}}
    door = doorbell(camera, page={"enabled": True, "port": 0}).start()
    page = open_page(door, **DESKTOP).page
    claim(page, door)
    expect(page.locator(".state")).not_to_have_text(LIVE)
    expect(page.locator("#line")).to_be_empty()


def test_a_snapshot_is_saved_with_its_time_and_a_refusal_is_not_saved_as_one(
    door: Doorbell, open_page: Open
) -> None:
    watched = open_page(door, **DESKTOP)
    watched.expected = ("409",)
    page = watched.page
    claim(page, door)
    until_live(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Snapshot").click()
    assert re.fullmatch(r"door-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.jpg", saved.value.suggested_filename)
    assert saved.value.path().read_bytes().startswith(b"\xff\xd8")
    page.get_by_role("button", name="Privacy").click()
    expect(page.locator(".state")).to_contain_text("Privacy is on")
    page.get_by_role("button", name="Snapshot").click()
    expect(page.locator(".message")).to_contain_text("Privacy is on")


def test_the_page_s_files_are_compressed_for_who_takes_that(door: Doorbell) -> None:
    visitor, file = Visitor(door.page), (STATIC / "app.js").read_bytes()
    packed = visitor.ask("GET", "/static/app.js", Accept_Encoding="br, gzip")
    assert (packed.headers["content-encoding"], gzip.decompress(packed.body)) == ("gzip", file)
    assert len(packed.body) < len(file) / 2
    plain = visitor.ask("GET", "/static/app.js")
    assert (plain.headers["content-encoding"], plain.body) == (None, file)
    assert {packed.headers["vary"], plain.headers["vary"]} == {"accept-encoding"}
    again = visitor.ask("GET", "/static/app.js", Accept_Encoding="gzip", If_None_Match=packed.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    picture = visitor.ask("GET", "/static/icons/icon-192.png", Accept_Encoding="gzip")
    assert picture.headers["content-encoding"] is None
