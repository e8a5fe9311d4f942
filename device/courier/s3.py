"""A parcel to an S3-compatible store whose origin hands out signed addresses: a multipart upload.

The courier has no account there. It asks the pinned origin once (`POST /parcels`); the answer names signed
addresses of the same origin for each part, for completing, and for aborting. An address of another origin is
refused, whoever signed it. docs/consent-protocol.md, section 9, has the form.
"""

import json
import re
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from device.courier.checked_text import matching
from device.courier.upload_attempt import Answer, Refusing, UploadAttempt, trouble

PLACE = "/parcels"
MAX_PARTS = 10_000
MIN_PART_BYTES, MAX_PART_BYTES = 5 << 20, 64 << 20
_UPLOAD = re.compile(r"[!-~]{1,1024}")
_TARGET = re.compile(r"/[!-~]{1,4000}")
_ETAG = re.compile(r'"?[0-9a-fA-F-]{1,80}"?')
_OK, _CREATED, _NO_CONTENT = 200, 201, 204
_EXPIRED = (401, 403)
_GONE = (404, 410)


@dataclass(frozen=True, slots=True)
class _Plan:
    upload: str
    part_bytes: int
    parts: tuple[str, ...]
    complete: str
    abort: str


class S3Uploader:
    """The way to an S3-compatible store."""

    def carry(self, attempt: UploadAttempt) -> None:
        """Carry it to the receipt. Raises OSError, Refusing, GrantGone, LeaseLapsed."""
        attempt.prove_parcel()
        attempt.check()
        plan = _plan(attempt)
        if plan.upload != attempt.report.place:  # a new upload begins with no part
            attempt.tell(place=plan.upload, parts=(), sent_bytes=0)
        size = attempt.grant.size_bytes
        for number in range(len(attempt.report.parts), len(plan.parts)):
            begin = number * plan.part_bytes
            end = min(size, begin + plan.part_bytes)
            headers = {"content-length": str(end - begin)}
            answer = attempt.ask("PUT", plan.parts[number], headers=headers, body=attempt.chunks(begin, end))
            if answer.status in _GONE:
                attempt.tell(place="", parts=(), sent_bytes=0)
                raise OSError(f"answered {answer.status}: the upload is gone; it starts again")
            etag = answer.headers.get("etag", "")
            if answer.status != _OK or not _ETAG.fullmatch(etag):
                raise _trouble(answer)
            attempt.tell(parts=(*attempt.report.parts, etag), sent_bytes=end)
        attempt.check()
        answer = attempt.ask("POST", plan.complete, body=_complete(attempt.report.parts))
        # S3 answers 200 and says later, in the body, that it failed.
        if answer.status != _OK or b"<Error" in answer.body:
            raise _trouble(answer)
        kept = ("date", "etag", "x-amz-version-id")
        stored = {name: answer.headers[name][:200] for name in kept if name in answer.headers}
        etag_in = re.search(rb"<ETag>([^<]{1,200})</ETag>", answer.body)
        if etag_in:
            stored["etag"] = etag_in[1].decode("ascii", "replace").replace("&quot;", "")
        attempt.stored({"upload": plan.upload, "parts": str(len(plan.parts)), **stored})

    def forget(self, attempt: UploadAttempt) -> str:
        """Have the store abort an upload, which deletes its parts."""
        if not attempt.report.place:
            return "nothing was there to be forgotten"
        answer = attempt.ask("DELETE", _plan(attempt).abort)
        if answer.status in (_OK, _NO_CONTENT):
            return "the store has deleted what it had"
        if answer.status in _GONE:
            return "the store has it no longer"
        return f"the store did not delete what it had: it answered {answer.status}"


def _plan(attempt: UploadAttempt) -> _Plan:
    """Ask for signed addresses, for a new upload or to go on with one."""
    question = {
        "sha256": attempt.grant.sha256,
        "size": attempt.grant.size_bytes,
        "upload": attempt.report.place or None,
    }
    headers = {"content-type": "application/json"}
    answer = attempt.ask("POST", PLACE, headers=headers, body=json.dumps(question).encode())
    if answer.status not in (_OK, _CREATED):
        raise _trouble(answer)
    try:
        values = json.loads(answer.body)
        origin = attempt.grant.origin
        plan = _Plan(
            upload=matching(_UPLOAD, values["upload"]),
            part_bytes=int(values["part_bytes"]),
            parts=tuple(_target(url, origin) for url in values["parts"][: MAX_PARTS + 1]),
            complete=_target(values["complete"], origin),
            abort=_target(values["abort"], origin),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OSError(f"its plan of an upload cannot be read: {error}") from error
    wanted = -(-attempt.grant.size_bytes // max(1, plan.part_bytes))
    if not MIN_PART_BYTES <= plan.part_bytes <= MAX_PART_BYTES or len(plan.parts) != wanted:
        raise Refusing(f"it plans {len(plan.parts)} parts of {plan.part_bytes} bytes, which do not fit")
    return plan


def _target(url: Any, origin: str) -> str:
    """Return the path of a signed address. Raises Refusing if it is another origin's."""
    if not isinstance(url, str) or not url.startswith(f"{origin}/"):
        raise Refusing(f"it wants parts at another place: {str(url)[:100]!r}")
    return matching(_TARGET, url.removeprefix(origin))


def _complete(etags: tuple[str, ...]) -> bytes:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    return (
        '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{parts}</CompleteMultipartUpload>"
    ).encode()


def _trouble(answer: Answer) -> Exception:
    if answer.status in _EXPIRED:
        return OSError(f"answered {answer.status}: new signed addresses will be requested")
    return trouble(answer)
