"""The JSON that the API takes and returns, except for consent (models_consent.py).

`/api/openapi.json` describes these. An unknown key is an error in both directions: in a request it is somebody's
mistake, in a response it would be a value that the description does not name.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from device.events import MissedReason

Password = Annotated[str, Field(max_length=1024)]
Rfc3339 = Annotated[str, Field(description="RFC 3339")]
ClockSource = Annotated[
    Literal["synchronised", "unsynchronised"], Field(description="whether a time server had set the clock")
]


class RequestBody(BaseModel):
    """The JSON body of a request."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ResponseBody(BaseModel):
    """The JSON body of a response, or a part of it."""

    # What is only a part of another response needs no validator of its own.
    model_config = ConfigDict(extra="forbid", defer_build=True)


class ErrorResponse(ResponseBody):
    """Why a request failed."""

    error: str = Field(description="a sentence for people, in English")
    code: str = Field(description="a word for machines")
    params: dict[str, str | float] = Field(
        default={}, description="what a sentence of the code names, with units in the names"
    )


class EmptyResponse(ResponseBody):
    """The request succeeded; there is nothing to say about it."""


# --- sign-in --------------------------------------------------------------------------------------------


class Claim(RequestBody):
    """The claim code, and the password of the owner to be."""

    code: str = Field(max_length=64)
    password: Password


class Login(RequestBody):
    """The owner's password."""

    password: Password


class SessionResponse(ResponseBody):
    """Whether the doorbell has an owner, and whether the caller is signed in."""

    name: str = Field(description="the doorbell's name")
    claimed: bool
    signed_in: bool
    token: str | None = Field(description="to be sent as X-Doorbell-Token with every change")


class TokenResponse(ResponseBody):
    """The session's token."""

    token: str = Field(description="to be sent as X-Doorbell-Token with every change")


class SignedInBrowser(ResponseBody):
    """One browser that is signed in."""

    agent: str = Field(description="its User-Agent")
    began_at: Rfc3339
    seen_at: Rfc3339
    this: bool = Field(description="whether it is the one that asks")


class ClaimCodeResponse(ResponseBody):
    """The claim code."""

    code: str | None = Field(description="null once the doorbell has an owner")


# --- the doorbell ---------------------------------------------------------------------------------------


class Switch(RequestBody):
    """A switch's new value: ON or OFF, or a time."""

    value: str = Field(max_length=64)


class CameraStatus(ResponseBody):
    """The camera."""

    kind: str
    state: str = Field(description="opening, live, private, or down")
    fps: float
    last_frame_age_s: float | None
    text: str = Field(description="why it is down")


class ButtonStatus(ResponseBody):
    """The button."""

    kind: str
    state: str


class MqttStatus(ResponseBody):
    """The connection to the MQTT broker."""

    state: str = Field(description="off, connecting, up, or down")
    host: str
    port: int
    topic_root: str
    protocol: str


class PageStatus(ResponseBody):
    """The page."""

    url: str | None = Field(description="null where it is not served")


class WaitingLimitStatus(ResponseBody):
    """A storage limit that would delete more: it waits for an hour, in which it can be undone."""

    key: str = Field(description='the setting, such as "storage.limit_bytes"')
    in_force: int
    coming: int
    wait_s: int = Field(description="seconds until it holds, if the doorbell runs that long")


class StorageStatus(ResponseBody):
    """The clips and the log on the disk."""

    path: str
    used_bytes: int
    limit_bytes: int = Field(description="the limit in force")
    waiting: list[WaitingLimitStatus] = Field(description="limits that delete more, and do not hold yet")
    clips: int
    log_pending: int = Field(description="rows of the log that the broker has not acknowledged")
    recording: list[str] = Field(description="ids of the visits of which a clip is being written now")


class MissedRing(ResponseBody):
    """The last press that nobody heard over MQTT, or that Home Assistant missed; `count` since the start."""

    event_id: str
    occurred_at: Rfc3339
    reason: MissedReason
    count: int


class PressStatus(ResponseBody):
    """Presses since the start; `last_at`: the last one, which may be of an earlier run."""

    count: int
    last_at: Rfc3339 | None
    missed: MissedRing | None


class FaultStatus(ResponseBody):
    """An active fault; `subject`: which one of several things has it, such as a backup's name."""

    code: str
    subject: str
    reason: str
    params: dict[str, str | float]
    since: Rfc3339
    text: str
    remedy: str


class SwitchStatus(ResponseBody):
    """The owner's switches."""

    motion_enabled: bool
    chime_muted: bool
    privacy: bool
    quiet_until: Rfc3339 | None


class QueueStatus(ResponseBody):
    """Messages that wait in the queues of the daemon."""

    controller: int
    storage: int


class LinkStatus(ResponseBody):
    """Another doorbell of the home, with its own page."""

    name: str
    url: str


class StatusResponse(ResponseBody):
    """How the doorbell is."""

    pid: int
    ready: bool
    version: str
    device: str
    uptime_s: float
    clock: ClockSource
    camera: CameraStatus
    button: ButtonStatus
    mqtt: MqttStatus
    page: PageStatus
    storage: StorageStatus
    press: PressStatus
    temperature_c: float | None
    requests_pending: int = Field(description="requests for footage that wait for the owner")
    faults: list[FaultStatus]
    motion: str = Field(description="off, waiting, settling, still, or moving")
    settings: SwitchStatus
    camera_drops: int = Field(description="pictures that the motion worker was too slow for")
    waiting: QueueStatus
    doorbells: list[LinkStatus] = Field(description="other doorbells of the home, as configured")


class HealthSample(ResponseBody):
    """One minute of the last day."""

    at_ms: int = Field(description="Unix milliseconds")
    temperature_c: float | None
    fps: float
    used_bytes: int
    faults: int


class RingResponse(ResponseBody):
    """A press, as the `press` topic has it."""

    event_type: Literal["ring"]
    event_id: str
    occurred_at: Rfc3339
    button: str
    clock: ClockSource
    press_number: int = Field(description="presses of this visit so far")
    mono_us: int = Field(description="when, by the daemon's monotonic clock")


class RecordResponse(ResponseBody):
    """The clip that is being recorded."""

    joined: bool = Field(description="whether a clip was open already, and is made longer")
    event_id: str


class IsolationAttempt(ResponseBody):
    """One attempt to cross the isolation of a process."""

    who: str = Field(description="the process that tried: doorbelld or courier")
    what: str = Field(description="the address or file")
    result: str = Field(description="the kernel's answer")
    holds: bool


class IsolationResponse(ResponseBody):
    """Whether both processes are isolated as they should be."""

    holds: bool
    tried: list[IsolationAttempt]


# --- events and clips -----------------------------------------------------------------------------------


class LogEntry(ResponseBody):
    """A row of the log, as the `log` topic has it; docs/mqtt.md lists the further keys of each kind."""

    model_config = ConfigDict(extra="allow")

    seq: int
    kind: str
    event_id: str | None
    occurred_at: Rfc3339
    clock: ClockSource
    late: bool | None = Field(description="null until it is known whether the press was delivered live")


VisitClip = tuple[
    Annotated[str, Field(description="id")],
    Annotated[int, Field(description="start, Unix ms")],
    Annotated[int, Field(description="length, ms")],
    Annotated[int, Field(description="1 with a star")],
]
VisitRow = tuple[
    Annotated[str, Field(description="event id")],
    Annotated[int, Field(description="start, Unix ms")],
    Annotated[int, Field(description="number of the ring in its visit; 0: a visit without a ring")],
    Annotated[int, Field(description="motion events")],
    Annotated[list[str], Field(description="zones")],
    Annotated[list[VisitClip], Field(description="clips; of a ring the one that shows it")],
    Annotated[
        str | None, Field(description="without clips: the reason of the newest clip_dropped or clip_deleted")
    ],
    Annotated[int, Field(description="1 with a picture of the moment of the ring")],
]
VisitKind = Literal["all", "rings", "motion", "starred"]


class VisitTable(ResponseBody):
    """Rings, and visits without a ring, as a table: ten thousand objects would be half as long again."""

    columns: list[str]
    rows: list[VisitRow]


PressPictureRow = tuple[
    Annotated[int, Field(description="number of the ring in its visit")],
    Annotated[int, Field(description="moment of the ring, Unix ms")],
]


class VisitResponse(ResponseBody):
    """What is kept of a visit; nothing of an unknown one."""

    clips: list[VisitClip]
    pictures: list[PressPictureRow] = Field(description="the pictures of the moments of its rings")


BusyQuarter = tuple[
    Annotated[int, Field(description="begin of a quarter of an hour, Unix s")],
    Annotated[int, Field(description="visits")],
    Annotated[int, Field(description="1 if somebody rang")],
]


class Star(RequestBody):
    """Whether a clip has the owner's star."""

    on: bool


class ClipSummary(ResponseBody):
    """A clip."""

    id: str
    event_id: str
    started_at: Rfc3339
    ended_at: Rfc3339
    duration_s: float
    cause: str = Field(description="press, motion, or manual")
    file: str
    bytes: int
    sha256: str
    clock: ClockSource
    lost_packets: int
    protected: bool = Field(description="whether it has the owner's star")


class ClipResponse(ClipSummary):
    """A clip and its masks, each as corners relative to the picture."""

    masks: list[list[tuple[float, float]]] = Field(
        description="those that are drawn when it leaves: of its recording and of now, unless its picture has them"
    )
    masks_recorded: list[list[tuple[float, float]]] = Field(
        description="those that held when it was recorded"
    )
    masks_in_picture: list[list[tuple[float, float]]] = Field(
        description="those that its picture has already"
    )


# --- settings -------------------------------------------------------------------------------------------


class Changes(RequestBody):
    """Settings by their dotted keys, such as "motion.sensitivity"; null: as in the configuration file."""

    changes: dict[str, JsonValue] = Field(max_length=64)


class SettingResponse(ResponseBody):
    """A setting, and where its value comes from."""

    key: str
    value: object
    default: object
    source: Literal["default", "file", "page"]
    on_page: bool = Field(description="whether the page may change it")


class ConfirmedChanges(Changes):
    """Settings to change, with the owner's password if the change deletes recordings."""

    password: Password | None = None


class Confirmation(RequestBody):
    """The owner's password."""

    password: Password | None = None


class DeletionResponse(ResponseBody):
    """What storage limits would delete if they held now."""

    clips: int
    of_clips: int = Field(description="how many clips there are")
    pictures: int = Field(description="pictures of presses")
    bytes: int = Field(description="of both")
    oldest_at: Rfc3339 | None
    newest_at: Rfc3339 | None
    log_rows: int = Field(description="rows of the event log")
    wait_s: int = Field(description="seconds that the limits wait before they hold")


class EffectsResponse(ResponseBody):
    """What a change of settings would do."""

    effects: dict[str, Literal["destroys", "exposes", "closes", "breaks"]] = Field(
        description="by setting: deletes recordings, shows or sends more, shows or sends less, or changes what others "
        "know the doorbell by; a setting without an effect is left out"
    )
    deletion: DeletionResponse | None = Field(description="if a setting destroys")


class UndoResponse(ResponseBody):
    """The changes that can be undone."""

    undo: int = Field(description="changes that can be undone, one after the other")


class ForgetResponse(ResponseBody):
    """What was removed from the MQTT broker: `topics` counts those that may have held a message."""

    broker: str
    topics: int


class BrokerTestResponse(ResponseBody):
    """The result of a connection to an MQTT broker."""

    result: str
