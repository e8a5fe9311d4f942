"""What the page may ask of the house. The composition implements it (device/daemon/api_backend.py).

Every method may block for some seconds, is called on a thread that may, and raises CommandError.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from device.consent.offer import Choice, Corners
from device.events import Packet, SoundPacket


class Read(Protocol):
    """What a ring answers: packets in order, where to go on, how many were gone already."""

    @property
    def packets(self) -> tuple[Packet | SoundPacket, ...]:
        """The packets from the asked one on."""

    @property
    def next_seq(self) -> int:
        """Where to go on."""

    @property
    def lost(self) -> int:
        """How many of the asked ones are gone."""


class PacketFeed(Protocol):
    """Encoded pictures that may be shown: the camera's own, or masked ones."""

    def since(self, seq: int) -> Read:
        """Return what came at or after `seq`."""

    def seq_at(self, mono_us: int) -> int:
        """Return where to read from for the last keyframe shown at or before `mono_us`."""


class Consent(Protocol):
    """The consent service, as far as the page goes (device/consent_service/service.py)."""

    def requests(self) -> list[dict[str, Any]]:
        """Return every request, newest first."""

    def request(self, request_id: str, choice: Choice) -> dict[str, Any]:
        """Return one request with exactly what would leave."""

    def approve(self, request_id: str, shown_hash: str, choice: Choice) -> dict[str, Any]:
        """Approve what the owner was shown."""

    def decline(self, request_id: str) -> dict[str, Any]:
        """Decline."""

    def withdraw(self, request_id: str) -> dict[str, Any]:
        """Take an approval back."""

    def destinations(self) -> list[dict[str, Any]]:
        """Return the owner's own places for backups."""

    def add_destination(self, said: Mapping[str, Any], secret: str) -> dict[str, Any]:
        """Consent to one."""

    def remove_destination(self, name: str) -> None:
        """End one."""

    def notices(self) -> list[dict[str, Any]]:
        """Return the notices, newest first."""

    def senders(self) -> list[dict[str, Any]]:
        """Return the pinned senders."""

    def look_at(self, record: bytes) -> dict[str, Any]:
        """Return what a sender's file says, before it is pinned."""

    def pin(self, record: bytes, typed: str) -> None:
        """Pin a sender whose fingerprint was typed."""

    def rotate(self, record: bytes) -> None:
        """Take a newer record of a pinned sender."""

    def unpin(self, sender: str) -> None:
        """End a pin."""

    def feeds(self) -> dict[str, str]:
        """Return the feeds: name → address."""

    def add_feed(self, name: str, url: str) -> None:
        """Listen to a feed."""

    def remove_feed(self, name: str) -> None:
        """Listen to a feed no longer."""

    def ledger(self, newest: int) -> dict[str, Any]:
        """Return the newest entries, the head, and what was refused."""

    def export(self) -> Iterator[str]:
        """Yield the whole ledger as JSON lines."""


class Backend(Protocol):
    """The house, as far as its page goes."""

    def ring(self) -> dict[str, Any]:
        """Ring as if the button was pressed."""

    def status(self) -> dict[str, Any]:
        """Return how the doorbell is."""

    def record(self) -> dict[str, Any]:
        """Make a clip of this moment."""

    def switch(self, name: str, payload: str) -> dict[str, Any]:
        """Change one of the owner's switches; `payload` as on its MQTT topic."""

    def clips(self, from_wall_us: int | None, until_wall_us: int | None) -> list[dict[str, Any]]:
        """Return the clips that began in a span of Unix microseconds, or the newest thousand."""

    def clip(self, clip_id: str) -> dict[str, Any]:
        """Return one clip."""

    def star(self, clip_id: str, *, on: bool) -> dict[str, Any]:
        """Set or take the owner's star."""

    def delete(self, clip_id: str) -> dict[str, Any]:
        """Delete a clip."""

    def log(self) -> list[dict[str, Any]]:
        """Return the newest rows of the log."""

    def event(self, part: str) -> list[dict[str, Any]]:
        """Return the log of one visit."""

    def snapshot(self) -> bytes:
        """Return what the camera sees now as JPEG, masked."""

    def visits(self, from_wall_us: int, until_wall_us: int) -> str:
        """Return the visits that began in a span of Unix microseconds, as JSON; see store/timeline_query.py."""

    def hours(self) -> list[tuple[int, int]]:
        """Return (hours since 1970, visits in that hour) for each hour of the last months that had one."""

    def thumbnail(self, clip_id: str) -> Path | None:
        """Return a clip's small picture, or None while there is none."""

    def video(self, clip_id: str) -> Path:
        """Return a clip's file, or a masked copy of it."""

    def picture(self, clip_id: str, at_us: int, blurs: Sequence[Corners] = ()) -> bytes:
        """Return what a clip shows at a time in it, masked and blurred, as JPEG."""

    @property
    def consent(self) -> Consent:
        """Requests, notices, pins and the ledger."""

    def check_isolation(self) -> dict[str, Any]:
        """Try to break through the walls from both sides; return what happened."""

    def place(self) -> tuple[float, float] | None:
        """Return where the house stands, longitude and latitude, if the owner said so."""

    def config(self) -> list[dict[str, Any]]:
        """Return every setting with its value, and where that comes from."""

    def change_config(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change settings (dotted key → value; None: as in the file), all or none."""

    def undo_config(self) -> dict[str, Any]:
        """Undo the last change."""

    def try_mqtt(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Connect once to the broker that these settings name."""
