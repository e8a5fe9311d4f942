"""The manifest of a parcel: its request, clips and times, signed by a key of its own.

The key is made for one release, from a secret of the device and the request's id (HKDF, RFC 5869): it proves
that all clips are one owner's answer, and says not whose. Two answers cannot be linked, and the same answer
made twice has the same key. Form: JWS compact (RFC 7515) with EdDSA, of canonical JSON (RFC 8785).
"""

import base64
from collections.abc import Mapping
from typing import Any

import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from device.consent.documents import Manifest

TYP = "parcel-manifest+jws"
FILE = "manifest.jws"
SEED_BYTES = 32
_INFO = b"doorbelld release key v1 "


def release_seed(device_secret: bytes, request_id: str) -> bytes:
    """Return the seed of the key that signs the answer to one request: 32 bytes."""
    derive = HKDF(hashes.SHA256(), SEED_BYTES, salt=None, info=_INFO + request_id.encode())
    return derive.derive(device_secret)


def public_x(seed: bytes) -> str:
    """Return the public key of a seed, base64url."""
    return _coded(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def signed(payload: Manifest, seed: bytes) -> bytes:
    """Return a manifest; its key is put into it."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    document: Mapping[str, Any] = {**payload, "key": public_x(seed)}
    content = rfc8785.dumps(document)
    what = _coded(_header()) + "." + _coded(content)
    return f"{what}.{_coded(key.sign(what.encode()))}".encode()


def _header() -> bytes:
    return b'{"alg":"EdDSA","typ":"' + TYP.encode() + b'"}'


def _coded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
