"""Accepted and refused envelopes: the vectors of tests/protocol_vectors/, and generated ones."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OKPKey

import device.web
from device.consent import keys
from device.consent.envelope import DEEPEST, MAX_BYTES, encoded, read
from device.consent.ledger_state import LedgerState
from device.consent.models import record_of
from device.consent.owner_actions import pinned
from device.consent.reasons import Reason, Refused
from device.consent.sender_records import record_in
from device.consent.validation import HomePosition, heard
from tests.protocol_vectors import make
from tests.support import envelopes
from tests.support.tampering import forged

VECTORS: dict[str, Any] = json.loads(make.FILE.read_text())
PLACE = HomePosition(longitude=envelopes.PLACE[0], latitude=envelopes.PLACE[1])


def a_ledger_state() -> LedgerState:
    """Return what a doorbell knows that pinned the two senders of the vectors."""
    ledger_state = LedgerState()
    for envelope in VECTORS["pinned"]:
        content = envelope.encode()
        name = record_in(content)[0].kid
        draft = pinned(content, keys.spoken(name), ledger_state=ledger_state, now=envelopes.NOW)
        ledger_state.take(draft.kind, draft.data, draft.body, envelopes.NOW)
    return ledger_state


def outcome(
    source: str, content: bytes, ledger_state: LedgerState | None = None, now: int = envelopes.NOW
) -> str:
    try:
        drafts = heard(source, content, ledger_state=ledger_state or a_ledger_state(), home=PLACE, now=now)
    except Refused as error:
        return str(error.reason)
    rejected = [draft.data["why"] for draft in drafts if draft.data.get("to") == "rejected"]
    return f"rejected: {rejected[0].split(':')[0]}" if rejected else "kept"


def content_of(vector: dict[str, str]) -> bytes:
    if "envelope" in vector:
        return vector["envelope"].encode()
    return base64.b64decode(vector["envelope_base64"])


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_a_vector_ends_as_the_protocol_says(vector: dict[str, str]) -> None:
    assert outcome(vector["source"], content_of(vector)) == vector["expect"]


def test_the_vectors_are_those_that_are_described() -> None:
    assert make.vectors() == VECTORS
    hostile = [vector for vector in VECTORS["vectors"] if vector["expect"] != "kept"]
    assert len(hostile) >= 100
    assert len({vector["name"] for vector in VECTORS["vectors"]}) == len(VECTORS["vectors"])


def test_every_reason_of_form_has_a_vector() -> None:
    shown = {vector["expect"].removeprefix("rejected: ") for vector in VECTORS["vectors"]}
    formal = list(Reason)[: list(Reason).index(Reason.ID_REUSED)]
    assert {str(reason) for reason in formal} - shown == set()


def test_every_reason_has_a_text_in_each_language_of_the_page() -> None:
    folder = Path(device.web.__file__).parent / "static/strings"
    english, german = (json.loads((folder / f"{name}.json").read_text()) for name in ("en", "de"))
    for reason in Reason:
        assert english[f"reason_{reason}"] == reason.sentence
        assert german[f"reason_{reason}"]


def test_every_reason_is_a_sentence() -> None:
    for reason in Reason:
        assert reason.sentence
        assert not reason.sentence.endswith(".")


def test_another_jose_library_reads_what_we_sign_and_we_what_it_signs() -> None:
    seed = bytes([1]) * 32
    raw = envelopes.AGENCY.public_key().public_bytes_raw()
    key = OKPKey.import_key(
        {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw).decode(), "d": encoded(seed).decode()}
    )
    theirs = jws.serialize_compact(
        {"alg": "EdDSA", "typ": envelopes.REQUEST, "kid": envelopes.kid(envelopes.AGENCY)},
        envelopes.text(envelopes.REQUEST_PAYLOAD),
        key,
        algorithms=["EdDSA"],
    )
    assert outcome("request", theirs.encode()) == "kept"
    ours = jws.deserialize_compact(envelopes.request().decode(), key, algorithms=["EdDSA"])
    assert json.loads(ours.payload) == envelopes.REQUEST_PAYLOAD


@settings(max_examples=150)
@given(st.binary(max_size=400), st.sampled_from(["request", "notice"]))
def test_random_bytes_are_refused_without_a_crash(content: bytes, source: str) -> None:
    assert outcome(source, content) in {str(reason) for reason in Reason}


@settings(max_examples=150)
@given(st.data())
def test_a_changed_envelope_is_never_kept(data: st.DataObject) -> None:
    whole = bytearray(envelopes.request())
    index = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    if whole[index] == byte:
        return
    whole[index] = byte
    assert outcome("request", bytes(whole)) != "kept"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@settings(max_examples=150)
@given(st.sampled_from([*envelopes.REQUEST_PAYLOAD, "more"]), JSON)
def test_a_pinned_agency_can_say_anything_and_breaks_nothing(name: str, value: Any) -> None:
    content = envelopes.raw(json.dumps({**envelopes.REQUEST_PAYLOAD, name: value}).encode())
    result = outcome("request", content)
    assert result == "kept" or result.removeprefix("rejected: ") in {str(reason) for reason in Reason}


@settings(max_examples=150)
@given(JSON)
def test_accepted_json_means_the_same_to_every_json_parser(value: Any) -> None:
    payload = json.dumps({"a": value}).encode()
    content = envelopes.raw(payload)
    try:
        envelope = read(content, types=(envelopes.REQUEST,), kids=None)
    except Refused:
        return
    assert len(content) <= MAX_BYTES
    assert depth(envelope.payload) <= DEEPEST
    assert envelope.payload == json.loads(payload)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


# --- pins -----------------------------------------------------------------------------------------


def a_record(key: Any = envelopes.AGENCY, **changes: Any) -> bytes:
    payload = envelopes.text(envelopes.changed(envelopes.RECORD_PAYLOAD, changes))
    return envelopes.signed(envelopes.header(envelopes.RECORD, envelopes.kid(key)), payload, key)


def pin_outcome(content: bytes, typed: str | None = None) -> str:
    try:
        envelope, _ = record_in(content)
        pinned(
            content, envelope.kid if typed is None else typed, ledger_state=LedgerState(), now=envelopes.NOW
        )
    except Refused as error:
        return str(error.reason)
    return "pinned"


def test_a_record_is_pinned_by_its_typed_fingerprint_however_it_is_typed() -> None:
    name = envelopes.kid(envelopes.AGENCY)
    for typed in (name, name.upper(), keys.spoken(name), f" {keys.spoken(name).lower().replace('-', ' ')} "):
        assert pin_outcome(a_record(), typed) == "pinned"
    for typed in ("", name[:-1], envelopes.kid(envelopes.STRANGER), name + "a"):
        assert pin_outcome(a_record(), typed) == "mistake"


def test_a_record_that_names_a_key_that_is_not_its_fingerprint_is_refused() -> None:
    swapped = {**envelopes.key_entry(envelopes.STRANGER), "kid": envelopes.kid(envelopes.AGENCY)}
    assert pin_outcome(a_record(keys=[swapped])) == "bad_key"


def test_a_record_signed_by_somebody_else_is_refused() -> None:
    assert pin_outcome(a_record(envelopes.STRANGER), envelopes.kid(envelopes.STRANGER)) == "bad_key"
    assert pin_outcome(forged(a_record())) == "bad_signature"


@pytest.mark.parametrize(
    "x",
    [
        bytes(32),
        bytes([1]) + bytes(31),
        (2**255 - 19 - 1).to_bytes(32, "little"),
        (2**255 - 19).to_bytes(32, "little"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    ],
    ids=lambda x: x.hex()[:8],
)
def test_a_key_that_anybody_can_sign_for_is_refused(x: bytes) -> None:
    entry = {**envelopes.key_entry(envelopes.AGENCY), "x": encoded(x).decode(), "kid": keys.fingerprint(x)}
    assert pin_outcome(a_record(keys=[envelopes.key_entry(envelopes.AGENCY), entry])) == "bad_key"


@pytest.mark.parametrize(
    "changes",
    [
        {"uploads": [{"name": "store", "kind": "tus", "origin": "http://evidence.example"}]},
        {"uploads": [{"name": "store", "kind": "tus", "origin": "https://evidence.example/path"}]},
        {"uploads": [{"name": "store", "kind": "tus", "origin": "https://user@evidence.example"}]},
        {"uploads": [{"name": "store", "kind": "ftp", "origin": "https://evidence.example"}]},
        {"uploads": [envelopes.RECORD_PAYLOAD["uploads"][0]] * 2},
        {"recipients": [{"name": "evidence", "age": "age1pq"}]},
        {"keys": []},
        {"serial": 0},
        {"kind": "private"},
    ],
    ids=str,
)
def test_a_record_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    assert pin_outcome(a_record(**changes)) == "bad_member"


def test_a_record_has_no_member_for_commands() -> None:
    with pytest.raises(Refused):
        record_of({**envelopes.RECORD_PAYLOAD, "auto_approve": True})
