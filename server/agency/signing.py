"""Signed envelopes, as a sender makes them. A doorbell only reads them (device/consent/envelope.py)."""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.consent.envelope import encoded
from device.consent.keys import fingerprint


def signed_envelope(typ: str, payload: Mapping[str, Any], key: Ed25519PrivateKey) -> bytes:
    """Return an envelope: JWS compact with EdDSA, named by the key's fingerprint."""
    kid = fingerprint(key.public_key().public_bytes_raw())
    header = f'{{"alg":"EdDSA","typ":"{typ}","kid":"{kid}"}}'.encode()
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    signing_input = encoded(header) + b"." + encoded(text.encode())
    return signing_input + b"." + encoded(key.sign(signing_input))
