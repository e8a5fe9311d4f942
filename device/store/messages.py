"""Messages to the storage worker. Light to import: the controller's side needs them before its libraries."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from device.config import StorageConfig
from device.policy.episode import ClipOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFact:
    """One fact to keep; `late` None: not known yet (a press that waits for its PUBACK)."""

    kind: str
    mono_us: int
    wall_us: int
    clock: str
    late: bool | None
    event_id: str | None = None
    press_id: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePress:
    """The fate of a press is known: was its live message late (never delivered in time)?"""

    press_id: int
    late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSent:
    """The broker acknowledged every row of the log up to `acked_seq`."""

    acked_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile:
    """Replace a small file of the state directory, durably; `reply` gets {} or {"error"}.

    `private`: nobody but the daemon's user may read it.
    """

    name: str
    content: bytes
    private: bool = False
    reply: Callable[[dict[str, Any]], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLog:
    """Somebody wants rows of the log behind `after_seq` (None: behind the last acknowledged).

    `reply` gets (acked_seq, [(seq, JSON)]), in order, up to the first press whose fate is not known; or
    (None, []) if the log cannot be read now.
    """

    after_seq: int | None
    limit: int
    reply: Callable[[int | None, list[tuple[int, str]]], None] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Flush:
    """End every recording now and say Flushed: the house stops, or the camera goes private."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarClip:
    """Set or take the owner's star of a clip; `reply` gets {} or {"error"}."""

    clip_id: str
    on: bool
    reply: Callable[[dict[str, Any]], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteClip:
    """Delete a clip because the owner says so; `reply` gets {} or {"error"}."""

    clip_id: str
    reply: Callable[[dict[str, Any]], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldStorage:
    """Hold other limits from now on."""

    storage: StorageConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeThumbnail:
    """Somebody wants to see a small picture of a clip."""

    clip_id: str


LogOrder = NewFact | SettlePress | MarkSent | ReadLog
StorageMessage = (
    ClipOrder | LogOrder | WriteFile | StarClip | DeleteClip | Flush | HoldStorage | MakeThumbnail
)
