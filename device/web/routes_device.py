"""The API, the same on the page and on the command socket. Plain functions run on a few threads of their own.

`/api/openapi.json` describes it. An error is {"error": a sentence for people, "code": a word for machines}.
"""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from device.config import RECENT_AUTH_KEYS
from device.web.backend import Backend
from device.web.health_history import History

Name = Annotated[str, Path(max_length=200)]
MIN_NUMBERS, MAX_NUMBERS = 6, 64
"""Of a polygon: three to 32 corners, two numbers each."""
EMPTY_PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
WallUs = Annotated[int, Query(ge=0, le=4_102_444_800_000_000, description="Unix microseconds")]


RecentAuthCheck = Callable[[Request], None]
"""Raises unless the password was given in the last minutes."""


class Body(BaseModel):
    """What a request brings: no key that is not known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Star(Body):
    """Whether a clip has the owner's star."""

    on: bool


class Switch(Body):
    """A switch's new value: ON or OFF, or a time."""

    value: str = Field(max_length=64)


class Changes(Body):
    """Settings by their dotted keys, such as "motion.sensitivity"; null: as the configuration file has it."""

    changes: dict[str, Any] = Field(max_length=64)


def router(backend: Backend, *, require_recent_auth: RecentAuthCheck, history: History) -> APIRouter:
    """Return the routes. `grave` is the dependency of what needs the password again."""
    api = APIRouter(prefix="/api")
    _add_house(api, backend, history)
    _add_clips(api, backend, require_recent_auth)
    _add_settings(api, backend, require_recent_auth)
    return api


def _add_house(api: APIRouter, backend: Backend, history: History) -> None:
    @api.get("/status", tags=["house"])
    def status() -> dict[str, Any]:
        """How the doorbell is."""
        return backend.status()

    @api.get("/health", tags=["house"])
    def health() -> list[dict[str, Any]]:
        """A sample a minute of the last day: temperature, frame rate, storage."""
        return history.samples()

    @api.post("/ring", tags=["house"])
    def ring() -> dict[str, Any]:
        """Ring as if the button was pressed."""
        return backend.ring()

    @api.post("/record", tags=["house"])
    def record() -> dict[str, Any]:
        """Make a clip of this moment."""
        return backend.record()

    @api.put("/switches/{name}", tags=["house"])
    def switch(name: Literal["motion_enabled", "chime_muted", "privacy", "quiet_until"], body: Switch) -> Any:
        """Change a switch: ON or OFF; quiet_until takes an RFC 3339 time, or nothing to end the quiet."""
        return backend.switch(name, body.value)

    @api.post("/doctor/isolation", tags=["house"])
    def check_isolation() -> dict[str, Any]:
        """Try to break through the walls from both sides, and say what happened. Takes seconds."""
        return backend.check_isolation()

    @api.get("/log", tags=["what happened"])
    def log() -> list[dict[str, Any]]:
        """The newest rows of the log, oldest first."""
        return backend.log()

    @api.get("/hours", tags=["what happened"])
    def hours() -> list[tuple[int, int]]:
        """When something happened: (hours since 1970, visits in that hour), of the last months."""
        return backend.hours()

    @api.get("/visits", tags=["what happened"], response_model=dict[str, Any])
    def visits(from_wall_us: WallUs, until_wall_us: WallUs) -> Response:
        """The visits that began in a span, newest first, as a table: {"columns": names, "rows": values}.

        A clip is [id, start in Unix ms, length in ms, starred].
        """
        return Response(backend.visits(from_wall_us, until_wall_us), media_type="application/json")

    @api.get("/events/{event_id}", tags=["what happened"])
    def event(event_id: Name) -> list[dict[str, Any]]:
        """The log of one visit; its id's beginning or end is enough, and `last` is the last with motion."""
        return backend.event(event_id)


def _add_clips(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    @api.get("/clips", tags=["clips"])
    def clips(from_wall_us: WallUs | None = None, until_wall_us: WallUs | None = None) -> Any:
        """The clips that began in a span, or the newest 1000; oldest first."""
        return backend.clips(from_wall_us, until_wall_us)

    @api.get("/clips/{clip_id}", tags=["clips"])
    def clip(clip_id: Name) -> dict[str, Any]:
        """Everything that is known of one clip."""
        return backend.clip(clip_id)

    @api.put("/clips/{clip_id}/star", tags=["clips"])
    def star(clip_id: Name, body: Star) -> dict[str, Any]:
        """Keep a clip whatever its age and however full the disk; or no longer."""
        return backend.star(clip_id, on=body.on)

    @api.delete("/clips/{clip_id}", tags=["clips"], dependencies=[Depends(require_recent_auth)])
    def delete(clip_id: Name) -> dict[str, Any]:
        """Delete a clip, at once and for good."""
        return backend.delete(clip_id)

    @api.get("/clips/{clip_id}/video", tags=["clips"], response_class=FileResponse)
    def video(clip_id: Name, *, download: bool = False) -> FileResponse:
        """The clip as MP4, any range of it. With masks it is encoded anew first, which takes a while."""
        return FileResponse(
            backend.video(clip_id),
            media_type="video/mp4",
            filename=f"{clip_id}.mp4",
            content_disposition_type="attachment" if download else "inline",
        )

    @api.get("/clips/{clip_id}/thumbnail.jpg", tags=["clips"], response_class=FileResponse)
    def thumbnail(clip_id: Name, *, soon: bool = False) -> Response:
        """A small picture of who came; while it is not made 404, or an empty one if it may come `soon`."""
        path = backend.thumbnail(clip_id)
        if path is None and soon:
            return Response(EMPTY_PICTURE, media_type="image/svg+xml")
        if path is None:
            raise HTTPException(404, "there is no picture of this clip yet")
        return FileResponse(
            path, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"}
        )

    @api.get("/clips/{clip_id}/picture.jpg", tags=["clips"], response_class=Response)
    def picture(
        clip_id: Name,
        at_us: Annotated[int, Query(ge=0, le=86_400_000_000)],
        blur: Annotated[list[str], Query(max_length=8)] = [],  # noqa: B006  (FastAPI copies it)
    ) -> Response:
        """What the clip shows at a time, microseconds from its first picture; masked. `blur`: corners of an
        area that is blurred, x,y,x,y…, relative to the picture.
        """
        return Response(
            backend.picture(clip_id, at_us, [_corners(text) for text in blur]), media_type="image/jpeg"
        )

    @api.get("/snapshot.jpg", tags=["live"], response_class=Response)
    def snapshot() -> Response:
        """What the camera sees now."""
        return Response(backend.snapshot(), media_type="image/jpeg")


def _corners(text: str) -> list[tuple[float, float]]:
    try:
        numbers = [min(1.0, max(0.0, float(number))) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not MIN_NUMBERS <= len(numbers) <= MAX_NUMBERS or len(numbers) % 2:
        raise HTTPException(422, "blur: write three to 32 corners as x,y,x,y,x,y")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _add_settings(api: APIRouter, backend: Backend, require_recent_auth: RecentAuthCheck) -> None:
    @api.get("/config", tags=["settings"])
    def config() -> list[dict[str, Any]]:
        """Every setting: value, default, and whether it comes from the default, the file or the page."""
        return backend.config()

    @api.patch("/config", tags=["settings"])
    def change_config(body: Changes, request: Request) -> dict[str, Any]:
        """Change settings, all or none. Where data goes (mqtt.…) and masks need the password again."""
        if any(key.startswith(RECENT_AUTH_KEYS) for key in body.changes):
            require_recent_auth(request)
        return backend.change_config(body.changes)

    @api.post("/config/undo", tags=["settings"], dependencies=[Depends(require_recent_auth)])
    def undo() -> dict[str, Any]:
        """Undo the last change."""
        return backend.undo_config()

    @api.post("/mqtt/test", tags=["settings"], dependencies=[Depends(require_recent_auth)])
    def try_mqtt(body: Changes) -> dict[str, Any]:
        """Connect once to the broker that these settings name, and say what came of it."""
        return backend.try_mqtt(body.changes)


def text_of(problems: Any) -> str:
    """Return what is said about a request that does not fit its description."""
    said = [f"{'.'.join(map(str, p['loc'][1:])) or 'the body'}: {p['msg']}" for p in problems]
    return json.dumps(said[:5])[1:-1].replace('"', "") if said else "the request does not fit"
