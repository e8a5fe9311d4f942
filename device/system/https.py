"""HTTPS to an address that somebody has checked, with the certificate of the host's name.

The one opener of the product's HTTPS connections: for the courier and for backups. No proxy is used.
"""

import ssl  # egress: feeds, parcels, backups-home, backups-outside

import urllib3  # egress: feeds, parcels, backups-home, backups-outside

HTTPS_PORT = 443


def tls_context(ca_pem: str = "") -> ssl.SSLContext:
    """Return a context that demands TLS 1.2 and a certificate of `ca_pem`, or of the system's authorities."""
    context = ssl.create_default_context(cadata=ca_pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def https_pool(host: str, port: int, address: str, *, timeout_s: float) -> urllib3.HTTPSConnectionPool:
    """Return connections to `address`, which is one of `host`'s; nothing is resolved again.

    A request needs a `host` header, `redirect=False` and `retries=False`.
    """
    return urllib3.HTTPSConnectionPool(
        address,
        port,
        ssl_context=tls_context(),
        server_hostname=host,
        timeout=urllib3.Timeout(timeout_s),
        maxsize=1,
        block=True,
    )
