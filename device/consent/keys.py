"""Signing keys: their fingerprints, which are their names, and the check of signatures."""

import base64
import binascii
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from device.consent.envelope import Envelope, encoded
from device.consent.reasons import Reason, Refused

KEY_BYTES = 32
_FINGERPRINT_BYTES = 16
_GROUP = 4
_P = 2**255 - 19
_LOW_ORDER_Y = (
    0,
    1,
    _P - 1,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
)
"""The y of the eight points whose order divides 8: for such a key anybody can make valid signatures."""


def fingerprint(public_key: bytes) -> str:
    """Return a key's name: 128 bits of its SHA-256, base 32 in lower case, 26 letters."""
    return base64.b32encode(hashlib.sha256(public_key).digest()[:_FINGERPRINT_BYTES]).decode()[:26].lower()


def spoken(name: str) -> str:
    """Return a fingerprint for printing: groups of four capital letters and digits."""
    name = name.upper()
    return "-".join(name[start : start + _GROUP] for start in range(0, len(name), _GROUP))


def typed(text: str) -> str:
    """Return a typed fingerprint in its standard form; case, spaces and hyphens do not matter."""
    return re.sub(r"[\s-]", "", text).lower()


def public_key(x: str) -> bytes:
    """Return the 32 bytes of a key in base64url. Raises Refused if it is unusable."""
    try:
        raw = base64.urlsafe_b64decode(x + "=" * (-len(x) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES or encoded(raw) != x.encode():
        raise Refused(Reason.BAD_KEY, "not 32 bytes in base64url")
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    if y >= _P or y in _LOW_ORDER_Y:
        raise Refused(Reason.BAD_KEY, "a key that anybody can sign for")
    return raw


def check(envelope: Envelope, key: bytes) -> None:
    """Raise Refused unless the envelope's signature is the key's."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(envelope.signature, envelope.signing_input)
    except (InvalidSignature, ValueError):
        raise Refused(Reason.BAD_SIGNATURE) from None
