"""The board's temperature, power and Wi-Fi signal, as the kernel reports them. The one reader of these.

A read may be slow: not for the main thread.
"""

import time
from collections.abc import Callable
from pathlib import Path

SYS = Path("/sys")
WIRELESS = Path("/proc/self/net/wireless")
_FLAGS = {0: "under_voltage", 1: "frequency_capped", 2: "throttled", 3: "soft_temperature_limit"}
_SLOWED = {"frequency_capped", "throttled", "soft_temperature_limit"}
HOT_C, COOL_C = 80.0, 72.0
"""A Raspberry Pi slows itself down from 80 °C on."""
CHECK_EVERY_S = 2.0


def temperature_c(sys: Path = SYS) -> float | None:
    """Return the temperature of the hottest thermal zone; None if there is none."""
    zones_c = []
    for path in sys.glob("class/thermal/thermal_zone*/temp"):
        try:
            zones_c.append(int(path.read_text()) / 1000)  # millidegrees (Linux thermal sysfs)
        except (OSError, ValueError):
            continue
    return max(zones_c, default=None)


def throttling(sys: Path = SYS) -> tuple[str, ...] | None:
    """Return what slows a Raspberry Pi down at this moment; None on other machines.

    Bits 0 to 3 of the firmware's flags, as `vcgencmd get_throttled` shows them. The folder is `soc` on some
    boards and `soc@107c000000` on others.
    """
    for path in sys.glob("devices/platform/soc*/soc*:firmware/get_throttled"):
        try:
            flags = int(path.read_text(), 16)
        except (OSError, ValueError):
            return None
        return tuple(name for bit, name in _FLAGS.items() if flags >> bit & 1)
    return None


def wifi_signal_dbm(wireless: Path = WIRELESS) -> float | None:
    """Return the signal strength of the strongest Wi-Fi connection in dBm; None without Wi-Fi, or on a cable alone.

    Source: the kernel's /proc/net/wireless, two lines of headings and then one line for each interface:
    "wlan0: 0000   58.  -52.  -256 …" (status, link quality, level, noise).
    """
    try:
        lines = wireless.read_text().splitlines()[2:]
    except OSError:
        return None
    levels_dbm = []
    for line in lines:
        fields = line.split()
        try:
            quality, level_dbm = float(fields[2]), float(fields[3])
        except (IndexError, ValueError):
            continue
        if quality > 0 and level_dbm < 0:  # an interface that is not connected has quality 0
            levels_dbm.append(level_dbm)
    return max(levels_dbm, default=None)


class HeatLimit:
    """Whether work that can wait has to wait; a machine that reports nothing is never too hot."""

    def __init__(self, sys: Path = SYS) -> None:
        self._sys = sys
        self._waiting = False

    def is_too_hot(self) -> bool:
        """Return True from 80 °C, or slowed down, until under 72 °C and no longer slowed down."""
        limit_c = COOL_C if self._waiting else HOT_C
        slowed = not _SLOWED.isdisjoint(throttling(self._sys) or ())
        self._waiting = slowed or (temperature_c(self._sys) or 0.0) >= limit_c
        return self._waiting

    def wait_until_cool(
        self, report: Callable[[], None], *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Block until it is cool enough; `report` is called every 2 s until then."""
        while self.is_too_hot():
            report()
            sleep(CHECK_EVERY_S)
