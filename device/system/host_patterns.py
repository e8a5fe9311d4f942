"""How hosts, origins and addresses of the web may be written: one pattern for each, as text.

Used with `re.fullmatch`, and between ^ and $ as a pattern of pydantic, whose engine knows no look-around.
"""

HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
"""A host name or an IPv4 address."""
HOST_OR_IPV6 = rf"{HOST}|\[[0-9a-fA-F:]{{2,45}}\]"
"""The same, or an IPv6 address in brackets, as in a URL."""
LOCAL_HOST = r"[\w.%-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[\w.:%]*"
"""A host of the home network: names there may have any letter and _, an IPv6 address has no brackets and may have a
scope.
"""
_LOWER_HOST = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_PORT = r"(:[1-9][0-9]{0,4})?"
HTTPS_ORIGIN = rf"https://{_LOWER_HOST}{_PORT}"
UPLOAD_ORIGIN = rf"(https|sftp)://{_LOWER_HOST}{_PORT}"
HTTPS_URL = rf"{HTTPS_ORIGIN}(/[!-~]{{0,1000}})?"
"""No user, no password; a fragment is part of the path here, and is not sent."""
