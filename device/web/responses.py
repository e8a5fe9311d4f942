"""How the description names answers that are files. FastAPI would describe their errors as files too, if the
class of the response had a media type of its own.
"""

from typing import Any

JPEG, MP4, SVG, ZIP = "image/jpeg", "video/mp4", "image/svg+xml", "application/zip"
SDP, JSON_LINES = "application/sdp", "application/x-ndjson"

UNCHANGED: dict[int | str, Any] = {304: {"description": "the caller has this file already (If-None-Match)"}}


def file_of(*media_types: str, status: int = 200) -> dict[int | str, Any]:
    """Return what FastAPI's `responses` takes: a success is a file of one of these types."""
    return {status: {"content": {media_type: {} for media_type in media_types}}}
