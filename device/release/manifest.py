"""What a parcel says about itself: for which request, which clips, which times; signed by a key of its own.

The key is made for one release, from a secret of the device and the request's id (HKDF, RFC 5869): it proves
that all clips are one owner's answer, and says not whose. Two answers cannot be linked, and the same answer
made twice has the same key. Form: JWS compact (RFC 7515) with EdDSA, of canonical JSON (RFC 8785).
"""

import base64
import binascii
import json
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TYP = "parcel-manifest+jws"
FILE = "manifest.jws"
SEED_BYTES = 32
MAX_BYTES = 1_000_000
_INFO = b"doorbelld release key v1 "


class BadManifest(ValueError):
    """A manifest is not what a doorbell writes; the message is for a person."""


def release_seed(device_secret: bytes, request_id: str) -> bytes:
    """Return the seed of the key that signs the answer to one request: 32 bytes."""
    derive = HKDF(hashes.SHA256(), SEED_BYTES, salt=None, info=_INFO + request_id.encode())
    return derive.derive(device_secret)


def public_x(seed: bytes) -> str:
    """Return the public key of a seed, base64url."""
    return _coded(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def signed(payload: dict[str, Any], seed: bytes) -> bytes:
    """Return a manifest; its key is put into it."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    told = rfc8785.dumps({**payload, "key": public_x(seed)})
    what = _coded(_header()) + "." + _coded(told)
    return f"{what}.{_coded(key.sign(what.encode()))}".encode()


def signing_input(content: bytes) -> tuple[bytes, bytes]:
    """Return what of a manifest is signed, and the signature: for checking it with other programs."""
    what, _, signature = content.rpartition(b".")
    return what, _raw(signature)


def raw_of(x: str) -> bytes:
    """Return the bytes of a key in base64url. Raises BadManifest."""
    return _raw(x.encode())


def verified(content: bytes) -> dict[str, Any]:
    """Return what a manifest says, if the key in it has signed it. Raises BadManifest."""
    if len(content) > MAX_BYTES or content.count(b".") != len("..") or not content.isascii():
        raise BadManifest("the manifest is not in the compact form of a signed text (JWS)")
    what, _, signature = content.rpartition(b".")
    head, _, body = what.partition(b".")
    if _raw(head) != _header():
        raise BadManifest("the manifest's header is another one")
    try:
        told = json.loads(_raw(body))
        canonical = rfc8785.dumps(told) == _raw(body)
        Ed25519PublicKey.from_public_bytes(_raw(told["key"].encode())).verify(_raw(signature), what)
    except InvalidSignature:
        raise BadManifest("the manifest's signature is not its key's: it was changed") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # BadManifest, too
        raise BadManifest(f"the manifest cannot be read: {error}") from None
    if not canonical:
        raise BadManifest("the manifest is not canonical JSON")
    if not isinstance(told, dict) or told.get("v") != 1:
        raise BadManifest("the manifest is of another version")
    return told


def _header() -> bytes:
    return b'{"alg":"EdDSA","typ":"' + TYP.encode() + b'"}'


def _coded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _raw(coded: bytes) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(coded + b"=" * (-len(coded) % 4))
    except (binascii.Error, ValueError):
        raise BadManifest("the manifest is not base64url") from None
    if _coded(raw).encode() != coded:
        raise BadManifest("the manifest is not base64url in its one form")
    return raw
