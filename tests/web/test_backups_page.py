"""Backups, from the page and the terminal, to a real WebDAV server, and opened again with the owner's key."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from server.dev_processes import wait_for
from tests.support.backup_servers import PASSWORD as SECRET
from tests.support.backup_servers import WebDav
from tests.support.broker import Broker
from tests.support.neighbourhood import NeighbourhoodDoorbell
from tests.support.network_namespace import Here
from tests.web.browser import PHONE, Watched
from tests.web.conftest import claim
from tests.web.visitor import PASSWORD

pytestmark = [pytest.mark.chromium, pytest.mark.namespace]


@pytest.fixture
def doorbell(tmp_path: Path, broker: Broker) -> Iterator[NeighbourhoodDoorbell]:
    quiet = {"kind": "scene", "scene": {"width_px": 320, "height_px": 180, "visitor_presses": False}}
    made = NeighbourhoodDoorbell(
        tmp_path / "bell", broker.port, camera=quiet, page={"enabled": True, "port": 0}
    ).start()
    yield made
    made.stop_both()


def test_an_owner_backs_up_every_clip_to_a_server_and_opens_it_there(
    doorbell: NeighbourhoodDoorbell,
    tmp_path: Path,
    open_page: Callable[..., Watched],
    picture: Callable[[Page, str], None],
) -> None:
    server = WebDav(tmp_path / "dav", Here()).start()
    try:
        page = open_page(doorbell, **PHONE).page
        claim(page, doorbell)
        key = tmp_path / "key"
        age = doorbell.run("backup", "key", str(key)).stdout.strip()
        assert key.stat().st_mode & 0o77 == 0
        page.goto(f"{doorbell.page}/#/settings")
        page.get_by_role("link", name="Backups").click()
        expect(page.get_by_text("No clip is backed up anywhere.")).to_be_visible()
        assert Axe().run(page).violations_count == 0
        page.get_by_label("Name (a-z").fill("nas")
        page.get_by_label("Address").fill(f"http://127.0.0.1:{server.port}/bell")
        page.get_by_label("User, or access key").fill("anna")
        page.get_by_label("Password, secret or private key").fill(SECRET)
        page.get_by_label("Your key").fill(age)
        picture(page, "backup")
        page.get_by_role("button", name="Add a backup target").click()
        page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="nas")).to_be_visible()
        assert Axe().run(page).violations_count == 0
        doorbell.run("record")
        clip = doorbell.clips(1)[0]
        wait_for("the backup", server.stored)
        wait_for("its entry", lambda: doorbell.json("backup", "list")[0]["stored"] >= 1)
        kinds = [entry["kind"] for entry in doorbell.ledger()]
        assert kinds[kinds.index("backup") :][:2] == ["backup", "backed_up"]
        # A clip's name is nowhere to be seen, and the key brings it back.
        sealed = server.stored()[0]
        assert clip["id"][:8] not in sealed.name
        done = doorbell.run("backup", "open", str(sealed), "--key", str(key), "--out", str(tmp_path / "back"))
        assert done.returncode == 0, done.stderr
        (back,) = (tmp_path / "back").iterdir()
        known = {clip["sha256"] for clip in doorbell.json("clips", "list")}
        assert hashlib.sha256(back.read_bytes()).hexdigest() in known
        page.reload()
        expect(page.get_by_text("clips, ")).to_be_visible()
        page.get_by_role("button", name="Stop backups").click()
        expect(page.get_by_text("Stopped: nothing more is sent there.")).to_be_visible()
        assert doorbell.json("backup", "list") == []
    finally:
        server.stop()
