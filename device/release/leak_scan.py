"""A search for what must never leave, in any of the ways in which it could be written down."""

import base64
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

MIN_BYTES = 6
"""In tens of megabytes of compressed pictures anything shorter turns up by chance."""
MIN_WIDE_BYTES = 16
"""For UTF-16, whose every second byte is often 0, as it is in quiet sound."""
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Pattern:
    """Some bytes, in lower case if case does not matter, and what they are."""

    what: str
    content: bytes
    any_case: bool


def patterns(canaries: Iterable[str]) -> list[Pattern]:
    """Return how each text could be written: plain, Latin-1, UTF-16, hexadecimal, base64.

    Texts that turn up by chance are left out: short ones, and those that repeat themselves (`aaaaaa`, `abcabc`), as
    coded pictures of one colour do.
    """
    found: dict[Pattern, None] = {}
    for text in canaries:
        if _repeats(text.lower()):
            continue
        for form in ("NFC", "NFD"):
            normal = unicodedata.normalize(form, text)
            for pattern in _written(text, normal):
                found[pattern] = None
    return list(found)


def _written(what: str, text: str) -> Iterator[Pattern]:
    # bytes.lower() knows only ASCII, so other letters are looked for as they are, small, and in capitals.
    for cased in (text, text.lower(), text.upper()):
        for encoding, shortest in (
            ("utf-8", MIN_BYTES),
            ("latin-1", MIN_BYTES),
            ("utf-16-le", MIN_WIDE_BYTES),
            ("utf-16-be", MIN_WIDE_BYTES),
        ):
            content = cased.encode(encoding, "ignore")
            if len(content) >= shortest:
                yield Pattern(what, content.lower(), any_case=True)
    plain = text.encode()
    if len(plain) >= MIN_BYTES - 1:
        yield Pattern(what, plain.hex().encode(), any_case=True)
    for coded in _base64(plain):
        if len(coded) >= MIN_BYTES:
            yield Pattern(what, coded, any_case=False)


def _repeats(text: str) -> bool:
    """Return whether a text is one part, at most half of it, again and again."""
    return any(text[period:] == text[: len(text) - period] for period in range(1, len(text) // 2 + 1))


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


def found_in(file: BinaryIO, wanted: Iterable[Pattern], size_bytes: int | None = None) -> list[str]:
    """Return which canaries are in a file from its current position, each once: in `size_bytes`, or to its end."""
    looked_for = list(wanted)
    if not looked_for:
        return []
    overlap = max(len(pattern.content) for pattern in looked_for) - 1
    found: dict[str, None] = {}
    tail = b""
    left = size_bytes
    while block := file.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
        left = None if left is None else left - len(block)
        exact = tail + block
        lowered = exact.lower()
        for pattern in looked_for:
            if pattern.content in (lowered if pattern.any_case else exact):
                found[pattern.what] = None
        tail = exact[-overlap:] if overlap else b""
    return list(found)
