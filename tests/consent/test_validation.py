"""Messages over time: replays, limits, cancellations, rotations, notices, feeds. Time is a parameter."""

from typing import Any

import pytest

from device.consent import entries, keys, rules
from device.consent.area import circle
from device.consent.entries import LedgerEntryDraft, step
from device.consent.ledger_state import Case, LedgerState
from device.consent.models import time_text
from device.consent.owner_actions import feed_added, feed_removed, pinned, rotated, unpinned
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
            for record, key in (
                (envelopes.RECORD_PAYLOAD, envelopes.AGENCY),
                (envelopes.NEWS_PAYLOAD, envelopes.NEWS),
            ):
                content = envelopes.signed(
                    envelopes.header(envelopes.RECORD, envelopes.kid(key)), envelopes.text(record), key
                )
                self.write(
                    [pinned(content, envelopes.kid(key), ledger_state=self.ledger_state, now=self.now)]
                )

    def write(self, drafts: list[LedgerEntryDraft]) -> None:
        for draft in drafts:
            self.ledger_state.take(draft.kind, draft.data, draft.body, self.now)

    def hear(self, source: str, content: bytes) -> str:
        """Return "kept", "again", or the reason of the refusal."""
        try:
            drafts = heard(source, content, ledger_state=self.ledger_state, home=PLACE, now=self.now)
        except Refused as error:
            return str(error.reason)
        self.write(drafts)
        for draft in drafts:
            if draft.data.get("to") == "rejected":
                return f"rejected: {draft.data['why'].split(':')[0]}"
        return "kept" if drafts else "again"

    def case(self, number: int, sender: str = "paris-example") -> Case:
        return self.ledger_state.cases[sender, ulid(number)]

    def offer(self, number: int) -> None:
        case = self.case(number)
        self.write([matched(case.request, home=PLACE, has_footage=True)])


def ulid(number: int) -> str:
    return f"01KA{number:022d}"


def asked(doorbell: ValidationHarness, number: int, **changes: Any) -> bytes:
    times = {"iat": time_text(doorbell.now), "exp": time_text(doorbell.now + DAY), "case": f"case {number}"}
    window = make.span(doorbell.now - 7200, doorbell.now - 3600)
    return envelopes.request(id=ulid(number), window=window, **{**times, **changes})


def notice_of(doorbell: ValidationHarness, number: int, **changes: Any) -> bytes:
    times = {"iat": time_text(doorbell.now), "exp": time_text(doorbell.now + 3600)}
    return envelopes.notice(id=ulid(number), **{**times, **changes})


# --- requests -------------------------------------------------------------------------------------


def test_a_feed_that_repeats_itself_is_no_replay() -> None:
    doorbell = ValidationHarness()
    content = asked(doorbell, 1)
    assert [doorbell.hear("request", content) for _ in range(3)] == ["kept", "again", "again"]
    doorbell.offer(1)
    doorbell.write([step(doorbell.case(1).key, State.OFFERED, Step.DECLINE)])
    assert doorbell.hear("request", content) == "again"
    assert doorbell.case(1).state is State.DECLINED


def test_one_id_is_one_request() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("request", asked(doorbell, 1))
    assert doorbell.hear("request", asked(doorbell, 1, purpose="Something else.")) == "id_reused"


def test_a_case_has_two_requests_at_most() -> None:
    doorbell = ValidationHarness()
    answers = [doorbell.hear("request", asked(doorbell, number, case="one")) for number in range(3)]
    assert answers == ["kept", "kept", "rejected: case_exhausted"]
    assert doorbell.hear("request", asked(doorbell, 7, case="another")) == "kept"


def test_an_agency_has_so_many_requests_open_and_so_many_a_day() -> None:
    doorbell = ValidationHarness()
    for number in range(rules.MAX_PER_DAY):
        assert (
            doorbell.hear("request", asked(doorbell, number, exp=time_text(doorbell.now + 14 * DAY)))
            == "kept"
        )
    assert doorbell.hear("request", asked(doorbell, 50)) == "rejected: too_many_open"
    doorbell.now += 2 * DAY
    assert doorbell.hear("request", asked(doorbell, 51)) == "rejected: too_many_open"
    doorbell.now += 13 * DAY
    for number in range(rules.MAX_PER_DAY):
        assert (
            doorbell.hear("request", asked(doorbell, 60 + number, exp=time_text(doorbell.now + 60))) == "kept"
        )
    doorbell.now += 120  # all of them have expired
    assert doorbell.hear("request", asked(doorbell, 99)) == "rejected: too_many_today"


def test_the_owner_s_decision_changes_no_limit_for_the_agency() -> None:
    """Else an agency could learn from the limit what was declined (invariant 3)."""
    for decide in (None, Step.DECLINE):
        doorbell = ValidationHarness()
        for number in range(rules.MAX_OPEN_REQUESTS):
            doorbell.hear("request", asked(doorbell, number))
            doorbell.offer(number)
            if decide:
                doorbell.write([step(doorbell.case(number).key, State.OFFERED, decide)])
        assert doorbell.hear("request", asked(doorbell, 70)) == "rejected: too_many_open"


def test_rejections_in_the_ledger_are_bounded() -> None:
    doorbell = ValidationHarness()
    answers = [doorbell.hear("request", asked(doorbell, number, upload="elsewhere")) for number in range(60)]
    assert answers.count("rejected: unknown_upload") == 50
    assert answers.count("unknown_upload") == 10


def test_a_cancelled_request_stays_cancelled_whatever_order_it_is_heard_in() -> None:
    for first in ("request", "cancellation"):
        doorbell = ValidationHarness()
        request = asked(doorbell, 1)
        cancel = {
            "v": 1,
            "op": "cancel",
            "id": ulid(1),
            "agency": "paris-example",
            "iat": time_text(doorbell.now),
        }
        content = envelopes.raw(envelopes.text(cancel))
        if first == "request":
            assert doorbell.hear("request", request) == "kept"
            doorbell.offer(1)
            assert doorbell.hear("request", content) == "kept"
            assert doorbell.case(1).state is State.CANCELLED
            assert doorbell.hear("request", request) == "again"
        else:
            assert doorbell.hear("request", content) == "kept"
            assert doorbell.hear("request", request) == "rejected: outdated"
        assert doorbell.hear("request", content) == "again"


def cancellation(
    doorbell: ValidationHarness,
    number: int,
    key: Any = envelopes.AGENCY,
    sender: str = "paris-example",
    typ: str = envelopes.REQUEST,
) -> bytes:
    role = "agency" if typ == envelopes.REQUEST else "source"
    payload = {"v": 1, "op": "cancel", "id": ulid(number), role: sender, "iat": time_text(doorbell.now)}
    return envelopes.signed(envelopes.header(typ, envelopes.kid(key)), envelopes.text(payload), key)


NEWS: dict[str, Any] = {"key": envelopes.NEWS, "sender": "courier-example"}


def test_nobody_cancels_for_another() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("request", asked(doorbell, 1))
    doorbell.offer(1)
    forged = cancellation(doorbell, 1, envelopes.NEWS)  # names the department, has the news source's key
    assert doorbell.hear("request", forged) == "wrong_sender"
    assert doorbell.hear("request", cancellation(doorbell, 1, **NEWS)) == "kept"  # of an id of its own
    assert doorbell.case(1).state is State.OFFERED


def test_a_news_source_does_not_block_a_request_with_its_id() -> None:
    """Whoever sees an id may use it first; the id is whole only with its sender."""
    doorbell = ValidationHarness()
    blocking = envelopes.signed(
        envelopes.header(envelopes.REQUEST, envelopes.kid(envelopes.NEWS)),
        envelopes.text(
            envelopes.changed(envelopes.REQUEST_PAYLOAD, {"id": ulid(1), "agency": "courier-example"})
        ),
        envelopes.NEWS,
    )
    assert doorbell.hear("request", blocking) == "rejected: not_allowed"
    assert doorbell.hear("request", cancellation(doorbell, 1, **NEWS)) == "kept"
    assert doorbell.hear("request", asked(doorbell, 1)) == "kept"
    doorbell.offer(1)
    assert doorbell.case(1).state is State.OFFERED
    assert doorbell.case(1, "courier-example").state is State.REJECTED


def test_what_has_arrived_can_be_cancelled_however_many_cancellations_came_before() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("request", asked(doorbell, 1))
    doorbell.offer(1)
    doorbell.hear("notice", notice_of(doorbell, 2))
    for typ, channel in ((envelopes.REQUEST, "request"), (envelopes.NOTICE, "notice")):
        early = [
            doorbell.hear(channel, cancellation(doorbell, 100 + number, typ=typ))
            for number in range(rules.MAX_EARLY_CANCELLATIONS_PER_DAY + 1)
        ]
        assert early.count("kept") == rules.MAX_EARLY_CANCELLATIONS_PER_DAY
        assert early[-1] == "too_many_today"
    assert doorbell.hear("request", cancellation(doorbell, 1)) == "kept"
    assert doorbell.case(1).state is State.CANCELLED
    assert doorbell.hear("notice", cancellation(doorbell, 2, typ=envelopes.NOTICE)) == "kept"
    assert state_of(doorbell, 2) == "cancelled"


def test_the_early_cancellations_of_one_sender_and_kind_use_up_no_other_budget() -> None:
    doorbell = ValidationHarness()
    for number in range(rules.MAX_EARLY_CANCELLATIONS_PER_DAY):
        doorbell.hear("request", cancellation(doorbell, 100 + number, **NEWS))
    assert doorbell.hear("request", cancellation(doorbell, 99, **NEWS)) == "too_many_today"
    assert doorbell.hear("notice", cancellation(doorbell, 99, **NEWS, typ=envelopes.NOTICE)) == "kept"
    assert doorbell.hear("request", cancellation(doorbell, 99)) == "kept"


def test_a_request_that_is_cancelled_before_it_was_matched_is_never_offered() -> None:
    """Both may be in one bundle."""
    doorbell = ValidationHarness()
    doorbell.hear("request", asked(doorbell, 1))
    assert doorbell.hear("request", cancellation(doorbell, 1)) == "kept"
    assert doorbell.case(1).state is State.UNMATCHED
    assert doorbell.ledger_state.open_cases() == []


def test_a_cancelled_notice_cancels_no_request_of_its_id() -> None:
    doorbell = ValidationHarness()
    assert doorbell.hear("notice", cancellation(doorbell, 1, typ=envelopes.NOTICE)) == "kept"
    assert doorbell.hear("request", asked(doorbell, 1)) == "kept"


def test_a_feed_leaves_nothing_to_a_sender_or_feed_that_gets_its_name_later() -> None:
    """A feed proves nothing, and its ids may be any text: also those of a department's requests."""
    doorbell = ValidationHarness(pin=False)
    doorbell.write([feed_added("paris-example", "https://one.example/feed", doorbell.ledger_state)])
    doorbell.write([entries.cancellation("feed", "paris-example", ulid(1), b"<alert/>")])
    doorbell.write([feed_removed("paris-example", doorbell.ledger_state)])
    content = a_record()
    doorbell.write(
        [
            pinned(
                content, envelopes.kid(envelopes.AGENCY), ledger_state=doorbell.ledger_state, now=doorbell.now
            )
        ]
    )
    assert doorbell.hear("request", asked(doorbell, 1)) == "kept"
    assert doorbell.hear("notice", notice_of(doorbell, 1)) == "kept"


def test_a_doorbell_outside_the_area_or_without_a_clip_has_nothing_to_decide() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("request", asked(doorbell, 1))
    request = doorbell.case(1).request
    far = HomePosition(longitude=2.38, latitude=48.89)
    assert matched(request, home=far, has_footage=True).data["to"] == "unmatched"
    assert matched(request, home=None, has_footage=True).data["to"] == "unmatched"
    assert matched(request, home=PLACE, has_footage=False).data["to"] == "unmatched"
    assert matched(request, home=PLACE, has_footage=True).data["to"] == "offered"


# --- pins -----------------------------------------------------------------------------------------


def a_record(key: Any = envelopes.AGENCY, **changes: Any) -> bytes:
    payload = envelopes.text(envelopes.changed(envelopes.RECORD_PAYLOAD, changes))
    return envelopes.signed(envelopes.header(envelopes.RECORD, envelopes.kid(key)), payload, key)


def test_a_rotation_needs_a_pinned_key_a_higher_serial_and_the_same_sender() -> None:
    doorbell = ValidationHarness()
    fresh = [envelopes.key_entry(envelopes.STRANGER)]
    newer = a_record(serial=4, keys=fresh)  # signed by the old key, which it ends
    for content, reason in (
        (a_record(envelopes.STRANGER, serial=4, keys=fresh), "unknown_key"),
        (a_record(serial=3, keys=fresh), "outdated"),
        (a_record(serial=4, sender="lyon-example"), "wrong_sender"),
        (a_record(serial=4, kind="news"), "not_allowed"),
    ):
        with pytest.raises(Refused) as told_why:
            rotated(content, ledger_state=doorbell.ledger_state)
        assert str(told_why.value.reason) == reason
    doorbell.write([rotated(newer, ledger_state=doorbell.ledger_state)])
    assert doorbell.hear("request", asked(doorbell, 1)) == "unknown_key"
    by_new_key = envelopes.changed(envelopes.REQUEST_PAYLOAD, {"id": ulid(2)})
    content = envelopes.signed(
        envelopes.header(envelopes.REQUEST, envelopes.kid(envelopes.STRANGER)),
        envelopes.text(by_new_key),
        envelopes.STRANGER,
    )
    assert doorbell.hear("request", content) == "kept"


def test_a_pinned_name_is_not_pinned_again_nor_by_a_feed() -> None:
    doorbell = ValidationHarness()
    content = a_record(envelopes.STRANGER, keys=[envelopes.key_entry(envelopes.STRANGER)])
    with pytest.raises(Refused, match="pinned already"):
        pinned(
            content, envelopes.kid(envelopes.STRANGER), ledger_state=doorbell.ledger_state, now=doorbell.now
        )
    with pytest.raises(Refused):
        feed_added("paris-example", "https://example.org/feed", doorbell.ledger_state)


def test_nobody_takes_another_s_key_for_his_own() -> None:
    doorbell = ValidationHarness()
    thief = a_record(
        envelopes.STRANGER,
        sender="lyon-example",
        keys=[envelopes.key_entry(envelopes.STRANGER), envelopes.key_entry(envelopes.AGENCY)],
    )
    with pytest.raises(Refused, match="paris-example"):
        pinned(thief, envelopes.kid(envelopes.STRANGER), ledger_state=doorbell.ledger_state, now=doorbell.now)
    assert doorbell.hear("request", asked(doorbell, 1)) == "kept"


def test_unpinning_ends_offers_and_forgets_the_keys() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("request", asked(doorbell, 1))
    doorbell.offer(1)
    doorbell.write(unpinned("paris-example", doorbell.ledger_state))
    assert doorbell.case(1).state is State.CANCELLED
    assert doorbell.hear("request", asked(doorbell, 2)) == "unknown_key"
    with pytest.raises(Refused):
        unpinned("paris-example", doorbell.ledger_state)


def test_a_fingerprint_is_of_the_key_that_signed_and_is_said_in_groups() -> None:
    envelope, record = record_in(a_record())
    assert envelope.kid == record.keys[0].kid
    assert keys.typed(keys.spoken(envelope.kid)) == envelope.kid
    assert [len(group) for group in keys.spoken(envelope.kid).split("-")] == [4, 4, 4, 4, 4, 4, 2]


# --- notices --------------------------------------------------------------------------------------


def state_of(doorbell: ValidationHarness, number: int, source: str = "paris-example") -> str:
    return doorbell.ledger_state.notices[source, ulid(number)].state


def test_a_notice_is_kept_once_superseded_and_cancelled() -> None:
    doorbell = ValidationHarness()
    first = notice_of(doorbell, 1)
    assert [doorbell.hear("notice", first) for _ in range(2)] == ["kept", "again"]
    assert doorbell.hear("notice", notice_of(doorbell, 2, supersedes=[ulid(1)])) == "kept"
    assert (state_of(doorbell, 1), state_of(doorbell, 2)) == ("superseded", "current")
    cancel = {
        "v": 1,
        "op": "cancel",
        "id": ulid(2),
        "source": "paris-example",
        "iat": time_text(doorbell.now),
    }
    content = envelopes.signed(
        envelopes.header(envelopes.NOTICE, envelopes.kid(envelopes.AGENCY)), envelopes.text(cancel)
    )
    assert doorbell.hear("notice", content) == "kept"
    assert state_of(doorbell, 2) == "cancelled"
    assert doorbell.hear("notice", content) == "again"


def test_a_notice_that_was_replaced_or_cancelled_earlier_is_not_shown() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("notice", notice_of(doorbell, 2, supersedes=[ulid(1)]))
    assert doorbell.hear("notice", notice_of(doorbell, 1)) == "outdated"
    cancel = {
        "v": 1,
        "op": "cancel",
        "id": ulid(3),
        "source": "paris-example",
        "iat": time_text(doorbell.now),
    }
    doorbell.hear(
        "notice",
        envelopes.signed(
            envelopes.header(envelopes.NOTICE, envelopes.kid(envelopes.AGENCY)), envelopes.text(cancel)
        ),
    )
    assert doorbell.hear("notice", notice_of(doorbell, 3)) == "outdated"


def test_nobody_replaces_another_s_notice() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("notice", notice_of(doorbell, 1))
    payload = {"id": ulid(2), "source": "courier-example", "kind": "news", "iat": time_text(doorbell.now)}
    content = envelopes.notice(envelopes.NEWS, supersedes=[ulid(1)], **payload)
    assert doorbell.hear("notice", content) == "kept"
    assert state_of(doorbell, 1) == "current"


def test_a_source_has_so_many_notices_a_day() -> None:
    doorbell = ValidationHarness()
    for number in range(rules.MAX_NOTICES_PER_DAY):
        assert doorbell.hear("notice", notice_of(doorbell, number)) == "kept"
    assert doorbell.hear("notice", notice_of(doorbell, 60)) == "too_many_today"
    doorbell.now += DAY + 1
    assert doorbell.hear("notice", notice_of(doorbell, 61)) == "kept"


def test_a_notice_for_elsewhere_is_kept_and_is_not_about_here() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("notice", notice_of(doorbell, 1, area=circle(2.33, 48.87, 600, 16)))
    doorbell.hear("notice", notice_of(doorbell, 2))
    assert [notice.here for notice in doorbell.ledger_state.notices.values()] == [False, True]


def test_notices_are_forgotten_a_month_after_their_end() -> None:
    doorbell = ValidationHarness()
    doorbell.hear("notice", notice_of(doorbell, 1))
    digest = doorbell.ledger_state.notices["paris-example", ulid(1)].body
    assert doorbell.ledger_state.forget(doorbell.now + DAY) == []
    assert doorbell.ledger_state.forget(doorbell.now + 32 * DAY) == [digest]
    assert doorbell.ledger_state.notices == {}


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


def cap(doorbell: ValidationHarness, identifier: str = "1", **changes: str) -> bytes:
    values = {
        "identifier": identifier,
        "sent": iso(doorbell.now),
        "status": "Actual",
        "kind": "Alert",
        "references": "",
        "severity": "Severe",
        "expires": iso(doorbell.now + 6 * 3600),
        "headline": "Storm tonight",
        "area": HERE,
    }
    return CAP.format(**{**values, **changes}).encode()


def iso(seconds: int) -> str:
    return time_text(seconds).replace("Z", "+00:00")


def fed(url: str = "https://weather.example/cap") -> ValidationHarness:
    doorbell = ValidationHarness(pin=False)
    doorbell.write([feed_added("weather", url, doorbell.ledger_state)])
    return doorbell


def shown(doorbell: ValidationHarness) -> list[tuple[str, str]]:
    return [(notice.headline, notice.state) for notice in doorbell.ledger_state.notices.values()]


def test_a_cap_warning_is_kept_once_and_update_and_cancel_replace_it() -> None:
    doorbell = fed()
    first = cap(doorbell)
    assert [doorbell.hear("feed:weather", first) for _ in range(3)] == ["kept", "again", "again"]
    notice = next(iter(doorbell.ledger_state.notices.values()))
    assert (notice.severity, notice.here, notice.signed, notice.area_text) == ("severe", True, False, "Paris")
    assert notice.text == "Trees may fall.\nStay in."
    reference = f"<references>weather@example.org,1,{iso(doorbell.now)}</references>"
    doorbell.now += 600
    update = cap(doorbell, "2", kind="Update", references=reference, headline="Storm at midnight")
    assert doorbell.hear("feed:weather", update) == "kept"
    assert shown(doorbell) == [("Storm tonight", "superseded"), ("Storm at midnight", "current")]
    reference = f"<references>weather@example.org,2,{iso(doorbell.now)}</references>"
    doorbell.now += 600
    assert doorbell.hear("feed:weather", cap(doorbell, "3", kind="Cancel", references=reference)) == "kept"
    assert shown(doorbell)[1] == ("Storm at midnight", "cancelled")
    assert doorbell.hear("feed:weather", first) == "again"


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
def test_tests_exercises_and_expired_or_invalid_warnings_do_nothing(changes: dict[str, str]) -> None:
    doorbell = fed()
    assert doorbell.hear("feed:weather", cap(doorbell, **changes)) == "again"
    assert shown(doorbell) == []


def test_a_warning_for_elsewhere_is_not_about_here() -> None:
    doorbell = fed()
    doorbell.hear("feed:weather", cap(doorbell, area=THERE))
    assert [notice.here for notice in doorbell.ledger_state.notices.values()] == [False]


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
    doorbell = fed()
    assert doorbell.hear("feed:weather", document) == reason


def test_a_feed_that_was_not_chosen_is_not_read() -> None:
    doorbell = fed()
    assert doorbell.hear("feed:another", cap(doorbell)) == "unknown_feed"
    assert ValidationHarness().hear("feed:weather", cap(doorbell)) == "unknown_feed"


ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:cap="urn:oasis:names:tc:emergency:cap:1.2">
<id>urn:feed</id><title>Police news</title>{entries}</feed>"""


def entry(doorbell: ValidationHarness, name: str, title: str, more: str = "") -> str:
    return (
        f"<entry><id>{name}</id><updated>{iso(doorbell.now)}</updated><title>{title}</title>"
        f'<summary type="html">&lt;b&gt;Road&lt;/b&gt; closed &lt;img src="http://evil"&gt;</summary>{more}</entry>'
    )


def test_atom_news_and_alerts_are_read_as_text_and_a_newer_entry_replaces_the_older() -> None:
    doorbell = fed()
    more = f"<cap:severity>Extreme</cap:severity><cap:expires>{iso(doorbell.now + 3600)}</cap:expires>"
    document = ATOM.format(entries=entry(doorbell, "urn:1", "News") + entry(doorbell, "urn:2", "Flood", more))
    assert doorbell.hear("feed:weather", document.encode()) == "kept"
    kinds = {
        notice.headline: (notice.kind, notice.severity, notice.text)
        for notice in doorbell.ledger_state.notices.values()
    }
    assert kinds == {"News": ("news", "unknown", "Road closed"), "Flood": ("alert", "extreme", "Road closed")}
    doorbell.now += 60
    document = ATOM.format(entries=entry(doorbell, "urn:1", "Newer"))
    doorbell.hear("feed:weather", document.encode())
    assert shown(doorbell) == [("News", "superseded"), ("Flood", "current"), ("Newer", "current")]


def test_a_feed_has_so_many_new_entries_a_day_and_the_rest_waits() -> None:
    doorbell = fed()
    document = ATOM.format(entries="".join(entry(doorbell, f"urn:{n}", f"{n}") for n in range(120))).encode()
    doorbell.hear("feed:weather", document)
    assert len(shown(doorbell)) == 50
    assert doorbell.hear("feed:weather", document) == "again"
    doorbell.now += DAY + 1
    doorbell.hear("feed:weather", document)
    assert len(shown(doorbell)) == 100


def test_control_characters_in_a_feed_are_removed() -> None:
    doorbell = fed()
    doorbell.hear("feed:weather", cap(doorbell, headline="Safe \u202egpj.exe\u0085\u200b " + "x" * 500))
    headline = shown(doorbell)[0][0]
    assert headline.isprintable()
    assert len(headline) <= 160
