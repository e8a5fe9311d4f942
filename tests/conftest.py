"""Fixtures that every test may use."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from server.dev_processes import PATH, forget_the_ended
from tests.support import needs
from tests.support.broker import Broker, Listener
from tests.support.doorbell import Doorbell
from tests.support.videos import make_video

# An example's time says how loaded a machine is. Seeds stay random; a failure says how to have it again.
settings.register_profile("doorbelld", deadline=None, print_blob=True)
settings.load_profile("doorbelld")


@pytest.fixture(autouse=True)
def _no_wait_fails_for_what_ended_in_another_test() -> Iterator[None]:
    yield
    forget_the_ended()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    needs.require("broker")
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "walk.mp4", seconds=6)


@pytest.fixture
def doorbell(tmp_path: Path, broker: Broker, video: Path) -> Iterator[Callable[..., Doorbell]]:
    made: list[Doorbell] = []

    def make(camera: dict[str, Any] | None = None, name: str = "d", **tables: Any) -> Doorbell:
        camera = camera or {"kind": "stream", "stream": {"url": str(video)}}
        made.append(Doorbell(tmp_path / name, broker.port, camera, **tables))
        return made[-1]

    yield make
    for one in made:
        if one.process:
            one.process.end(signal.SIGKILL)


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


os.environ["PATH"] = PATH  # Debian's servers are in /usr/sbin, which is not in everybody's PATH


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for need in needs.CHECKS:
        if item.get_closest_marker(need):
            needs.require(need)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-pictures", action="store_true", help="write docs/images/page-*.jpg again")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, one for all tests of a process: Playwright allows no second one beside it."""
    from playwright.sync_api import sync_playwright  # brings an event loop with it

    from tests.web.browser import chromium

    with sync_playwright() as playwright:
        started = chromium(playwright)
        yield started
        started.close()
