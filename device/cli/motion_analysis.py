"""Runs the detector on a recording: every result, and the visits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from device.camera.luma import luma_of
from device.errors import CommandError
from device.media.masks import Masks
from device.motion.detector import MotionDetector, MotionResult, Tuning
from device.motion.visit import LINGER_US, Visit, VisitEnded
from device.motion.zones import Zones

Luma = NDArray[np.uint8]

_BEGIN_US = 1_000_000_000
"""Added to a recording's times: the first picture of a recording is not at the machine's start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """One way to look at a recording."""

    zones: Zones
    tuning: Tuning
    quiet_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The detector's results, by seconds from the recording's start."""

    looks: tuple[tuple[float, MotionResult], ...]
    visits: tuple[VisitEnded, ...]
    seconds: float

    @staticmethod
    def at_s(mono_us: int) -> float:
        """Return the seconds of a time in a look or a visit."""
        return (mono_us - _BEGIN_US) / 1e6

    def look_at(self, s: float) -> MotionResult:
        """Return the last look at or before `s`."""
        best = self.looks[0][1]
        for at_s, look in self.looks:
            if at_s > s:
                break
            best = look
        return best


class _Watcher:
    def __init__(self, settings: DetectorSettings) -> None:
        self._detector = MotionDetector(settings.zones, settings.tuning)
        self._visit = Visit(quiet_us=settings.quiet_us, linger_us=LINGER_US)
        self._looks: list[tuple[float, MotionResult]] = []
        self._visits: list[VisitEnded] = []

    def see(self, luma: Luma, at_us: int) -> None:
        look = self._detector.feed(luma, _BEGIN_US + at_us)
        if self._looks and look is self._looks[-1][1]:
            return
        self._looks.append((at_us / 1e6, look))
        fact = self._visit.feed(look)
        if isinstance(fact, VisitEnded):
            self._visits.append(fact)

    def story(self, end_us: int) -> Story:
        rest = self._visit.stop(_BEGIN_US + end_us)
        visits = (*self._visits, rest) if rest else tuple(self._visits)
        return Story(looks=tuple(self._looks), visits=visits, seconds=end_us / 1e6)


def stories(path: Path, ways: Sequence[DetectorSettings], masks: Masks) -> tuple[list[Story], int]:
    """Return what each way of looking makes of the recording, masked, and how many pictures it has.

    Raises CommandError when the file cannot be read as a video.
    """
    cv2.setNumThreads(1)
    watchers = [_Watcher(way) for way in ways]
    count, at_us = 0, 0
    for at_us, frame in _frames(path):
        luma = luma_of(frame)
        masks.burn(luma)
        for watcher in watchers:
            watcher.see(luma, at_us)
        count += 1
    if not count:
        raise CommandError(f"{path}: there is no picture in it")
    return [watcher.story(at_us) for watcher in watchers], count


def pictures_at(path: Path, times_s: Sequence[float], masks: Masks) -> list[Luma]:
    """Return the small grey pictures shown at these seconds (ascending), masked."""
    wanted, found, last = list(times_s), list[Luma](), None
    for at_us, frame in _frames(path):
        while wanted and at_us / 1e6 > wanted[0] and last is not None:
            found.append(luma_of(last))
            wanted.pop(0)
        if not wanted:
            break
        last = frame
    found += [luma_of(last)] * len(wanted)
    for picture in found:
        masks.burn(picture)
    return found


def _frames(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with av.open(str(path)) as file:  # egress: local
            if not file.streams.video:
                raise CommandError(f"{path}: there is no video in it")
            first_us: int | None = None
            for frame in file.decode(video=0):
                at_us = round((frame.time or 0.0) * 1e6)
                first_us = at_us if first_us is None else first_us
                yield at_us - first_us, frame
    except (OSError, ValueError) as error:  # av.error.FFmpegError is one or the other
        raise CommandError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
