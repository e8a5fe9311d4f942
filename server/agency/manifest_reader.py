"""Read and check the manifest that a doorbell has signed (device/release/manifest.py writes it)."""

import base64
import binascii
import json
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_BYTES = 1_000_000
HEADER = b'{"alg":"EdDSA","typ":"parcel-manifest+jws"}'


class BadManifest(ValueError):
    """A manifest is not what a doorbell writes; the message is for a person."""


def verified(content: bytes) -> dict[str, Any]:
    """Return what a manifest says, if the key in it has signed it. Raises BadManifest."""
    if len(content) > MAX_BYTES or content.count(b".") != len("..") or not content.isascii():
        raise BadManifest("the manifest is not in the compact form of a signed text (JWS)")
    what, _, signature = content.rpartition(b".")
    head, _, body = what.partition(b".")
    if _decoded(head) != HEADER:
        raise BadManifest("the manifest's header is another one")
    try:
        manifest = json.loads(_decoded(body))
        canonical = rfc8785.dumps(manifest) == _decoded(body)
        Ed25519PublicKey.from_public_bytes(_decoded(manifest["key"].encode())).verify(
            _decoded(signature), what
        )
    except InvalidSignature:
        raise BadManifest("the manifest's signature is not its key's: it was changed") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # BadManifest, too
        raise BadManifest(f"the manifest cannot be read: {error}") from None
    if not canonical:
        raise BadManifest("the manifest is not canonical JSON")
    if not isinstance(manifest, dict) or manifest.get("v") != 1:
        raise BadManifest("the manifest is of another version")
    return manifest


def signing_input(content: bytes) -> tuple[bytes, bytes]:
    """Return what of a manifest is signed, and the signature: for checking it with other programs."""
    what, _, signature = content.rpartition(b".")
    return what, _decoded(signature)


def raw_of(x: str) -> bytes:
    """Return the bytes of a key in base64url. Raises BadManifest."""
    return _decoded(x.encode())


def _decoded(coded: bytes) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(coded + b"=" * (-len(coded) % 4))
    except (binascii.Error, ValueError):
        raise BadManifest("the manifest is not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != coded:
        raise BadManifest("the manifest is not base64url in its one form")
    return raw
