"""What the board says of itself: heat and power. Read by the storage worker, since files may be slow."""

from pathlib import Path

SYS = Path("/sys")
_FLAGS = {0: "under_voltage", 1: "frequency_capped", 2: "throttled", 3: "soft_temperature_limit"}


def temperature_c(sys: Path = SYS) -> float | None:
    """Return the processor's temperature (Linux thermal sysfs, millidegrees), if it tells one."""
    try:
        return int((sys / "class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def throttling(sys: Path = SYS) -> tuple[str, ...] | None:
    """Return what holds a Raspberry Pi back at this moment; None on other machines.

    The firmware's flags, as `vcgencmd get_throttled` shows them: bits 0 to 3 are now.
    """
    for path in sys.glob("devices/platform/soc*/soc*:firmware/get_throttled"):
        try:
            flags = int(path.read_text(), 16)
        except (OSError, ValueError):
            return None
        return tuple(name for bit, name in _FLAGS.items() if flags >> bit & 1)
    return None
