"""The settings that a dashboard may change, and the strict parsing of their values."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any


class SettingRefused(ValueError):
    """The setting does not take this value; the message says which values it takes, `code` is for the page."""

    def __init__(self, text: str, *, code: str = "switch_wrong") -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The owner's switches, kept over restarts. `quiet_until_us` is Unix microseconds; 0: not quiet."""

    motion_enabled: bool = True
    chime_muted: bool = False
    privacy: bool = False
    quiet_until_us: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return a plain dictionary, for a file."""
        return asdict(self)


_SWITCH = {"ON": True, "OFF": False}
SWITCHES = ("motion_enabled", "chime_muted", "privacy")
EXPOSING_SWITCHES = {("privacy", "OFF")}
"""Values that show more than before: the page asks for the password."""
QUIET_UNTIL, QUIET_UNTIL_US = "quiet_until", "quiet_until_us"
NO_TIME = "None"
"""What `quiet_until` is while it is not set; Home Assistant's word for an unknown value."""
LATEST_US = 4_102_444_800_000_000
"""The year 2100: later than any real time, and every library can format it."""
MAX_QUIET_US = 31 * 24 * 3600 * 1_000_000
"""A month: a typing error must not silence the chime for years."""


def with_setting(
    settings: Settings,
    name: str,
    payload: str,
    *,
    wall_us: int,
    parse_time: Callable[[str], int],
) -> Settings:
    """Return the settings with one changed. Raises SettingRefused."""
    if name in SWITCHES:
        if payload not in _SWITCH:
            raise SettingRefused(f"{name} takes ON or OFF", code="switch_wrong")
        return replace(settings, **{name: _SWITCH[payload]})
    if name == QUIET_UNTIL:
        if payload in ("", NO_TIME):
            return replace(settings, quiet_until_us=0)
        try:
            until_us = parse_time(payload)
        except (ValueError, OverflowError):
            raise SettingRefused(
                f"{name} takes a time such as 2026-11-24T22:00:00Z, or nothing to end the quiet",
                code="quiet_no_time",
            ) from None
        if not 0 <= until_us <= wall_us + MAX_QUIET_US:
            raise SettingRefused(
                f"{name} may be at most 31 days ahead, and not before 1970", code="quiet_too_long"
            )
        return without_past(replace(settings, quiet_until_us=until_us), wall_us)
    raise SettingRefused(f"there is no setting {name!r:.40}")


def without_past(settings: Settings, wall_us: int) -> Settings:
    """Return the settings without a "quiet until" that has passed."""
    return replace(settings, quiet_until_us=0) if settings.quiet_until_us <= wall_us else settings


NUMBERS = {"motion_sensitivity": "motion.sensitivity"}
"""Numbers from 0 to 1 that a dashboard may change: the name of the topic, and the key of the configuration."""


def number_of(name: str, payload: str) -> float:
    """Return the value that was asked for. Raises SettingRefused."""
    try:
        value = float(payload)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SettingRefused(f"{name} takes a number from 0 to 1, such as 0.6")
    return value


def settings_from_dict(values: object) -> Settings:
    """Read what `as_dict` wrote. Raises SettingRefused if it is anything else."""
    defaults = Settings().as_dict()
    if not isinstance(values, dict) or any(
        name not in defaults or type(value) is not type(defaults[name]) for name, value in values.items()
    ):
        raise SettingRefused("not a table of known settings with values of their types")
    if not 0 <= values.get(QUIET_UNTIL_US, 0) <= LATEST_US:
        raise SettingRefused(f"{QUIET_UNTIL_US} is no time")
    return Settings(**values)
