"""Messages to the storage worker. Light to import: the controller needs them before heavy libraries are loaded."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from device.config import StorageConfig
from device.policy.episode import ClipOrder
from device.store.press_picture_name import PressPictureName


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFact:
    """A new row for the event log; `late` None: not known yet (a press that waits for its PUBACK)."""

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
    """Whether the live message of a press was late (not acknowledged in time)."""

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
    """Read rows of the log after `after_seq` (None: after the last acknowledged one).

    `reply` gets (acked_seq, [(seq, JSON)]), in order, up to the first press that is not settled; or
    (None, []) if the log cannot be read now.
    """

    after_seq: int | None
    limit: int
    reply: Callable[[int | None, list[tuple[int, str]]], None] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Flush:
    """End every recording now; Flushed comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarClip:
    """Set or remove the owner's star of a clip; `reply` gets {} or {"error"}."""

    clip_id: str
    on: bool
    reply: Callable[[dict[str, Any]], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteClip:
    """Delete a clip at the owner's request; `reply` gets {} or {"error"}."""

    clip_id: str
    reply: Callable[[dict[str, Any]], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPicture:
    """Write a press picture to the disk."""

    name: PressPictureName
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePictures:
    """Delete the press pictures of a visit at the owner's request; `reply` gets {} or {"error"}."""

    event_id: str
    reply: Callable[[dict[str, Any]], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldStorage:
    """Use other limits; a limit that keeps less waits. `reply` gets {} once the controller knows which limits hold."""

    storage: StorageConfig
    reply: Callable[[dict[str, Any]], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeThumbnail:
    """Make the thumbnail of a clip."""

    clip_id: str


LogMessage = NewFact | SettlePress | MarkSent | ReadLog
StorageMessage = (
    ClipOrder
    | LogMessage
    | WriteFile
    | StarClip
    | DeleteClip
    | KeepPicture
    | DeletePictures
    | Flush
    | HoldStorage
    | MakeThumbnail
)
