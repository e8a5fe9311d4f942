"""Requests and notices on the page, in a real browser: what an owner sees before anything could leave."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from device.errors import CommandError
from device.spool.folders import Item, SpoolWriter, bundle
from server.dev_processes import wait_for
from tests.support.broker import Broker
from tests.support.neighbourhood import NeighbourhoodDoorbell, Sender
from tests.web.browser import DESKTOP, PHONE, Watched
from tests.web.conftest import claim
from tests.web.visitor import PASSWORD, Visitor

pytestmark = pytest.mark.chromium

Open = Callable[..., Watched]
Take = Callable[[Page, str], None]
SCENE = {
    "kind": "scene",
    "scene": {
        "width_px": 640,
        "height_px": 360,
        "light": "day",
        "first_visit_s": 2,
        "visitor_presses": False,
    },
}


@pytest.fixture
def doorbell(tmp_path: Path, broker: Broker) -> Iterator[NeighbourhoodDoorbell]:
    made = NeighbourhoodDoorbell(
        tmp_path / "bell", broker.port, camera=SCENE, page={"enabled": True, "port": 0}
    ).start()
    yield made
    made.stop_both()


@pytest.fixture
def department(tmp_path: Path) -> Sender:
    return Sender(tmp_path / "department")


def hear(doorbell: NeighbourhoodDoorbell, source: str, content: bytes) -> None:
    """Do what the courier does: lay something into the spool."""
    SpoolWriter(doorbell.spool / "in", doorbell.spool / "out").put(
        bundle([Item(source=source, content=content)])
    )


def accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def pin_by_hand(page: Page, doorbell: NeighbourhoodDoorbell, department: Sender) -> None:
    page.goto(f"{doorbell.page}/#/senders")
    expect(page.get_by_text("Nobody can ask you for anything")).to_be_visible()
    page.get_by_label("Its record (a file)").set_input_files(department.record)
    expect(page.get_by_role("img", name="The jurisdiction, and your home")).to_be_visible()
    page.get_by_label("Its fingerprint").fill(department.fingerprint.lower().replace("-", " "))
    page.get_by_role("button", name="Pin").click()
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Pinned.")).to_be_visible()


def blur_by_hand(page: Page) -> None:
    """Draw a box on the picture of a late moment, then move its right side with the keyboard."""
    page.get_by_text("Blur in the clip").click()
    picture = page.locator(".blur .frame")
    before = picture.get_attribute("src")
    page.get_by_label("Moment (clip").press("End")
    expect(picture).not_to_have_attribute("src", before or "")
    board = page.locator(".blur .board")
    board.scroll_into_view_if_needed()
    frame = board.bounding_box()
    assert frame
    page.mouse.move(frame["x"] + frame["width"] * 0.3, frame["y"] + frame["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.7, frame["y"] + frame["height"] * 0.8, steps=4)
    page.mouse.up()
    assert float(page.get_by_label("Right %").input_value()) == pytest.approx(70, abs=2)
    page.get_by_label("Right %").fill("75")
    page.get_by_label("Right %").press("Tab")


def test_an_owner_pins_a_department_and_shares_exactly_what_he_chose(  # noqa: PLR0915  (a story)
    doorbell: NeighbourhoodDoorbell, department: Sender, open_page: Open, picture: Take
) -> None:
    page = open_page(doorbell, **PHONE).page
    claim(page, doorbell)
    pin_by_hand(page, doorbell, department)
    accessible(page)
    picture(page, "senders")

    wait_for("some pre-roll", lambda: doorbell.status()["uptime_s"] > 4)
    doorbell.run("record")
    doorbell.clips(1)
    page.goto(f"{doorbell.page}/#/requests")
    expect(page.get_by_text("Nobody is asking you for footage.")).to_be_visible()
    hear(doorbell, "request", department.request(case="2026/4711"))
    tab = page.get_by_role("navigation").get_by_role("link", name="Neighbourhood")
    expect(tab).to_contain_text("1 waits for you")
    page.get_by_role("link", name="2026/4711").click()  # it came by itself, the page was open
    expect(page.get_by_role("heading", name="What would leave")).to_be_visible()
    expect(page.get_by_text("not a replacement for calling the emergency number")).to_be_visible()
    pictures = page.get_by_role("img", name="picture")
    assert pictures.count() == 5
    page.get_by_role("img", name="The last picture").scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )
    sizes = [button.bounding_box() for button in page.locator(".three button").all()]
    assert len({(box["width"], box["height"]) for box in sizes if box}) == 1
    accessible(page)
    picture(page, "request")

    # A shorter piece is another offer.
    hash_before = page.locator("dl").last.locator("dd").last.inner_text()
    page.get_by_role("button", name="Choose").click()
    shorten(page)
    blur_by_hand(page)
    accessible(page)
    picture(page, "choose")
    page.get_by_role("button", name="Show what would leave").click()
    expect(page.get_by_text("This is what would leave.")).to_be_visible()
    expect(page.get_by_text("re-encoded")).to_be_visible()
    expect(page.get_by_text("areas: 1")).to_be_visible()
    page.wait_for_function(
        "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )
    picture(page, "blurred")
    hash_after = page.locator("dl").last.locator("dd").last.inner_text()
    assert hash_after != hash_before

    # The password is asked again, whenever it was given last.
    page.get_by_role("button", name="Share these").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("cannot be recalled")
    dialog.get_by_role("textbox", name="Password").fill(PASSWORD)
    picture(page, "share")
    dialog.get_by_role("button", name="Share these").click()
    expect(page.get_by_text("Approved.")).to_be_visible()
    expect(tab).not_to_contain_text("waits for you")
    entry = next(entry for entry in doorbell.ledger() if entry["data"].get("to") == "approved")
    assert entry["data"]["offer_hash"] == hash_after
    assert entry["data"]["offer"]["clips"][0]["blur"]

    # How far it is, without a reload; there is no courier here, so it waits.
    expect(page.get_by_role("progressbar", name="Waiting for the courier")).to_be_visible()
    accessible(page)
    picture(page, "release")

    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Withdrawn.")).to_be_visible()
    page.goto(f"{doorbell.page}/#/ledger")
    expect(page.get_by_role("heading", name="Ledger")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="withdrawn")).to_be_visible()
    accessible(page)
    picture(page, "ledger")


def shorten(page: Page) -> None:
    """Drag the beginning of the only clip to its first second: clock time and picture follow."""
    picture = page.locator(".choice figure img")
    begin = page.locator(".choice .clock").first
    before, clock = picture.get_attribute("src"), begin.inner_text()
    page.get_by_label("From (clip").evaluate(
        "(slider) => { slider.value = 1; slider.dispatchEvent(new Event('input')); }"
    )
    expect(picture).not_to_have_attribute("src", before or "")
    expect(begin).not_to_have_text(clock)


def test_choosing_begins_with_all_clips_each_time_and_gives_the_true_reason(
    doorbell: NeighbourhoodDoorbell, department: Sender, open_page: Open
) -> None:
    page = open_page(doorbell, **PHONE).page
    claim(page, doorbell)
    doorbell.pin(department)
    doorbell.run("record")
    doorbell.clips(1)
    hear(doorbell, "request", department.request())
    row = doorbell.request_in("offered")
    page.goto(f"{doorbell.page}/#/request/{row['handle']}")
    look = page.get_by_role("button", name="Show what would leave")
    clip = page.get_by_role("checkbox", name="clip")

    page.get_by_role("button", name="Choose").click()
    shorten(page)
    look.click()
    page.get_by_role("button", name="Choose").click()
    expect(page.get_by_label("From (clip")).to_have_value("1")  # what was chosen is still chosen

    clip.uncheck()
    look.click()
    expect(page.get_by_text("you left out every clip")).to_be_visible()
    expect(page.get_by_role("button", name="Share these")).to_be_disabled()
    page.get_by_role("button", name="Choose").click()
    expect(clip).not_to_be_checked()
    clip.check()
    look.click()
    expect(page.get_by_role("img", name="The first picture")).to_be_visible()

    doorbell.run("clips", "delete", doorbell.json("clips", "list")[0]["id"])
    page.reload()
    expect(page.get_by_text("not on the doorbell any more")).to_be_visible()


def test_an_owner_plays_the_very_files_that_are_then_sent_and_nobody_else_does(  # noqa: PLR0915  (a story)
    doorbell: NeighbourhoodDoorbell, department: Sender, open_page: Open, picture: Take
) -> None:
    watched = open_page(doorbell, **PHONE)
    page = watched.page
    claim(page, doorbell)
    doorbell.pin(department)
    wait_for("some pre-roll", lambda: doorbell.status()["uptime_s"] > 4)
    doorbell.run("record")
    doorbell.clips(1)
    hear(doorbell, "request", department.request())
    row = doorbell.request_in("offered")
    page.goto(f"{doorbell.page}/#/request/{row['handle']}")
    page.get_by_role("button", name="Play what would be sent").click()
    video = page.locator("#preview video")
    expect(video).to_be_visible()
    page.wait_for_function("() => document.querySelector('#preview video').readyState >= 2")
    played = video.evaluate(
        "async (video) => { video.muted = true; await video.play(); "
        "await new Promise((done) => { video.ontimeupdate = () => { if (video.currentTime > 0) done(); }; }); "
        "return video.videoWidth; }"
    )
    assert played == 640
    accessible(page)
    picture(page, "preview")

    # Its bytes are behind the owner's session alone.
    source = video.get_attribute("src") or ""
    stranger = Visitor(doorbell.page)
    for path in (source, f"/api/requests/{row['handle']}/preview"):
        assert stranger.ask("GET", path).status == 401, path
    with pytest.raises(CommandError, match="Not Found"):  # the command socket has no such route
        doorbell.ask("GET", f"/requests/{row['handle']}/preview")
    answer = page.request.get(doorbell.page + source)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    digest = hashlib.sha256(answer.body()).hexdigest()
    assert digest in source
    folder = doorbell.state / "state/releases" / row["handle"]
    assert [path.name for path in folder.iterdir()] == ["clip-1.mp4"]
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "clip-1.mp4").stat().st_mode & 0o077 == 0

    # Another choice is another offer: the files are gone. So they are when the page is left.
    page.get_by_role("button", name="Choose").click()
    shorten(page)
    page.get_by_role("button", name="Show what would leave").click()
    expect(page.get_by_role("button", name="Play what would be sent")).to_be_visible()
    wait_for("the files to go", lambda: not folder.exists())
    page.get_by_role("button", name="Play what would be sent").click()
    expect(video).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Door").click()
    wait_for("the files to go", lambda: not folder.exists())

    page.go_back()
    page.get_by_role("button", name="Play what would be sent").click()
    expect(video).to_be_visible()
    page.get_by_role("button", name="Share these").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Exactly the files that you played")
    dialog.get_by_role("textbox", name="Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Share these").click()
    expect(page.get_by_role("progressbar", name="Waiting for the courier")).to_be_visible()
    entry = next(entry["data"] for entry in doorbell.ledger() if entry["data"].get("to") == "approved")
    parcel = next(entry["data"]["parcel"] for entry in doorbell.ledger() if "parcel" in entry["data"])
    assert entry["files"] == [digest], (
        "the offer is the first one again, and the cut is the same to the last byte"
    )
    assert [clip["sha256"] for clip in parcel["clips"]] == [digest]


def test_an_owner_stops_what_is_on_its_way_from_the_list(
    doorbell: NeighbourhoodDoorbell, department: Sender, open_page: Open, picture: Take
) -> None:
    page = open_page(doorbell, **PHONE).page
    claim(page, doorbell)
    doorbell.pin(department)
    doorbell.run("record")
    doorbell.clips(1)
    hear(doorbell, "request", department.request(case="2026/4711"))
    doorbell.request_in("offered")
    assert doorbell.run("requests", "approve", "2026/4711", typed="yes\n").returncode == 0
    page.goto(f"{doorbell.page}/#/requests")
    stop = page.get_by_role("button", name="Stop every release")
    expect(stop).to_be_visible()
    accessible(page)
    picture(page, "stop-every-release")
    stop.click()
    expect(page.get_by_text("Every release is stopped.")).to_be_visible()
    expect(stop).to_be_hidden()
    expect(page.get_by_text("still on its way")).to_be_hidden()
    picture(page, "stopped-every-release")
    assert doorbell.requests()[0]["state"] == "withdrawn"


def test_a_wrong_password_approves_nothing(
    doorbell: NeighbourhoodDoorbell, department: Sender, open_page: Open
) -> None:
    watched = open_page(doorbell, **DESKTOP)
    watched.expected = ("403", "409", "401")
    page = watched.page
    claim(page, doorbell)
    doorbell.pin(department)
    doorbell.run("record")
    doorbell.clips(1)
    hear(doorbell, "request", department.request())
    row = doorbell.request_in("offered")
    page.goto(f"{doorbell.page}/#/request/{row['id']}")
    page.get_by_role("button", name="Share these").click()
    page.get_by_role("dialog").get_by_role("textbox", name="Password").fill("not the password")
    page.get_by_role("dialog").get_by_role("button", name="Share these").click()
    expect(page.get_by_role("alert")).to_contain_text("password")
    assert doorbell.requests()[0]["state"] == "offered"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Decline").click()
    expect(page.get_by_text("Nobody learns of it")).to_be_visible()
    assert doorbell.requests()[0]["state"] == "declined"


def test_an_alert_is_there_at_once_on_whatever_view(
    doorbell: NeighbourhoodDoorbell, department: Sender, open_page: Open, picture: Take
) -> None:
    page = open_page(doorbell, **PHONE).page
    claim(page, doorbell)
    doorbell.pin(department)
    page.goto(f"{doorbell.page}/#/health")
    content = department.notice()
    hear(doorbell, "notice", content)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Gas leak near the tower")
    expect(alert).to_contain_text("Signed by Example Police")
    expect(alert).to_contain_text("emergency number")
    picture(page, "alert")
    alert.get_by_role("link", name="View").click()
    expect(page.get_by_role("heading", name="Gas leak near the tower")).to_be_visible()
    page.get_by_text("Where").click()
    page.wait_for_function(
        "() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )
    accessible(page)
    picture(page, "notices")
    hear(doorbell, "notice", content)  # the feed repeats itself
    hear(doorbell, "notice", department.notice(headline="The leak is closed"))
    wait_for(
        "what came after it", lambda: "The leak is closed" in [row["headline"] for row in doorbell.notices()]
    )
    headlines = sorted(row["headline"] for row in doorbell.notices())
    assert headlines == ["Gas leak near the tower", "The leak is closed"], "each once"
