"""The time to validate an envelope, beside the bare signature, and to read a large ledger at a start."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.consent import keys
from device.consent.area import circle
from device.consent.envelope import RECORD, REQUEST, encoded, read
from device.consent.ledger_state import LedgerState
from device.consent.models import time_text
from device.consent.owner_actions import pinned
from device.consent.reasons import Refused
from device.consent.validation import HomePosition, heard
from device.consent_service.ledger import Ledger
from server.agency.signing import signed_envelope
from tests.support.envelopes import NOW, PLACE

TRIES = 1000
TITLE = "gate: one envelope, microseconds of one thread; ledger: seconds to read and prove at a start"
ENTRIES, BATCH = 10_000, 500


def measure(tries: int) -> dict[str, Any]:
    """Time each kind of envelope in turn."""
    key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    ledger_state, kid = _ledger_state(key)
    good = signed_envelope(REQUEST, _request(), key)
    envelope = read(good, types=(REQUEST,), kids=None)
    public = key.public_key().public_bytes_raw()
    home = HomePosition(longitude=PLACE[0], latitude=PLACE[1])
    worst = _worst(key, kid)

    def hear(content: bytes) -> Callable[[], object]:
        return lambda: heard("request", content, ledger_state=ledger_state, home=home, now=NOW)

    kinds: dict[str, Callable[[], object]] = {
        "bare signature": lambda: keys.check(envelope, public),
        "form and signature": lambda: keys.check(
            read(good, types=(REQUEST,), kids=ledger_state.keys), public
        ),
        "a stranger's, 24 KiB": hear(signed_envelope(REQUEST, {"v": 1, "text": "x" * 20_000}, stranger)),
        "the worst form": hear(worst),
        "a whole request": hear(good),
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(tries):
        for name, call in kinds.items():
            began_ns = time.thread_time_ns()
            with suppress(Refused):
                call()
            found[name].append((time.thread_time_ns() - began_ns) / 1e3)
    rows = {
        name: {"p50_us": statistics.median(durations_us), "p99_us": sorted(durations_us)[int(tries * 0.99)]}
        for name, durations_us in found.items()
    }
    return {"tries": tries, "envelopes": rows, "ledger": _ledger()}


def table(result: dict[str, Any]) -> list[str]:
    """Return the lines to print."""
    lines = [
        f"{name:<22} p50 {row['p50_us']:7.0f}   p99 {row['p99_us']:7.0f}"
        for name, row in result["envelopes"].items()
    ]
    ledger = result["ledger"]
    size = f"{ledger['entries']} entries ({ledger['mb']:.1f} MB)"
    lines.append(f"a ledger of {size}: read and proved in {ledger['s']:.2f} s")
    return lines


def _ledger_state(key: Ed25519PrivateKey) -> tuple[LedgerState, str]:
    raw = key.public_key().public_bytes_raw()
    kid = keys.fingerprint(raw)
    valid = {"valid_from": time_text(NOW - 1000), "valid_until": time_text(NOW + 1_000_000)}
    payload: dict[str, Any] = {
        "v": 1,
        "serial": 1,
        "sender": "paris-example",
        "kind": "police",
        "name": "Example Police",
        "contact": "desk",
        "keys": [{"kid": kid, "x": encoded(raw).decode(), **valid}],
        "recipients": [{"name": "evidence", "age": "age1" + "q" * 58}],
        "uploads": [{"name": "store", "kind": "tus", "origin": "https://evidence.example"}],
        "jurisdiction": circle(*PLACE, 5000, 256),
        "iat": time_text(NOW - 1000),
    }
    ledger_state = LedgerState()
    draft = pinned(signed_envelope(RECORD, payload, key), kid, ledger_state=ledger_state, now=NOW)
    ledger_state.take(draft.kind, draft.data, draft.body, NOW)
    return ledger_state, kid


def _request() -> dict[str, Any]:
    return {
        "v": 1,
        "op": "request",
        "id": "01KA0000000000000000000001",
        "agency": "paris-example",
        "case": "2026/4711",
        "purpose": "x" * 500,
        "area": circle(*PLACE, 300, 64),
        "window": {"start": time_text(NOW - 7200), "end": time_text(NOW - 3600)},
        "iat": time_text(NOW),
        "exp": time_text(NOW + 86_400),
        "upload": "store",
        "recipient": "evidence",
        "contact": "desk",
    }


def _worst(key: Ed25519PrivateKey, kid: str) -> bytes:
    """Return an envelope whose form passes and costs as much as the bounds allow."""
    payload = b'{"a":"' + b"\\\\" * 1990 + b'","b":[' + b",".join([b"1" * 15] * 395) + b"]}"
    head = f'{{"alg":"EdDSA","typ":"{REQUEST}","kid":"{kid}"}}'.encode()
    what = encoded(head) + b"." + encoded(payload)
    return what + b"." + encoded(key.sign(what))


def _ledger() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        ledger = Ledger(path)
        body = json.dumps(_request()).encode()
        for numbers in [range(start, start + BATCH) for start in range(0, ENTRIES, BATCH)]:
            wanted: list[tuple[str, dict[str, Any], bytes | None]] = [
                ("request", {"id": str(n), "from": None, "to": "received"}, body + b"%d" % n) for n in numbers
            ]
            ledger.append_all(wanted, wall_us=NOW * 1_000_000, clock="synchronised")
        ledger.close()
        began_s = time.perf_counter()
        ledger = Ledger(path)
        ledger.prove()
        count = sum(1 for _ in ledger.entries())
        took_s = time.perf_counter() - began_s
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        ledger.close()
        return {"entries": count, "mb": size / 1e6, "s": took_s}
