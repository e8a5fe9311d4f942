"""Requests with a read token instead of a session: which paths take one, and who sent it.

A token is sent as `Authorization: Bearer TOKEN` or as the password of Basic (RFC 7617), with any user name. It opens
the paths below and nothing else, so a client that is robbed of it loses pictures, not the doorbell.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from device.web.backend import Reader, ReaderRegistry

_PATHS = (
    ("GET", re.compile(r"/api/snapshot\.jpg"), "snapshot"),
    ("GET", re.compile(r"/api/live\.mjpeg"), "live"),
    ("POST", re.compile(r"/api/live/whep"), "live"),
    ("DELETE", re.compile(r"/api/live/whep/\d+"), "live"),
)
CHALLENGE = (b"www-authenticate", b'Basic realm="doorbelld", charset="UTF-8"')
"""FFmpeg sends a password only after this. A browser would ask for a user, so it gets none."""

Refusal = tuple[int, str, str]
"""Status, code, sentence."""


def scope_of(scope: Any) -> str:
    """Return what a reader needs for a request; empty if no token opens that path."""
    if scope["type"] != "http":
        return ""
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return next(
        (name for known, path, name in _PATHS if known == method and path.fullmatch(scope["path"])), ""
    )


def admit(
    readers: ReaderRegistry, wanted: str, headers: Mapping[str, str], peer: str
) -> tuple[Reader | None, Refusal | None]:
    """Return the reader that a request's Authorization belongs to, or why it is refused."""
    origin = headers.get("origin", "")
    if origin and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return None, (403, "origin", "this did not come from the doorbell's own page")
    reader = readers.find(token_of(headers["authorization"]), peer)
    if reader is None:
        return None, (401, "reader_unknown", "this read token is unknown or was revoked")
    if wanted not in reader.scopes:
        return None, (403, "reader_scope", f"the owner has not allowed this reader: {wanted}")
    return reader, None


def token_of(authorization: str) -> str:
    """Return the token of an Authorization header; empty if it has none."""
    scheme, _, value = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                plain = base64.b64decode(value.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return ""
            return plain.partition(":")[2]
    return ""


def challenge_for(wanted: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a refusal that ask a program for its token."""
    return [CHALLENGE] if wanted and "sec-fetch-site" not in headers else []
