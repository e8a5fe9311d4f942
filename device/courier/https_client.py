"""HTTPS requests to one origin of the internet, at an address that was checked to be public.

A redirection is an answer like any other: it is never followed.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import urllib3  # egress: feeds, parcels, clean-up
from urllib3.util import SKIP_HEADER  # egress: feeds, parcels, clean-up

from device.courier.public_address import public_addresses
from device.system.https import HTTPS_PORT, https_pool
from device.system.send_guard import SendGuard

TIMEOUT_S = 30.0
_QUIET = {"user-agent": SKIP_HEADER, "accept-encoding": SKIP_HEADER}
"""Nothing about the courier's software."""


def split_origin(origin: str) -> tuple[str, int]:
    """Return host and port of `https://host[:port]`. Raises ValueError."""
    parts = urlsplit(origin)
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query or parts.username:
        raise ValueError(f"{origin} is no https:// origin")
    return parts.hostname, parts.port or HTTPS_PORT


class HttpsClient:
    """Keeps one connection. The host is resolved, and every address checked, before it is opened."""

    def __init__(
        self,
        origin: str,
        *,
        timeout_s: float = TIMEOUT_S,
        allow_loopback: bool = False,
        guard: SendGuard | None = None,
    ) -> None:
        """`guard` watches the connections. Raises ValueError if `origin` is none."""
        self._host, self._port = split_origin(origin)
        self._timeout_s = timeout_s
        self._allow_loopback = allow_loopback
        self._guard = guard
        self._pool: urllib3.HTTPSConnectionPool | None = None

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Return the response; its body has not been read. Raises NotPublic, OSError."""
        host = self._host if self._port == HTTPS_PORT else f"{self._host}:{self._port}"
        sent = {"host": host, **_QUIET, **headers}
        if self._pool:
            return _request(self._pool, method, target, sent, body)
        failure = OSError(f"{self._host} has no address")
        for address in public_addresses(self._host, self._port, allow_loopback=self._allow_loopback):
            self._pool = https_pool(self._host, self._port, address, timeout_s=self._timeout_s)
            if self._guard:
                self._guard.watch_pool(self._pool)
            try:
                return _request(self._pool, method, target, sent, body)
            except _NotConnected as error:  # nothing of the body was taken: the next address can have it
                self.close()
                failure = error
        raise failure

    def close(self) -> None:
        """Close the connection."""
        if self._pool:
            self._pool.close()
            self._pool = None


class _NotConnected(OSError):
    """No connection to this address."""


def _request(
    pool: urllib3.HTTPSConnectionPool,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | Iterator[bytes] | None,
) -> urllib3.BaseHTTPResponse:
    try:
        return pool.urlopen(
            method,
            target,
            headers=headers,
            body=body,
            redirect=False,
            retries=False,
            preload_content=False,
            assert_same_host=False,
        )
    except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
        raise _NotConnected(str(error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise OSError(str(error)) from error
