"""The API of consent: requests, notices, senders, backups, ledger. On the page an approval needs the password in the
same request.

The consent service answers; nothing here decides, and there is no route by which anybody but the owner could.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from device.consent.map import Ring, map_svg
from device.consent.models import MAX_JURISDICTION_CORNERS
from device.consent.offer import Choice
from device.errors import CommandError
from device.system.clock import parse_rfc3339
from device.web.backend import Backend
from device.web.models import EmptyResponse
from device.web.models_consent import (
    Approval,
    DestinationBody,
    DestinationResponse,
    FeedBody,
    LedgerResponse,
    NoticeBody,
    NoticesResponse,
    PinBody,
    PinnedSender,
    RequestResponse,
    RequestSummary,
    Selection,
    SenderFile,
    SenderPreview,
    SendersResponse,
    Withdrawal,
)
from device.web.responses import JSON_LINES, SVG, file_of
from device.web.routes_device import PasswordCheck, RecentAuthCheck

Id = Annotated[str, Path(max_length=400)]
NOT_EMERGENCY = "This is not a replacement for calling the emergency number."


def router(
    backend: Backend, *, require_recent_auth: RecentAuthCheck, require_password: PasswordCheck
) -> APIRouter:
    """Return the routes, with the two checks of the caller."""
    api = APIRouter(prefix="/api")
    _add_requests(api, backend, require_password)
    _add_notices(api, backend)
    _add_senders(api, backend, require_recent_auth)
    _add_destinations(api, backend, require_recent_auth)
    _add_ledger(api, backend)
    return api


def _add_requests(api: APIRouter, backend: Backend, require_password: PasswordCheck) -> None:
    @api.get("/requests", tags=["consent"])
    def requests() -> list[RequestSummary]:
        """Footage requests, newest first. Not a replacement for calling the emergency number."""
        return [RequestSummary.model_validate(request) for request in backend.consent.requests()]

    @api.get("/requests/{request_id}", tags=["consent"])
    def request(request_id: Id) -> RequestResponse:
        """One request: who, why, where, when; and, while it is open, exactly what would leave."""
        return RequestResponse.model_validate(backend.consent.request(request_id, Choice()))

    @api.post("/requests/{request_id}/offer", tags=["consent"])
    def offer(request_id: Id, body: Selection) -> RequestResponse:
        """The same request with fewer or shorter clips: another offer, with another hash."""
        return RequestResponse.model_validate(backend.consent.request(request_id, choice_of(body)))

    @api.post("/requests/{request_id}/approve", tags=["consent"])
    def approve(request_id: Id, body: Approval, request: Request) -> RequestSummary:
        """Approve exactly what was shown."""
        require_password(request, body.password)
        approved = backend.consent.approve(request_id, body.offer_hash, choice_of(body), body.files)
        return RequestSummary.model_validate(approved)

    @api.post("/requests/{request_id}/decline", tags=["consent"])
    def decline(request_id: Id) -> RequestSummary:
        """Decline. Nobody outside learns of it, nor that the request reached this doorbell."""
        return RequestSummary.model_validate(backend.consent.decline(request_id))

    @api.post("/requests/{request_id}/withdraw", tags=["consent"])
    def withdraw(request_id: Id) -> Withdrawal:
        """Withdraw an approval, also while the ledger is broken."""
        return Withdrawal.model_validate(backend.consent.withdraw(request_id))

    @api.post("/withdrawals", tags=["consent"])
    def withdraw_all() -> Withdrawal:
        """Withdraw every approval, also while the ledger is broken."""
        return Withdrawal.model_validate(backend.consent.withdraw_all())

    @api.get(
        "/requests/{request_id}/map.svg", tags=["consent"], response_class=Response, responses=file_of(SVG)
    )
    def request_map(request_id: Id) -> Response:
        """A map of the request's area and the home."""
        found = RequestResponse.model_validate(backend.consent.request(request_id, Choice(spans={})))
        return _map("area", found.area.coordinates[0], backend)


def _add_notices(api: APIRouter, backend: Backend) -> None:
    @api.get("/notices", tags=["consent"])
    def notices() -> NoticesResponse:
        """Notices of the pinned sources and the feeds, newest first."""
        return NoticesResponse(reminder=NOT_EMERGENCY, notices=_notices(backend))

    @api.get("/notices/map.svg", tags=["consent"], response_class=Response, responses=file_of(SVG))
    def notice_map(
        source: Annotated[str, Query(max_length=64)], name: Annotated[str, Query(alias="id", max_length=400)]
    ) -> Response:
        """A map of the notice's area and the home."""
        for notice in _notices(backend):
            if (notice.source, notice.id) == (source, name) and notice.area:
                return _map("area", notice.area, backend)
        raise HTTPException(404, "there is no such notice, or it names no area")


def _add_senders(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    recent_auth = [Depends(require_recent_auth)]

    @api.get("/senders", tags=["consent"])
    def senders() -> SendersResponse:
        """Pinned agencies and sources, and feeds."""
        return SendersResponse(senders=_senders(backend), feeds=backend.consent.feeds())

    @api.post("/senders/look", tags=["consent"])
    def look(body: SenderFile) -> SenderPreview:
        """The contents of a sender's file: who, which keys, which jurisdiction, where parcels would go."""
        return SenderPreview.model_validate(backend.consent.look_at(body.record.encode()))

    @api.post("/senders/look/map.svg", tags=["consent"], response_class=Response, responses=file_of(SVG))
    def look_map(body: SenderFile) -> Response:
        """A map of the jurisdiction in a sender's file and the home."""
        preview = SenderPreview.model_validate(backend.consent.look_at(body.record.encode()))
        return _map("jurisdiction", preview.jurisdiction.coordinates[0], backend)

    @api.post("/senders", tags=["consent"], dependencies=recent_auth)
    def pin(body: PinBody) -> EmptyResponse:
        """Pin a sender, with the fingerprint as it was typed from a channel other than the file."""
        backend.consent.pin(body.record.encode(), body.fingerprint)
        return EmptyResponse()

    @api.put("/senders", tags=["consent"], dependencies=recent_auth)
    def rotate(body: SenderFile) -> EmptyResponse:
        """Replace a pinned sender's record by a newer one, signed with a pinned key."""
        backend.consent.rotate(body.record.encode())
        return EmptyResponse()

    @api.delete("/senders/{sender}", tags=["consent"])
    def unpin(sender: Id) -> EmptyResponse:
        """Unpin a sender; its open requests end."""
        backend.consent.unpin(sender)
        return EmptyResponse()

    @api.get("/senders/{sender}/map.svg", tags=["consent"], response_class=Response, responses=file_of(SVG))
    def sender_map(sender: Id) -> Response:
        """A map of the sender's jurisdiction and the home."""
        for pinned in _senders(backend):
            if pinned.sender == sender:
                return _map("jurisdiction", pinned.jurisdiction.coordinates[0], backend)
        raise HTTPException(404, f"{sender} is not pinned")

    @api.post("/feeds", tags=["consent"], dependencies=recent_auth)
    def add_feed(body: FeedBody) -> EmptyResponse:
        """Subscribe to a feed: its address is fetched once a minute or two."""
        backend.consent.add_feed(body.name, body.url)
        return EmptyResponse()

    @api.delete("/feeds/{name}", tags=["consent"])
    def remove_feed(name: Id) -> EmptyResponse:
        """Unsubscribe from a feed."""
        backend.consent.remove_feed(name)
        return EmptyResponse()


def _add_destinations(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    @api.get("/destinations", tags=["consent"])
    def destinations() -> list[DestinationResponse]:
        """The owner's own destinations of encrypted backups, without their secrets."""
        return [DestinationResponse.model_validate(found) for found in backend.consent.destinations()]

    @api.post("/destinations", tags=["consent"], dependencies=[Depends(require_recent_auth)])
    def add(body: DestinationBody) -> DestinationResponse:
        """Back up every clip from now on to the owner's own destination, encrypted to the owner's own key."""
        destination = backend.consent.add_destination(body.model_dump(exclude={"secret"}), body.secret)
        return DestinationResponse.model_validate(destination)

    @api.delete("/destinations/{name}", tags=["consent"])
    def remove(name: Id) -> EmptyResponse:
        """Stop backups to a destination."""
        backend.consent.remove_destination(name)
        return EmptyResponse()


def _add_ledger(api: APIRouter, backend: Backend) -> None:
    @api.get("/ledger", tags=["consent"])
    def ledger(newest: Annotated[int, Query(ge=1, le=10_000)] = 200) -> LedgerResponse:
        """The newest entries of the ledger, oldest first; its head's hash; refused messages by reason."""
        return LedgerResponse.model_validate(backend.consent.ledger(newest))

    @api.get(
        "/ledger/export", tags=["consent"], response_class=StreamingResponse, responses=file_of(JSON_LINES)
    )
    def export() -> StreamingResponse:
        """The whole ledger, one JSON object a line: entries with their bodies, and refused messages."""
        lines = (f"{line}\n" for line in backend.consent.export())
        headers = {"content-disposition": 'attachment; filename="doorbell-ledger.jsonl"'}
        return StreamingResponse(lines, media_type=JSON_LINES, headers=headers)


def choice_of(body: Selection) -> Choice:
    """Return the owner's choice. Raises CommandError."""
    if body.clips is None:
        return Choice(audio=body.audio)
    if any(piece and bool(piece.start) != bool(piece.end) for piece in body.clips.values()):
        raise CommandError("a piece has both a start and an end, or neither", code="bad_span")
    try:
        spans = {
            name: (parse_rfc3339(piece.start), parse_rfc3339(piece.end))
            if piece is not None and piece.start and piece.end
            else None
            for name, piece in body.clips.items()
        }
    except ValueError as error:
        raise CommandError(
            f"a span's times are RFC 3339, such as 2026-11-24T22:00:00Z: {error}", code="bad_span"
        ) from error
    blurs = {
        name: [[(x, y) for x, y in shape] for shape in piece.blur]
        for name, piece in body.clips.items()
        if piece
    }
    return Choice(spans=spans, audio=body.audio, blurs=blurs)


def _notices(backend: Backend) -> list[NoticeBody]:
    return [NoticeBody.model_validate(notice) for notice in backend.consent.notices()]


def _senders(backend: Backend) -> list[PinnedSender]:
    return [PinnedSender.model_validate(sender) for sender in backend.consent.senders()]


def _map(kind: str, ring: Ring, backend: Backend) -> Response:
    drawing = map_svg([(kind, ring[: MAX_JURISDICTION_CORNERS + 1])], backend.home_position())
    return Response(drawing, media_type=SVG)
