"""Writes envelopes.json: what a doorbell must take, and what it must refuse and why. Deterministic; run to
change it.

python -m tests.protocol_vectors.make
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from device.consent import area
from device.consent.envelope import encoded
from device.consent.models import time_text
from tests.support.envelopes import (
    AGENCY,
    DAY,
    NEWS,
    NEWS_PAYLOAD,
    NOTICE,
    NOTICE_PAYLOAD,
    NOW,
    PLACE,
    RECORD,
    RECORD_PAYLOAD,
    REQUEST,
    REQUEST_PAYLOAD,
    SECOND,
    STRANGER,
    changed,
    header,
    kid,
    notice,
    raw,
    request,
    signed,
    text,
)
from tests.support.shapes import NARROW, WIDE, drawn, rectangle

HERE = Path(__file__).parent
FILE = HERE / "envelopes.json"
Vector = tuple[str, str, bytes, str]


def good() -> Iterator[Vector]:
    yield "a request", "request", request(), "kept"
    yield "a request of two lines", "request", request(purpose="One.\nTwo."), "kept"
    yield (
        "a request in another script",
        "request",
        request(case="дело 4711", purpose="窃盗の件、ご協力ください"),
        "kept",
    )
    yield "whole numbers as coordinates", "request", request(purpose="10 % 🚲"), "kept"
    yield "the longest purpose", "request", request(purpose="x" * 500), "kept"
    yield "64 corners", "request", request(area=area.circle(*PLACE, 300, 64)), "kept"
    for what, polygon in WIDE.items():
        yield f"an area: {what}", "request", request(area=polygon), "kept"
    yield "the shortest window", "request", request(window=span(NOW - 3600, NOW - 2700)), "kept"
    yield "the longest window", "request", request(window=span(NOW - 13 * 3600, NOW - 3600)), "kept"
    yield "the longest life", "request", request(exp=time_text(NOW - 60 + 14 * DAY)), "kept"
    yield (
        "the oldest window",
        "request",
        request(window=span(NOW - 60 - 30 * DAY, NOW - 60 - 30 * DAY + 900)),
        "kept",
    )
    yield "a clock five minutes fast", "request", request(iat=time_text(NOW + 300)), "kept"
    yield "an alert", "notice", notice(), "kept"
    yield "an update", "notice", notice(kind="update", severity="minor"), "kept"
    yield "news of a news source", "notice", notice(NEWS, source="courier-example", kind="news"), "kept"
    yield "an alert that replaces one", "notice", notice(supersedes=["01KA0000000000000000000009"]), "kept"
    escaped = json.dumps(changed(NOTICE_PAYLOAD, {"text": "д" * 2000})).encode()
    yield "2,000 escaped letters", "notice", signed(header(NOTICE, kid(AGENCY)), escaped), "kept"
    yield "members in another order", "request", raw(text(dict(reversed(REQUEST_PAYLOAD.items())))), "kept"
    yield "spaces between members", "request", raw(json.dumps(REQUEST_PAYLOAD).encode()), "kept"
    cancel = {"v": 1, "op": "cancel", "id": "01KA0000000000000000000008", "iat": time_text(NOW)}
    yield "a cancelled request", "request", raw(text({**cancel, "agency": "paris-example"})), "kept"
    content = signed(header(NOTICE, kid(AGENCY)), text({**cancel, "source": "paris-example"}))
    yield "a cancelled notice", "notice", content, "kept"


def span(start: int, end: int) -> dict[str, str]:
    return {"start": time_text(start), "end": time_text(end)}


def of_form() -> Iterator[Vector]:
    """What must be refused before anything in it is believed."""
    whole = request()
    first, payload, signature = whole.split(b".")
    yield "nothing", "request", b"", "empty"
    yield "too large", "request", whole + b"A" * 32_768, "too_large"
    yield "32 KiB and one", "request", b"A" * 32_769, "too_large"
    yield "one part", "request", first, "not_compact"
    yield "two parts", "request", first + b"." + payload, "not_compact"
    yield "four parts", "request", whole + b".AA", "not_compact"
    yield "an empty payload", "request", first + b".." + signature, "not_compact"
    yield "an empty signature", "request", first + b"." + payload + b".", "not_compact"
    yield "a line end behind it", "request", whole + b"\n", "not_compact"
    yield "a space before it", "request", b" " + whole, "not_compact"
    yield "padding", "request", first + b"=." + payload + b"." + signature, "not_compact"
    yield (
        "plain base64",
        "request",
        whole.replace(b"-", b"+"),
        "not_compact" if b"-" in whole else "bad_signature",
    )
    yield "a zero byte", "request", whole + b"\0", "not_compact"
    yield "bytes above 127", "request", b"\xff" + whole, "not_compact"
    yield "UTF-16", "request", whole.decode().encode("utf-16"), "not_compact"
    yield "JWS as JSON", "request", text({"payload": payload.decode(), "signatures": []}), "not_compact"
    yield (
        "spare bits in the header",
        "request",
        spare(first) + b"." + payload + b"." + signature,
        "not_canonical",
    )
    yield (
        "spare bits in the signature",
        "request",
        first + b"." + payload + b"." + spare(signature),
        "not_canonical",
    )
    yield "a header of 4n+1", "request", b"A." + payload + b"." + signature, "not_canonical"
    yield "a payload of 4n+1", "request", first + b".AAAAA." + signature, "not_canonical"
    name = kid(AGENCY)
    for what, text_of_header in {
        "alg none": f'{{"alg":"none","typ":"{REQUEST}","kid":"{name}"}}',
        "alg HS256": f'{{"alg":"HS256","typ":"{REQUEST}","kid":"{name}"}}',
        "alg Ed25519": f'{{"alg":"Ed25519","typ":"{REQUEST}","kid":"{name}"}}',
        "alg in lower case": f'{{"alg":"eddsa","typ":"{REQUEST}","kid":"{name}"}}',
        "no kid": f'{{"alg":"EdDSA","typ":"{REQUEST}"}}',
        "no typ": f'{{"alg":"EdDSA","kid":"{name}"}}',
        "another order": f'{{"typ":"{REQUEST}","alg":"EdDSA","kid":"{name}"}}',
        "a space": f'{{"alg":"EdDSA", "typ":"{REQUEST}","kid":"{name}"}}',
        "a member more": f'{{"alg":"EdDSA","typ":"{REQUEST}","kid":"{name}","b64":false}}',
        "crit": f'{{"alg":"EdDSA","typ":"{REQUEST}","kid":"{name}","crit":["exp"]}}',
        "a key of its own": f'{{"alg":"EdDSA","typ":"{REQUEST}","kid":"{name}","jwk":{{"kty":"OKP"}}}}',
        "a key's address": f'{{"alg":"EdDSA","typ":"{REQUEST}","kid":"{name}","jku":"https://evil.example"}}',
        "alg twice": f'{{"alg":"none","alg":"EdDSA","typ":"{REQUEST}","kid":"{name}"}}',
        "an escape": f'{{"\\u0061lg":"EdDSA","typ":"{REQUEST}","kid":"{name}"}}',
        "kid in capitals": f'{{"alg":"EdDSA","typ":"{REQUEST}","kid":"{name.upper()}"}}',
        "a path as kid": f'{{"alg":"EdDSA","typ":"{REQUEST}","kid":"../../../../etc/passwd..."}}',
        "typ with a capital": f'{{"alg":"EdDSA","typ":"Footage-Request+jws","kid":"{name}"}}',
        "typ as a list": f'{{"alg":"EdDSA","typ":["{REQUEST}"],"kid":"{name}"}}',
        "an empty object": "{}",
        "no JSON": "hello",
        "a BOM": f'\ufeff{{"alg":"EdDSA","typ":"{REQUEST}","kid":"{name}"}}',
    }.items():
        yield (
            f"header: {what}",
            "request",
            signed(text_of_header.encode(), text(REQUEST_PAYLOAD)),
            "bad_header",
        )
    yield "a JWT", "request", signed(header("jwt+jws", name), text(REQUEST_PAYLOAD)), "wrong_type"
    yield "a notice where requests come", "request", notice(), "wrong_type"
    yield "a request where notices come", "notice", request(), "wrong_type"
    record = signed(header(RECORD, name), text(RECORD_PAYLOAD))
    yield "a record where requests come", "request", record, "wrong_type"
    yield "a stranger's key", "request", request(STRANGER), "unknown_key"
    short = first + b"." + payload + b"." + encoded(b"x" * 63)
    yield "a signature of 63 bytes", "request", short, "bad_signature_length"
    long = first + b"." + payload + b"." + encoded(b"x" * 65)
    yield "a signature of 65 bytes", "request", long, "bad_signature_length"


def spare(part: bytes) -> bytes:
    """Set a bit that base64 leaves unused in the last letter of a part."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    part = part if len(part) % 4 else encoded(base64.urlsafe_b64decode(part)[:-1])
    return part[:-1] + letters[letters.index(part[-1]) + 1 : letters.index(part[-1]) + 2]


def of_json() -> Iterator[Vector]:
    good_text = text(REQUEST_PAYLOAD)
    for what, payload, reason in (
        ("Latin-1", b'{"v":"\xe9"}', "not_utf8"),
        ("an overlong slash", b'{"v":"\xc0\xaf"}', "not_utf8"),
        ("a surrogate in UTF-8", b'{"v":"\xed\xa0\x80"}', "not_utf8"),
        ("a BOM", b"\xef\xbb\xbf" + good_text, "not_json"),
        ("nested 9 deep", b'{"a":' * 9 + b"1" + b"}" * 9, "too_deep"),
        ("nested 6000 deep", b"[" * 6000 + b"]" * 6000, "too_deep"),
        ("two thousand values", b'{"a":[' + b"1," * 2000 + b"1]}", "too_many_values"),
        ("five thousand escapes", b'{"a":"' + b"\\n" * 5000 + b'"}', "too_many_values"),
        ("half of it", good_text[:200], "not_json"),
        ("something behind it", good_text + b"{}", "not_json"),
        ("single quotes", b"{'v':1}", "not_json"),
        ("a comma too much", b'{"v":1,}', "not_json"),
        ("a comment", b'{"v":1/**/}', "not_json"),
        ("a line end in a text", b'{"v":"\n"}', "not_json"),
        ("a leading zero", b'{"v":01}', "not_json"),
        ("an empty payload object's half", b"{", "not_json"),
        ("a name twice", b'{"v":1,"v":1}', "duplicate_name"),
        ("a name twice, deep in", b'{"area":{"type":1,"type":2}}', "duplicate_name"),
        ("a name twice, once escaped", b'{"v":1,"\\u0076":1}', "duplicate_name"),
        ("NaN", b'{"v":NaN}', "bad_number"),
        ("Infinity", b'{"v":-Infinity}', "bad_number"),
        ("an exponent", b'{"v":1e0}', "bad_number"),
        ("a number beyond all bounds", b'{"v":1e999}', "bad_number"),
        ("2 to the 53rd", b'{"v":9007199254740992}', "bad_number"),
        ("a number of 4000 digits", b'{"v":' + b"9" * 4000 + b"}", "bad_number"),
        ("a sum", b'{"v":00000000000000001-18}', "not_json"),
        ("a sign in the middle", b'{"v":000000000000+0000000008}', "not_json"),
        ("minus zero", b'{"v":-0}', "bad_number"),
        ("26 digits behind the point", b'{"v":1.' + b"0" * 26 + b"}", "bad_number"),
        ("half a character", b'{"v":"\\ud83d"}', "bad_text"),
        ("half a character as a name", b'{"\\udc00":1}', "bad_text"),
        ("a list", b"[]", "not_an_object"),
        ("a text", b'"v"', "not_an_object"),
        ("null", b"null", "not_an_object"),
    ):
        yield f"payload: {what}", "request", raw(payload), reason


def of_signature() -> Iterator[Vector]:
    whole = request()
    first, payload, signature = whole.split(b".")
    other = request(case="2026/4712").split(b".")[1]
    yield "another payload", "request", first + b"." + other + b"." + signature, "bad_signature"
    yield (
        "another's signature",
        "request",
        first + b"." + payload + b"." + request(STRANGER).split(b".")[2],
        "bad_signature",
    )
    yield "all zeros", "request", first + b"." + payload + b"." + encoded(bytes(64)), "bad_signature"
    bits = bytearray(base64.urlsafe_b64decode(signature + b"=="))
    bits[0] ^= 1
    yield "one bit", "request", first + b"." + payload + b"." + encoded(bytes(bits)), "bad_signature"
    raw_signature = base64.urlsafe_b64decode(signature + b"==")
    order = 2**252 + 27742317777372353535851937790883648493
    larger = int.from_bytes(raw_signature[32:], "little") + order
    malleable = raw_signature[:32] + larger.to_bytes(32, "little")
    yield (
        "the order added (malleable)",
        "request",
        first + b"." + payload + b"." + encoded(malleable),
        "bad_signature",
    )
    claim = signed(header(REQUEST, kid(AGENCY)), text(REQUEST_PAYLOAD), STRANGER)
    yield "a stranger who names a pinned key", "request", claim, "bad_signature"


def of_members() -> Iterator[Vector]:
    for name in REQUEST_PAYLOAD:
        yield f"without {name}", "request", request(**{name: ...}), "bad_member"
    members: dict[str, dict[str, Any]] = {
        "a member more": {"priority": "urgent"},
        "an approval": {"auto_approve": True},
        "an emergency": {"emergency": True},
        "version 2": {"v": 2},
        "version as a text": {"v": "1"},
        "version true": {"v": True},
        "another op": {"op": "approve"},
        "an id with a path": {"id": "../../../state/ledger.db.."},
        "a short id": {"id": "01KA"},
        "an id in lower case": {"id": "01ka0000000000000000000001"},
        "an id with a letter I": {"id": "01KA000000000000000000000I"},
        "an agency with a slash": {"agency": "paris/example"},
        "an empty case": {"case": ""},
        "a case of two lines": {"case": "a\nb"},
        "a case of 81 letters": {"case": "x" * 81},
        "a purpose of 501 letters": {"purpose": "x" * 501},
        "text that runs backwards": {"purpose": "harmless \u202e gpj.exe"},
        "an invisible letter": {"case": "2026\u200b/4711"},
        "an invisible letter of Hangul": {"case": "2026\u3164/4711"},
        "a control character": {"purpose": "bell \u0007"},
        "spaces around": {"case": " 2026/4711 "},
        "no purpose": {"purpose": None},
        "a list as purpose": {"purpose": ["x"]},
        "a window without end": {"window": {"start": time_text(NOW - 7200)}},
        "a window with more": {"window": {**span(NOW - 7200, NOW - 3600), "until": "now"}},
        "a time with an offset": {"iat": "2026-11-18T05:45:40+00:00"},
        "a time with fractions": {"iat": "2026-11-18T05:45:40.5Z"},
        "a time as a number": {"iat": NOW},
        "the 30th of February": {"iat": "2026-02-30T00:00:00Z"},
        "an upload that is an address": {"upload": "https://evil.example"},
        "a Point": {"area": {"type": "Point", "coordinates": [2.2, 48.8]}},
        "a MultiPolygon": {"area": {"type": "MultiPolygon", "coordinates": []}},
        "a polygon with a hole": {
            "area": {**REQUEST_PAYLOAD["area"], "coordinates": REQUEST_PAYLOAD["area"]["coordinates"] * 2}
        },
        "a polygon with a height": {"area": lifted(REQUEST_PAYLOAD["area"])},
        "a polygon of texts": {"area": {"type": "Polygon", "coordinates": [[["2.2", "48.8"]] * 5]}},
        "a polygon with a bbox": {"area": {**REQUEST_PAYLOAD["area"], "bbox": [0, 0, 1, 1]}},
    }
    for what, changes in members.items():
        yield what, "request", request(**changes), "bad_member"
    yield "a notice with a link to load", "notice", notice(image="https://evil.example/x.png"), "bad_member"
    yield "a notice of another severity", "notice", notice(severity="Severe"), "bad_member"
    yield "nine superseded", "notice", notice(supersedes=["01KA0000000000000000000009"] * 9), "bad_member"
    ring = REQUEST_PAYLOAD["area"]["coordinates"][0]
    for what, corners in {
        "an open ring": ring[:-1],
        "65 corners": area.circle(*PLACE, 300, 65)["coordinates"][0],
        "a bow tie": [[2.29, 48.85], [2.30, 48.86], [2.30, 48.85], [2.29, 48.86], [2.29, 48.85]],
        "a line": [[2.29, 48.85], [2.30, 48.85], [2.31, 48.85], [2.29, 48.85]],
        "two corners": [[2.29, 48.85], [2.30, 48.86], [2.29, 48.85]],
        "a corner twice": [ring[0], ring[1], ring[1], *ring[2:]],
        "a side that doubles back": [
            [2.29, 48.85],
            [2.31, 48.85],
            [2.30, 48.85],
            [2.30, 48.86],
            [2.29, 48.85],
        ],
        "latitude first": [[y, x + 90] for x, y in ring],
        "degrees beyond the poles": [[x, y + 90] for x, y in ring],
        "a continent": [[10, 10], [40, 10], [40, 20], [10, 20], [10, 10]],
    }.items():
        polygon = {"type": "Polygon", "coordinates": [corners]}
        yield f"an area: {what}", "request", request(area=polygon), "bad_area"
    for what, corners in {
        "from 179 to -179": [
            [179.999, 10],
            [-179.999, 10],
            [-179.999, 10.002],
            [179.999, 10.002],
            [179.999, 10],
        ],
        "to 181": [[179.999, 10], [180.001, 10], [180.001, 10.002], [179.999, 10.002], [179.999, 10]],
        "half the earth": [[-170, 10], [170, 10], [170, 20], [-170, 20], [-170, 10]],
    }.items():
        polygon = {"type": "Polygon", "coordinates": [corners]}
        yield f"an area across 180: {what}", "request", request(area=polygon), "area_across_180"
        yield f"a notice across 180: {what}", "notice", notice(area=polygon), "area_across_180"
    for what, latitude in (("north", 85.001), ("south", -85.001)):
        beyond = drawn(rectangle(400, 400), place=(20.0, latitude))
        yield f"an area beyond 85: {what}", "request", request(area=beyond), "area_beyond_85"


def lifted(polygon: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[[*corner, 10] for corner in polygon["coordinates"][0]]]}


def of_rules() -> Iterator[Vector]:
    yield "another agency's name", "request", request(agency="lyon-example"), "wrong_sender"
    yield "another source's name", "notice", notice(source="courier-example"), "wrong_sender"
    yield "a key of the past", "request", request(SECOND), "key_not_valid"
    yield (
        "a news source that asks",
        "request",
        request(NEWS, agency="courier-example"),
        "rejected: not_allowed",
    )
    yield "a news source's alert", "notice", notice(NEWS, source="courier-example"), "not_allowed"
    for what, changes, reason in (
        ("from the future", {"iat": time_text(NOW + 301)}, "from_the_future"),
        ("expired", {"exp": time_text(NOW)}, "expired"),
        ("open for 15 days", {"exp": time_text(NOW + 15 * DAY)}, "life_too_long"),
        ("a window of 14 minutes", {"window": span(NOW - 3600, NOW - 3600 + 840)}, "bad_window"),
        ("a window of 13 hours", {"window": span(NOW - 14 * 3600, NOW - 3600)}, "bad_window"),
        ("a window that runs backwards", {"window": span(NOW - 3600, NOW - 7200)}, "bad_window"),
        ("a window in the future", {"window": span(NOW + 3600, NOW + 7200)}, "bad_window"),
        ("a window of this very moment", {"window": span(NOW - 3600, NOW)}, "bad_window"),
        ("a window 31 days ago", {"window": span(NOW - 31 * DAY, NOW - 31 * DAY + 3600)}, "bad_window"),
        ("an area too small", {"area": area.circle(*PLACE, 120, 16)}, "area_size"),
        ("an area too large", {"area": area.circle(*PLACE, 700, 16)}, "area_size"),
        ("an area in Lyon", {"area": area.circle(4.8357, 45.7640, 250, 16)}, "outside_jurisdiction"),
        ("an area half outside", {"area": area.circle(2.2945, 48.9033, 400, 16)}, "outside_jurisdiction"),
        ("an upload that is not pinned", {"upload": "elsewhere"}, "unknown_upload"),
        ("a recipient that is not pinned", {"recipient": "somebody-else"}, "unknown_recipient"),
    ):
        yield what, "request", request(**changes), f"rejected: {reason}"
    for what, polygon in NARROW.items():
        yield f"an area: {what}", "request", request(area=polygon), "rejected: area_shape"
    yield "an expired notice", "notice", notice(exp=time_text(NOW - 1)), "expired"
    yield "a notice of the future", "notice", notice(iat=time_text(NOW + 400)), "from_the_future"
    yield "a notice for 8 days", "notice", notice(exp=time_text(NOW + 8 * DAY)), "life_too_long"
    yield (
        "a notice elsewhere",
        "notice",
        notice(area=area.circle(4.8357, 45.7640, 900, 16)),
        "outside_jurisdiction",
    )


def vectors() -> dict[str, Any]:
    """Return the whole file."""
    rows = []
    for made in (good(), of_form(), of_json(), of_signature(), of_members(), of_rules()):
        for name, source, content, expect in made:
            row = {"name": name, "source": source, "expect": expect}
            if content.isascii() and content.decode().isprintable():
                row["envelope"] = content.decode()
            else:
                row["envelope_base64"] = base64.b64encode(content).decode()
            rows.append(row)
    return {
        "about": "See docs/consent-protocol.md, 'Test vectors'. Written by tests/protocol_vectors/make.py.",
        "now": time_text(NOW),
        "place": {"longitude": PLACE[0], "latitude": PLACE[1]},
        "pinned": [
            signed(header(RECORD, kid(AGENCY)), text(RECORD_PAYLOAD)).decode(),
            signed(header(RECORD, kid(NEWS)), text(NEWS_PAYLOAD), NEWS).decode(),
        ],
        "secret_keys_hex": {
            "agency": "01" * 32,
            "stranger": "02" * 32,
            "news": "03" * 32,
            "second": "04" * 32,
        },
        "vectors": rows,
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
    print(FILE, len(vectors()["vectors"]))
