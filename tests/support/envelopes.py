"""What senders sign, for tests: keys, records, requests and notices at one place and one time."""

import copy
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.consent import area, keys
from device.consent.envelope import encoded
from device.consent.models import time_text

NOW = 1_795_000_000  # 2026-11-18T05:46:40Z
DAY = 86_400
PLACE = (2.2945, 48.8584)  # the Eiffel tower
AGENCY, STRANGER, NEWS, SECOND = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3, 4))
REQUEST, NOTICE, RECORD = "footage-request+jws", "region-notice+jws", "sender-record+jws"
AGE = "age1q7vywrdktqt4fuseyzc5mtwaf9x6a8mqf5mcckj4wd4ayf4xqcqq2lxyg6"


def kid(key: Ed25519PrivateKey) -> str:
    return keys.fingerprint(key.public_key().public_bytes_raw())


def key_entry(
    key: Ed25519PrivateKey, start: int = NOW - 100 * DAY, end: int = NOW + 600 * DAY
) -> dict[str, str]:
    x = encoded(key.public_key().public_bytes_raw()).decode()
    return {"kid": kid(key), "x": x, "valid_from": time_text(start), "valid_until": time_text(end)}


RECORD_PAYLOAD: dict[str, Any] = {
    "v": 1,
    "serial": 3,
    "sender": "paris-example",
    "kind": "police",
    "name": "Example Police of Paris",
    "contact": "+33 1 99 00 00 00",
    "keys": [key_entry(AGENCY), key_entry(SECOND, NOW - 100 * DAY, NOW - 10 * DAY)],
    "recipients": [{"name": "evidence", "age": AGE}],
    "uploads": [{"name": "store", "kind": "tus", "origin": "https://evidence.example"}],
    "jurisdiction": area.circle(*PLACE, 5000, 24),
    "iat": time_text(NOW - 100 * DAY),
}
NEWS_PAYLOAD = {
    **RECORD_PAYLOAD,
    "sender": "courier-example",
    "kind": "news",
    "name": "The Example Courier",
    "keys": [key_entry(NEWS)],
    "recipients": [],
    "uploads": [],
}
REQUEST_PAYLOAD: dict[str, Any] = {
    "v": 1,
    "op": "request",
    "id": "01KA0000000000000000000001",
    "agency": "paris-example",
    "case": "2026/4711",
    "purpose": "A bicycle was taken from the square.",
    "area": area.circle(*PLACE, 250, 16),
    "window": {"start": time_text(NOW - 5 * 3600), "end": time_text(NOW - 4 * 3600)},
    "iat": time_text(NOW - 60),
    "exp": time_text(NOW + 7 * DAY),
    "upload": "store",
    "recipient": "evidence",
    "contact": "Inspector Example, +33 1 99 00 00 01",
}
NOTICE_PAYLOAD: dict[str, Any] = {
    "v": 1,
    "op": "issue",
    "id": "01KA0000000000000000000002",
    "source": "paris-example",
    "kind": "alert",
    "severity": "severe",
    "headline": "Gas leak near the tower",
    "text": "Stay indoors and close the windows.",
    "area": area.circle(*PLACE, 900, 16),
    "iat": time_text(NOW - 60),
    "exp": time_text(NOW + 6 * 3600),
    "supersedes": [],
}


def header(typ: str, name: str) -> bytes:
    return f'{{"alg":"EdDSA","typ":"{typ}","kid":"{name}"}}'.encode()


def signed(header: bytes, payload: bytes, key: Ed25519PrivateKey = AGENCY) -> bytes:
    what = encoded(header) + b"." + encoded(payload)
    return what + b"." + encoded(key.sign(what))


def text(payload: Any) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def request(key: Ed25519PrivateKey = AGENCY, /, **changes: Any) -> bytes:
    return signed(header(REQUEST, kid(key)), text(changed(REQUEST_PAYLOAD, changes)), key)


def notice(key: Ed25519PrivateKey = AGENCY, /, **changes: Any) -> bytes:
    return signed(header(NOTICE, kid(key)), text(changed(NOTICE_PAYLOAD, changes)), key)


def changed(payload: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change members by name; `...` takes one away."""
    made = copy.deepcopy(payload)
    for name, value in changes.items():
        if value is ...:
            del made[name]
        else:
            made[name] = value
    return made


def raw(payload: bytes, key: Ed25519PrivateKey = AGENCY) -> bytes:
    return signed(header(REQUEST, kid(key)), payload, key)
