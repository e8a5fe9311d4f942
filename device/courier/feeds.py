"""Fetches the feeds that the owner chose: over HTTPS, at most once a minute, at random times, without redirections.

Each request is the same for all homes and all times. Nothing that a server has sent comes back to it: no cookie, no
ETag and no Last-Modified, which a server could give to each home differently to recognise it at another address. So a
document is fetched whole each time; a large one therefore less often.
"""

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import urllib3  # egress: feeds

from device.courier.https_client import HttpsClient

log = logging.getLogger(__name__)

MIN_WAIT_S = 60
JITTER_S = 60
MAX_WAIT_S = 3600
MEAN_BYTES_A_SECOND = 4_096
"""Of one feed, over the pause that follows: at most 350 MB a day."""
TIMEOUT_S = 20.0
MAX_READ_S = 40.0
"""Of a whole body: the timeout is for each read of the socket, and the watchdog waits 90 s."""
BLOCK_BYTES = 16_384
MAX_REASON = 300
MAX_BYTES = 1_048_576
_OK = 200


class Feed:
    """One address, and when to ask it again."""

    def __init__(self, name: str, url: str, *, allow_loopback: bool = False) -> None:
        """Raises ValueError if `url` is not one of https://."""
        self.name = name
        parts = urlsplit(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._client = HttpsClient(
            f"{parts.scheme}://{parts.netloc}", timeout_s=TIMEOUT_S, allow_loopback=allow_loopback
        )
        self.due_s = time.monotonic() + secrets.randbelow(5_000) / 1000
        self._failures = 0
        self._sha256 = b""

    def fetch(self) -> bytes | None:
        """Return the document, None if it is the one we had; sets when to ask again. Raises OSError."""
        wait_s = min(MIN_WAIT_S * 2**self._failures, MAX_WAIT_S)
        self.due_s = time.monotonic() + wait_s + secrets.randbelow(JITTER_S * 1000) / 1000
        self._failures = min(self._failures + 1, 10)
        document = self._ask()
        self._failures = 0
        self.due_s += max(0.0, len(document) / MEAN_BYTES_A_SECOND - MIN_WAIT_S)
        digest = hashlib.sha256(document).digest()
        if digest == self._sha256:
            return None
        self._sha256 = digest
        return document

    def _ask(self) -> bytes:
        headers = {"accept": "application/cap+xml, application/atom+xml, application/xml;q=0.5"}
        try:
            response = self._client.request("GET", self._target, headers=headers)
            if response.status != _OK:
                raise OSError(f"answered {response.status}; a redirection is not followed")
            document = _read(response)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(str(error)) from error
        finally:
            self._client.close()  # the next request is a minute away, and resolves the name again
        if len(document) > MAX_BYTES:
            raise OSError(f"is larger than {MAX_BYTES} bytes")
        return document


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """Return the body, or a byte too much of it. Raises OSError when it drips for too long."""
    until_s = time.monotonic() + MAX_READ_S
    body = b""
    while len(body) <= MAX_BYTES and (part := response.read(BLOCK_BYTES, decode_content=True)):
        body += part
        if time.monotonic() > until_s:
            raise OSError(f"took longer than {MAX_READ_S:g} s")
    return body


def fetch_all(
    feeds: Mapping[str, str],
    *,
    put: Callable[[str, bytes], None],
    tell: Callable[[str, str], None],
    stopping: threading.Event,
    beat: Callable[[], None],
    allow_loopback: bool = False,
) -> None:
    """Fetch feeds (name → URL) until `stopping`; `put` gets each new document, `tell` the state of each feed."""
    standing = [Feed(name, url, allow_loopback=allow_loopback) for name, url in feeds.items()]
    while not stopping.is_set():
        beat()
        for feed in standing:
            if feed.due_s > time.monotonic() or stopping.is_set():
                continue
            beat()
            try:
                document = feed.fetch()
            except OSError as error:
                log.warning("feed name=%s %s", feed.name, error)
                tell(feed.name, str(error)[:MAX_REASON])
                continue
            tell(feed.name, "up")
            if document is not None:
                put(f"feed:{feed.name}", document)
        stopping.wait(0.5)
