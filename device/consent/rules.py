"""Whether a sender may say what it says. Told the time and what is known; an owner's decision is never made
here.
"""

from device.consent.area import LARGEST_KM2, SMALLEST_KM2, Corners, km2, within
from device.consent.book import Book, Sender
from device.consent.models import (
    MOST_AREA_CORNERS,
    FootageRequest,
    Notice,
    SenderRecord,
    SigningKey,
)
from device.consent.reasons import Reason, Refused

DAY_S = 86_400
SKEW_S = 300
"""How far a sender's clock may run before ours."""
LONGEST_REQUEST_S = 14 * DAY_S
LONGEST_NOTICE_S = 7 * DAY_S
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 15 * 60, 12 * 3600
OLDEST_WINDOW_S = 30 * DAY_S
MOST_REQUESTS_A_CASE = 2
MOST_OPEN_REQUESTS = 20
MOST_A_DAY = 20
MOST_NOTICES_A_DAY = 50
LONGEST_APPROVAL_S = 72 * 3600


def check_key(key: SigningKey, iat: int) -> None:
    """Refuse what was signed outside its key's time."""
    if not key.valid_from <= iat < key.valid_until:
        raise Refused(Reason.KEY_NOT_VALID)


def check_request(request: FootageRequest, sender: Sender, book: Book, now: int) -> None:
    """Raise Refused unless a sender may ask this, now."""
    if sender.record.kind != "police":
        raise Refused(Reason.NOT_ALLOWED, f"a {sender.record.kind} source cannot ask for footage")
    _check_life(request.iat, request.exp, LONGEST_REQUEST_S, now)
    window = request.window
    length = window.end - window.start
    if not SHORTEST_WINDOW_S <= length <= LONGEST_WINDOW_S:
        raise Refused(Reason.BAD_WINDOW, f"it is {length / 60:g} minutes long")
    if window.end > request.iat:
        raise Refused(Reason.BAD_WINDOW, "it ends after it was signed")
    if window.start < request.iat - OLDEST_WINDOW_S:
        raise Refused(Reason.BAD_WINDOW, "it begins more than 30 days before it was signed")
    area = request.area.corners(MOST_AREA_CORNERS)
    size = km2(area)
    if not SMALLEST_KM2 <= size <= LARGEST_KM2:
        raise Refused(Reason.AREA_SIZE, f"{size:.3f} km²; allowed are {SMALLEST_KM2} to {LARGEST_KM2}")
    _check_jurisdiction(area, sender)
    if request.upload not in [each.name for each in sender.record.uploads]:
        raise Refused(Reason.UNKNOWN_UPLOAD, request.upload)
    if request.recipient not in [each.name for each in sender.record.recipients]:
        raise Refused(Reason.UNKNOWN_RECIPIENT, request.recipient)
    if (request.agency, request.id) in book.cancelled:
        raise Refused(Reason.OUTDATED, "it was cancelled")
    heard = [case for case in book.cases.values() if case.request.agency == request.agency and case.admitted]
    if sum(case.request.case == request.case for case in heard) >= MOST_REQUESTS_A_CASE:
        raise Refused(Reason.CASE_EXHAUSTED)
    if sum(case.is_open(now) for case in heard) >= MOST_OPEN_REQUESTS:
        raise Refused(Reason.TOO_MANY_OPEN)
    if sum(case.heard_at > now - DAY_S for case in heard) >= MOST_A_DAY:
        raise Refused(Reason.TOO_MANY_TODAY)


def check_notice(notice: Notice, sender: Sender, book: Book, now: int) -> None:
    """Raise Refused unless a source may say this, now."""
    if notice.kind == "alert" and sender.record.kind == "news":
        raise Refused(Reason.NOT_ALLOWED, "a news source cannot raise an alert")
    _check_life(notice.iat, notice.exp, LONGEST_NOTICE_S, now)
    _check_jurisdiction(notice.area.corners(MOST_AREA_CORNERS), sender)
    if (notice.source, notice.id) in book.cancelled:
        raise Refused(Reason.OUTDATED, "it was cancelled")
    if (notice.source, notice.id) in book.superseded:
        raise Refused(Reason.OUTDATED)
    if book.count_since("notice", notice.source, now - DAY_S) >= MOST_NOTICES_A_DAY:
        raise Refused(Reason.TOO_MANY_TODAY)


def check_rotation(record: SenderRecord, before: SenderRecord) -> None:
    """Refuse a record that does not follow the pinned one; a pinned key has signed it."""
    if record.sender != before.sender:
        raise Refused(Reason.WRONG_SENDER, f"{record.sender}, pinned is {before.sender}")
    if record.kind != before.kind:
        raise Refused(Reason.NOT_ALLOWED, f"a {before.kind} sender cannot become a {record.kind} one")
    if record.serial <= before.serial:
        raise Refused(Reason.OUTDATED, f"serial {record.serial}, pinned is {before.serial}")


def _check_life(iat: int, exp: int, longest_s: int, now: int) -> None:
    if iat > now + SKEW_S:
        raise Refused(Reason.FROM_THE_FUTURE)
    if exp <= now:
        raise Refused(Reason.EXPIRED)
    if not iat < exp <= iat + longest_s:
        raise Refused(Reason.LIFE_TOO_LONG)


def _check_jurisdiction(area: Corners, sender: Sender) -> None:
    if not within(area, sender.jurisdiction):
        raise Refused(Reason.OUTSIDE_JURISDICTION)
