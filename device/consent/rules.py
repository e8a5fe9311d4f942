"""Decides whether a sender may send a message. Time and state are parameters; it makes no decision of the owner."""

from device.consent.area import MAX_KM2, MIN_KM2, CornerArray, km2, within
from device.consent.area_shape import check_shape
from device.consent.ledger_state import LedgerState, Sender
from device.consent.models import (
    MAX_AREA_CORNERS,
    FootageRequest,
    Notice,
    SenderRecord,
    SigningKey,
)
from device.consent.reasons import Reason, Refused

DAY_S = 86_400
SKEW_S = 300
"""How far a sender's clock may be ahead of this one."""
MAX_REQUEST_S = 14 * DAY_S
MAX_NOTICE_S = 7 * DAY_S
MIN_WINDOW_S, MAX_WINDOW_S = 15 * 60, 12 * 3600
OLDEST_WINDOW_S = 30 * DAY_S
MAX_REQUESTS_PER_CASE = 2
MAX_OPEN_REQUESTS = 20
MAX_PER_DAY = 20
MAX_NOTICES_PER_DAY = 50
MAX_EARLY_CANCELLATIONS_PER_DAY = 50
"""Of requests, and as many of notices, that have not arrived. What has arrived can always be cancelled."""
MAX_APPROVAL_S = 72 * 3600


def check_key(key: SigningKey, iat: int) -> None:
    """Refuse a message that was signed while its key was not valid."""
    if not key.valid_from <= iat < key.valid_until:
        raise Refused(Reason.KEY_NOT_VALID)


def check_request(request: FootageRequest, sender: Sender, ledger_state: LedgerState, now: int) -> None:
    """Raise Refused unless a sender may send this request now."""
    if sender.record.kind != "police":
        raise Refused(Reason.NOT_ALLOWED, f"a {sender.record.kind} source cannot ask for footage")
    _check_life(request.iat, request.exp, MAX_REQUEST_S, now)
    window = request.window
    length = window.end - window.start
    if not MIN_WINDOW_S <= length <= MAX_WINDOW_S:
        raise Refused(Reason.BAD_WINDOW, f"it is {length / 60:g} minutes long")
    if window.end > request.iat:
        raise Refused(Reason.BAD_WINDOW, "it ends after it was signed")
    if window.start < request.iat - OLDEST_WINDOW_S:
        raise Refused(Reason.BAD_WINDOW, "it begins more than 30 days before it was signed")
    area = request.area.corners(MAX_AREA_CORNERS)
    _check_size(area)
    _check_jurisdiction(area, sender)
    if request.upload not in [item.name for item in sender.record.uploads]:
        raise Refused(Reason.UNKNOWN_UPLOAD, request.upload)
    if request.recipient not in [item.name for item in sender.record.recipients]:
        raise Refused(Reason.UNKNOWN_RECIPIENT, request.recipient)
    if ("request", request.agency, request.id) in ledger_state.cancelled:
        raise Refused(Reason.OUTDATED, "it was cancelled")
    heard = [
        case
        for case in ledger_state.cases.values()
        if case.request.agency == request.agency and case.admitted
    ]
    if sum(case.request.case == request.case for case in heard) >= MAX_REQUESTS_PER_CASE:
        raise Refused(Reason.CASE_EXHAUSTED)
    if sum(case.is_open(now) for case in heard) >= MAX_OPEN_REQUESTS:
        raise Refused(Reason.TOO_MANY_OPEN)
    if sum(case.heard_at > now - DAY_S for case in heard) >= MAX_PER_DAY:
        raise Refused(Reason.TOO_MANY_TODAY)
    check_shape(area)  # last, because it costs most


def check_area(request: FootageRequest) -> None:
    """Raise Refused unless a request's area has an allowed size and shape, whoever asks and when."""
    area = request.area.corners(MAX_AREA_CORNERS)
    _check_size(area)
    check_shape(area)


def check_notice(notice: Notice, sender: Sender, ledger_state: LedgerState, now: int) -> None:
    """Raise Refused unless a source may send this notice now."""
    if notice.kind == "alert" and sender.record.kind == "news":
        raise Refused(Reason.NOT_ALLOWED, "a news source cannot raise an alert")
    _check_life(notice.iat, notice.exp, MAX_NOTICE_S, now)
    _check_jurisdiction(notice.area.corners(MAX_AREA_CORNERS), sender)
    if ("notice", notice.source, notice.id) in ledger_state.cancelled:
        raise Refused(Reason.OUTDATED, "it was cancelled")
    if (notice.source, notice.id) in ledger_state.superseded:
        raise Refused(Reason.OUTDATED)
    if ledger_state.count_since("notice", notice.source, now - DAY_S) >= MAX_NOTICES_PER_DAY:
        raise Refused(Reason.TOO_MANY_TODAY)


def check_rotation(record: SenderRecord, before: SenderRecord) -> None:
    """Refuse a record that is not a successor of the pinned one; a pinned key has signed it."""
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


def _check_size(area: CornerArray) -> None:
    size = km2(area)
    if not MIN_KM2 <= size <= MAX_KM2:
        raise Refused(Reason.AREA_SIZE, f"{size:.3f} km²; allowed are {MIN_KM2} to {MAX_KM2}")


def _check_jurisdiction(area: CornerArray, sender: Sender) -> None:
    if not within(area, sender.jurisdiction):
        raise Refused(Reason.OUTSIDE_JURISDICTION)
