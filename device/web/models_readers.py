"""Requests and responses about readers. Times are Unix seconds."""

from pydantic import Field

from device.consent.views import ReaderScope
from device.web.models import RequestBody, ResponseBody
from device.web.models_consent import UnixSeconds


class ReaderBody(RequestBody):
    """A client that may read pictures."""

    name: str = Field(max_length=32)
    scopes: list[ReaderScope] = Field(max_length=8)


class AddedReaderResponse(ResponseBody):
    """A new reader's token, which nothing stores: send it as `Authorization: Bearer` or as the password of Basic."""

    name: str
    token: str | None = Field(description="null for the reader `mqtt`, the broker")


class ReaderResponse(ResponseBody):
    """A client that may read pictures."""

    name: str
    scopes: list[ReaderScope]
    added_at: UnixSeconds
    used_at: UnixSeconds | None = Field(description="its last use since the start of doorbelld")
    peers: list[str] = Field(description="the addresses that it was used from since the start of doorbelld")
