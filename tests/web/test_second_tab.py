"""One owner with two tabs and two devices: what one signs out or in, the other notices without losing anything."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.support.doorbell import Doorbell
from tests.web.browser import DESKTOP, Watched
from tests.web.conftest import claim, sign_in
from tests.web.visitor import Visitor

pytestmark = pytest.mark.chromium

Make = Callable[..., Doorbell]
Open = Callable[..., Watched]


@pytest.fixture
def door(doorbell: Make) -> Doorbell:
    return doorbell(page={"enabled": True, "port": 0}).start()


def test_a_tab_goes_on_when_another_one_has_signed_in_again(door: Doorbell, open_page: Open) -> None:
    """The cookie is the browser's, the token the tab's: the tab asks for the new one and repeats its change."""
    watched = open_page(door, **DESKTOP)
    watched.expected = ("403",)
    page = watched.page
    claim(page, door)
    name, _, value = Visitor(door.page).login().cookie.partition("=")
    watched.context.add_cookies([{"name": name, "value": value, "url": door.page}])
    page.get_by_role("button", name="Record").click()
    door.clips(1)
    assert any("403" in text for text in watched.trouble), "the first try had the old token"


def test_signing_out_in_one_tab_or_everywhere_shows_the_sign_in_page_in_the_others(
    door: Doorbell, open_page: Open
) -> None:
    first, other = open_page(door, **DESKTOP), open_page(door, **DESKTOP)
    for watched in (first, other):
        watched.expected = ("401", "1008", "WebSocket")
    claim(first.page, door)
    other.page.reload()
    sign_in(other.page)
    tab = first.context.new_page()
    tab.goto(door.page)
    tab.wait_for_selector("#live")
    tab.goto(f"{door.page}/#/settings")
    tab.get_by_role("button", name="Sign out", exact=True).click()
    expect(first.page.locator("#password")).to_be_visible()
    expect(other.page.locator("#live")).to_be_visible()
    door.run("page", "logout-everywhere")
    expect(other.page.locator("#password")).to_be_visible()
