"""Which addresses the courier may connect to: those of the internet.

A name that resolves to the home network (by mistake, or because somebody answers for it) would turn the courier
against the home that it serves. So each name is resolved once for a connection, every address is checked, and
the connection goes to an address that was checked. Broker, feeds and uploads all come here.
"""

import ipaddress
import socket

from device.system.local_network import addresses

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_RESERVED = [
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "2001::/23", "2001:db8::/32", "3fff::/20", "fec0::/10")
]
"""Reserved by IANA, or once a home's (RFC 3879); of these `is_global` says otherwise in some Pythons."""


class NotPublic(OSError):
    """A name resolves to an address that is not on the internet."""


def is_public(text: str) -> bool:
    """Return whether an address is on the internet, also if it is embedded in another (mapped, 6to4, NAT64)."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
    if any(address in network for network in _RESERVED):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def public_addresses(host: str, port: int, *, allow_loopback: bool = False) -> list[str]:
    """Return the addresses of a host, best first. Raises NotPublic if any is not public, OSError if there is none.

    One private address among public ones is enough: honest names have none. `allow_loopback` is for a
    development server on this machine (`doorbelld-courier --allow-loopback`).
    """
    found = addresses(host, port)
    for address in found:
        is_allowed_loopback = allow_loopback and ipaddress.ip_address(address.partition("%")[0]).is_loopback
        if not is_allowed_loopback and not is_public(address):
            raise NotPublic(
                f"{host} resolves to {address}, which is not on the internet: nothing is sent there"
            )
    return found


def public_address(host: str, port: int) -> str:
    """Return the best address of a host. Raises NotPublic, OSError."""
    return public_addresses(host, port)[0]


def connect_public(host: str, port: int, timeout_s: float, *, allow_loopback: bool = False) -> socket.socket:
    """Connect to the first address of a host that answers. Raises NotPublic, OSError."""
    failure = OSError(f"{host} has no address")
    for address in public_addresses(host, port, allow_loopback=allow_loopback):
        try:
            return socket.create_connection((address, port), timeout_s)
        except OSError as error:
            failure = error
    raise failure
