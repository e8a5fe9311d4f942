"""The API of consent: requests, notices, pins, ledger. On the page an approval needs the password in the same
breath.

What is asked here is answered by the consent service; nothing here decides, and there is no route by which anybody
but the owner could.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from device.consent.map import Ring, map_svg
from device.consent.models import MAX_JURISDICTION_CORNERS
from device.consent.offer import Choice
from device.errors import CommandError
from device.system.clock import parse_rfc3339
from device.web.backend import Backend
from device.web.routes_device import Body, RecentAuthCheck

Id = Annotated[str, Path(max_length=400)]
PasswordCheck = Callable[[Request, str | None], None]
"""Raises unless this very request brings the owner's password (or comes from a local terminal)."""
NOT_EMERGENCY = "This is not a replacement for calling the emergency number."
MAX_RECORD = 40_000


Corner = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]
Shape = Annotated[list[Corner], Field(min_length=3, max_length=32)]


class Piece(Body):
    """What of a clip may leave: RFC 3339 times (null: as far as the window goes), and what is blurred in it.

    A shape's corners are relative to the picture, (0, 0) top left. A blur encodes the clip anew.
    """

    start: str | None = Field(None, max_length=40)
    end: str | None = Field(None, max_length=40)
    blur: list[Shape] = Field([], max_length=8)


class Chosen(Body):
    """Which clips may leave, whole or in pieces (null: as far as the window goes); nothing: all.

    `exact` begins with the first picture of the window instead of the first keyframe, and encodes every clip
    anew. `audio`: with the sound, if there is some.
    """

    clips: dict[str, Piece | None] | None = Field(None, max_length=1000)
    exact: bool = False
    audio: bool = False


class Approval(Chosen):
    """A yes to exactly what was shown; the password is asked again, whenever it was given last."""

    offer_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    password: str | None = Field(None, max_length=1024)


class Record(Body):
    """A sender's file."""

    record: str = Field(max_length=MAX_RECORD)


class Pin(Record):
    """A sender's file, and its fingerprint as the owner typed it."""

    fingerprint: str = Field(max_length=100)


class FeedBody(Body):
    """A feed: CAP or Atom."""

    name: str = Field(max_length=40)
    url: str = Field(max_length=1400)


class DestinationBody(Body):
    """A place of the owner's own for sealed backups."""

    name: str = Field(max_length=32)
    kind: Literal["s3", "webdav", "sftp"]
    url: str = Field(max_length=400)
    user: str = Field("", max_length=200)
    secret: str = Field("", max_length=20_000)
    age: str = Field(max_length=100, pattern=r"^age1[a-z0-9]{58}$")
    host_key: str = Field("", max_length=100)
    limit_bytes: int = Field(0, ge=0, le=1 << 50)


def router(
    backend: Backend, *, require_recent_auth: RecentAuthCheck, require_password: PasswordCheck
) -> APIRouter:
    """Return the routes; `grave` and `sure` are what they ask of who asks."""
    api = APIRouter(prefix="/api")
    _add_requests(api, backend, require_password)
    _add_notices(api, backend)
    _add_senders(api, backend, require_recent_auth)
    _add_destinations(api, backend, require_recent_auth)
    _add_ledger(api, backend)
    return api


def _add_requests(api: APIRouter, backend: Backend, require_password: PasswordCheck) -> None:
    @api.get("/requests", tags=["consent"])
    def requests() -> list[dict[str, Any]]:
        """What agencies have asked for, newest first. Not a replacement for calling the emergency number."""
        return backend.consent.requests()

    @api.get("/requests/{request_id}", tags=["consent"])
    def request(request_id: Id) -> dict[str, Any]:
        """One request: who, why, where, when; and, while it is open, exactly what would leave."""
        return backend.consent.request(request_id, Choice())

    @api.post("/requests/{request_id}/offer", tags=["consent"])
    def offer(request_id: Id, body: Chosen) -> dict[str, Any]:
        """The same with fewer or shorter clips: another offer, and another hash."""
        return backend.consent.request(request_id, _choice(body))

    @api.post("/requests/{request_id}/approve", tags=["consent"])
    def approve(request_id: Id, body: Approval, request: Request) -> dict[str, Any]:
        """Say yes to exactly what was shown."""
        require_password(request, body.password)
        return backend.consent.approve(request_id, body.offer_hash, _choice(body))

    @api.post("/requests/{request_id}/decline", tags=["consent"])
    def decline(request_id: Id) -> dict[str, Any]:
        """Say no. Nobody outside learns of it, as nobody learns that it was asked here."""
        return backend.consent.decline(request_id)

    @api.post("/requests/{request_id}/withdraw", tags=["consent"])
    def withdraw(request_id: Id) -> dict[str, Any]:
        """Take a yes back."""
        return backend.consent.withdraw(request_id)

    @api.get("/requests/{request_id}/map.svg", tags=["consent"], response_class=Response)
    def request_map(request_id: Id) -> Response:
        """Where it asks for, and where the house stands."""
        asked = backend.consent.request(request_id, Choice(spans={}))
        areas: list[tuple[str, Ring]] = [("area", asked["area"]["coordinates"][0])]
        return _map(areas, backend)


def _add_notices(api: APIRouter, backend: Backend) -> None:
    @api.get("/notices", tags=["consent"])
    def notices() -> dict[str, Any]:
        """What the chosen sources said, newest first."""
        return {"reminder": NOT_EMERGENCY, "notices": backend.consent.notices()}

    @api.get("/notices/map.svg", tags=["consent"], response_class=Response)
    def notice_map(
        source: Annotated[str, Query(max_length=64)], name: Annotated[str, Query(alias="id", max_length=400)]
    ) -> Response:
        """The area of a notice, and where the house stands."""
        found = [each for each in backend.consent.notices() if (each["source"], each["id"]) == (source, name)]
        if not found or not found[0]["area"]:
            raise HTTPException(404, "there is no such notice, or it names no area")
        return _map([("area", found[0]["area"])], backend)


def _add_senders(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    serious = [Depends(require_recent_auth)]

    @api.get("/senders", tags=["consent"])
    def senders() -> dict[str, Any]:
        """Whom the house listens to: pinned agencies and sources, and feeds."""
        return {"senders": backend.consent.senders(), "feeds": backend.consent.feeds()}

    @api.post("/senders/look", tags=["consent"])
    def look(body: Record) -> dict[str, Any]:
        """What a sender's file says: who, which keys, which jurisdiction, where parcels would go."""
        return backend.consent.look_at(body.record.encode())

    @api.post("/senders/look/map.svg", tags=["consent"], response_class=Response)
    def look_map(body: Record) -> Response:
        """The jurisdiction in a sender's file, and where the house stands."""
        said = backend.consent.look_at(body.record.encode())
        return _map([("jurisdiction", said["jurisdiction"]["coordinates"][0])], backend)

    @api.post("/senders", tags=["consent"], dependencies=serious)
    def pin(body: Pin) -> dict[str, Any]:
        """Pin a sender, with the fingerprint as it was typed from a channel other than the file."""
        backend.consent.pin(body.record.encode(), body.fingerprint)
        return {}

    @api.put("/senders", tags=["consent"], dependencies=serious)
    def rotate(body: Record) -> dict[str, Any]:
        """Take a newer record of a pinned sender, signed with a key that is pinned."""
        backend.consent.rotate(body.record.encode())
        return {}

    @api.delete("/senders/{sender}", tags=["consent"])
    def unpin(sender: Id) -> dict[str, Any]:
        """Listen to a sender no longer; its open requests end."""
        backend.consent.unpin(sender)
        return {}

    @api.get("/senders/{sender}/map.svg", tags=["consent"], response_class=Response)
    def sender_map(sender: Id) -> Response:
        """A sender's jurisdiction, and where the house stands."""
        for each in backend.consent.senders():
            if each["sender"] == sender:
                return _map([("jurisdiction", each["jurisdiction"]["coordinates"][0])], backend)
        raise HTTPException(404, f"{sender} is not pinned")

    @api.post("/feeds", tags=["consent"], dependencies=serious)
    def add_feed(body: FeedBody) -> dict[str, Any]:
        """Listen to a feed: its address will be asked once a minute or two."""
        backend.consent.add_feed(body.name, body.url)
        return {}

    @api.delete("/feeds/{name}", tags=["consent"])
    def remove_feed(name: Id) -> dict[str, Any]:
        """Listen to a feed no longer."""
        backend.consent.remove_feed(name)
        return {}


def _add_destinations(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    @api.get("/destinations", tags=["consent"])
    def destinations() -> list[dict[str, Any]]:
        """The owner's own places that sealed backups go to. No secret is in it."""
        return backend.consent.destinations()

    @api.post("/destinations", tags=["consent"], dependencies=[Depends(require_recent_auth)])
    def add(body: DestinationBody) -> dict[str, Any]:
        """Send every clip from now on to a place of one's own, sealed to one's own key."""
        said = body.model_dump()
        return backend.consent.add_destination(said, said.pop("secret"))

    @api.delete("/destinations/{name}", tags=["consent"])
    def remove(name: Id) -> dict[str, Any]:
        """Send nothing to it any more."""
        backend.consent.remove_destination(name)
        return {}


def _add_ledger(api: APIRouter, backend: Backend) -> None:
    @api.get("/ledger", tags=["consent"])
    def ledger(newest: Annotated[int, Query(ge=1, le=10_000)] = 200) -> dict[str, Any]:
        """The newest entries of the ledger, oldest first; its head's hash; what was refused, by reason."""
        return backend.consent.ledger(newest)

    @api.get("/ledger/export", tags=["consent"], response_class=StreamingResponse)
    def export() -> StreamingResponse:
        """The whole ledger, one JSON object a line: entries with their bodies, and what was refused."""
        lines = (f"{line}\n" for line in backend.consent.export())
        headers = {"content-disposition": 'attachment; filename="doorbell-ledger.jsonl"'}
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _choice(body: Chosen) -> Choice:
    if body.clips is None:
        return Choice(exact=body.exact, audio=body.audio)
    if any(piece and bool(piece.start) != bool(piece.end) for piece in body.clips.values()):
        raise CommandError("a piece has both a start and an end, or neither")
    try:
        spans = {
            name: (parse_rfc3339(piece.start), parse_rfc3339(piece.end))
            if piece is not None and piece.start and piece.end
            else None
            for name, piece in body.clips.items()
        }
    except ValueError as error:
        raise CommandError(f"a span's times are RFC 3339, such as 2026-11-24T22:00:00Z: {error}") from error
    blurs = {
        name: [[(x, y) for x, y in shape] for shape in piece.blur]
        for name, piece in body.clips.items()
        if piece
    }
    return Choice(spans=spans, exact=body.exact, audio=body.audio, blurs=blurs)


def _map(areas: list[tuple[str, Ring]], backend: Backend) -> Response:
    drawn = map_svg([(kind, ring[: MAX_JURISDICTION_CORNERS + 1]) for kind, ring in areas], backend.place())
    return Response(drawn, media_type="image/svg+xml")
