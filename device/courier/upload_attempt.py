"""One attempt to upload a parcel. Grant and lease are checked directly before each piece is sent.

A store that cannot be reached, or fails, is asked again later (`OSError`). One that behaves as no honest store does
is not (`Refusing`).
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import urllib3  # egress: parcels, clean-up

from device.courier.https_client import HttpsClient
from device.spool.leases import piece_bytes
from device.spool.parcels import Grant, Receipt, UploadReport, open_parcel
from device.system.send_guard import SendGuard

NOTE_S = 2.0
MAX_NOTE_BYTES = 16 << 20
"""How much may leave is written down before it does: what leaves in so many seconds, at most so many bytes."""
MAX_ANSWER_BYTES = 262_144


class Refusing(Exception):
    """The store does what no honest store does; nothing more is sent to it."""


class GrantGone(Exception):
    """The grant was taken away: this parcel is never sent again."""


class LeaseLapsed(Exception):
    """No lease covers the parcel at this moment: the upload waits."""


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
        check: Callable[[], None],
        bytes_a_second: int,
        pace: Callable[[int], None],
        save: Callable[[UploadReport], None],
    ) -> None:
        """`check` raises GrantGone or LeaseLapsed; `pace` waits as the owner's limit of `bytes_a_second` (0: none)
        wants; `save` writes a report down, durably.
        """
        self.grant = grant
        self.check = check
        self.guard = SendGuard(self._may_send)
        self._folder = folder
        self._piece_bytes = piece_bytes(bytes_a_second)
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
        """What may have left, as it is written down."""
        self._surely_left_bytes = self.report.left_bytes
        self._began_s = time.monotonic()
        self._yielded_bytes = 0

    def close(self) -> None:
        """Let the connection go."""
        self.guard.close()
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
        self._client = self._client or HttpsClient(self.grant.origin, guard=self.guard)
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

    def _may_send(self) -> bool:
        try:
            self.check()
        except (GrantGone, LeaseLapsed):
            return False
        return True

    def chunks(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the encrypted bytes from one offset to another, while the parcel may be sent.

        Before any of them it is written down that they may leave. Raises GrantGone, LeaseLapsed.
        """
        with open_parcel(self._folder, self.grant.sha256) as file, self.guard.armed():
            file.seek(begin)
            offset = begin
            while offset < end:
                block = file.read(min(self._piece_bytes, end - offset))
                if not block:
                    raise Refusing("the parcel in the spool is shorter than its grant says")
                self._pace(len(block))
                self._note(offset, offset + len(block))
                try:
                    self.check()
                except (GrantGone, LeaseLapsed):
                    self.guard.reset()
                    self.left_bytes = max(self._surely_left_bytes, offset)  # here it is known exactly
                    self.tell()
                    raise
                yield block
                offset += len(block)
                self._yielded_bytes += len(block)
                self._surely_left_bytes = max(self._surely_left_bytes, offset)

    def _note(self, begin: int, end: int) -> None:
        """Write down, if it is not yet, that what lies before `end` may leave, and what will leave soon."""
        if end <= self.left_bytes:
            return
        rate = self._yielded_bytes / max(0.1, time.monotonic() - self._began_s)
        ahead = min(MAX_NOTE_BYTES, int(rate * NOTE_S))
        self.left_bytes = min(self.grant.size_bytes, end + ahead)
        self.tell(sent_bytes=begin)

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
        """Carry it, or what is left of it, to the receipt. Raises OSError, Refusing, GrantGone, LeaseLapsed."""


class RevocableUploader(Uploader, Protocol):
    """An uploader whose store can delete unfinished uploads; the owner cleans up backup targets."""

    def forget(self, attempt: UploadAttempt) -> str:
        """Have the store forget a part of a parcel; say how that went. Raises OSError."""
