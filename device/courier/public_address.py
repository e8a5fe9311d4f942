"""Which addresses the courier may connect to: those of the internet.

A name that resolves to the home network (by mistake, or because somebody answers for it) would turn the courier
against the home that it serves. So each name is resolved once for a connection, every address is checked, and
the connection goes to an address that was checked. Broker, feeds and uploads all come here.
"""

import ipaddress
import socket  # egress: dns, subscription

from device.system.local_network import addresses

NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7",
        "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
"""IANA's special-purpose registries, multicast, and what was once a home's (RFC 3879). The list is our own, because
`is_global` differs between Pythons, and the courier's unit denies the same (`systemd/`); a test compares them."""
_EMBEDDING = {
    ipaddress.ip_network("::ffff:0:0/96"): 0,
    ipaddress.ip_network("64:ff9b::/96"): 0,
    ipaddress.ip_network("2002::/16"): 80,
}
"""Networks whose addresses lead to an IPv4 address, and how many bits follow it (mapped, NAT64, 6to4)."""


class NotPublic(OSError):
    """A name resolves to an address that is not on the internet."""


def is_public(text: str) -> bool:
    """Return whether an address is on the internet, also if it is embedded in another (mapped, 6to4, NAT64)."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        for network, bits in _EMBEDDING.items():
            if address in network:
                return is_public(str(ipaddress.IPv4Address(int(address) >> bits & 0xFFFF_FFFF)))
    if any(address in network for network in NOT_PUBLIC):
        return False
    return address.is_global


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
