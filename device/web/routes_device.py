"""The API, the same on the page and on the command socket. Plain functions run on a few threads of their own.

`/api/openapi.json` describes it. An error is {"error": a sentence for people, "code": a word for machines}.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic_core import ErrorDetails

from device.config import Effect
from device.policy.settings import EXPOSING_SWITCHES
from device.web.backend import Backend
from device.web.health_history import History
from device.web.models import (
    BrokerTestResponse,
    BusyQuarter,
    Changes,
    ClipResponse,
    ClipSummary,
    Confirmation,
    ConfirmedChanges,
    EffectsResponse,
    EmptyResponse,
    ForgetResponse,
    HealthSample,
    IsolationResponse,
    LogEntry,
    RecordResponse,
    RingResponse,
    SettingResponse,
    Star,
    StatusResponse,
    Switch,
    UndoResponse,
    VisitKind,
    VisitResponse,
    VisitTable,
)
from device.web.responses import JPEG, MP4, SVG, UNCHANGED, ZIP, file_of

Name = Annotated[str, Path(max_length=200)]
ArchiveName = Annotated[str, Query(pattern="^[A-Za-z0-9-]{1,40}$")]
PressNumber = Annotated[int, Path(ge=1, le=999_999_999)]
MIN_NUMBERS, MAX_NUMBERS = 6, 64
"""Of a polygon: three to 32 corners, two numbers each."""
EMPTY_PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
WallUs = Annotated[int, Query(ge=0, le=4_102_444_800_000_000, description="Unix microseconds")]
MAX_PROBLEMS = 5


RecentAuthCheck = Callable[[Request], None]
"""Raises unless the password was given in the last minutes."""
PasswordCheck = Callable[[Request, str | None], None]
"""Takes the request and the password in it, and raises unless it is the owner's."""


def router(
    backend: Backend,
    *,
    require_recent_auth: RecentAuthCheck,
    require_password: PasswordCheck,
    history: History,
) -> APIRouter:
    """Return the routes; `require_recent_auth` is a dependency of those that need a recent password."""
    api = APIRouter(prefix="/api")
    _add_doorbell(api, backend, history, require_recent_auth)
    _add_clips(api, backend, require_recent_auth)
    _add_press_pictures(api, backend, require_recent_auth)
    _add_settings(api, backend, require_recent_auth, require_password)
    return api


def _add_doorbell(
    api: APIRouter, backend: Backend, history: History, require_recent_auth: RecentAuthCheck
) -> None:
    @api.get("/status", tags=["doorbell"])
    def status() -> StatusResponse:
        """The state of the doorbell."""
        return backend.status()

    @api.get("/health", tags=["doorbell"])
    def health() -> list[HealthSample]:
        """One sample a minute of the last day: temperature, frame rate, storage."""
        return history.samples()

    @api.post("/ring", tags=["doorbell"])
    def ring() -> RingResponse:
        """Ring as if the button had been pressed."""
        return backend.ring()

    @api.post("/record", tags=["doorbell"])
    def record() -> RecordResponse:
        """Record a clip now."""
        return backend.record()

    @api.put("/switches/{name}", tags=["doorbell"])
    def switch(
        name: Literal["motion_enabled", "chime_muted", "privacy", "quiet_until"],
        body: Switch,
        request: Request,
    ) -> EmptyResponse:
        """Change a switch: ON or OFF; quiet_until takes an RFC 3339 time, or an empty text to end the quiet. To end
        privacy needs a recent password; to begin it does not.
        """
        if (name, body.value) in EXPOSING_SWITCHES:
            require_recent_auth(request)
        backend.switch(name, body.value)
        return EmptyResponse()

    @api.post("/doctor/isolation", tags=["doorbell"])
    def check_isolation() -> IsolationResponse:
        """Try to cross the isolation between the two processes, from both sides. Takes seconds."""
        return backend.check_isolation()

    @api.get("/log", tags=["events"])
    def log() -> list[LogEntry]:
        """The newest rows of the log, oldest first."""
        return backend.log()

    @api.get("/calendar", tags=["events"])
    def calendar(from_wall_us: WallUs, until_wall_us: WallUs) -> list[BusyQuarter]:
        """The quarters of an hour of a span, of two months at most, that had a visit."""
        return backend.busy_quarters(from_wall_us, until_wall_us)

    @api.get("/archive.zip", tags=["clips"], response_class=StreamingResponse, responses=file_of(ZIP))
    def archive(
        from_wall_us: WallUs, until_wall_us: WallUs, name: ArchiveName = "doorbell"
    ) -> StreamingResponse:
        """The clips and press pictures of a span, masked, as a ZIP archive that is made while it is sent."""
        return StreamingResponse(
            backend.archive(from_wall_us, until_wall_us),
            media_type=ZIP,
            headers={"content-disposition": f'attachment; filename="{name}.zip"'},
        )

    @api.get("/visits", tags=["events"], response_model=VisitTable)
    def visits(
        from_wall_us: WallUs,
        until_wall_us: WallUs,
        kind: VisitKind = "all",
        most: Annotated[int, Query(ge=1, le=20_000)] = 20_000,
    ) -> Response:
        """The newest rings, and visits without a ring, that began in a span; newest first. `motion`: without a ring;
        `starred`: those with a starred clip, and of their clips only these.
        """
        found = backend.visits(from_wall_us, until_wall_us, kind, most)
        return Response(found, media_type="application/json")

    @api.get("/visits/{event_id}", tags=["events"], response_model=VisitResponse)
    def visit(event_id: Name) -> Response:
        """The clips and press pictures of a visit; `/events` has its log."""
        return Response(backend.visit(event_id), media_type="application/json")

    @api.get("/events/{event_id}", tags=["events"])
    def event(event_id: Name) -> list[LogEntry]:
        """The log of one visit, by the beginning or the end of its id; `last` is the last one with motion."""
        return backend.event(event_id)


def _add_clips(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    @api.get("/clips", tags=["clips"])
    def clips(from_wall_us: WallUs | None = None, until_wall_us: WallUs | None = None) -> list[ClipSummary]:
        """The clips that began in a span, or the newest 1000; oldest first."""
        return backend.clips(from_wall_us, until_wall_us)

    @api.get("/clips/{clip_id}", tags=["clips"])
    def clip(clip_id: Name) -> ClipResponse:
        """One clip."""
        return backend.clip(clip_id)

    @api.put("/clips/{clip_id}/star", tags=["clips"])
    def star(clip_id: Name, body: Star) -> EmptyResponse:
        """Star a clip, so that it is kept whatever its age and however full the disk; or take the star away."""
        backend.star(clip_id, on=body.on)
        return EmptyResponse()

    @api.delete("/clips/{clip_id}", tags=["clips"], dependencies=[Depends(require_recent_auth)])
    def delete(clip_id: Name) -> EmptyResponse:
        """Delete a clip, at once and for good."""
        backend.delete(clip_id)
        return EmptyResponse()

    @api.get(
        "/clips/{clip_id}/video",
        tags=["clips"],
        response_class=FileResponse,
        responses={**file_of(MP4), **file_of(MP4, status=206)},
    )
    def video(clip_id: Name, *, download: bool = False) -> FileResponse:
        """The clip as MP4, any range of it. With masks it is encoded again first, which takes a while."""
        return FileResponse(
            backend.video(clip_id),
            media_type=MP4,
            filename=f"{clip_id}.mp4",
            content_disposition_type="attachment" if download else "inline",
        )

    @api.get(
        "/clips/{clip_id}/thumbnail.jpg",
        tags=["clips"],
        response_class=FileResponse,
        responses={**file_of(JPEG, SVG), **UNCHANGED},
    )
    def thumbnail(clip_id: Name, request: Request, *, soon: bool = False) -> Response:
        """A small picture of the visitor. Until there is one: 404, or with `soon` an empty drawing."""
        path = backend.thumbnail(clip_id)
        if path is None and soon:
            return Response(EMPTY_PICTURE, media_type=SVG)
        if path is None:
            raise HTTPException(404, "there is no picture of this clip yet")
        # A browser asks each time whether its picture still has the right masks, and gets no bytes if so.
        found = path.stat()
        headers = {"cache-control": "private, no-cache", "etag": f'"{found.st_mtime_ns:x}-{found.st_size:x}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type=JPEG, headers=headers)

    @api.get("/clips/{clip_id}/picture.jpg", tags=["clips"], response_class=Response, responses=file_of(JPEG))
    def picture(
        clip_id: Name,
        at_us: Annotated[int, Query(ge=0, le=86_400_000_000)],
        blur: Annotated[list[str], Query(max_length=8)] = [],  # noqa: B006  (FastAPI copies it)
    ) -> Response:
        """One masked picture of the clip, `at_us` microseconds from its first. `blur`: corners of an area to
        blur, x,y,x,y…, relative to the picture.
        """
        return Response(backend.picture(clip_id, at_us, [_corners(text) for text in blur]), media_type=JPEG)

    @api.get("/snapshot.jpg", tags=["live"], response_class=Response, responses=file_of(JPEG))
    def snapshot() -> Response:
        """The current masked picture of the camera."""
        return Response(backend.snapshot(), media_type=JPEG)


def _add_press_pictures(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    @api.get(
        "/press-pictures/{event_id}/{press_number}.jpg",
        tags=["events"],
        response_class=Response,
        responses={**file_of(JPEG), **UNCHANGED},
    )
    def press_picture(
        event_id: Name, press_number: PressNumber, request: Request, *, small: bool = False
    ) -> Response:
        """The picture of the moment of a press of a visit, masked; `small`: for a list. 404 if there is none."""
        jpeg = backend.press_picture(event_id, press_number, small=small)
        if jpeg is None:
            raise HTTPException(404, "there is no picture of this press")
        # Asked for each time, since masks may be drawn later.
        headers = {"cache-control": "private, no-cache", "etag": f'"{sha256(jpeg).hexdigest()[:16]}"'}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(jpeg, media_type=JPEG, headers=headers)

    @api.delete("/press-pictures/{event_id}", tags=["events"], dependencies=[Depends(require_recent_auth)])
    def delete_press_pictures(event_id: Name) -> EmptyResponse:
        """Delete the press pictures of a visit, at once and for good. A visit's clips take theirs with them."""
        backend.delete_press_pictures(event_id)
        return EmptyResponse()


def _corners(text: str) -> list[tuple[float, float]]:
    try:
        numbers = [min(1.0, max(0.0, float(number))) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not MIN_NUMBERS <= len(numbers) <= MAX_NUMBERS or len(numbers) % 2:
        raise HTTPException(422, "blur: write three to 32 corners as x,y,x,y,x,y")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _add_settings(
    api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck, require_password: PasswordCheck
) -> None:
    def allow(request: Request, password: str | None) -> Callable[[Mapping[str, Effect]], None]:
        """Return a check of what a change does: to delete needs the password with it, to expose a recent one."""

        def check(effects: Mapping[str, Effect]) -> None:
            if "destroys" in effects.values():
                require_password(request, password)
            elif set(effects.values()) - {"closes"}:
                require_recent_auth(request)

        return check

    @api.get("/config", tags=["settings"])
    def config() -> list[SettingResponse]:
        """Every setting: value, default, and whether it comes from the default, the file or the page."""
        return backend.settings.rows()

    @api.patch("/config", tags=["settings"])
    def change_config(body: ConfirmedChanges, request: Request) -> UndoResponse:
        """Change settings, all or none. `/config/effects` tells before what a change does. What deletes recordings
        needs the password in this request and waits for an hour; what exposes more, or changes what others know the
        doorbell by, needs a recent password; the rest takes effect at once.
        """
        return backend.settings.change(body.changes, allow(request, body.password))

    @api.post("/config/effects", tags=["settings"])
    def effects(body: Changes) -> EffectsResponse:
        """What a change of settings would do; it changes nothing."""
        return backend.settings.weigh(body.changes)

    @api.post("/config/undo", tags=["settings"])
    def undo(request: Request, body: Confirmation | None = None) -> UndoResponse:
        """Undo the last change; what the way back deletes or exposes needs the same as any other change."""
        return backend.settings.undo(allow(request, body.password if body else None))

    @api.post("/config/undo/effects", tags=["settings"])
    def undo_effects() -> EffectsResponse:
        """What undoing the last change would do; it changes nothing."""
        return backend.settings.weigh_undo()

    @api.post("/config/keep-limits", tags=["settings"])
    def keep_limits() -> UndoResponse:
        """Keep the storage limits in force instead of those that wait, whatever these come from."""
        return backend.keep_limits()

    @api.post("/mqtt/test", tags=["settings"], dependencies=[Depends(require_recent_auth)])
    def try_mqtt(body: Changes) -> BrokerTestResponse:
        """Connect once to the MQTT broker that these settings name."""
        return backend.settings.try_mqtt(body.changes)

    @api.post("/mqtt/forget", tags=["settings"], dependencies=[Depends(require_recent_auth)])
    def forget_mqtt() -> ForgetResponse:
        """Turn MQTT off, and remove the doorbell from the broker and so from Home Assistant."""
        return backend.settings.forget_mqtt()


def text_of(problems: Sequence[ErrorDetails]) -> str:
    """Return one sentence about a request that does not fit its description."""
    texts = [f"{'.'.join(map(str, p['loc'][1:])) or 'the body'}: {p['msg']}" for p in problems[:MAX_PROBLEMS]]
    return json.dumps(texts)[1:-1].replace('"', "") if texts else "the request does not fit"
