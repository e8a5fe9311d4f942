"""Debian's Chromium, watched: no error in its console, no request to anybody but the doorbell."""

import os
import shutil
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, expect

from server.dev_processes import PATIENCE_S

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=WebRtcHideLocalIpsWithMdns",  # there is no mDNS in a test's network
]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


def chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    path = shutil.which("chromium", path=os.environ.get("PATH", "") + ":/usr/bin")
    return playwright.chromium.launch(executable_path=path, args=FLAGS)


class Watched:
    """A page whose console and requests are watched; `expected` are errors that the test provokes."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(locale=options.pop("locale", "en-GB"), **options)
        self.page: Page = self.context.new_page()
        self.url = url
        self.trouble: list[str] = []
        self.expected: tuple[str, ...] = ()
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.trouble.append(f"exception: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", lambda answer: self._answered(answer.status, answer.url))
        self.page.set_default_timeout(PATIENCE_S * 1000)

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.trouble.append(f"{kind}: {text}")

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.trouble.append(f"{status} for {url}")

    def _asked(self, request: Request) -> None:
        ours = (self.url, self.url.replace("http", "ws"), "blob:", "data:")
        if not request.url.startswith(ours):
            self.trouble.append(f"request to another origin: {request.url}")

    def close(self) -> list[str]:
        """Close; return what went wrong and was not expected."""
        self.context.close()
        return [text for text in self.trouble if not any(part in text for part in self.expected)]
