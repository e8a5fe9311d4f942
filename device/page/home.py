"""What the page may ask of the house. The roof implements it (device/commands.py).

Every method may block for some seconds, is called on a thread that may, and raises CommandError.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

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


class Feed(Protocol):
    """Encoded pictures that may be shown: the camera's own, or masked ones."""

    def since(self, seq: int) -> Read:
        """Return what came at or after `seq`."""

    def seq_at(self, mono_us: int) -> int:
        """Return where to read from for the last keyframe shown at or before `mono_us`."""


class Home(Protocol):
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
        """Return the visits that began in a span of Unix microseconds, as JSON; see store/visits.py."""

    def hours(self) -> list[tuple[int, int]]:
        """Return (hours since 1970, visits in that hour) for each hour of the last months that had one."""

    def thumbnail(self, clip_id: str) -> Path | None:
        """Return a clip's small picture, or None while there is none."""

    def video(self, clip_id: str) -> Path:
        """Return a clip's file, or a masked copy of it."""

    def config(self) -> list[dict[str, Any]]:
        """Return every setting with its value, and where that comes from."""

    def change_config(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change settings (dotted key → value; None: as in the file), all or none."""

    def undo_config(self) -> dict[str, Any]:
        """Take the last change back."""

    def try_mqtt(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Connect once to the broker that these settings name."""
