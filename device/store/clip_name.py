"""A clip's file name holds what the index needs, so that it can be rebuilt from the files alone.

    20261124T202017.123Z_01KA…(ULID of the event)_press_s.mp4

Start in UTC, event, cause, and s or u: whether the wall clock was synchronised. A growing file has `.part`
appended.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast, get_args

from device.events import Cause, ClockFlag

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(
    r"(?P<stamp>\d{8}T\d{6}\.\d{3}Z)_(?P<event>[0-9A-HJKMNP-TV-Z]{26})"
    r"_(?P<cause>press|manual|motion)_(?P<flag>[su])\.mp4"
)
FLAGS: dict[ClockFlag, Literal["s", "u"]] = {"synchronised": "s", "unsynchronised": "u"}


def stamp_text(wall_us: int) -> str:
    """Return Unix microseconds as they are written in a file's name: UTC, to the millisecond."""
    moment = _EPOCH + timedelta(microseconds=wall_us)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"


def wall_us_of(stamp: str) -> int | None:
    """Return the Unix microseconds of such a text, None if it is no time."""
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%S.%f%z")
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipName:
    """The contents of a clip's file name."""

    started_wall_us: int
    event_id: str
    cause: Cause
    clock: ClockFlag

    @property
    def stamp(self) -> str:
        """The start as it is written in the name."""
        return stamp_text(self.started_wall_us)

    @property
    def clip_id(self) -> str:
        """Short enough to type: the start and the last four letters of the event."""
        return f"{self.stamp}-{self.event_id[-4:]}"

    @property
    def file_name(self) -> str:
        """The final name of the file."""
        return f"{self.stamp}_{self.event_id}_{self.cause}_{FLAGS[self.clock]}.mp4"

    def is_taken(self, folder: Path) -> bool:
        """Return whether a file of this start and event is there, whatever its cause and flag, or a `.part`.

        Checked name by name: listing a folder takes longer with each clip in it.
        """
        names = [
            replace(self, cause=cause, clock=clock).file_name for cause in get_args(Cause) for clock in FLAGS
        ]
        return any((folder / (name + end)).exists() for name in names for end in ("", ".part"))

    @classmethod
    def parse(cls, file_name: str) -> "ClipName | None":
        """Read a final file name; None if it is not one of ours."""
        match = _NAME.fullmatch(file_name)
        if match is None:
            return None
        started_wall_us = wall_us_of(match["stamp"])
        if started_wall_us is None:
            return None
        return cls(
            started_wall_us=started_wall_us,
            event_id=match["event"],
            cause=cast("Cause", match["cause"]),
            clock="synchronised" if match["flag"] == "s" else "unsynchronised",
        )
