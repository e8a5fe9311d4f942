"""The settings file in the spool. The daemon writes it; the courier reads and checks it."""

from typing import TypedDict


class BrokerAddress(TypedDict):
    """The community server's broker; `ca_pem` is its authority, "" for those of the system."""

    host: str
    port: int
    ca_pem: str


class UploadLimits(TypedDict):
    """`kbps`: 0 is no limit. `hours`: "HH:MM-HH:MM" local time, "" is always."""

    kbps: int
    hours: str


class CourierSettingsFile(TypedDict):
    """The courier's broker, cells and feeds. Nothing in it is secret, or more precise than a region of some 150 km."""

    v: int
    broker: BrokerAddress | None
    cells: list[str]
    feeds: dict[str, str]
    upload: UploadLimits
