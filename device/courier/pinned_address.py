"""One connection to one pinned origin: resolved once, checked to be public, and then to that address alone.

A name that resolves to the home network (by mistake, or because somebody answers for it) would turn the
courier against the home that it serves. It is looked at before each connection, and the connection goes to
the very address that was looked at, with the name's certificate. Nothing here switches the check off.
"""

import ipaddress
import ssl
from urllib.parse import urlsplit

import urllib3

from device.system.local_network import addresses

TIMEOUT_S = 30.0
HTTPS_PORT = 443
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOBODYS = [
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "2001::/23", "2001:db8::/32", "3fff::/20", "fec0::/10")
]
"""Set apart by IANA, or once a home's (RFC 3879); of these `is_global` says otherwise in some Pythons."""


class NotPublic(OSError):
    """A name resolves to an address that is not on the internet."""


def is_public(text: str) -> bool:
    """Return whether an address is one of the internet, also where it stands inside another."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
    if any(address in network for network in _NOBODYS):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def public_address(host: str, port: int) -> str:
    """Return an address of a host. Raises NotPublic if any is not public, OSError if there is none.

    One private address among public ones is refused, too: honest names have none.
    """
    found = addresses(host, port)
    for address in found:
        if not is_public(address):
            raise NotPublic(
                f"{host} resolves to {address}, which is not on the internet: nothing is sent there"
            )
    return found[0]


def split_origin(origin: str) -> tuple[str, int]:
    """Return host and port of `https://host[:port]`. Raises ValueError."""
    parts = urlsplit(origin)
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query or parts.username:
        raise ValueError(f"{origin} is no https:// origin")
    return parts.hostname, parts.port or HTTPS_PORT


def pool_for(origin: str) -> urllib3.HTTPSConnectionPool:
    """Return connections to an origin, resolved now. Raises NotPublic, OSError.

    No proxy, no redirection, no retry: whoever asks says `redirect=False, retries=False` once, in `ask`.
    """
    host, port = split_origin(origin)
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return urllib3.HTTPSConnectionPool(
        public_address(host, port),
        port,
        ssl_context=context,
        server_hostname=host,
        timeout=urllib3.Timeout(TIMEOUT_S),
        maxsize=1,
        block=True,
    )
