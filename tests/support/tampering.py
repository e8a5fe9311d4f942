"""What was changed on its way: never by a constant, which now and then is what stood there already."""

import base64


def changed(data: bytes, offset: int = -1) -> bytes:
    """Return the same bytes but for one, which is another one for certain."""
    copy = bytearray(data)
    copy[offset] ^= 0x55
    return bytes(copy)


def forged(envelope: bytes, offset: int = 0) -> bytes:
    """Return a JWS with another signature, well written: base64url as canonical as it was."""
    head, body, signature = envelope.strip().split(b".")
    other = changed(base64.urlsafe_b64decode(signature + b"=" * (-len(signature) % 4)), offset)
    return b".".join((head, body, base64.urlsafe_b64encode(other).rstrip(b"=")))
