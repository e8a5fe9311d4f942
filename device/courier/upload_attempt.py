"""One attempt to upload a parcel. The grant is checked before each chunk.

A store that cannot be reached, or fails, is asked again later (`OSError`). One that behaves as no honest store does
is not (`Refusing`).
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import urllib3

from device.courier.https_client import HttpsClient
from device.spool.parcels import Grant, Receipt, UploadReport, open_parcel

CHUNK_BYTES = 262_144
"""The unit of a withdrawal: nothing more leaves once the grant is gone."""
SEGMENT_BYTES = 16 << 20
"""The unit in which it is written down, before it leaves, how much may have left."""
MAX_ANSWER_BYTES = 262_144


class Refusing(Exception):
    """The store does what no honest store does; nothing more is sent to it."""


class GrantGone(Exception):
    """The grant was taken away, or has run out."""


@dataclass(slots=True)
class Answer:
    """A store's response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def trouble(answer: Answer) -> Exception:
    """Return what an unexpected answer means: a redirection, never followed, or something that may pass."""
    if 300 <= answer.status < 400:
        to = answer.headers.get("location", "")[:100]
        return Refusing(f"it sends the courier elsewhere ({answer.status} to {to!r}); that is never followed")
    return OSError(f"answered {answer.status}")


class UploadAttempt:
    """One parcel on its way; a new one for each attempt."""

    def __init__(
        self,
        grant: Grant,
        folder: Path,
        *,
        report: UploadReport | None,
        may_go_on: Callable[[], bool],
        pace: Callable[[int], None],
        save: Callable[[UploadReport], None],
    ) -> None:
        """`may_go_on` looks at the grant; `pace` waits as the owner's limit wants; `save` writes a report
        down, durably.
        """
        self.grant = grant
        self._folder = folder
        self._may_go_on = may_go_on
        self._pace = pace
        self._save = save
        self.report = report or UploadReport(
            sha256=grant.sha256,
            kind=grant.kind,
            origin=grant.origin,
            size_bytes=grant.size_bytes,
            state="sending",
        )
        self._client: HttpsClient | None = None
        self.left_bytes = self.report.left_bytes

    def close(self) -> None:
        """Let the connection go."""
        if self._client:
            self._client.close()

    def tell(self, **changes: Any) -> None:
        """Write down how it is."""
        self.report = replace(self.report, left_bytes=self.left_bytes, **changes)
        self._save(self.report)

    def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
    ) -> Answer:
        """Ask the origin for a path. Raises OSError: also for an answer that is too long."""
        self._client = self._client or HttpsClient(self.grant.origin)
        answer = self._client.request(method, target, headers=headers or {}, body=body)
        try:
            content = answer.read(MAX_ANSWER_BYTES + 1, decode_content=False)
            if len(content) > MAX_ANSWER_BYTES:
                answer.close()
                raise OSError("its answer is too long")
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise OSError(str(error)) from error
        return Answer(answer.status, {name.lower(): text for name, text in answer.headers.items()}, content)

    def check_grant(self) -> None:
        """Raise GrantGone if it may not go on."""
        if not self._may_go_on():
            raise GrantGone

    def chunks(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the encrypted bytes from one offset to another, as long as the grant exists.

        Before the first of them it is written down that they may leave. Raises GrantGone.
        """
        self.check_grant()
        before = self.left_bytes
        self.left_bytes = max(before, end)
        self.tell(sent_bytes=begin)
        with open_parcel(self._folder, self.grant.sha256) as file:
            file.seek(begin)
            offset = begin
            while offset < end:
                if not self._may_go_on():
                    self.left_bytes = max(before, offset)  # here it is known exactly
                    self.tell()
                    raise GrantGone
                block = file.read(min(CHUNK_BYTES, end - offset))
                if not block:
                    raise Refusing("the parcel in the spool is shorter than its grant says")
                self._pace(len(block))
                yield block
                offset += len(block)

    def prove_parcel(self) -> None:
        """Raise Refusing unless the parcel is what the grant says, to the byte."""
        with open_parcel(self._folder, self.grant.sha256) as file:
            self._size(file)
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            if digest.hexdigest() != self.grant.sha256:
                raise Refusing("the parcel in the spool is not what its grant says")

    def _size(self, file: BinaryIO) -> None:
        if file.seek(0, 2) != self.grant.size_bytes:
            raise Refusing("the parcel in the spool is not as long as its grant says")
        file.seek(0)

    def stored(self, answer: dict[str, str]) -> None:
        """Write the receipt: the store's answer, bound to the parcel."""
        grant = self.grant
        receipt: Receipt = {
            "sha256": grant.sha256,
            "size_bytes": grant.size_bytes,
            "kind": grant.kind,
            "origin": grant.origin,
            "said": answer,
        }
        self.tell(state="stored", sent_bytes=grant.size_bytes, receipt=receipt)


class Uploader(Protocol):
    """How parcels reach one kind of store."""

    def carry(self, attempt: UploadAttempt) -> None:
        """Carry it, or what is left of it, to the receipt. Raises OSError, Refusing, GrantGone."""


class RevocableUploader(Uploader, Protocol):
    """An uploader whose store can delete unfinished uploads; the owner cleans up backup targets."""

    def forget(self, attempt: UploadAttempt) -> str:
        """Have the store forget a part of a parcel; say how that went. Raises OSError."""
