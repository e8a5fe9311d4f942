"""Every fact that crosses a thread, and what a camera delivers. Frozen; units in the names.

Facts go into the controller's inbox; nothing else does. Times are CLOCK_MONOTONIC microseconds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypedDict

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and the button must be live first
    import numpy as np
    from numpy.typing import NDArray

    from device.config import Config

Cause = Literal["press", "manual", "motion"]
DropReason = Literal[
    "privacy", "no_pictures", "storage_failed", "disk_full", "disk_failed", "disk_slow", "file_damaged"
]
DeleteReason = Literal["owner", "age", "limit", "reserve"]
"""`reserve`: other files took the free space that `storage.reserve_bytes` keeps."""
CameraState = Literal["opening", "live", "down", "private"]

MissedReason = Literal["no_connection", "no_subscriber", "refused", "unacknowledged", "home_assistant_away"]

ClockFlag = Literal["synchronised", "unsynchronised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """One moment on both clocks, taken once and handed on: a wall clock that is stepped later does not move it."""

    mono_us: int
    wall_us: int
    flag: ClockFlag


# --- what the camera delivers -------------------------------------------------------------------

LIVE_US = 2_000_000
"""A picture that is older is never presented as live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFormat:
    """How sound is coded; `header`, which a decoder needs first, is AudioSpecificConfig or OpusHead.

    `silence` is a silent packet, `silence_us` long, that fills a gap; empty: there is none.
    """

    codec: Literal["aac", "opus"]
    rate_hz: int
    channels: int
    header: bytes
    silence: bytes = b""
    silence_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """One unbroken stream: packets of two formats never share a clip.

    `epoch` differs for each opening of the camera, so that equal pictures after a break differ.
    `sound` is the format of the sound that comes with the pictures, if any: a clip has its track from the start.
    `masked`: doorbelld encodes the pictures, and draws the privacy masks into them before.
    """

    codec: Literal["h264", "hevc"]
    width_px: int
    height_px: int
    epoch: int
    sound: SoundFormat | None = None
    masked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packet:
    """One encoded picture, Annex B, parameter sets in front of each keyframe.

    `data` is any bytes-like object and is never copied. `pts_us` and `dts_us` are times
    on the monotonic clock (see policy/timeline.py).
    """

    data: Any
    size_bytes: int
    pts_us: int
    dts_us: int
    duration_us: int
    is_keyframe: bool
    format: VideoFormat


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoundPacket:
    """Some encoded sound, as raw AAC or Opus without headers; `format` has what a decoder needs first.

    `data` is any bytes-like object and is never copied; `pts_us` is on the same clock as the pictures'.
    """

    is_keyframe: ClassVar[bool] = False
    """Sound begins no clip and no group of pictures."""

    data: Any
    size_bytes: int
    pts_us: int
    duration_us: int
    format: SoundFormat

    @property
    def dts_us(self) -> int:
        """Sound is decoded in the order in which it is heard."""
        return self.pts_us


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LumaFrame:
    """A small grey picture for motion: uint8, H x W, contiguous, owned by the frame."""

    mono_us: int
    luma: "NDArray[np.uint8]"


class PacketReader(Protocol):
    """Follows the buffered pictures and sound from one on, until privacy begins (store/ring.py)."""

    @property
    def lost(self) -> int:
        """How many packets were gone before the last `take` could return them."""

    @property
    def closed(self) -> bool:
        """Whether privacy has begun since this reader was made: it yields nothing more, ever."""

    @property
    def newest_us(self) -> int | None:
        """The decoding time of the newest picture, None if there was none."""

    def take(self) -> Iterator[Packet | SoundPacket]:
        """Return the packets that were not taken yet; it stops early once privacy begins."""

    def skip(self) -> bool:
        """Go on at the newest keyframe if that lies ahead; return whether it does."""


class PacketWriter(Protocol):
    """Adds to the buffered pictures and sound, until privacy begins (store/ring.py)."""

    def append(self, packet: Packet | SoundPacket) -> None:
        """Append a packet, unless privacy has begun since this writer was made."""

    @property
    def closed(self) -> bool:
        """Whether privacy has begun since."""


class CameraSink(Protocol):
    """Takes what a camera delivers. No method blocks on disk or network."""

    def packet(self, packet: Packet) -> None:
        """Take one encoded picture."""

    def sound(self, packet: SoundPacket) -> None:
        """Take some encoded sound; it does not count as a sign of pictures."""

    def luma(self, frame: LumaFrame) -> None:
        """Take one small grey picture; may be dropped if motion is busy (newest wins)."""

    def note(self, text: str) -> None:
        """Take a sentence for people about what this camera does and costs."""


# --- what a press becomes -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PressEvent:
    """A press as it is published; `press_number` counts the presses of its visit, from 1.

    `press_id` names it between the threads of this process; `at` is the edge's time.
    """

    press_id: int
    at: Stamp
    button: str
    event_id: str
    press_number: int


# --- facts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """The button went down; `at` is the edge's own time, which MQTT, log and page show alike."""

    at: Stamp
    button: str
    source: Literal["button", "visitor", "command"]
    reply: Callable[[dict[str, Any]], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonState:
    """The button was opened, or that failed."""

    kind: str
    state: Literal["live", "failed"]
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSettling:
    """The detector starts or finishes learning the scene; while it learns it reports nothing."""

    mono_us: int
    settling: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionStarted:
    """Somebody moves in a watched zone; `score` is 0.5 to 1."""

    mono_us: int
    score: float
    zones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionEnded:
    """Nobody has moved for a while; `last_us` is the last moment with motion.

    `why` is the visitor's position, a few times a second at most: {"s": seconds since the start, "score": 0 to 1,
    "box": [x, y, width, height] relative to the picture, "zone": name or null}.
    """

    mono_us: int
    started_us: int
    last_us: int
    peak_score: float
    zones: tuple[str, ...]
    direction: str
    why: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraReport:
    """About once a second while the camera lives, and at each change of state."""

    mono_us: int
    kind: str
    state: CameraState
    fps: float = 0.0
    last_frame_us: int | None = None
    text: str = ""
    reason: str = ""
    params: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipKept:
    """A clip is on disk under its final name, synced, with its row."""

    clip_id: str
    event_id: str
    cause: Cause
    started_us: int
    duration_us: int
    size_bytes: int
    sha256: str
    adopted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipDropped:
    """A clip, or a part of one, was not recorded or is lost; `text` says so in English, the page words `reason`.

    `params` of `disk_slow`: {"packets"}, the number of packets that are missing.
    """

    event_id: str
    mono_us: int
    reason: DropReason
    text: str
    params: Mapping[str, str | float] = field(default_factory=dict)
    clip_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipDeleted:
    """A clip was deleted."""

    clip_id: str
    event_id: str
    mono_us: int
    reason: DeleteReason


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingNow:
    """The visits of which a clip is being written at this moment; reported at each change."""

    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flushed:
    """The storage worker has ended every recording; their ClipKept came before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLimit:
    """A storage limit that keeps less, and does not hold before `until_us` (device/policy/limit_hold.py)."""

    name: str
    in_force: int
    coming: int
    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """The storage worker's state, every few seconds; `limit_bytes` is the limit in force."""

    used_bytes: int
    limit_bytes: int
    clips: int
    oldest_wall_us: int | None
    log_pending: int
    temperature_c: float | None = None
    wifi_signal_dbm: float | None = None
    throttling: tuple[str, ...] | None = None
    waiting: tuple[WaitingLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierPress:
    """The last press that the event log has of earlier runs."""

    wall_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttReport:
    """The state of the MQTT connection changed."""

    mono_us: int
    state: Literal["off", "connecting", "up", "down", "refused"]
    protocol: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PressSettled:
    """Whether somebody heard a live press, as far as the broker knows; if not, it is never sent live again."""

    press_id: int
    delivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PressMissed:
    """Nobody heard this press over MQTT, or Home Assistant did not."""

    press: PressEvent
    reason: MissedReason


@dataclass(frozen=True, slots=True, kw_only=True)
class PressPictureReady:
    """The picture of the moment of a press, masked, as JPEG. It is in memory; the storage worker writes it to `path`.

    `press_number` and `at` are the press's own.
    """

    event_id: str
    press_number: int
    at: Stamp
    jpeg: bytes = field(repr=False)
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingAsked:
    """A change of a switch was requested; `payload` is unchecked text from outside.

    `reply` gets {} once it is changed, or {"error"}.
    """

    mono_us: int
    name: str
    payload: str
    origin: Literal["mqtt", "command"]
    reply: Callable[[dict[str, Any]], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRefused:
    """Input from outside was refused; `count` such inputs since the last report."""

    mono_us: int
    where: str
    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipAsked:
    """A clip of this moment was requested; `reply` gets the result."""

    mono_us: int
    reply: Callable[[dict[str, Any]], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something is wrong (`active`) or right again. Each code and subject is one fault; its text may change.

    `subject` names one of several things that can have this fault, such as a backup's name. `reason` is a word for
    machines: why, where a code has several causes. `text` and `remedy` are English; the page words `code`, `reason`
    and `params` in its own language (`fault_CODE_REASON` or `fault_CODE`, and `remedy_…`, in web/static/strings/).
    """

    code: str
    active: bool
    subject: str = ""
    reason: str = ""
    params: Mapping[str, str | float] = field(default_factory=dict)
    text: str = ""
    remedy: str = ""


class AnnouncedNotice(TypedDict):
    """The members of a notice that the controller and MQTT need; `sent` and `expires` are Unix seconds."""

    source: str
    id: str
    kind: str
    severity: str
    headline: str
    text: str
    signed_by: str
    sender_kind: str
    feed: str
    state: str
    sent: int
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeHeard:
    """A notice for this doorbell was stored or withdrawn; `notice` as the page shows it (docs/mqtt.md)."""

    mono_us: int
    notice: AnnouncedNotice


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentStep:
    """A request took a step (`consent`), which is in the ledger already, or what was approved is under way
    (`release`); `fields` say which request and how far, and nothing of its content.
    """

    mono_us: int
    kind: Literal["consent", "release"] = "consent"
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """The ledger grew: its head's hash, its length, and how many requests wait for the owner."""

    head: str
    length: int
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAsked:
    """The status was requested; the controller calls `reply` and goes on."""

    reply: Callable[[dict[str, Any]], None] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChanged:
    """The owner changed the settings `keys`; all but the controller have applied them already."""

    config: "Config"
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDied:
    """A thread ended with an exception: a bug, and the end of the process."""

    name: str
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """SIGTERM or SIGINT: stop in order."""

    signal_name: str


Fact = (
    Pressed
    | ButtonState
    | MotionSettling
    | MotionStarted
    | MotionEnded
    | CameraReport
    | ClipKept
    | ClipDropped
    | ClipDeleted
    | RecordingNow
    | StoreReport
    | EarlierPress
    | Flushed
    | MqttReport
    | PressSettled
    | PressMissed
    | PressPictureReady
    | SettingAsked
    | InputRefused
    | ClipAsked
    | Fault
    | NoticeHeard
    | ConsentStep
    | LedgerReport
    | StatusAsked
    | ConfigChanged
    | WorkerDied
    | StopAsked
)
Inbox = Callable[[Fact], None]
"""Puts one fact into the controller's inbox; never blocks."""
