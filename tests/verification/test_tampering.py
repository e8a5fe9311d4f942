"""The helpers for tampering change any content."""

import base64

import pytest

from tests.support.tampering import changed, forged


def test_every_byte_changes_at_every_offset() -> None:
    for byte in range(256):
        for offset in (0, 1, 2, -1):
            data = bytes([byte]) * 3
            other = changed(data, offset)
            assert len(other) == 3
            assert [a != b for a, b in zip(data, other, strict=True)].count(True) == 1
            assert data[offset] != other[offset]


@pytest.mark.parametrize("length", [32, 63, 64, 65])
def test_every_signature_changes_and_stays_canonical(length: int) -> None:
    for byte in range(256):
        for offset in range(-3, 3):
            was = base64.urlsafe_b64encode(bytes([byte]) * length).rstrip(b"=")
            head, body, signature = forged(b"head.body." + was + b"\n", offset).split(b".")
            assert (head, body) == (b"head", b"body")
            raw = base64.urlsafe_b64decode(signature + b"=" * (-len(signature) % 4))
            assert len(raw) == length
            assert raw != bytes([byte]) * length
            assert base64.urlsafe_b64encode(raw).rstrip(b"=") == signature
