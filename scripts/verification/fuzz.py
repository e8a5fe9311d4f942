"""`scripts/fuzz`: coverage-guided fuzzing of everything that reads bytes from outside."""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["device.consent", "device.spool.folders"]):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from device.consent import keys
    from device.consent.area import circle
    from device.consent.envelope import MAX_BYTES, NOTICE, RECORD, REQUEST, encoded
    from device.consent.ledger_state import LedgerState
    from device.consent.models import time_text
    from device.consent.owner_actions import feed_added, pinned
    from device.consent.reasons import Refused
    from device.consent.sender_records import record_in
    from device.consent.validation import HomePosition, heard
    from device.spool.folders import Unreadable, items_of
    from server.agency.signing import signed_envelope

NOW = 1_795_000_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
KID = keys.fingerprint(KEY.public_key().public_bytes_raw())
PLACE = HomePosition(longitude=2.2945, latitude=48.8584)
HANG_S, MAX_MB = 1, 512
GATE_S = 0.5
"""Limit for one envelope. The promise is 0.5 ms, which scripts/bench gate measures."""


def record() -> bytes:
    """Return the record that is pinned."""
    raw = KEY.public_key().public_bytes_raw()
    payload = {
        "v": 1,
        "serial": 1,
        "sender": "paris-example",
        "kind": "police",
        "name": "Example Police",
        "contact": "desk",
        "keys": [
            {
                "kid": KID,
                "x": encoded(raw).decode(),
                "valid_from": time_text(NOW - 1000),
                "valid_until": time_text(NOW + 100_000),
            }
        ],
        "recipients": [],
        "uploads": [],
        "jurisdiction": circle(2.2945, 48.8584, 5000),
        "iat": time_text(NOW - 1000),
    }
    return signed_envelope(RECORD, payload, KEY)


BOOK = LedgerState()
DRAFT = pinned(record(), KID, ledger_state=BOOK, now=NOW)
BOOK.take(DRAFT.kind, DRAFT.data, DRAFT.body, NOW)
FEED = feed_added("weather", "https://weather.example/cap", BOOK)
BOOK.take(FEED.kind, FEED.data, None, NOW)


def gate(data: bytes) -> None:
    """Read the bytes as an envelope."""
    _heard("request" if data[:1] < b"\x80" else "notice", data[1:])


def signed(data: bytes) -> None:
    """Read the bytes as the payload of a pinned sender."""
    typ = REQUEST if data[:1] < b"\x80" else NOTICE
    head = f'{{"alg":"EdDSA","typ":"{typ}","kid":"{KID}"}}'.encode()
    what = encoded(head) + b"." + encoded(data[1:])
    _heard("request" if typ == REQUEST else "notice", what + b"." + encoded(KEY.sign(what)))


def feed(data: bytes) -> None:
    """Read the bytes as a feed's document."""
    _heard("feed:weather", data)


def a_record(data: bytes) -> None:
    """Read the bytes as the payload of a record that is to be pinned."""
    head = f'{{"alg":"EdDSA","typ":"{RECORD}","kid":"{KID}"}}'.encode()
    what = encoded(head) + b"." + encoded(data)
    try:
        record_in(what + b"." + encoded(KEY.sign(what)))
    except Refused as error:
        _look(error)


def spool(data: bytes) -> None:
    """Read the bytes as a bundle."""
    with suppress(Unreadable):
        items_of(data, "1")


def _heard(source: str, content: bytes) -> None:
    began = time.perf_counter()
    try:
        drafts = heard(source, content, ledger_state=BOOK, home=PLACE, now=NOW)
        assert all(draft.body is None or len(draft.body) <= MAX_BYTES * 2 for draft in drafts)  # noqa: S101
        assert not any(draft.data.get("to") == "approved" for draft in drafts)  # noqa: S101
    except Refused as error:
        _look(error)
    took = time.perf_counter() - began
    if took > GATE_S:
        raise RuntimeError(f"{took:.3f} s for {len(content)} bytes")


def _look(error: Refused) -> None:
    """Check that a refusal is one printable line of limited length."""
    text = str(error)
    if not text.isprintable() or len(text) > 400:
        raise RuntimeError(f"a refusal that cannot be shown: {text!r}")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "gate": gate,
    "signed": signed,
    "record": a_record,
    "feed": feed,
    "spool": spool,
}


def seeds(target: str) -> Iterator[bytes]:
    """Yield the initial inputs: the test vectors."""
    import base64
    import json

    vectors = json.loads((Path(__file__).parents[2] / "tests/protocol_vectors/envelopes.json").read_text())
    for vector in vectors["vectors"]:
        content = (
            vector["envelope"].encode()
            if "envelope" in vector
            else base64.b64decode(vector["envelope_base64"])
        )
        if target == "gate":
            yield b"\x00" + content
        elif target in ("signed", "record") and content.count(b".") == 2:
            part = content.split(b".")[1]
            try:
                payload = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
            except ValueError:
                continue
            yield (b"\x00" if target == "signed" else b"") + payload
    yield b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>a</id><updated>2026-01-01T00:00:00Z</updated></entry></feed>'
    yield b"notice YQ==\n"


def main() -> int:
    """Run the targets, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10, help="minutes for each target (default: %(default)s)"
    )
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all of them")
    parser.add_argument("--inside", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("corpus", nargs="?", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return run(arguments.inside, arguments.corpus, arguments.minutes)
    status = 0
    for target in arguments.target or TARGETS:
        with tempfile.TemporaryDirectory() as corpus:
            for number, content in enumerate(seeds(target)):
                (Path(corpus) / f"seed-{number}").write_bytes(content)
            command = [
                sys.executable,
                "-m",
                "scripts.verification.fuzz",
                "--inside",
                target,
                "--minutes",
                str(arguments.minutes),
            ]
            done = subprocess.run([*command, corpus], stderr=subprocess.PIPE, text=True, check=False)
            lines = [
                line
                for line in done.stderr.splitlines()
                if "DONE" in line or "ERROR" in line or "Error" in line
            ]
            print(
                f"{target:<10} {'no crash' if done.returncode == 0 else 'FAILED'}: {' '.join(lines[-1:])}",
                flush=True,
            )
            if done.returncode:
                print(done.stderr[-3000:], file=sys.stderr)
                status = 1
    return status


def run(target: str, corpus: str, minutes: float) -> int:
    """Fuzz one target in this process; libFuzzer ends it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(corpus)
    options = [
        f"-max_total_time={int(minutes * 60)}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MAX_MB}",
        f"-max_len={MAX_BYTES + 100}",
        "-print_final_stats=0",
    ]
    atheris.Setup([sys.argv[0], *options, corpus], TARGETS[target])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
