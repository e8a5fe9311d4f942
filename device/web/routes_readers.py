"""The owner's readers: list, add (with the password), revoke (without)."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from device.web.backend import Backend
from device.web.models import EmptyResponse
from device.web.models_readers import AddedReaderResponse, ReaderBody, ReaderResponse
from device.web.routes_device import RecentAuthCheck

Name = Annotated[str, Path(max_length=64)]


def router(backend: Backend, *, require_recent_auth: RecentAuthCheck) -> APIRouter:
    """Return the routes."""
    api = APIRouter(prefix="/api", tags=["readers"])

    @api.get("/readers")
    def readers() -> list[ReaderResponse]:
        """Clients of the home network that may read pictures. The tokens are not in it."""
        return [ReaderResponse.model_validate(found) for found in backend.readers.views()]

    @api.post("/readers", dependencies=[Depends(require_recent_auth)])
    def add(body: ReaderBody) -> AddedReaderResponse:
        """Let a client read pictures. Its token is in this answer and nowhere else."""
        return AddedReaderResponse.model_validate(backend.readers.add(body.name, body.scopes))

    @api.delete("/readers/{name}")
    def remove(name: Name) -> EmptyResponse:
        """Revoke a reader's access at once; its open streams end. Needs no password."""
        backend.readers.remove(name)
        return EmptyResponse()

    return api
