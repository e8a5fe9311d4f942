"""The documentation site loads nothing from another origin, and its links lead somewhere."""

import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
SITE = ROOT / "var" / "site"


class Quiet(SimpleHTTPRequestHandler):
    """A file server that does not log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name in http.server)
        pass


ADD_SCRIPT = """() => new Promise((done) => {
    const script = document.createElement("script");
    script.src = "https://192.0.2.1/library.js";
    document.addEventListener("securitypolicyviolation", () => done("refused"));
    script.onload = () => done("loaded");
    document.head.append(script);
})"""
"""Does what the theme's script would do for a diagram."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Build the site and serve a copy, since scripts/check builds it in the same folder; the address."""
    subprocess.run([sys.executable, ROOT / "scripts" / "docs"], check=True, capture_output=True, timeout=120)
    shutil.copytree(SITE, tmp_path / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.chromium
def test_no_page_of_the_site_requests_anything_from_another_origin(site: str, browser: Browser) -> None:
    requested: list[str] = []
    errors: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    paths = [
        "",
        "configuration/",
        "consent/",
        "motion/",
    ]  # with images, code and tables; the others are alike
    for path in paths:
        page.goto(f"{site}{path}", wait_until="networkidle")
    assert len(requested) > len(paths)
    assert [url for url in requested if not url.startswith((site, "data:", "blob:"))] == []
    assert errors == []
    assert page.evaluate(ADD_SCRIPT) == "refused"
    page.close()


@pytest.mark.parametrize(
    ("markup", "fault"),
    [
        ('<script src="https://cdn.example/a.js">', "loads https://cdn.example/a.js"),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', "loads //fonts.example/a.css"),
        ('<img alt="" src="https://pictures.example/a.png">', "loads https://pictures.example/a.png"),
        ('<img alt="" src="nowhere.png">', "no image nowhere.png"),
        ("<style>@import 'https://fonts.example/a.css'</style>", "loads https://fonts.example/a.css"),
    ],
)
def test_the_check_finds_an_outside_resource_and_a_missing_image(
    tmp_path: Path, markup: str, fault: str
) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "docs"))
    page = tmp_path / "index.html"
    page.write_text(
        script["POLICY"] + markup + '<a href="https://elsewhere.example/">a link is no resource</a>'
    )
    assert [found.partition(" ")[2] for found in script["faults_of"](tmp_path)] == [fault]
    page.write_text(markup)
    assert len(list(script["faults_of"](tmp_path))) == 2


def test_every_link_of_the_readmes_leads_to_a_file() -> None:
    for readme in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "systemd/README.md", "server/README.md"):
        path = ROOT / readme
        text = path.read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text)
        assert [link for link in links if not (path.parent / link).exists()] == []
