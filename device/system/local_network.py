"""Decides whether an address is on the home network, by a list of ranges.

`ipaddress.is_private` includes documentation ranges and shared address space, so the ranges are listed here: RFC 1918,
loopback, link-local, IPv6 unique local (RFC 4193). Mapped IPv4 addresses are unwrapped first. Shared address
space (100.64/10, RFC 6598) belongs to a provider's network.
"""

import ipaddress
import socket  # egress: dns

HOME_NETWORKS = [
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
]


def addresses(host: str, port: int) -> list[str]:
    """Return every address that a name resolves to now, each once. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def home_addresses() -> list[str]:
    """Return this machine's own addresses in home networks, loopback's included."""
    import ifaddr  # not needed before the button is live

    ips = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    found = {str(ip[0] if isinstance(ip, tuple) else ip) for ip in ips}
    return sorted(address for address in found if is_home(address))


def is_address(host: str) -> bool:
    """Return whether a host is a numeric address and not a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_home(address: str) -> bool:
    """Return whether a numeric IPv4 or IPv6 address (a scope id may follow it) is on a home network."""
    if not is_address(address):
        return False
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    return any(number in network for network in HOME_NETWORKS)
