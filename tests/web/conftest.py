import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.doorbell import Doorbell
from tests.web.browser import Watched
from tests.web.visitor import PASSWORD, Visitor

QUIET_SCENE = {
    "kind": "scene",
    "scene": {"width_px": 320, "height_px": 180, "visitors": False, "light": "day"},
}
IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture
def door(doorbell: Callable[..., Doorbell]) -> Doorbell:
    """A doorbell with its page, in front of which nobody appears."""
    return doorbell(QUIET_SCENE, page={"enabled": True, "port": 0}).start()


@pytest.fixture
def owner(door: Doorbell) -> Visitor:
    return Visitor(door.page).claim(door)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Open a browser at a doorbell's page; at the end nothing may have gone wrong in it."""
    opened: list[Watched] = []

    def open_one(door: Doorbell, *, at: str = "", **options: Any) -> Watched:
        watched = Watched(browser, at or door.page, **options)
        opened.append(watched)
        watched.page.goto(watched.url)
        return watched

    yield open_one
    trouble = [text for watched in opened for text in watched.close()]
    if sys.exc_info()[0] is None:
        assert trouble == []


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Page, str], None]:
    """Take a screenshot; `scripts/test --keep-pictures` rewrites those of the README."""
    keep = request.config.getoption("--keep-pictures")
    folder = IMAGES if keep else tmp_path

    def take(page: Page, name: str) -> None:
        if keep:
            page.wait_for_timeout(300)  # until the drawing has settled
        page.screenshot(path=folder / f"page-{name}.jpg", type="jpeg", quality=80, animations="disabled")

    return take


def claim(page: Page, door: Doorbell) -> None:
    page.fill("#code", door.claim_code())
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#live")


def sign_in(page: Page) -> None:
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#live")
