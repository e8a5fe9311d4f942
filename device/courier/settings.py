"""The courier's settings: read from the spool and checked. A file with any mistake is not used."""

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from device.courier.checked_text import matching
from device.spool.courier_settings import CourierSettingsFile
from device.spool.folders import SETTINGS, Unreadable, read_small
from device.system.clock import minute_of_day, within
from device.system.host_patterns import HOST, HTTPS_URL

MAX_FEEDS = 20
MAX_CELLS = 60
"""Those of one region (device/consent/geohash.py): more would be another daemon's mistake."""
_HOST = re.compile(HOST)
_CELL = re.compile(r"[0-9b-hjkmnp-z]{4}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}[a-z0-9]")
_URL = re.compile(HTTPS_URL)
_HOURS = re.compile(r"([0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9])?")
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The community server's broker; `ca_pem` is its certificate authority, "" for those of the system."""

    host: str
    port: int
    ca_pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When parcels may be sent ("HH:MM-HH:MM", local time; "": always), and how fast (0: no limit)."""

    kbps: int = 0
    hours: str = ""

    @property
    def bytes_a_second(self) -> int:
        """The limit as bytes; 0: none."""
        return self.kbps * 125

    def may_send_now(self) -> bool:
        """Return whether this is one of the hours."""
        return not self.hours or within(self.hours, minute_of_day(time.time_ns() // 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierSettings:
    """Nothing in it is secret, and no position in it is more precise than a region of some 150 km."""

    broker: Broker | None = None
    cells: tuple[str, ...] = ()
    feeds: dict[str, str] = field(default_factory=dict)
    limits: Limits = Limits()


def settings_in(folder: Path) -> tuple[CourierSettings, str]:
    """Return the settings in the daemon's folder, or None and the reason why they cannot be used."""
    try:
        content = read_small(folder, SETTINGS)
        return (CourierSettings(), "") if content is None else (_checked(json.loads(content)), "")
    except (OSError, Unreadable, ValueError, KeyError, TypeError, AttributeError) as error:
        return CourierSettings(), f"{folder / SETTINGS}: {error}"


def _checked(document: CourierSettingsFile) -> CourierSettings:
    if document["v"] != 1:
        raise ValueError("is of another version")
    broker = document["broker"]
    found = None
    if broker is not None:
        found = Broker(
            host=matching(_HOST, broker["host"]), port=int(broker["port"]), ca_pem=str(broker["ca_pem"])
        )
        if not 0 < found.port <= _MAX_PORT:
            raise ValueError(f"{found.port} is no port")
    feeds = {matching(_NAME, name): matching(_URL, url) for name, url in document["feeds"].items()}
    if len(feeds) > MAX_FEEDS:
        raise ValueError(f"more than {MAX_FEEDS} feeds")
    cells = tuple(matching(_CELL, cell) for cell in document["cells"])
    if len(cells) > MAX_CELLS:
        raise ValueError(f"more than {MAX_CELLS} cells")
    upload = document["upload"]
    limits = Limits(kbps=int(upload["kbps"]), hours=matching(_HOURS, upload["hours"]))
    return CourierSettings(broker=found, cells=cells, feeds=feeds, limits=limits)
