"""The independent auditor: opens a finished clip and demands positive proof of everything that was promised.

It shares no code with the side that writes (`scripts/check` holds it to that). Its own parser accounts for every byte
up to the first macroblock of each picture. FFmpeg then decodes every picture, and a bit behind the last macroblock is
an error (docs/decisions/0017). One proof that fails, and nothing is released.
"""

import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from device.release.audit_boxes import SOUND_HZ, VIDEO_TICKS, AuditedFile, Violation, read_file
from device.release.audit_units import KEYFRAME_EVERY, QUANTISER, parameter_sets, picture
from device.release.leak_scan import Pattern, found_in

_US = 1_000_000
_STRICT = {
    # Any damage is an error, and so is a bit of a slice that no macroblock needs ("aggressive").
    "err_detect": "explode+aggressive",
    "export_side_data": "venc_params",
    # The filter that only smooths is left out, which saves a quarter of the work.
    "skip_loop_filter": "all",
}
_PLAIN_TAGS = {"major_brand", "minor_version", "compatible_brands", "language", "handler_name", "vendor_id"}
_PARAMETERS = np.dtype(
    [("blocks", "u4"), ("", "u4"), ("offset", "u8"), ("stride", "u8"), ("type", "i4"), ("qp", "i4")]
)
_MACROBLOCK = 5
"""Numbers of an AVVideoBlockParams: place, size, and how its quantiser differs (libavutil/video_enc_params.h)."""
_READ_BYTES = 1 << 20
_COLLECT_EVERY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The promises of a clip."""

    frames: int
    length_us: int
    sound: bool
    media_sha256: str | None = None
    """Of all pictures and the sound as the encoder made them, if the one who asks knows it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One promise and whether it was proved; `result` is a sentence."""

    name: str
    good: bool
    result: str


@dataclass(slots=True)
class AuditReport:
    """The result of an audit."""

    proofs: list[Proof] = field(default_factory=list)
    frames: int = 0
    length_us: int = 0
    codecs: list[str] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def good(self) -> bool:
        """Whether everything was proved."""
        return bool(self.proofs) and all(proof.good for proof in self.proofs)

    @property
    def wrong(self) -> str:
        """The first thing that was not proved, in a sentence; empty if everything was."""
        return next((f"{proof.name}: {proof.result}" for proof in self.proofs if not proof.good), "")


def audit(path: Path, promise: Promise | None, canaries: Sequence[Pattern]) -> AuditReport:
    """Audit a clip; without a promise, everything that holds for every clip. Raises OSError."""
    report = AuditReport()
    with path.open("rb") as file:
        _Audit(file, path, promise, canaries, report).run()
    return report


class _Audit:
    def __init__(
        self,
        file: BinaryIO,
        path: Path,
        promise: Promise | None,
        canaries: Sequence[Pattern],
        report: AuditReport,
    ) -> None:
        self._file = file
        self._path = path
        self._promise = promise
        self._canaries = canaries
        self._report = report
        self._parsed = AuditedFile(size=path.stat().st_size)
        report.size_bytes = self._parsed.size

    def run(self) -> None:
        """Check one promise after another; stop at the first that fails, because the next ones depend on it."""
        steps: tuple[tuple[str, Callable[[], str]], ...] = (
            ("boxes", self._boxes),
            ("sound", self._sound),
            ("headers", self._headers),
            ("pictures", self._pictures),
            ("times", self._times),
            ("decoded", self._decoded),
            ("as encoded", self._as_encoded),
            ("names", self._search),
        )
        for name, step in steps:
            try:
                self._report.proofs.append(Proof(name, True, step()))  # noqa: FBT003
            except Violation as error:
                self._report.proofs.append(Proof(name, False, str(error)))  # noqa: FBT003
                return

    def _data(self, begin: int, end: int) -> bytes:
        self._file.seek(begin)
        return self._file.read(end - begin)

    def _boxes(self) -> str:
        parsed = self._parsed = read_file(self._data, self._parsed.size)
        self._report.frames = parsed.frames
        self._report.codecs = ["avc1", *(["sowt"] if parsed.sound_samples else [])]
        return (
            f"{len(parsed.boxes)} boxes, each at its place; every byte is in one, and every byte of the media is of "
            "one picture or of the sound"
        )

    def _sound(self) -> str:
        samples = self._parsed.sound_samples
        if not samples:
            return "none"
        if self._promise and not self._promise.sound:
            raise Violation("there is sound, which was not to leave")
        return f"{samples / SOUND_HZ:.3f} s of PCM, as long as the pictures"

    def _headers(self) -> str:
        parsed = self._parsed
        parameter_sets(parsed.sps, parsed.pps, parsed.width_px, parsed.height_px)
        expected = list(range(1, parsed.frames + 1, KEYFRAME_EVERY))
        if parsed.keys != expected:
            raise Violation(f"the table of keyframes does not name every {KEYFRAME_EVERY}th picture")
        return "the parameter sets of a picture of this size, to the bit"

    def _pictures(self) -> str:
        for number, (begin, end) in enumerate(self._parsed.pictures()):
            try:
                picture(self._data(begin, end), number)
            except Violation as error:
                raise Violation(f"picture {number + 1}: {error}") from error
        found = self._parsed.frames
        if self._promise and found != self._promise.frames:
            raise Violation(f"there are {found} pictures; {self._promise.frames} were approved")
        return f"{found}, each of one slice, with the header that is due"

    def _times(self) -> str:
        frames, ticks = self._parsed.frames, self._parsed.length_ticks
        self._report.length_us = length_us = ticks * _US // VIDEO_TICKS
        if self._promise:
            missing = self._promise.length_us * VIDEO_TICKS - ticks * _US
            if not 0 <= missing < (frames + 1) * _US:  # each picture's duration is rounded down to a tick
                raise Violation(f"it lasts {length_us} us; {self._promise.length_us} us were approved")
        return f"from 0 to {length_us / _US:.3f} s at one pace, without a date"

    def _decoded(self) -> str:
        parsed, decoded = self._parsed, 0
        try:
            with av.open(str(self._path)) as file:  # egress: local
                self._agrees(file)
                for number, frame in enumerate(_frames(file)):
                    _check_frame(frame, number, parsed)
                    decoded = number + 1
                    if not decoded % _COLLECT_EVERY:
                        gc.collect()  # PyAV's side data refers to its picture, which refers to it
                heard = parsed.sound_samples
                if len(file.streams) > 1:
                    file.seek(0)
                    heard = sum(frame.samples for frame in file.decode(file.streams.audio[0]))
        except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
            why = getattr(error, "strerror", None) or error
            raise Violation(
                f"FFmpeg refuses it near picture {decoded + 1} ({why}): a slice is damaged, or goes on behind its "
                "last macroblock"
            ) from error
        if decoded != parsed.frames or heard != parsed.sound_samples:
            raise Violation(f"FFmpeg decodes {decoded} pictures of {parsed.frames}, {heard} samples of sound")
        return f"FFmpeg decodes {decoded} pictures, and no bit of a slice is left over"

    def _agrees(self, file: Any) -> None:
        found = [stream.codec_context.name for stream in file.streams]
        if found != ["h264", "pcm_s16le"][: len(self._report.codecs)]:
            raise Violation(f"FFmpeg finds the streams {found}")
        tags = dict(file.metadata)
        for stream in file.streams:
            tags |= dict(stream.metadata)
        tags = {name: value for name, value in tags.items() if name not in _PLAIN_TAGS}
        if tags:
            raise Violation(f"FFmpeg finds texts about it: {sorted(tags)}")

    def _as_encoded(self) -> str:
        if self._promise is None or self._promise.media_sha256 is None:
            return "only the doorbell itself can prove that, before it sends"
        digest = hashlib.sha256()
        begin, end = self._parsed.media
        for block in range(begin, end, _READ_BYTES):
            digest.update(self._data(block, min(end, block + _READ_BYTES)))
        if digest.hexdigest() != self._promise.media_sha256:
            raise Violation("the pictures or the sound are not those that the encoder made")
        return "pictures and sound are those that the encoder made, to the bit"

    def _search(self) -> str:
        begin, end = self._parsed.media
        self._file.seek(begin)
        found = found_in(self._file, self._canaries, end - begin)
        if found:
            raise Violation(f"the pictures or the sound hold {', '.join(map(repr, found))}")
        return f"none of {len({pattern.what for pattern in self._canaries})} texts that must not leave"


def _frames(file: Any) -> Iterator[Any]:
    """Yield every picture; the decoder is one that takes no damage."""
    video: Any = file.streams.video[0]
    video.codec_context.thread_count = 1
    video.codec_context.options = _STRICT
    yield from file.decode(video)


def _side_data(frame: Any) -> list[Any]:
    """Return everything that comes with a picture.

    By number, which all versions of PyAV do alike: to iterate gives the data in one and their kinds in another, and
    `len` there leaves out a second of the same kind.
    """
    container, found = frame.side_data, list[Any]()
    with suppress(IndexError):
        while True:
            found.append(container[len(found)])
    return found


def _check_frame(frame: Any, number: int, parsed: AuditedFile) -> None:
    """Prove that a picture is whole, shown when it is due, and coded with the one quantiser."""
    where = f"picture {number + 1}"
    if frame.is_corrupt:
        raise Violation(f"{where} is damaged")
    if frame.pts != number * parsed.step_ticks:
        raise Violation(f"{where} is shown at {frame.pts}, not at {number * parsed.step_ticks}")
    if (frame.width, frame.height) != (parsed.width_px, parsed.height_px):
        raise Violation(f"{where} has {frame.width} x {frame.height} pixels")
    found = _side_data(frame)
    kinds = [data for data in found if data.type.name == "VIDEO_ENC_PARAMS"]
    others = [data.type.name for data in found if data.type.name != "VIDEO_ENC_PARAMS"]
    if len(kinds) != 1 or others:
        raise Violation(f"{where} comes with other data: {others}")
    raw = bytes(kinds[0])
    head = np.frombuffer(raw, _PARAMETERS, 1)[0]
    blocks = np.frombuffer(raw, "i4", int(head["blocks"]) * _MACROBLOCK, int(head["offset"]))
    differences = blocks[_MACROBLOCK - 1 :: _MACROBLOCK]
    if head["qp"] != QUANTISER or differences.any() or len(differences) * 256 != frame.width * frame.height:
        raise Violation(f"{where} is not coded with the quantiser {QUANTISER} alone")
