"""Checks every request before the application: host, origin, session or read token. What is not allowed is refused.

Defends against cross-site requests (Origin, change token, SameSite), DNS rebinding (Host), framing and injected
scripts (headers), and endless bodies. Connections from outside the home network were refused
before (`connection_limiter`).
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from device.errors import CommandError
from device.system.local_network import is_address, is_home
from device.web import reader_auth
from device.web.auth_accounts import Accounts, LoginSession, change_token
from device.web.backend import ReaderRegistry
from device.web.reader_auth import Refusal

OPEN_PATHS = frozenset(
    {"/", "/sw.js", "/manifest.webmanifest", "/ca.crt", "/api/session", "/api/claim", "/api/login"}
)
OPEN_FOLDERS = ("/static/",)
WITHOUT_TOKEN = frozenset({"/api/claim", "/api/login"})
SAFE_METHODS = frozenset({"GET", "HEAD"})
MAX_BODY_BYTES = 262_144
TOKEN_HEADER = "x-doorbell-token"  # noqa: S105  (a header's name)

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
"""A name or an address, perhaps with a port; the policy below repeats it."""
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]


def _policy(host: str, *, tls: bool) -> bytes:
    """Return the Content-Security-Policy. Sockets are named: older Safaris do not count them as 'self'."""
    sockets = f"{'wss' if tls else 'ws'}://{host}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "media-src 'self' blob:; "
        f"connect-src 'self' {sockets}; manifest-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ).encode()


def cookie_name(*, tls: bool) -> str:
    """Return the session cookie's name; `__Host-` binds it to this host and to TLS (RFC 6265bis)."""
    return "__Host-doorbell" if tls else "doorbell"


class AuthMiddleware:
    """ASGI middleware."""

    def __init__(
        self, app: Any, *, accounts: Accounts, readers: Callable[[], ReaderRegistry], hosts: Iterable[str]
    ) -> None:
        """`hosts`: names of the page that are accepted besides addresses of the home network."""
        self._app = app
        self._readers = readers
        self._accounts = accounts
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        host, tls = headers.get("host", ""), scope["scheme"] in ("https", "wss")
        with_headers = _with_headers(send, scope["path"], host, tls=tls)
        refused = self._refusal(scope, headers, host, tls=tls)
        if refused:
            more = (
                reader_auth.challenge_for(reader_auth.scope_of(scope), headers) if refused[0] == 401 else []
            )
            await _refuse(scope, receive, with_headers, *refused, more)
            return
        await self._app(scope, bounded(receive) if scope["type"] == "http" else receive, with_headers)

    def _refusal(self, scope: Any, headers: dict[str, str], host: str, *, tls: bool) -> Refusal | None:
        """Return status, code and sentence if the request is refused; otherwise put the session into the scope."""
        if not self._is_ours(host):
            return 421, "host", "the doorbell is not known by this name; add it to page.hosts"
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return 413, "large", f"a request holds {MAX_BODY_BYTES} bytes at most"
        wanted = reader_auth.scope_of(scope)
        if wanted and headers.get("authorization"):
            return self._reader_refusal(scope, headers, wanted)
        path, changes = scope["path"], scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and urlsplit(headers.get("origin", "")).netloc.lower() != host.lower():
            return 403, "origin", "this did not come from the doorbell's own page"
        token = _cookie(headers.get("cookie", ""), cookie_name(tls=tls))
        session: LoginSession | None = self._accounts.session(token, _peer(scope))
        scope.setdefault("state", {})["session"] = session
        scope["state"]["token"] = token if session else ""
        scope["state"]["may_watch"] = lambda: self._accounts.session(token) is not None
        if session is None:
            if path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
                return None
            return 401, "signed_out", "sign in first"
        if changes and scope["type"] == "http" and path not in WITHOUT_TOKEN:
            given = headers.get(TOKEN_HEADER, "")
            if given != change_token(token):
                return 403, "token", "the page is out of date; load it again"
        return None

    def _reader_refusal(self, scope: Any, headers: dict[str, str], wanted: str) -> Refusal | None:
        try:
            readers = self._readers()
        except CommandError as error:  # the ledger has not been opened yet
            return 503, error.code, str(error)
        reader, refused = reader_auth.admit(readers, wanted, headers, _peer(scope))
        if reader is None:
            return refused
        state = scope.setdefault("state", {})
        state.update(session=None, token="", reader=reader, may_watch=lambda: readers.may_read(reader))
        return None

    def _is_ours(self, host: str) -> bool:
        if not _HOST.fullmatch(host):
            return False
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or (is_address(name) and is_home(name))


def _peer(scope: Any) -> str:
    return str(scope["client"][0]) if scope["client"] else ""


def _headers(scope: Any) -> dict[str, str]:
    """Return the headers. One that comes twice is empty, because either could be the forged one."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = "" if key in found else value.decode("latin-1")
    return found


def _cookie(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _with_headers(send: Any, path: str, host: str, *, tls: bool) -> Any:
    cache = b"no-store" if path.startswith("/api/") else b"no-cache"

    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            had = {name.lower() for name, _ in message["headers"]}
            more = [(b"content-security-policy", _policy(host, tls=tls)), *_HEADERS]
            if b"cache-control" not in had:
                more.append((b"cache-control", cache))
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return send_with_headers


def bounded(receive: Any) -> Any:
    """Return `receive` with a limit of bytes; the time until the body is complete is `timed_protocols`' limit."""
    size = 0

    async def receive_bounded() -> Any:
        nonlocal size
        message = await receive()
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                return {"type": "http.disconnect"}
        return message

    return receive_bounded


async def _refuse(
    scope: Any,
    receive: Any,
    send: Any,
    status: int,
    code: str,
    text: str,
    more: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text})
        return
    body = json.dumps({"error": text, "code": code}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    if status == 413:
        headers.append((b"connection", b"close"))  # what else comes is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
