"""The preview: the files that would be sealed, made before the approval so that the owner can play them.

The release process makes them as it makes those of a release, and stops before it encrypts. They are in the folder in
which the parcel would be made, and nothing but the owner's page reads them. An approval that names their hashes seals
these files or fails. There is one preview at a time, and it is deleted as soon as it is not what would be sent: the
page is left, another choice is offered, a clip or a mask changes, the request is no longer open, or doorbelld starts.
"""

import hashlib
import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from device.consent.documents import Offer, ParcelClip, clip_file
from device.consent.offer import has_masks
from device.consent.views import ErrorView, PreviewState, PreviewView
from device.consent_service.clip_source import ClipSource
from device.consent_service.release_protocol import Failed, Previewed, Progress, ReleaseBackend, ReleaseRun
from device.consent_service.working_folder import erase
from device.errors import CommandError
from device.system.clock import Clock

log = logging.getLogger(__name__)

IDLE_US = 300_000_000
"""A page that shows a preview asks every few seconds. After so long without a question nobody looks at it."""
CHECK_US = 2_000_000
"""Interval at which clips and masks are compared with the offer."""


@dataclass(slots=True, kw_only=True)
class _Preview:
    handle: str
    offer: Offer
    offer_hash: str
    asked_us: int
    checked_us: int = 0
    state: PreviewState = "waiting"
    progress: Progress = field(default_factory=lambda: Progress(stage="beginning"))
    run: ReleaseRun | None = None
    files: Sequence[ParcelClip] = ()
    error: CommandError | None = None


class Previews:
    """`step` belongs to the thread that makes releases; the other methods may be called from any.

    The ledger's lock may be held when it is called, and is never taken here.
    """

    def __init__(
        self, folder: Path, release_backend: ReleaseBackend, footage: ClipSource, clock: Clock
    ) -> None:
        """`folder` holds the working copies of releases, one folder a request."""
        self._folder = folder
        self._release_backend = release_backend
        self._footage = footage
        self._clock = clock
        self._lock = threading.RLock()
        self._preview: _Preview | None = None

    def ask(self, handle: str, offer: Offer, offer_hash: str) -> PreviewView:
        """Let a preview of an offer be made, unless it is there already; another one ends. Raises CommandError."""
        if not offer["clips"]:
            raise CommandError("there is nothing to play: the offer has no clip", code="offer_empty")
        with self._lock:
            known = self._preview
            is_same = known and (known.handle, known.offer_hash) == (handle, offer_hash)
            if not is_same or (known and known.state == "failed"):
                self._drop()
                asked_us = self._clock.mono_us()
                self._preview = _Preview(handle=handle, offer=offer, offer_hash=offer_hash, asked_us=asked_us)
            return self.view(handle)

    def view(self, handle: str) -> PreviewView:
        """Return how far the preview of a request is; the page that shows it asks every few seconds."""
        with self._lock:
            preview = self._preview
            if preview is None or preview.handle != handle:
                return {"state": "none", "offer_hash": "", "progress": None, "files": [], "error": None}
            preview.asked_us = self._clock.mono_us()
            progress, error = preview.progress, preview.error
            shown: ErrorView | None = None
            if error:
                shown = {"error": str(error), "code": error.code, "params": error.params}
            return {
                "state": preview.state,
                "offer_hash": preview.offer_hash,
                "progress": {"stage": progress.stage, "part": progress.part, "hot": progress.hot},
                "files": [{"sha256": file["sha256"], "bytes": file["bytes"]} for file in preview.files],
                "error": shown,
            }

    def path(self, handle: str, number: int, sha256: str) -> Path:
        """Return a file of the preview; the first is number 1. Raises CommandError if it is not there any more."""
        with self._lock:
            preview = self._preview
            if (
                preview
                and preview.handle == handle
                and preview.state == "ready"
                and not self._is_true(preview)
            ):
                self._drop()
            preview = self._preview
            if (
                preview is None
                or (preview.handle, preview.state) != (handle, "ready")
                or not 1 <= number <= len(preview.files)
                or preview.files[number - 1]["sha256"] != sha256
            ):
                raise CommandError("this preview is not there any more; make it again", code="preview_gone")
            preview.asked_us = self._clock.mono_us()
            return self._folder / handle / clip_file(number)

    def close(self, handle: str) -> None:
        """Delete the preview of a request."""
        with self._lock:
            if self._preview and self._preview.handle == handle:
                self._drop()

    def check(self, handle: str, offer_hash: str, files: Sequence[str]) -> None:
        """Raise CommandError unless these are the files of the preview of this offer, and unchanged on the disk."""
        gone = CommandError(
            "the files that you played are not there any more, or have changed: play them again",
            code="preview_gone",
        )
        with self._lock:
            preview = self._preview
            if preview is None or (preview.handle, preview.offer_hash) != (handle, offer_hash):
                raise gone
            if preview.state != "ready" or [file["sha256"] for file in preview.files] != list(files):
                raise gone
            preview.asked_us = self._clock.mono_us()
        try:
            for number, sha256 in enumerate(files, 1):
                with (self._folder / handle / clip_file(number)).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        raise gone
        except OSError as error:
            raise gone from error

    def hand_over(self, handle: str) -> None:
        """Leave the files in their folder to the release that seals them."""
        with self._lock:
            if self._preview and self._preview.handle == handle:
                self._preview = None

    def holds(self, handle: str) -> bool:
        """Return whether the folder of a request has a preview."""
        preview = self._preview
        return preview is not None and preview.handle == handle

    def pause(self) -> None:
        """Stop making it, because a release needs the processor and the memory; it begins again later."""
        with self._lock:
            if self._preview and self._preview.run:
                self._stop(self._preview)
                self._preview.state = "waiting"

    def drop(self) -> None:
        """Delete the preview."""
        with self._lock:
            self._drop()

    def step(self, offered: Collection[str], *, is_free: bool) -> bool:
        """Go on with it, or delete it if it is not wanted or not true any more; return whether one is being made.

        `offered`: the requests that wait for the owner; `is_free`: no release is being made.
        """
        with self._lock:
            preview = self._preview
            if preview is None:
                return False
            now_us = self._clock.mono_us()
            if preview.handle not in offered or now_us - preview.asked_us > IDLE_US:
                self._drop()
                return False
            if now_us - preview.checked_us >= CHECK_US:
                preview.checked_us = now_us
                if not self._is_true(preview):
                    self._drop()
                    return False
            if preview.state == "waiting" and is_free:
                self._begin(preview)
            elif preview.run:
                self._poll(preview, preview.run)
            return preview.state in ("waiting", "making")

    def _begin(self, preview: _Preview) -> None:
        folder = self._folder / preview.handle
        try:
            erase(folder)
            folder.mkdir(parents=True, mode=0o700)
            preview.run = self._release_backend.begin(folder, preview.offer, preview.offer_hash, seal=False)
            preview.state = "making"
        except CommandError as error:
            self._fail(preview, error)
        except OSError as error:
            text = f"{error.filename}: {error.strerror}"
            self._fail(preview, CommandError(text, code="not_saved", detail=str(error.strerror)))

    def _poll(self, preview: _Preview, run: ReleaseRun) -> None:
        match run.poll():
            case Progress() as progress:
                preview.progress = progress
            case Previewed(files=files):
                preview.run, preview.files, preview.state = None, files, "ready"
            case Failed(why=why):
                preview.run = None
                self._fail(preview, CommandError(why, code="preview_failed", why=why))
            case _:
                raise AssertionError("a preview is never sealed")

    def _fail(self, preview: _Preview, error: CommandError) -> None:
        log.warning("preview failed: %s", error)
        preview.state, preview.error = "failed", error
        erase(self._folder / preview.handle)

    def _is_true(self, preview: _Preview) -> bool:
        """Return whether the clips are still there, and covered by the masks that were drawn."""
        ids = [clip["id"] for clip in preview.offer["clips"]]
        try:
            return self._footage.are_there(ids) and has_masks(preview.offer, self._footage.masks(ids))
        except CommandError:
            return False

    def _stop(self, preview: _Preview) -> None:
        if preview.run:
            preview.run.stop()
            preview.run = None
        erase(self._folder / preview.handle)

    def _drop(self) -> None:
        if self._preview:
            self._stop(self._preview)
            self._preview = None
