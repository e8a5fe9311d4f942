"""What is heard, over time: replays, limits, cancellations, rotations, notices, feeds. Time is handed in."""

from typing import Any

import pytest

from device.consent import keys, rules
from device.consent.area import circle
from device.consent.entries import LedgerEntryDraft, step
from device.consent.ledger_state import LedgerState
from device.consent.models import time_text
from device.consent.owner_actions import feed_added, pinned, rotated, unpinned
from device.consent.reasons import Refused
from device.consent.sender_records import record_in
from device.consent.states import State, Step
from device.consent.validation import HomePosition, heard, matched
from tests.protocol_vectors import make
from tests.support import envelopes

PLACE = HomePosition(longitude=envelopes.PLACE[0], latitude=envelopes.PLACE[1])
DAY = 86_400


class ValidationHarness:
    """A book that takes what it hears, as the consent service does; without disk."""

    def __init__(self, *, pin: bool = True) -> None:
        self.ledger_state = LedgerState()
        self.now = envelopes.NOW
        if pin:
            for said, key in (
                (envelopes.RECORD_SAID, envelopes.AGENCY),
                (envelopes.NEWS_SAID, envelopes.NEWS),
            ):
                content = envelopes.signed(
                    envelopes.head(envelopes.RECORD, envelopes.kid(key)), envelopes.text(said), key
                )
                self.write(
                    [pinned(content, envelopes.kid(key), ledger_state=self.ledger_state, now=self.now)]
                )

    def write(self, drafts: list[LedgerEntryDraft]) -> None:
        for draft in drafts:
            self.ledger_state.take(draft.kind, draft.data, draft.body, self.now)

    def hear(self, source: str, content: bytes) -> str:
        """Return kept, again, or why not."""
        try:
            drafts = heard(source, content, ledger_state=self.ledger_state, home=PLACE, now=self.now)
        except Refused as error:
            return str(error.reason)
        self.write(drafts)
        for draft in drafts:
            if draft.data.get("to") == "rejected":
                return f"rejected: {draft.data['why'].split(':')[0]}"
        return "kept" if drafts else "again"

    def offer(self, request_id: str) -> None:
        case = self.ledger_state.cases[request_id]
        self.write([matched(case.request, home=PLACE, has_footage=True)])


def ulid(number: int) -> str:
    return f"01KA{number:022d}"


def asked(house: ValidationHarness, number: int, **changes: Any) -> bytes:
    told = {"iat": time_text(house.now), "exp": time_text(house.now + DAY), "case": f"case {number}"}
    window = make.span(house.now - 7200, house.now - 3600)
    return envelopes.ask(id=ulid(number), window=window, **{**told, **changes})


def told(house: ValidationHarness, number: int, **changes: Any) -> bytes:
    times = {"iat": time_text(house.now), "exp": time_text(house.now + 3600)}
    return envelopes.tell(id=ulid(number), **{**times, **changes})


# --- requests -------------------------------------------------------------------------------------


def test_a_feed_that_repeats_itself_is_no_replay() -> None:
    house = ValidationHarness()
    content = asked(house, 1)
    assert [house.hear("request", content) for _ in range(3)] == ["kept", "again", "again"]
    house.offer(ulid(1))
    house.write([step(ulid(1), State.OFFERED, Step.DECLINE)])
    assert house.hear("request", content) == "again"
    assert house.ledger_state.cases[ulid(1)].state is State.DECLINED


def test_one_id_is_one_request() -> None:
    house = ValidationHarness()
    house.hear("request", asked(house, 1))
    assert house.hear("request", asked(house, 1, purpose="Something else.")) == "id_reused"


def test_a_case_has_two_requests_at_most() -> None:
    house = ValidationHarness()
    said = [house.hear("request", asked(house, number, case="one")) for number in range(3)]
    assert said == ["kept", "kept", "rejected: case_exhausted"]
    assert house.hear("request", asked(house, 7, case="another")) == "kept"


def test_an_agency_has_so_many_requests_open_and_so_many_a_day() -> None:
    house = ValidationHarness()
    for number in range(rules.MAX_PER_DAY):
        assert house.hear("request", asked(house, number, exp=time_text(house.now + 14 * DAY))) == "kept"
    assert house.hear("request", asked(house, 50)) == "rejected: too_many_open"
    house.now += 2 * DAY
    assert house.hear("request", asked(house, 51)) == "rejected: too_many_open"
    house.now += 13 * DAY
    for number in range(rules.MAX_PER_DAY):
        assert house.hear("request", asked(house, 60 + number, exp=time_text(house.now + 60))) == "kept"
    house.now += 120  # all of them have expired
    assert house.hear("request", asked(house, 99)) == "rejected: too_many_today"


def test_what_the_owner_decides_changes_no_limit_for_the_agency() -> None:
    """Else an agency could learn from the limit what was declined (invariant 3)."""
    for decide in (None, Step.DECLINE):
        house = ValidationHarness()
        for number in range(rules.MAX_OPEN_REQUESTS):
            house.hear("request", asked(house, number))
            house.offer(ulid(number))
            if decide:
                house.write([step(ulid(number), State.OFFERED, decide)])
        assert house.hear("request", asked(house, 70)) == "rejected: too_many_open"


def test_rejections_in_the_ledger_are_bounded() -> None:
    house = ValidationHarness()
    said = [house.hear("request", asked(house, number, upload="elsewhere")) for number in range(60)]
    assert said.count("rejected: unknown_upload") == 50
    assert said.count("unknown_upload") == 10


def test_a_cancelled_request_stays_cancelled_whatever_order_it_is_heard_in() -> None:
    for first in ("request", "cancellation"):
        house = ValidationHarness()
        request = asked(house, 1)
        cancel = {
            "v": 1,
            "op": "cancel",
            "id": ulid(1),
            "agency": "paris-example",
            "iat": time_text(house.now),
        }
        content = envelopes.raw(envelopes.text(cancel))
        if first == "request":
            assert house.hear("request", request) == "kept"
            house.offer(ulid(1))
            assert house.hear("request", content) == "kept"
            assert house.ledger_state.cases[ulid(1)].state is State.CANCELLED
            assert house.hear("request", request) == "again"
        else:
            assert house.hear("request", content) == "kept"
            assert house.hear("request", request) == "rejected: outdated"
        assert house.hear("request", content) == "again"


def test_nobody_cancels_for_another() -> None:
    house = ValidationHarness()
    house.hear("request", asked(house, 1))
    house.offer(ulid(1))
    cancel = {"v": 1, "op": "cancel", "id": ulid(1), "agency": "courier-example", "iat": time_text(house.now)}
    content = envelopes.signed(
        envelopes.head(envelopes.REQUEST, envelopes.kid(envelopes.NEWS)),
        envelopes.text(cancel),
        envelopes.NEWS,
    )
    assert house.hear("request", content) == "wrong_sender"
    assert house.ledger_state.cases[ulid(1)].state is State.OFFERED


def test_a_house_outside_the_area_or_without_a_clip_has_nothing_to_decide() -> None:
    house = ValidationHarness()
    house.hear("request", asked(house, 1))
    request = house.ledger_state.cases[ulid(1)].request
    far = HomePosition(longitude=2.38, latitude=48.89)
    assert matched(request, home=far, has_footage=True).data["to"] == "unmatched"
    assert matched(request, home=None, has_footage=True).data["to"] == "unmatched"
    assert matched(request, home=PLACE, has_footage=False).data["to"] == "unmatched"
    assert matched(request, home=PLACE, has_footage=True).data["to"] == "offered"


# --- pins -----------------------------------------------------------------------------------------


def a_record(key: Any = envelopes.AGENCY, **changes: Any) -> bytes:
    payload = envelopes.text(envelopes.changed(envelopes.RECORD_SAID, changes))
    return envelopes.signed(envelopes.head(envelopes.RECORD, envelopes.kid(key)), payload, key)


def test_a_rotation_needs_a_pinned_key_a_higher_serial_and_the_same_sender() -> None:
    house = ValidationHarness()
    fresh = [envelopes.key_entry(envelopes.STRANGER)]
    newer = a_record(serial=4, keys=fresh)  # signed by the old key, which it ends
    for content, reason in (
        (a_record(envelopes.STRANGER, serial=4, keys=fresh), "unknown_key"),
        (a_record(serial=3, keys=fresh), "outdated"),
        (a_record(serial=4, sender="lyon-example"), "wrong_sender"),
        (a_record(serial=4, kind="news"), "not_allowed"),
    ):
        with pytest.raises(Refused) as told_why:
            rotated(content, ledger_state=house.ledger_state)
        assert str(told_why.value.reason) == reason
    house.write([rotated(newer, ledger_state=house.ledger_state)])
    assert house.hear("request", asked(house, 1)) == "unknown_key"
    by_new_key = envelopes.changed(envelopes.REQUEST_SAID, {"id": ulid(2)})
    content = envelopes.signed(
        envelopes.head(envelopes.REQUEST, envelopes.kid(envelopes.STRANGER)),
        envelopes.text(by_new_key),
        envelopes.STRANGER,
    )
    assert house.hear("request", content) == "kept"


def test_a_pinned_name_is_not_pinned_again_nor_by_a_feed() -> None:
    house = ValidationHarness()
    content = a_record(envelopes.STRANGER, keys=[envelopes.key_entry(envelopes.STRANGER)])
    with pytest.raises(Refused, match="pinned already"):
        pinned(content, envelopes.kid(envelopes.STRANGER), ledger_state=house.ledger_state, now=house.now)
    with pytest.raises(Refused):
        feed_added("paris-example", "https://example.org/feed", house.ledger_state)


def test_nobody_takes_another_s_key_for_his_own() -> None:
    house = ValidationHarness()
    thief = a_record(
        envelopes.STRANGER,
        sender="lyon-example",
        keys=[envelopes.key_entry(envelopes.STRANGER), envelopes.key_entry(envelopes.AGENCY)],
    )
    with pytest.raises(Refused, match="paris-example"):
        pinned(thief, envelopes.kid(envelopes.STRANGER), ledger_state=house.ledger_state, now=house.now)
    assert house.hear("request", asked(house, 1)) == "kept"


def test_unpinning_ends_offers_and_forgets_the_keys() -> None:
    house = ValidationHarness()
    house.hear("request", asked(house, 1))
    house.offer(ulid(1))
    house.write(unpinned("paris-example", house.ledger_state))
    assert house.ledger_state.cases[ulid(1)].state is State.CANCELLED
    assert house.hear("request", asked(house, 2)) == "unknown_key"
    with pytest.raises(Refused):
        unpinned("paris-example", house.ledger_state)


def test_a_fingerprint_is_of_the_key_that_signed_and_is_said_in_groups() -> None:
    envelope, record = record_in(a_record())
    assert envelope.kid == record.keys[0].kid
    assert keys.typed(keys.spoken(envelope.kid)) == envelope.kid
    assert [len(group) for group in keys.spoken(envelope.kid).split("-")] == [4, 4, 4, 4, 4, 4, 2]


# --- notices --------------------------------------------------------------------------------------


def state_of(house: ValidationHarness, number: int, source: str = "paris-example") -> str:
    return house.ledger_state.notices[source, ulid(number)].state


def test_a_notice_is_kept_once_superseded_and_cancelled() -> None:
    house = ValidationHarness()
    first = told(house, 1)
    assert [house.hear("notice", first) for _ in range(2)] == ["kept", "again"]
    assert house.hear("notice", told(house, 2, supersedes=[ulid(1)])) == "kept"
    assert (state_of(house, 1), state_of(house, 2)) == ("superseded", "current")
    cancel = {"v": 1, "op": "cancel", "id": ulid(2), "source": "paris-example", "iat": time_text(house.now)}
    content = envelopes.signed(
        envelopes.head(envelopes.NOTICE, envelopes.kid(envelopes.AGENCY)), envelopes.text(cancel)
    )
    assert house.hear("notice", content) == "kept"
    assert state_of(house, 2) == "cancelled"
    assert house.hear("notice", content) == "again"


def test_what_was_replaced_or_cancelled_before_it_was_heard_is_not_shown() -> None:
    house = ValidationHarness()
    house.hear("notice", told(house, 2, supersedes=[ulid(1)]))
    assert house.hear("notice", told(house, 1)) == "outdated"
    cancel = {"v": 1, "op": "cancel", "id": ulid(3), "source": "paris-example", "iat": time_text(house.now)}
    house.hear(
        "notice",
        envelopes.signed(
            envelopes.head(envelopes.NOTICE, envelopes.kid(envelopes.AGENCY)), envelopes.text(cancel)
        ),
    )
    assert house.hear("notice", told(house, 3)) == "outdated"


def test_nobody_replaces_another_s_notice() -> None:
    house = ValidationHarness()
    house.hear("notice", told(house, 1))
    said = {"id": ulid(2), "source": "courier-example", "kind": "news", "iat": time_text(house.now)}
    content = envelopes.tell(envelopes.NEWS, supersedes=[ulid(1)], **said)
    assert house.hear("notice", content) == "kept"
    assert state_of(house, 1) == "current"


def test_a_source_has_so_many_notices_a_day() -> None:
    house = ValidationHarness()
    for number in range(rules.MAX_NOTICES_PER_DAY):
        assert house.hear("notice", told(house, number)) == "kept"
    assert house.hear("notice", told(house, 60)) == "too_many_today"
    house.now += DAY + 1
    assert house.hear("notice", told(house, 61)) == "kept"


def test_a_notice_for_elsewhere_is_kept_and_is_not_about_here() -> None:
    house = ValidationHarness()
    house.hear("notice", told(house, 1, area=circle(2.33, 48.87, 600, 16)))
    house.hear("notice", told(house, 2))
    assert [kept.here for kept in house.ledger_state.notices.values()] == [False, True]


def test_notices_are_forgotten_a_month_after_their_end() -> None:
    house = ValidationHarness()
    house.hear("notice", told(house, 1))
    digest = house.ledger_state.notices["paris-example", ulid(1)].body
    assert house.ledger_state.forget(house.now + DAY) == []
    assert house.ledger_state.forget(house.now + 32 * DAY) == [digest]
    assert house.ledger_state.notices == {}


# --- feeds ----------------------------------------------------------------------------------------

CAP = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
<identifier>{identifier}</identifier><sender>weather@example.org</sender><sent>{sent}</sent>
<status>{status}</status><msgType>{kind}</msgType><scope>Public</scope>{references}
<info><language>en</language><category>Met</category><event>Storm</event><urgency>Immediate</urgency>
<severity>{severity}</severity><certainty>Likely</certainty><expires>{expires}</expires>
<headline>{headline}</headline><description>Trees may fall.</description><instruction>Stay in.</instruction>
<area><areaDesc>Paris</areaDesc>{area}</area></info></alert>"""
HERE = "<circle>48.8584,2.2945 20</circle>"
THERE = "<polygon>45.0,4.0 45.0,5.0 46.0,5.0 46.0,4.0 45.0,4.0</polygon>"


def cap(house: ValidationHarness, identifier: str = "1", **changes: str) -> bytes:
    said = {
        "identifier": identifier,
        "sent": iso(house.now),
        "status": "Actual",
        "kind": "Alert",
        "references": "",
        "severity": "Severe",
        "expires": iso(house.now + 6 * 3600),
        "headline": "Storm tonight",
        "area": HERE,
    }
    return CAP.format(**{**said, **changes}).encode()


def iso(seconds: int) -> str:
    return time_text(seconds).replace("Z", "+00:00")


def fed(url: str = "https://weather.example/cap") -> ValidationHarness:
    house = ValidationHarness(pin=False)
    house.write([feed_added("weather", url, house.ledger_state)])
    return house


def shown(house: ValidationHarness) -> list[tuple[str, str]]:
    return [(kept.headline, kept.state) for kept in house.ledger_state.notices.values()]


def test_a_cap_warning_is_kept_once_and_update_and_cancel_replace_it() -> None:
    house = fed()
    first = cap(house)
    assert [house.hear("feed:weather", first) for _ in range(3)] == ["kept", "again", "again"]
    kept = next(iter(house.ledger_state.notices.values()))
    assert (kept.severity, kept.here, kept.signed, kept.area_text) == ("severe", True, False, "Paris")
    assert kept.text == "Trees may fall.\nStay in."
    reference = f"<references>weather@example.org,1,{iso(house.now)}</references>"
    house.now += 600
    update = cap(house, "2", kind="Update", references=reference, headline="Storm at midnight")
    assert house.hear("feed:weather", update) == "kept"
    assert shown(house) == [("Storm tonight", "superseded"), ("Storm at midnight", "current")]
    reference = f"<references>weather@example.org,2,{iso(house.now)}</references>"
    house.now += 600
    assert house.hear("feed:weather", cap(house, "3", kind="Cancel", references=reference)) == "kept"
    assert shown(house)[1] == ("Storm at midnight", "cancelled")
    assert house.hear("feed:weather", first) == "again"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "Test"},
        {"status": "Exercise"},
        {"kind": "Ack"},
        {"kind": "Error"},
        {"expires": "2026-01-01T00:00:00+00:00"},
        {"sent": "2031-01-01T00:00:00+00:00"},
        {"sent": "yesterday"},
        {"area": "<polygon>1,2 3,4</polygon>"},
        {"area": "<circle>48.8,2.2</circle>"},
        {"area": "<circle>nan,nan nan</circle>"},
        {"identifier": "x" * 500},
    ],
    ids=str,
)
def test_tests_exercises_and_what_is_over_or_broken_do_nothing(changes: dict[str, str]) -> None:
    house = fed()
    assert house.hear("feed:weather", cap(house, **changes)) == "again"
    assert shown(house) == []


def test_a_warning_for_elsewhere_is_not_about_here() -> None:
    house = fed()
    house.hear("feed:weather", cap(house, area=THERE))
    assert [kept.here for kept in house.ledger_state.notices.values()] == [False]


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>&b;</identifier></alert>"""


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (BOMB, "hostile_xml"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "hostile_xml"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "hostile_xml"),
        (b"<a>" * 30_000, "not_a_feed"),
        (b"<a/>", "not_a_feed"),
        (b"<html><body>404</body></html>", "not_a_feed"),
        (b"", "not_a_feed"),
        (b"\xff\xfe\x00", "not_a_feed"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "not_a_feed"),
        (b"<a>" + b"x" * 1_100_000 + b"</a>", "too_large"),
    ],
    ids=lambda value: repr(value[:25]) if isinstance(value, bytes) else value,
)
def test_hostile_feeds_are_refused(document: bytes, reason: str) -> None:
    house = fed()
    assert house.hear("feed:weather", document) == reason


def test_a_feed_that_was_not_chosen_is_not_read() -> None:
    house = fed()
    assert house.hear("feed:another", cap(house)) == "unknown_feed"
    assert ValidationHarness().hear("feed:weather", cap(house)) == "unknown_feed"


ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:cap="urn:oasis:names:tc:emergency:cap:1.2">
<id>urn:feed</id><title>Police news</title>{entries}</feed>"""


def entry(house: ValidationHarness, name: str, title: str, more: str = "") -> str:
    return (
        f"<entry><id>{name}</id><updated>{iso(house.now)}</updated><title>{title}</title>"
        f'<summary type="html">&lt;b&gt;Road&lt;/b&gt; closed &lt;img src="http://evil"&gt;</summary>{more}</entry>'
    )


def test_atom_news_and_alerts_are_read_as_text_and_a_newer_entry_replaces_the_older() -> None:
    house = fed()
    more = f"<cap:severity>Extreme</cap:severity><cap:expires>{iso(house.now + 3600)}</cap:expires>"
    document = ATOM.format(entries=entry(house, "urn:1", "News") + entry(house, "urn:2", "Flood", more))
    assert house.hear("feed:weather", document.encode()) == "kept"
    kinds = {
        kept.headline: (kept.kind, kept.severity, kept.text) for kept in house.ledger_state.notices.values()
    }
    assert kinds == {"News": ("news", "unknown", "Road closed"), "Flood": ("alert", "extreme", "Road closed")}
    house.now += 60
    document = ATOM.format(entries=entry(house, "urn:1", "Newer"))
    house.hear("feed:weather", document.encode())
    assert shown(house) == [("News", "superseded"), ("Flood", "current"), ("Newer", "current")]


def test_a_feed_has_so_many_new_entries_a_day_and_the_rest_waits() -> None:
    house = fed()
    document = ATOM.format(entries="".join(entry(house, f"urn:{n}", f"{n}") for n in range(120))).encode()
    house.hear("feed:weather", document)
    assert len(shown(house)) == 50
    assert house.hear("feed:weather", document) == "again"
    house.now += DAY + 1
    house.hear("feed:weather", document)
    assert len(shown(house)) == 100


def test_what_a_feed_says_cannot_fool_the_eye() -> None:
    house = fed()
    house.hear("feed:weather", cap(house, headline="Safe \u202egpj.exe\u0085\u200b " + "x" * 500))
    headline = shown(house)[0][0]
    assert headline.isprintable()
    assert len(headline) <= 160
