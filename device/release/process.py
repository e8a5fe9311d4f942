"""One release, in a process of its own (`python -m device.release`). Job on stdin, progress on stdout.

Lines: {"part": 0.42, "stage": "cutting", "hot": false}, and last {"parcel": {...}} or {"failed": "why"}; of a preview,
which encrypts nothing, {"files": [...]}.
It ends with the process that started it.
"""

import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

import av

from device.consent.documents import Manifest, ManifestClip, OfferedClip, Parcel, ParcelClip, clip_file
from device.release.audit import Promise, audit
from device.release.clip_cutter import Wanted, cut
from device.release.errors import NotAllowed
from device.release.job import PARCEL, Job, blurs_of
from device.release.leak_scan import Pattern, patterns, place_canaries
from device.system.board import HeatLimit
from device.system.core_dumps import forbid_core_dumps

NICENESS = 19
PR_SET_PDEATHSIG = 1  # sys/prctl.h
TELL_EVERY_S = 0.25
MIN_LIMIT_S, LIMIT_TIMES = 600.0, 40.0
"""Work (without waiting for the board to cool) may take so many times as long as the clips last."""
_US = 1e6


class ProgressLine(TypedDict):
    """How far it is: `part` 0 to 1 of `stage`; `hot`: it waits for the board to cool."""

    part: float
    stage: str
    hot: bool


class ParcelLine(TypedDict):
    """The last line of a release that went well."""

    parcel: Parcel


class FilesLine(TypedDict):
    """The last line of a preview that went well: the cut and audited files, as they would be sealed."""

    files: list[ParcelClip]


class FailureLine(TypedDict):
    """The last line of one that did not; for a person."""

    failed: str


OutputLine = ProgressLine | ParcelLine | FilesLine | FailureLine
"""One line of the standard output."""


class TooLong(NotAllowed):
    """Encoding takes longer than it may."""


class Release:
    """The steps of one release; `say` hands a line to whoever started it."""

    def __init__(self, job: Job, say: Callable[[OutputLine], None]) -> None:
        self._job = job
        self._say = say
        self._heat = HeatLimit()
        self._told_s = self._rested_s = 0.0
        self._began_s = time.monotonic()
        clips = job.offer["clips"]
        self._lengths = [clip["last_us"] - clip["first_us"] for clip in clips]
        self._limit_s = max(MIN_LIMIT_S, LIMIT_TIMES * sum(self._lengths) / _US)
        texts, numbers = place_canaries(*job.home) if job.home else ([], [])
        self._canaries: list[Pattern] = patterns([*job.canaries, *texts]) + numbers

    def run(self) -> Parcel:
        """Make the parcel; return what it is. Raises NotAllowed, OSError, av.error.FFmpegError."""
        return self._seal(self._cut_all())

    def preview(self) -> list[ParcelClip]:
        """Make the files alone. Raises NotAllowed, OSError, av.error.FFmpegError."""
        return _files(self._cut_all())

    def _cut_all(self) -> list[ManifestClip]:
        if self._job.files and self._job.is_masked_further:
            raise NotAllowed("a privacy mask was added since you played the clips: nothing was released")
        return [self._entry(number, clip) for number, clip in enumerate(self._job.offer["clips"], 1)]

    def _seal(self, entries: list[ManifestClip]) -> Parcel:
        job = self._job
        # Only now: while it cuts and decodes, memory is what a small board has least of.
        from device.release.audit_parcel import audit_parcel
        from device.release.manifest import FILE, public_x, signed
        from device.release.parcel import archive, seal

        manifest = job.folder / FILE
        manifest.write_bytes(signed(self._manifest(entries), job.seed))
        self._say({"part": 1.0, "stage": "sealing", "hot": False})
        plain = job.folder / "parcel.tar"
        archive(
            plain, [(FILE, manifest), *((entry["file"], job.folder / entry["file"]) for entry in entries)]
        )
        if wrong := audit_parcel(plain, [entry["sha256"] for entry in entries]):
            raise NotAllowed(f"the audit of the parcel failed ({wrong}): nothing was released")
        digest, size_bytes = seal(plain, job.folder / PARCEL, job.offer["recipient"]["age"])
        plain.unlink()
        return {"sha256": digest, "bytes": size_bytes, "key": public_x(job.seed), "clips": _files(entries)}

    def _entry(self, number: int, clip: OfferedClip) -> ManifestClip:
        """Make a clip's file, and return how the manifest describes it."""
        path = self._job.folder / clip_file(number)
        self._cut(number - 1, clip, path)
        digest = _digest(path)
        if self._job.files and digest != self._job.files[number - 1]:
            raise NotAllowed(f"clip {clip['id']} is not the file that you played: nothing was released")
        return {
            "file": path.name,
            "sha256": digest,
            "bytes": path.stat().st_size,
            "start": clip["start"],
            "end": clip["end"],
            "clock": clip["clock"],
            "frames": clip["frames"],
            "length_us": clip["last_us"] - clip["first_us"],
            "sound": self._job.offer["audio"],
            "masks": len(self._job.masks),
            "blurs": len(clip["blur"]),
        }

    def _cut(self, index: int, clip: OfferedClip, path: Path) -> None:
        job = self._job
        source = job.source(clip)
        if _digest(source) != clip["sha256"]:
            raise NotAllowed(f"clip {clip['id']} is not what it was when it was offered")
        if job.files and path.exists() and _digest(path) == job.files[index]:
            source.unlink()
            return  # cut and audited for the preview, and unchanged since
        path.unlink(missing_ok=True)
        wanted = Wanted(
            first_us=clip["first_us"],
            last_us=clip["last_us"],
            frames=clip["frames"],
            audio=job.offer["audio"],
            masks=job.masks,
            blurs=blurs_of(clip),
        )
        done_us, whole_us = sum(self._lengths[:index]), max(1, sum(self._lengths))

        def tell(part: float) -> None:
            self._tell((done_us + part * self._lengths[index]) / whole_us)

        media_sha256 = cut(source, path, wanted, tell)
        source.unlink()
        promise = Promise(
            frames=clip["frames"],
            length_us=clip["last_us"] - clip["first_us"],
            sound=job.offer["audio"],
            media_sha256=media_sha256,
        )
        report = audit(path, promise, self._canaries)
        if not report.good:
            raise NotAllowed(f"the audit of clip {clip['id']} failed ({report.wrong}): nothing was released")

    def _tell(self, part: float) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < TELL_EVERY_S:
            return
        self._told_s = now_s
        self._say({"part": round(part, 3), "stage": "cutting", "hot": False})
        self._heat.wait_until_cool(
            lambda: self._say({"part": round(part, 3), "stage": "cutting", "hot": True})
        )
        self._rested_s += time.monotonic() - now_s
        if now_s - self._began_s - self._rested_s > self._limit_s:
            raise TooLong(f"encoding took longer than {self._limit_s:.0f} s; choose fewer or shorter clips")

    def _manifest(self, clips: list[ManifestClip]) -> Manifest:
        offer = self._job.offer
        return {
            "v": 1,
            "request": offer["request"],
            "request_sha256": offer["request_sha256"],
            "window": offer["window"],
            "recipient": offer["recipient"]["age"],
            "offer_hash": self._job.offer_hash,
            "software": self._job.version,
            "clips": clips,
        }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(entries: list[ManifestClip]) -> list[ParcelClip]:
    return [{"file": entry["file"], "sha256": entry["sha256"], "bytes": entry["bytes"]} for entry in entries]


def main() -> int:
    """Run the job on stdin."""
    forbid_core_dumps()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # without its daemon it has no business
        os.nice(NICENESS)
    os.umask(0o077)

    def say(line: OutputLine) -> None:
        print(json.dumps(line), flush=True)  # noqa: T201

    try:
        job = Job.read(sys.stdin.read())
        release = Release(job, say)
        result: OutputLine = {"parcel": release.run()} if job.seal else {"files": release.preview()}
    except BrokenPipeError:
        return 1
    except (NotAllowed, OSError, ValueError, av.error.FFmpegError) as error:
        say({"failed": str(error)})
        return 1
    say(result)
    return 0
