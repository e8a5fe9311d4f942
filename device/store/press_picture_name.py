"""The file name of a press picture holds what the index needs, so that it can be rebuilt from the files alone.

    20261124T202017.123Z_01KA…(ULID of the event)_2_s.jpg

Moment of the press in UTC, event, number of the press in its visit, and s or u: whether the wall clock was
synchronised.
"""

import re
from dataclasses import dataclass

from device.events import ClockFlag, PressEvent
from device.store.clip_name import FLAGS, stamp_text, wall_us_of

_NAME = re.compile(
    r"(?P<stamp>\d{8}T\d{6}\.\d{3}Z)_(?P<event>[0-9A-HJKMNP-TV-Z]{26})_(?P<number>[1-9]\d{0,8})_(?P<flag>[su])\.jpg"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PressPictureName:
    """The contents of a press picture's file name."""

    pressed_wall_us: int
    event_id: str
    press_number: int
    clock: ClockFlag

    @property
    def file_name(self) -> str:
        """The name of the file."""
        stamp = stamp_text(self.pressed_wall_us)
        return f"{stamp}_{self.event_id}_{self.press_number}_{FLAGS[self.clock]}.jpg"

    @classmethod
    def of(cls, press: PressEvent) -> "PressPictureName":
        """Return the name of a press's picture."""
        return cls(
            pressed_wall_us=press.at.wall_us,
            event_id=press.event_id,
            press_number=press.press_number,
            clock=press.at.flag,
        )

    @classmethod
    def parse(cls, file_name: str) -> "PressPictureName | None":
        """Read a file name; None if it is not one of ours."""
        match = _NAME.fullmatch(file_name)
        pressed_wall_us = wall_us_of(match["stamp"]) if match else None
        if match is None or pressed_wall_us is None:
            return None
        return cls(
            pressed_wall_us=pressed_wall_us,
            event_id=match["event"],
            press_number=int(match["number"]),
            clock="synchronised" if match["flag"] == "s" else "unsynchronised",
        )
