"""The owner adds and revokes readers on the page."""

import urllib.request
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.doorbell import Doorbell
from tests.web.browser import PHONE, Watched
from tests.web.conftest import QUIET_SCENE, claim
from tests.web.visitor import PASSWORD

pytestmark = pytest.mark.chromium


def allow(page: Page) -> None:
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()


def test_an_owner_adds_a_dashboard_sees_its_token_once_and_revokes_it(
    doorbell: Callable[..., Doorbell],
    open_page: Callable[..., Watched],
    picture: Callable[[Page, str], None],
) -> None:
    door = doorbell(QUIET_SCENE, page={"enabled": True, "port": 0}).start()
    page = open_page(door, **PHONE).page
    claim(page, door)
    page.goto(f"{door.page}/#/settings")
    page.get_by_role("link", name="Who may read").click()
    expect(page.get_by_text("Nobody but you sees pictures.")).to_be_visible()
    page.get_by_label("Name (a-z").fill("wall-panel")
    page.get_by_label("the live view").check()
    page.get_by_label("RTSP (recorders").check()
    page.get_by_role("button", name="Add a reader").click()
    allow(page)
    expect(page.get_by_role("heading", name="Token for wall-panel")).to_be_visible()
    token = page.locator("#reader-token .hash").first.inner_text()
    expect(page.get_by_text(f"rtsp://wall-panel:{token}@127.0.0.1:8554/live")).to_be_in_viewport()
    request = urllib.request.Request(  # noqa: S310  (the doorbell's own page)
        f"{door.page}/api/snapshot.jpg", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert answer.headers["content-type"] == "image/jpeg"
    for width in (320, 390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert Axe().run(page).violations_count == 0
        picture(page, f"readers-{width}")
    page.reload()
    expect(page.get_by_text("from 127.0.0.1")).to_be_visible()
    assert token not in page.content()
    page.get_by_role("button", name="Send the picture of each press").click()
    allow(page)
    expect(page.get_by_role("heading", name="mqtt")).to_be_visible()
    page.get_by_role("button", name="Revoke").last.click()
    expect(page.get_by_text("Revoked: its token is worthless")).to_be_visible()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Nobody but you sees pictures.")).to_be_visible()
    page.goto(f"{door.page}/#/ledger")
    expect(
        page.get_by_text(
            "wall-panel may read: the live view (MJPEG, WebRTC), RTSP (recorders such as Frigate), still pictures"
        )
    ).to_be_visible()
    expect(page.get_by_text("wall-panel may read nothing any more")).to_be_visible()
