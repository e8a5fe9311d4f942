"""The configuration file: every table and key, with its limits.

Meaning, unit and reason of each key are in firmware_config/doorbelld.toml; a test holds that file and these
models together. The bell waits for this import: nothing slow (numpy, cv2, av) may be imported here.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from device.config.file_reading import open_once
from device.config.polygon import PolygonPoint, polygon_mistakes
from device.config.toml import number_text, quoted
from device.system.host_patterns import HOST, LOCAL_HOST
from device.system.local_network import is_address, is_home


def _at(key: str, sentence: str) -> PydanticCustomError:
    """Return a mistake of a whole table that is reported at one of its keys."""
    return PydanticCustomError("at_key", "{sentence}", {"sentence": sentence, "key": key})


def _absolute(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path; begin it with /")
    return Path(value)


def _pair(value: object) -> object:
    if not isinstance(value, list):
        return value
    if len(value) != 2:
        raise ValueError(f"holds {len(value)} of the two numbers of a point; write [x, y]")
    return tuple(value)


# A field's description is the message for a value that does not match the pattern.
Ident = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="1 to 32 of the characters a-z 0-9 _ -, the first a letter or digit",
    ),
]
Title = Annotated[
    str,
    Field(
        pattern=r"^[^\x00-\x1f\x7f]{1,64}$",
        description="1 to 64 characters without a line break",
    ),
]
Topic = Annotated[
    str,
    Field(
        pattern=r"^[^$#+/\x00-\x1f\x7f-\x9f][^#+/\x00-\x1f\x7f-\x9f]*(/[^#+/\x00-\x1f\x7f-\x9f]+)*$",
        max_length=64,
        description="1 to 64 characters, none of them # or + or a control character, no $ at the beginning "
        "(those topics are the broker's own), no / at either end or beside another",
    ),
]

HostName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
        max_length=253,
        description="a host name alone, such as door.example: no https:// before it and no port after it",
    ),
]


def _simple(points: list[PolygonPoint]) -> list[PolygonPoint]:
    for mistake in polygon_mistakes(points):
        raise ValueError(mistake)
    return points


_WITHOUT_SLASHES = re.compile(r"(rtsps?|https?):|[^/@]*@", re.IGNORECASE)
"""How an address of a stream begins whose author forgot the scheme or a slash: it is not taken as a file's path."""
_QUIET_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
Fps = Annotated[int, Field(ge=1, le=30)]
Share = Annotated[float, Field(ge=0, le=1)]
PolygonPoints = Annotated[list[Annotated[PolygonPoint, BeforeValidator(_pair)]], AfterValidator(_simple)]
"""Corners in the order of a walk around it."""
BitrateKbps = Annotated[int, Field(ge=100, le=25_000)]
KeyframeEveryS = Annotated[float, Field(ge=0.5, le=10)]


def _readable_file(value: str, info: ValidationInfo) -> str:
    """Open a file that a table names, unless the table is switched off."""
    if value and info.data.get("enabled"):
        file = _absolute(value)
        if isinstance(file, Path):
            open_once(file)
    return value


class Table(BaseModel):
    """A table of the file: strict, and no key that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class DeviceConfig(Table):
    """This doorbell's id and name, and its directories."""

    id: Ident = "doorbell"
    name: Title = "Doorbell"
    state_dir: AbsolutePath = Path("/var/lib/doorbelld")
    runtime_dir: AbsolutePath = Path("/run/doorbelld")
    trust_clock: bool = False


class GpioConfig(Table):
    """The header's pin that the button closes; `pin` is a BCM number."""

    pin: int = Field(17, ge=0, le=27)
    pull: Literal["up", "down"] = "up"
    chip: int = Field(0, ge=0, le=9)
    stuck_s: float = Field(30.0, ge=5, le=600)


class ButtonConfig(Table):
    """The button at the door."""

    kind: Literal["gpio", "simulated"] = "gpio"
    name: Ident = "front"
    bounce_ms: int = Field(30, ge=1, le=500)
    gpio: GpioConfig = GpioConfig()


def _two_times(hours: str) -> str:
    if hours and not _QUIET_HOURS.fullmatch(hours):
        raise ValueError('must be two times of day, such as "22:00-07:00", or "" for none')
    return hours


class ChimeConfig(Table):
    """The chime inside the home."""

    kind: Literal["simulated", "none"] = "simulated"
    quiet_hours: str = ""

    _hours = field_validator("quiet_hours")(_two_times)


class PiCameraConfig(Table):
    """A camera on the Pi's own connector; `luma_*` is its lores stream."""

    width_px: int = Field(1920, ge=320, le=1920, multiple_of=2)
    height_px: int = Field(1080, ge=180, le=1080, multiple_of=2)
    fps: Fps = 15
    bitrate_kbps: BitrateKbps = 4000
    keyframe_every_s: KeyframeEveryS = 2.0
    luma_width_px: int = Field(320, ge=160, le=640, multiple_of=2)
    luma_height_px: int = Field(240, ge=90, le=480, multiple_of=2)


class StreamCameraConfig(Table):
    """A file, a network stream or a webcam. URLs may hold a password, so they are not shown."""

    url: str = Field("", repr=False)
    substream_url: str = Field("", repr=False)
    loop: bool = True
    audio: bool = False
    timeout_s: float = Field(5.0, ge=1, le=30)
    bitrate_kbps: BitrateKbps = 4000
    keyframe_every_s: KeyframeEveryS = 2.0
    fps: Fps = 15

    @field_validator("url", "substream_url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        scheme, separator, _ = url.partition("://")
        if separator and scheme not in {"rtsp", "rtsps", "http", "https"}:
            raise ValueError(
                "begins with an unknown scheme; take rtsp://, rtsps://, http://, https://, "
                "or the path of a file or of /dev/videoN"
            )
        if not url.isprintable():
            raise ValueError("holds a character that cannot be seen; write it again by hand")
        if separator and " " in url:
            raise ValueError("holds a space; write it as %20 in a URL")
        if not separator and _WITHOUT_SLASHES.match(url):
            raise ValueError("is no URL without ://; take rtsp://HOST/…, or a path that begins with / or ./")
        return url


class SceneCameraConfig(Table):
    """A drawn porch, for trying things out without a camera."""

    width_px: int = Field(1280, ge=320, le=1920, multiple_of=2)
    height_px: int = Field(720, ge=180, le=1080, multiple_of=2)
    fps: Fps = 15
    light: Literal["day", "night", "cycle"] = "cycle"
    visit_every_s: float = Field(45.0, ge=16, le=86_400)
    first_visit_s: float = Field(10.0, ge=0, le=86_400)
    visitors: bool = True
    visitor_presses: bool = True
    time_code: bool = False
    bitrate_kbps: BitrateKbps = 1500
    keyframe_every_s: KeyframeEveryS = 2.0


class CameraConfig(Table):
    """Which camera, and each kind's table; only the chosen kind's is used."""

    kind: Literal["pi", "stream", "scene"] = "pi"
    pi: PiCameraConfig = PiCameraConfig()
    stream: StreamCameraConfig = Field(StreamCameraConfig(), validate_default=True)
    scene: SceneCameraConfig = SceneCameraConfig()

    @field_validator("stream")
    @classmethod
    def _has_url(cls, stream: StreamCameraConfig, info: ValidationInfo) -> StreamCameraConfig:
        if info.data.get("kind") == "stream" and not stream.url:
            raise _at("url", 'is empty; camera.kind = "stream" needs the stream\'s address here')
        return stream


class MotionConfig(Table):
    """When something that moves is a visit."""

    enabled: bool = True
    sensitivity: Share = 0.5
    quiet_s: float = Field(4.0, ge=1, le=60)


class ZoneConfig(Table):
    """A simple polygon (3 to 32 corners, no crossing sides) that is watched or ignored."""

    name: Title
    kind: Literal["include", "ignore"]
    sensitivity: Share = 0.5
    points: PolygonPoints


class MaskConfig(Table):
    """A simple polygon (3 to 32 corners, no crossing sides) that nobody shall see."""

    name: Title
    points: PolygonPoints


class ClipsConfig(Table):
    """How much is recorded around a press or a movement, and who covers what `masks` name in it."""

    masked_by: Literal["release", "camera"] = "release"

    pre_roll_s: float = Field(5.0, ge=0, le=30)
    post_roll_s: float = Field(10.0, ge=1, le=120)
    longest_s: float = Field(120.0, ge=10, le=3600)
    ring_bytes: int = Field(16_000_000, ge=1_000_000, le=256_000_000)

    @field_validator("longest_s")
    @classmethod
    def _longer_than_pre_roll(cls, longest_s: float, info: ValidationInfo) -> float:
        pre_roll_s = info.data.get("pre_roll_s", 0.0)
        if pre_roll_s >= longest_s:
            raise ValueError(
                f"{longest_s:g} leaves nothing after the {pre_roll_s:g} seconds of pre_roll_s; "
                f"choose more than {pre_roll_s:g}, or a smaller pre_roll_s"
            )
        return longest_s


class StorageConfig(Table):
    """How much of the disk the clips and the log may take."""

    limit_bytes: int = Field(8_000_000_000, ge=10_000_000, le=100_000_000_000_000)
    longest_age_days: int = Field(30, ge=1, le=3650)
    reserve_bytes: int = Field(200_000_000, ge=0, le=100_000_000_000_000)
    log_rows: int = Field(100_000, ge=1000, le=10_000_000)


class MqttConfig(Table):
    """The broker of the home. The files are opened once here, so that a mistake shows at start."""

    enabled: bool = True
    host: str = Field(
        "localhost",
        pattern=f"^({LOCAL_HOST})$",
        max_length=253,
        description="a host name or an address alone: no mqtt:// before it and no port after it",
    )
    port: int = Field(1883, ge=1, le=65_535)
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = Field("", validate_default=True)
    prefix: Topic = "doorbelld"
    discovery: bool = True
    discovery_prefix: Topic = "homeassistant"
    birth_topic: Topic | Literal[""] = ""
    keepalive_s: float = Field(20.0, ge=5, le=300)
    state_every_s: float = Field(30.0, ge=5, le=3600)

    @field_validator("host")
    @classmethod
    def _at_home(cls, host: str) -> str:
        # A name is resolved, and its address looked at, at each connection.
        if is_address(host) and not is_home(host):
            raise ValueError(
                f"{host} is outside the home network: refused; name a broker at a private address"
            )
        return host

    _readable = field_validator("password_file", "ca_file", "cert_file", "key_file")(_readable_file)

    @field_validator("key_file")
    @classmethod
    def _certificate_is_whole(cls, key_file: str, info: ValidationInfo) -> str:
        cert_file = info.data.get("cert_file", key_file)
        if bool(key_file) != bool(cert_file):
            raise ValueError("goes together with cert_file; set both, or neither")
        if key_file and info.data.get("ca_file") == "":
            raise ValueError("is of no use without TLS; set ca_file too, for it turns TLS on")
        return key_file


class DoorbellConfig(Table):
    """Another doorbell of the home: a link to its own page."""

    name: Title
    url: str = Field(
        pattern=r"^https?://[^\s/@?#]+(/[^\s]*)?$",
        max_length=200,
        description="the address of its page, such as https://back.local:8443/, without a user or a password",
    )


class PageConfig(Table):
    """The owner's page: where it is served, and by which names it may be called."""

    enabled: bool = True
    port: int = Field(8443, ge=0, le=65_535)
    loopback_port: int = Field(8080, ge=0, le=65_535)
    hosts: list[HostName] = []
    cert_file: str = ""
    key_file: str = Field("", validate_default=True)

    _readable = field_validator("cert_file", "key_file")(_readable_file)

    @field_validator("key_file")
    @classmethod
    def _certificate_is_whole(cls, key_file: str, info: ValidationInfo) -> str:
        if bool(key_file) != bool(info.data.get("cert_file", key_file)):
            raise ValueError("goes together with cert_file; set both, or neither")
        return key_file


class RtspConfig(Table):
    """RTSP for the owner's readers; it is served only while there is one."""

    port: int = Field(8554, ge=0, le=65_535)


class NeighbourhoodConfig(Table):
    """The neighbourhood: whether it is on, the home's position, and the community server's broker."""

    enabled: bool = False
    latitude: float = Field(0.0, ge=-85, le=85)
    longitude: float = Field(0.0, ge=-180, le=180)
    broker_host: str = Field(
        "",
        pattern=f"^({HOST})?$",
        max_length=253,
        description="a host name alone, such as community.example: no mqtt:// before it and no port after it",
    )
    broker_port: int = Field(8883, ge=1, le=65_535)
    broker_ca_file: str = ""
    upload_kbps: int = Field(0, ge=0, le=1_000_000)
    upload_hours: str = ""
    spool_dir: AbsolutePath = Field(Path("/var/lib/doorbelld-spool"), validate_default=True)
    lease_dir: AbsolutePath = Path("/run/doorbelld-leases")
    lease_s: float = Field(30.0, ge=1, le=30)

    _hours = field_validator("upload_hours")(_two_times)
    _readable = field_validator("broker_ca_file")(_readable_file)

    @field_validator("spool_dir")
    @classmethod
    def _is_whole(cls, spool_dir: Path, info: ValidationInfo) -> Path:
        values = info.data
        if values.get("enabled") and values.get("broker_host") == "":
            raise _at("broker_host", "is empty; name the community server's broker, or set enabled = false")
        if values.get("enabled") and values.get("latitude") == 0 and values.get("longitude") == 0:
            raise _at(
                "latitude",
                "and longitude are 0: enter the home's position (it is only compared on this device, and never sent)",
            )
        return spool_dir


class Config(Table):
    """The whole file; an empty one is the reference."""

    device: DeviceConfig = DeviceConfig()
    button: ButtonConfig = ButtonConfig()
    chime: ChimeConfig = ChimeConfig()
    camera: CameraConfig = CameraConfig()
    motion: MotionConfig = MotionConfig()
    zones: list[ZoneConfig] = []
    masks: list[MaskConfig] = []
    clips: ClipsConfig = Field(ClipsConfig(), validate_default=True)
    storage: StorageConfig = StorageConfig()
    mqtt: MqttConfig = MqttConfig()
    page: PageConfig = Field(PageConfig(), validate_default=True)
    doorbells: list[DoorbellConfig] = []
    rtsp: RtspConfig = RtspConfig()
    neighbourhood: NeighbourhoodConfig = NeighbourhoodConfig()

    @field_validator("zones", "masks", "doorbells")
    @classmethod
    def _names_differ(cls, shapes: list[Any], info: ValidationInfo) -> list[Any]:
        names = [shape.name for shape in shapes]
        for index, name in enumerate(names):
            if name in names[:index]:
                first = names.index(name)
                raise _at(
                    f"{index}.name",
                    f"{quoted(name)} is the name of {info.field_name}[{first}] too; "
                    f"give each {str(info.field_name).removesuffix('s')} its own",
                )
        return shapes

    @field_validator("clips")
    @classmethod
    def _ring_holds_pre_roll(cls, clips: ClipsConfig, info: ValidationInfo) -> ClipsConfig:
        # A network stream's rate is not ours to know; the storage worker measures it.
        camera = info.data.get("camera")
        if not isinstance(camera, CameraConfig) or camera.kind == "stream":
            return clips
        source = camera.pi if camera.kind == "pi" else camera.scene
        # A clip starts at a keyframe, so one GOP more than the pre-roll must be at hand.
        seconds = clips.pre_roll_s + source.keyframe_every_s
        needed_bytes = round(seconds * source.bitrate_kbps * 125)
        if needed_bytes > clips.ring_bytes:
            raise _at(
                "ring_bytes",
                f"{number_text(clips.ring_bytes)} bytes do not hold pre_roll_s = {clips.pre_roll_s:g} "
                f"and a keyframe interval at {source.bitrate_kbps} kbit/s of camera.{camera.kind}; "
                f"choose at least {number_text(needed_bytes)}, or a smaller pre_roll_s",
            )
        return clips
