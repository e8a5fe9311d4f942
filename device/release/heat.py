"""Whether the board is too hot to go on: encoding is the one thing that can wait."""

import time
from collections.abc import Callable
from pathlib import Path

SYS = Path("/sys")
HOT_C, COOL_C = 80.0, 72.0
"""A Raspberry Pi slows itself down from 80 °C on."""
_THROTTLED_NOW = 0xE
"""Of `get_throttled`: slower by temperature or voltage (bits 1 to 3), this very moment."""
LOOK_S = 2.0


class Heat:
    """Reads what the kernel says; a machine that says nothing is never too hot."""

    def __init__(self, sys: Path = SYS) -> None:
        self._throttled = sys / "devices/platform/soc/soc:firmware/get_throttled"
        self._zones = sorted((sys / "class/thermal").glob("thermal_zone*/temp"))
        self._waits = False

    def is_too_hot(self) -> bool:
        """Return whether to wait: from 80 °C, or throttled, until under 72 °C and not throttled."""
        limit_c = COOL_C if self._waits else HOT_C
        hottest_c = max((_number(zone, 10) / 1000 for zone in self._zones), default=0.0)
        throttled = _number(self._throttled, 16) & _THROTTLED_NOW
        self._waits = bool(throttled) or hottest_c >= limit_c
        return self._waits

    def rest(self, tell: Callable[[], None], *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until it is cool enough, telling so at every look."""
        while self.is_too_hot():
            tell()
            sleep(LOOK_S)


def _number(path: Path, base: int) -> int:
    try:
        return int(path.read_text().strip(), base)
    except (OSError, ValueError):
        return 0
