"""Upload of a parcel to a tus server (tus.io, 1.0.0): create, ask for the offset, send from there, terminate.

Small on purpose: tuspy follows redirections, a changed Location and proxies of the environment. The upload is
created at `/parcels` of the pinned origin, and its own address has to lie below that.
"""

import base64
import re

from device.courier.upload_attempt import Answer, Refusing, UploadAttempt, trouble

PLACE = "/parcels"
_VERSION = {"tus-resumable": "1.0.0"}
_UPLOAD = re.compile(r"/parcels/[A-Za-z0-9._~+=-]{1,200}")
_CREATED, _OK, _NO_CONTENT = 201, 200, 204
_GONE = (403, 404, 410)
SEGMENT_BYTES = 16 << 20
"""Of one request: some servers refuse longer ones."""
MAX_DIGITS = 11
"""Of a size in a header: parcels have 64 GiB at most."""
MAX_TIMES = 3
"""So many times as large as the parcel is what may be sent of it: a store that keeps losing is given up."""


class TusUploader:
    """The way to a tus server."""

    def carry(self, attempt: UploadAttempt) -> None:
        """Carry it to the receipt. Raises OSError, Refusing, GrantGone, LeaseLapsed."""
        attempt.prove_parcel()
        size = attempt.grant.size_bytes
        offset = self._offset(attempt) if attempt.report.place else None
        if offset is None:
            self._create(attempt)
            offset = 0
        budget = MAX_TIMES * size
        while offset < size:
            end = min(size, offset + SEGMENT_BYTES)
            budget -= end - offset
            if budget < 0:
                raise Refusing("it keeps losing what it was sent")
            offset = self._send(attempt, offset, end)
        attempt.check()
        last = self._ask(attempt, "HEAD")
        if _number(last, "upload-offset") != size or _number(last, "upload-length") != size:
            raise Refusing("it says that it has another size than it was sent")
        attempt.stored({"upload": attempt.report.place, **_said(last)})

    def forget(self, attempt: UploadAttempt) -> str:
        """Have the server forget an upload (tus: termination)."""
        if not attempt.report.place:
            return "nothing was there to be forgotten"
        had = self._ask(attempt, "HEAD").headers.get("upload-offset", "")
        answer = self._ask(attempt, "DELETE")
        if answer.status == _NO_CONTENT:
            size = (
                f" ({had} bytes, it said)"
                if had.isascii() and had.isdigit() and len(had) <= MAX_DIGITS
                else ""
            )
            return f"the store has deleted what it had{size}"
        if answer.status in _GONE:
            return "the store has it no longer"
        return f"the store did not delete what it had: it answered {answer.status}"

    def _create(self, attempt: UploadAttempt) -> None:
        attempt.check()
        name = base64.b64encode(attempt.grant.sha256.encode()).decode()
        headers = {
            **_VERSION,
            "upload-length": str(attempt.grant.size_bytes),
            "upload-metadata": f"sha256 {name}",
            "content-length": "0",
        }
        answer = attempt.ask("POST", PLACE, headers=headers)
        if answer.status != _CREATED:
            raise trouble(answer)
        location = answer.headers.get("location", "")
        path = location.removeprefix(attempt.grant.origin)
        if not _UPLOAD.fullmatch(path) or ".." in path:
            raise Refusing(f"it wants the parcel at another place: {location[:100]!r}")
        attempt.tell(place=path, sent_bytes=0)

    def _offset(self, attempt: UploadAttempt) -> int | None:
        """Return how much the server has; None if it knows nothing of the upload any more."""
        answer = self._ask(attempt, "HEAD")
        if answer.status in _GONE:
            return None
        if answer.status not in (_OK, _NO_CONTENT):
            raise trouble(answer)
        offset, length = _number(answer, "upload-offset"), _number(answer, "upload-length")
        if length != attempt.grant.size_bytes:
            return None  # another parcel's, or nobody's
        if not 0 <= offset <= attempt.left_bytes:
            raise Refusing(f"it says that it has {offset} bytes; it was sent at most {attempt.left_bytes}")
        return offset

    def _send(self, attempt: UploadAttempt, begin: int, end: int) -> int:
        """Send a segment; return how much the server has after it."""
        headers = {
            **_VERSION,
            "upload-offset": str(begin),
            "content-type": "application/offset+octet-stream",
            "content-length": str(end - begin),
        }
        answer = attempt.ask("PATCH", attempt.report.place, headers=headers, body=attempt.chunks(begin, end))
        if answer.status in (409, 423, *_GONE):  # its offset differs, or the last request still locks it
            raise OSError(f"answered {answer.status}: asked again")
        if answer.status not in (_OK, _NO_CONTENT):
            raise trouble(answer)
        offset = _number(answer, "upload-offset")
        if not begin <= offset <= end:
            raise Refusing(f"it says that it has {offset} bytes; it was sent {end}")
        return offset

    def _ask(self, attempt: UploadAttempt, method: str) -> Answer:
        return attempt.ask(method, attempt.report.place, headers=_VERSION)


def _number(answer: Answer, name: str) -> int:
    text = answer.headers.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
        raise OSError(f"answered {answer.status} without a {name}")
    return int(text)


def _said(answer: Answer) -> dict[str, str]:
    """Return what may be worth keeping of the last answer."""
    kept = ("date", "etag", "upload-offset", "server")
    return {name: answer.headers[name][:200] for name in kept if name in answer.headers}
