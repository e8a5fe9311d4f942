"""The doorbell's own certificate authority, for its page only.

Its certificate is restricted to TLS servers with names and addresses of a home network, or with names of `page.hosts`
(RFC 5280, 4.2.1.10 and 4.2.1.12): whoever trusts it trusts it for nothing else, even if its key is stolen. A name in
the restriction permits all names below it, so a name without a dot is never in it: `camera` would permit
`shop.camera`, which anybody can register. The page's certificate is replaced before it expires, and
when the doorbell's names or addresses change.
"""

import ipaddress
import ssl  # egress: page
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device.system.local_network import HOME_NETWORKS, is_address

CA_LIFE = timedelta(days=3650)
LIFE = timedelta(days=397)
"""The maximum for public certificates in browsers; for a private authority it is 825 days."""
RENEW = timedelta(days=30)
HOME_NAMES = ("home.arpa", "local", "localhost")
"""Reserved for home networks and this machine (RFC 8375, 6762, 6761)."""
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""A Pi starts with a clock in the past; a certificate issued by that clock would have expired already."""


def _now(wall_us: int) -> datetime:
    return max(EARLIEST, datetime.fromtimestamp(wall_us / 1e6, UTC))


def _permitted(hosts: Sequence[str]) -> set[str]:
    return {*HOME_NAMES, *(host for host in hosts if "." in host and not is_address(host))}


def make_authority(name: str, hosts: Sequence[str], wall_us: int) -> tuple[bytes, bytes]:
    """Return (certificate, key) of a new authority, PEM, which may vouch for `hosts` that have a dot."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} (doorbelld)"[:64])])
    permitted: list[Any] = [x509.DNSName(name) for name in sorted(_permitted(hosts))]
    permitted += [x509.IPAddress(network) for network in HOME_NETWORKS]
    now = _now(wall_us)
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)


def make_certificate(ca: bytes, ca_key: bytes, hosts: Sequence[str], wall_us: int) -> bytes:
    """Return the page's certificate for `hosts` (names and addresses) and then its key, PEM."""
    authority = x509.load_pem_x509_certificate(ca)
    signer: Any = serialization.load_pem_private_key(ca_key, None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = _now(wall_us)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "doorbell")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + _pem(key)


def still_good(pem: bytes, hosts: Sequence[str], wall_us: int) -> bool:
    """Return whether a certificate names these hosts and does not expire soon. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    named = {str(name.value) for name in names}
    return set(hosts) <= named and certificate.not_valid_after_utc - _now(wall_us) > RENEW


def authority_good(pem: bytes, hosts: Sequence[str], wall_us: int) -> bool:
    """Return whether the authority permits these hosts and no others, and outlives a certificate that it signs now.

    Raises ValueError.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    names = {tree.value for tree in constraints.permitted_subtrees or [] if isinstance(tree, x509.DNSName)}
    return names == _permitted(hosts) and certificate.not_valid_after_utc - _now(wall_us) > LIFE + RENEW


def context(cert_file: Path, key_file: Path | None) -> ssl.SSLContext:
    """Return a server's TLS context. Raises OSError (ssl.SSLError is one)."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.load_cert_chain(cert_file, key_file)
    return found


def _general(host: str) -> x509.GeneralName:
    if is_address(host):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
