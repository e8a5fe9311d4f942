"""A search for what must never leave, in any of the ways in which it could be written down."""

import base64
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

MIN_IN_MEDIA = 6
"""Bytes. In tens of megabytes of compressed pictures anything shorter turns up by chance."""
MIN = 5
"""Elsewhere: the tables of an hour have 200,000 bytes, and three letters turn up in every tenth of them."""
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pattern:
    """Some bytes, in lower case if case does not matter, and what they are."""

    what: str
    content: bytes
    any_case: bool


def patterns(canaries: Iterable[str]) -> list[Pattern]:
    """Return how each text could be written: plain, UTF-16, hexadecimal, base64."""
    found = []
    for text in canaries:
        plain = text.encode()
        if len(plain) < MIN:
            continue
        lowered = text.lower()
        found += [
            Pattern(text, lowered.encode(), any_case=True),
            Pattern(text, lowered.encode("utf-16-le"), any_case=True),
            Pattern(text, lowered.encode("utf-16-be"), any_case=True),
            Pattern(text, plain.hex().encode(), any_case=True),
            *(Pattern(text, coded, any_case=False) for coded in _base64(plain)),
        ]
    return found


def place_canaries(latitude: float, longitude: float) -> tuple[list[str], list[Pattern]]:
    """Return a position as texts (to about 100 m), and as the numbers that programs store."""
    texts = [f"{int(value * 1000) / 1000:.3f}" for value in (latitude, longitude)]
    numbers = [
        Pattern(f"the position ({form})", struct.pack(form, value), any_case=False)
        for value in (latitude, longitude)
        for form in (">d", "<d")
    ]
    return texts, numbers


def _base64(plain: bytes) -> Iterator[bytes]:
    """Yield the middle of a text's base64 for each of the three places at which it can begin."""
    for skip in range(3):
        coded = base64.b64encode(bytes(skip) + plain)
        begin = (skip * 8 + 5) // 6
        yield coded[begin : (skip + len(plain)) * 8 // 6]


def found_in(file: BinaryIO, wanted: Iterable[Pattern], *, shortest: int = MIN) -> list[str]:
    """Return which canaries are in a file (from its current position to its end), each once."""
    looked_for = [pattern for pattern in wanted if len(pattern.content) >= shortest]
    if not looked_for:
        return []
    overlap = max(len(pattern.content) for pattern in looked_for) - 1
    found: dict[str, None] = {}
    tail = b""
    while block := file.read(BLOCK_BYTES):
        exact = tail + block
        lowered = exact.lower()
        for pattern in looked_for:
            if pattern.content in (lowered if pattern.any_case else exact):
                found[pattern.what] = None
        tail = exact[-overlap:] if overlap else b""
    return list(found)
