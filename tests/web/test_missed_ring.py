"""A ring that nobody heard over MQTT is shown on the page until it is dismissed."""

from collections.abc import Callable

from playwright.sync_api import expect

from server.dev_processes import wait_for
from tests.support.broker import Broker
from tests.support.doorbell import Doorbell
from tests.web.browser import PHONE, Watched
from tests.web.conftest import claim


def test_a_missed_ring_is_shown_with_its_reason_until_it_is_dismissed(
    doorbell: Callable[..., Doorbell], broker: Broker, open_page: Callable[..., Watched]
) -> None:
    door = doorbell(page={"enabled": True, "port": 0}).start()
    wait_for("the connection", lambda: door.status()["mqtt"]["state"] == "up")
    rung = door.ring()  # nobody subscribes
    watched = open_page(door, **PHONE)
    claim(watched.page, door)
    missed = wait_for("the missed ring", lambda: door.status()["press"]["missed"])
    assert (missed["event_id"], missed["reason"]) == (rung["event_id"], "no_subscriber")
    card = watched.page.locator(".missed-ring")
    expect(card).to_contain_text("nobody listens to it")
    card.get_by_role("link").click()
    watched.page.wait_for_url("**/visit/*")
    watched.page.go_back()
    card.get_by_role("button").click()
    expect(card).to_have_count(0)
    watched.page.reload()
    watched.page.wait_for_selector("#live")
    expect(card).to_have_count(0)
    broker.stop()
