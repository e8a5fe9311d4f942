"""The API of the preview: the owner plays the files that would be sealed. On the page alone, behind its session.

The command socket has none of these routes, and no token but a session's opens them.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import FileResponse

from device.web.backend import Backend
from device.web.models import EmptyResponse
from device.web.models_consent import PreviewBody, PreviewResponse
from device.web.responses import MP4, file_of
from device.web.routes_consent import Id, choice_of


def _require_session(request: Request) -> None:
    if request.state.session is None:
        raise HTTPException(401, {"error": "sign in first", "code": "signed_out"})


def router(backend: Backend) -> APIRouter:
    """Return the routes."""
    api = APIRouter(prefix="/api", tags=["consent"], dependencies=[Depends(_require_session)])
    place = "/requests/{request_id}/preview"

    @api.post(place)
    def begin(request_id: Id, body: PreviewBody) -> PreviewResponse:
        """Make the files that would be sealed: cut, masked, blurred and audited. They stay on the doorbell."""
        made = backend.consent.preview(request_id, body.offer_hash, choice_of(body))
        return PreviewResponse.model_validate(made)

    @api.get(place)
    def state(request_id: Id) -> PreviewResponse:
        """How far they are. Without this question for five minutes they are deleted."""
        return PreviewResponse.model_validate(backend.consent.preview_state(request_id))

    @api.delete(place)
    def close(request_id: Id) -> EmptyResponse:
        """Delete them."""
        backend.consent.close_preview(request_id)
        return EmptyResponse()

    @api.get(
        place + "/{number}.mp4",
        response_class=FileResponse,
        responses={**file_of(MP4), **file_of(MP4, status=206)},
    )
    def file(
        request_id: Id,
        number: Annotated[int, Path(ge=1, le=1000)],
        sha256: Annotated[str, Query(pattern=r"^[0-9a-f]{64}$")],
    ) -> FileResponse:
        """One of the files, any range of it. The first is number 1; `sha256` is its hash in the state."""
        path = backend.consent.preview_file(request_id, number, sha256)
        return FileResponse(path, media_type=MP4, headers={"cache-control": "no-store"})

    return api
