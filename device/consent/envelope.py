"""The envelope check: the form that received bytes must have before anything in them is used.

JWS compact (RFC 7515) with EdDSA (RFC 8037, Ed25519), restricted further. Only the standard library up to the
signature; no JOSE library, because no choice is left for one (docs/decisions/0010). Each check is linear in at most
32 KiB, and the number of expensive bytes is limited.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from device.consent.reasons import Reason, Refused

REQUEST = "footage-request+jws"
NOTICE = "region-notice+jws"
RECORD = "sender-record+jws"

MAX_BYTES = 32_768
DEEPEST = 8
MAX_VALUES = {REQUEST: 400, NOTICE: 400, RECORD: 1_000}
"""Commas and colons outside texts: twice what the largest polygon of each makes."""
MAX_INTEGER = 2**53 - 1
"""Integers that every JSON parser can represent (RFC 8259, section 6)."""
MAX_NUMBER = 25
MAX_ESCAPES = 4_000
"""A notice of 2,000 letters that are all escaped has half of it."""
SIGNATURE_BYTES = 64

_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADER = re.compile(rb'\{"alg":"EdDSA","typ":"([a-z-]{1,40}\+jws)","kid":"([a-z2-7]{26})"\}')
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NUMBER = re.compile(rb"-?[0-9][0-9.eE+-]*")
_LONG = len(str(MAX_INTEGER))
_BRACKETS = re.compile(rb"[\[\]{}]")


JsonObject = Mapping[str, object]
"""An unvalidated JSON object; only models.py gives its members meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An envelope of the right form. `keys.check` verifies its signature."""

    typ: str
    kid: str
    payload: JsonObject
    signing_input: bytes
    signature: bytes
    sha256: str
    """Of the whole envelope, hex; distinguishes a redelivery from a different message with the same id."""


def header(data: bytes, types: Collection[str]) -> tuple[str, str, list[bytes]]:
    """Return type, key id and the three base64url parts of an envelope. Raises Refused.

    The cheap half: an envelope of an unknown key needs no further check.
    """
    if not data:
        raise Refused(Reason.EMPTY)
    if len(data) > MAX_BYTES:
        raise Refused(Reason.TOO_LARGE)
    if not _COMPACT.fullmatch(data):
        raise Refused(Reason.NOT_COMPACT)
    parts = data.split(b".")
    match = _HEADER.fullmatch(_decoded(parts[0], "header"))
    if match is None:
        raise Refused(Reason.BAD_HEADER)
    typ, kid = match[1].decode(), match[2].decode()
    if typ not in types:
        raise Refused(Reason.WRONG_TYPE, typ)
    return typ, kid, parts


def read(data: bytes, *, types: Collection[str], kids: Collection[str] | None) -> Envelope:
    """Return an envelope of one of `types`, signed with one of `kids` (None: any). Raises Refused."""
    typ, kid, parts = header(data, types)
    if kids is not None and kid not in kids:
        raise Refused(Reason.UNKNOWN_KEY)
    signature = _decoded(parts[2], "signature")
    if len(signature) != SIGNATURE_BYTES:
        raise Refused(Reason.BAD_SIGNATURE_LENGTH)
    return Envelope(
        typ=typ,
        kid=kid,
        payload=_payload(_decoded(parts[1], "payload"), MAX_VALUES[typ]),
        signing_input=parts[0] + b"." + parts[1],
        signature=signature,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def encoded(raw: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decoded(part: bytes, name: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise Refused(Reason.NOT_CANONICAL, name) from None
    if encoded(raw) != part:
        raise Refused(Reason.NOT_CANONICAL, name)
    return raw


def _payload(raw: bytes, most_values: int) -> JsonObject:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.NOT_UTF8) from None
    if text.startswith("\ufeff"):
        raise Refused(Reason.NOT_JSON, "it begins with a byte order mark")
    # Escapes are slow to skip, and valid messages need few.
    if raw.count(b"\\") > MAX_ESCAPES:
        raise Refused(Reason.TOO_MANY_VALUES, "escapes")
    bare = _STRING.sub(b"", raw)
    if bare.count(b",") + bare.count(b":") > most_values:
        raise Refused(Reason.TOO_MANY_VALUES)
    _refuse_numbers(bare)
    _refuse_deep(bare)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(Reason.NOT_JSON) from None
    if not isinstance(value, dict):
        raise Refused(Reason.NOT_AN_OBJECT)
    if b"\\u" in raw:  # the one way to half a character: UTF-8 has none
        _refuse_halves(value)
    return value


def _refuse_deep(bare: bytes) -> None:
    depth = 0
    for bracket in _BRACKETS.findall(bare):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise Refused(Reason.TOO_DEEP)


def _object(pairs: list[tuple[str, object]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Refused(Reason.DUPLICATE_NAME)
    return value


def _refuse_numbers(bare: bytes) -> None:
    """Refuse numbers that JSON parsers read differently. Searches the text, because a json hook costs one call a
    number.
    """
    numbers = _NUMBER.findall(bare)
    together = b" ".join(numbers)
    odd = (
        b"e" in together
        or b"E" in together
        or b"-0" in numbers
        or max(map(len, numbers), default=0) > MAX_NUMBER
        or any(len(text) >= _LONG and _is_too_large(text) for text in numbers)
    )
    if odd:
        raise Refused(Reason.BAD_NUMBER)


def _is_too_large(text: bytes) -> bool:
    """Return whether a whole number is out of range; other text is left to the JSON parser."""
    digits = text.removeprefix(b"-")
    return digits.isdigit() and int(digits) > MAX_INTEGER


def _no_constant(text: str) -> NoReturn:
    raise Refused(Reason.BAD_NUMBER, text)


def _refuse_halves(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(Reason.BAD_TEXT) from None
