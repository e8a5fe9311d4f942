"""What may be shown of a URL: scheme, host and port.

Cameras take passwords in every part of a URL: before an @, in the path (`/user=admin_password=X`), after a semicolon,
in the query. A list of the places where one can be would have gaps, so nothing behind the port is ever shown. Where it
is unclear what the host is (a password may hold @, / and #, and an @ may follow the host), only the scheme is shown.
"""

import re

from device.system.host_patterns import HOST_OR_IPV6

HIDDEN = "(not shown)"
_END_OF_AUTHORITY = re.compile(r"[/?#;\\]")
_AUTHORITY = re.compile(rf"(?P<host>{HOST_OR_IPV6})(:(?P<port>[0-9]{{1,5}}))?")
_MAX_PORT = 65_535
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
"""A URL inside a text ends at a space. Where a password holds a space, its rest is not recognised: settings refuse
such a URL, in which a space is %20."""
_WRAPPING = re.compile(r"""["'`()<>,.:;!?]*$""")


def endpoint(url: str) -> str:
    """Return `scheme://host:port` of a URL, or what can be shown of it without doubt."""
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return HIDDEN
    found = _END_OF_AUTHORITY.search(rest)
    authority, behind = (rest[: found.start()], rest[found.start() :]) if found else (rest, "")
    parts = _AUTHORITY.fullmatch(authority.rpartition("@")[2])
    port = parts["port"] if parts else None
    if parts is None or "@" in behind or (port and int(port) > _MAX_PORT):
        return f"{scheme.lower()}://{HIDDEN}"
    return f"{scheme.lower()}://{parts['host']}{f':{port}' if port else ''}"


def without_urls(text: str) -> str:
    """Return a text in which each URL is reduced to its endpoint; for texts of others, such as a library's errors."""
    return _URL.sub(_reduced, text) if "://" in text else text


def _reduced(found: re.Match[str]) -> str:
    whole = found[0]
    url = _WRAPPING.sub("", whole)  # the quote or the full stop of the sentence around it
    if url.endswith("://"):
        return whole  # "take rtsp:// or http://"
    shown = endpoint(url)
    return shown if HIDDEN in shown else shown + whole[len(url) :]
