"""The independent auditor: opens a finished clip and demands positive proof of everything that was promised.

It shares no code with the side that writes (`scripts/check` holds it to that). It reads the file with a
parser of its own, and once more with FFmpeg: what the two find has to agree. One proof that fails, and
nothing is released.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

from device.release.audit_boxes import AuditedFile, AuditedTrack, Violation, read_file
from device.release.audit_units import avc_header, hevc_header, picture, sound, sound_header
from device.release.leak_scan import MIN_IN_MEDIA, Pattern, found_in

_US = 1_000_000
_SLACK_US = 1000
"""Times of the file are whole ticks, those that were promised whole microseconds."""
_SOUND_PACKET_US = 100_000
"""No packet of AAC lasts longer: sound that ends with the pictures ends within one of them."""
_STRICT = {"err_detect": "explode", "skip_loop_filter": "all"}
"""Any damage is an error; the filter that only smooths is left out, which saves a quarter of the work."""
_PLAIN_TAGS = {"major_brand", "minor_version", "compatible_brands", "language", "handler_name", "vendor_id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The promises of a clip."""

    frames: int
    length_us: int
    sound: bool


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
            ("tracks", self._tracks),
            ("media", self._media),
            ("headers", self._headers),
            ("pictures", self._pictures),
            ("times", self._times),
            ("another reader", self._another_reader),
            ("canaries", self._search),
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

    @property
    def _video(self) -> AuditedTrack:
        return next(track for track in self._parsed.tracks if track.is_video)

    def _boxes(self) -> str:
        self._parsed = read_file(self._data, self._parsed.size)
        return f"{len(self._parsed.boxes)} boxes, every one of them listed, and every byte in one"

    def _tracks(self) -> str:
        tracks = self._parsed.tracks
        kinds = [track.handler for track in tracks]
        if kinds not in ([b"vide"], [b"vide", b"soun"], [b"soun", b"vide"]):
            raise Violation(
                f"the tracks are {kinds}: one of pictures, and at most one of sound, may be there"
            )
        sound = len(tracks) > 1
        if self._promise and sound and not self._promise.sound:
            raise Violation("there is sound, which was not to leave")
        numbers = [track.number for track in tracks]
        if numbers != [*range(1, len(tracks) + 1)] or self._parsed.next_track != len(tracks) + 1:
            raise Violation("the tracks are not numbered one after the other")
        for track in tracks:
            count = len(track.sizes)
            if len(track.durations) != count or (track.offsets and len(track.offsets) != count):
                raise Violation("the tables of times and of sizes differ in length")
            if track.keys is not None and (
                not track.is_video or track.keys != sorted(set(track.keys)) or not count > 0
                or track.keys[:1] != [1] or track.keys[-1] > count
            ):  # fmt: skip
                raise Violation("the table of keyframes names pictures that are not there")
            if track.offsets and not track.is_video:
                raise Violation("sound with a table of offsets")
        self._report.codecs = [track.codec for track in tracks]
        self._report.frames = len(self._video.sizes)
        return f"one of pictures ({self._video.codec}), {'one of sound' if sound else 'none of sound'}"

    def _media(self) -> str:
        spans = sorted(span for track in self._parsed.tracks for span in track.samples())
        offset = self._parsed.media[0]
        for begin, size in spans:
            if begin != offset:
                raise Violation(
                    f"{abs(begin - offset)} bytes at {min(begin, offset)} of the media belong to "
                    f"{'no sample' if begin > offset else 'two samples'}"
                )
            offset += size
        if offset != self._parsed.media[1]:
            raise Violation(
                f"{abs(self._parsed.media[1] - offset)} bytes at the end of the media are in no sample"
            )
        return f"{len(spans)} samples fill the media to the byte"

    def _headers(self) -> str:
        for track in self._parsed.tracks:
            match track.codec:
                case "avc1":
                    avc_header(track.config)
                case "hvc1":
                    hevc_header(track.config)
                case _:
                    sound_header(track.config)
        return "parameter sets, and nothing besides"

    def _pictures(self) -> str:
        video = self._video
        for number, (begin, size) in enumerate(video.samples()):
            try:
                picture(self._data(begin, begin + size), codec=video.codec, is_first=not number)
            except Violation as error:
                raise Violation(f"sample {number + 1}: {error}") from error
        for track in self._parsed.tracks:
            for begin, size in [] if track.is_video else track.samples():
                sound(self._data(begin, begin + size))
        found = self._report.frames
        if self._promise and found != self._promise.frames:
            raise Violation(f"there are {found} pictures; {self._promise.frames} were approved")
        return f"{found}, each alone in its sample, slices only"

    def _times(self) -> str:
        longest = 0
        for track in self._parsed.tracks:
            length = sum(track.durations)
            if not track.ticks or length != track.length or 0 in track.durations:
                raise Violation("the lengths of the samples do not add up to that of the track")
            in_movie = length * self._parsed.movie_ticks // track.ticks
            if track.movie_length != in_movie:
                raise Violation("the track says another length than its samples have")
            longest = max(longest, in_movie)
        if not self._parsed.movie_ticks or longest != self._parsed.movie_length:
            raise Violation("the file says another length than its tracks have")
        video = self._video
        length_us = int(Fraction(video.length, video.ticks) * _US)
        self._report.length_us = length_us
        shown, decoded = [], 0
        for index, duration in enumerate(video.durations):
            shown.append(decoded + (video.offsets[index] if video.offsets else 0))
            decoded += duration
        if sorted(shown) != sorted(set(shown)) or min(shown) != 0 or max(shown) >= video.length:
            raise Violation("a picture is shown twice, before the beginning or behind the end")
        if self._promise and length_us > self._promise.length_us + _SLACK_US:
            raise Violation(f"it lasts {length_us} us; {self._promise.length_us} us were approved")
        for track in self._parsed.tracks:
            over_us = int(Fraction(track.length, track.ticks) * _US) - length_us
            if not track.is_video and over_us > _SLACK_US:
                raise Violation("the sound lasts longer than the pictures")
            if not track.is_video and max(track.durations) * _US > _SOUND_PACKET_US * track.ticks:
                raise Violation("a packet of sound lasts longer than one can")
        return f"from 0 to {length_us / _US:.3f} s, without a date"

    def _another_reader(self) -> str:
        try:
            with av.open(str(self._path)) as file:  # egress: local
                self._agrees(file)
                video: Any = file.streams.video[0]
                video.codec_context.thread_count = 1
                video.codec_context.options = _STRICT
                frames = sum(1 for _ in file.decode(video))
        except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
            raise Violation(f"FFmpeg cannot read it: {error}") from error
        if frames != self._report.frames:
            raise Violation(f"FFmpeg decodes {frames} pictures of {self._report.frames}")
        return f"FFmpeg finds the same streams and decodes {frames} pictures"

    def _agrees(self, file: Any) -> None:
        kinds = {"avc1": "h264", "hvc1": "hevc", "mp4a": "aac"}
        found = [stream.codec_context.name for stream in file.streams]
        if found != [kinds[codec] for codec in self._report.codecs]:
            raise Violation(f"FFmpeg finds the streams {found}")
        tags = dict(file.metadata)
        for stream in file.streams:
            tags |= dict(stream.metadata)
        tags = {name: value for name, value in tags.items() if name not in _PLAIN_TAGS}
        if tags:
            raise Violation(f"FFmpeg finds texts about it: {sorted(tags)}")

    def _search(self) -> str:
        self._file.seek(0)
        found = found_in(self._file, self._canaries, shortest=MIN_IN_MEDIA)
        begin, end = self._parsed.media
        for first, last in ((0, begin), (end, self._parsed.size)):
            found += found_in(io.BytesIO(self._data(first, last)), self._canaries)
        if found:
            raise Violation(f"it holds {', '.join(repr(text) for text in dict.fromkeys(found))}")
        return f"none of {len({pattern.what for pattern in self._canaries})} texts that must not leave"
