"""The configuration file: what may stand in it, and what is said about a mistake in it.

Every key with its meaning, unit, default and range is in firmware_config/doorbelld.toml; a test
holds that file and these models together. A mistake is never mended in silence: `load_config`
names all of them at once, each with its line and what to do. No message shows what is in a
secret. The bell waits for this import: nothing slow (numpy, cv2, av) may be imported here.
"""

import difflib
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from device.errors import ConfigError

Point = tuple[float, float]
"""(x, y) as shares of the picture, 0..1, origin top left."""


def _at(key: str, sentence: str) -> PydanticCustomError:
    """Return a mistake of a whole table that is told at one of its keys."""
    return PydanticCustomError("told_at", "{sentence}", {"sentence": sentence, "key": key})


def _absolute(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.startswith("/") or "\0" in value:
        raise ValueError("must be an absolute path; begin it with /")
    return Path(value)


def _pair(value: object) -> object:
    if not isinstance(value, list):
        return value
    if len(value) != len(("x", "y")):
        raise ValueError(f"holds {len(value)} of the two numbers of a point; write [x, y]")
    return tuple(value)


# A field's description is the sentence that a broken pattern is told with.
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
        pattern=r"^[^#+/\x00-\x1f\x7f]+(/[^#+/\x00-\x1f\x7f]+)*$",
        max_length=64,
        description="1 to 64 characters, none of them # or +, no / at either end or beside another",
    ),
]
AbsolutePath = Annotated[Path, BeforeValidator(_absolute)]
Fps = Annotated[int, Field(ge=1, le=30)]
BitrateKbps = Annotated[int, Field(ge=100, le=25_000)]
KeyframeEveryS = Annotated[float, Field(ge=0.5, le=10)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class DeviceConfig(_Table):
    """Who this doorbell is and where it keeps things."""

    id: Ident = "doorbell"
    name: Title = "Doorbell"
    state_dir: AbsolutePath = Path("/var/lib/doorbelld")
    runtime_dir: AbsolutePath = Path("/run/doorbelld")


class GpioConfig(_Table):
    """The header's pin that the button closes; `pin` is a BCM number."""

    pin: int = Field(17, ge=0, le=27)
    pull: Literal["up", "down"] = "up"
    chip: int = Field(0, ge=0, le=9)
    stuck_s: float = Field(30.0, ge=5, le=600)


class ButtonConfig(_Table):
    """The button at the door."""

    kind: Literal["gpio", "simulated"] = "gpio"
    name: Ident = "front"
    bounce_ms: int = Field(30, ge=1, le=500)
    gpio: GpioConfig = GpioConfig()


class ChimeConfig(_Table):
    """What sounds inside the house."""

    kind: Literal["simulated", "none"] = "simulated"


class PiCameraConfig(_Table):
    """A camera on the Pi's own connector; `luma_*` is its lores stream."""

    width_px: int = Field(1920, ge=320, le=1920, multiple_of=2)
    height_px: int = Field(1080, ge=180, le=1080, multiple_of=2)
    fps: Fps = 15
    bitrate_kbps: BitrateKbps = 4000
    keyframe_every_s: KeyframeEveryS = 2.0
    luma_width_px: int = Field(320, ge=160, le=640, multiple_of=2)
    luma_height_px: int = Field(240, ge=90, le=480, multiple_of=2)


class StreamCameraConfig(_Table):
    """A file, a network stream or a webcam. URLs may hold a password, so they are not shown."""

    url: str = Field("", repr=False)
    substream_url: str = Field("", repr=False)
    loop: bool = True
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
        return url


class SceneCameraConfig(_Table):
    """A drawn porch, for trying things out without a camera."""

    width_px: int = Field(1280, ge=320, le=1920, multiple_of=2)
    height_px: int = Field(720, ge=180, le=1080, multiple_of=2)
    fps: Fps = 15
    light: Literal["day", "night", "cycle"] = "cycle"
    visit_every_s: float = Field(45.0, ge=16, le=86_400)
    first_visit_s: float = Field(10.0, ge=0, le=86_400)
    visitors: bool = True
    visitor_presses: bool = True
    bitrate_kbps: BitrateKbps = 1500
    keyframe_every_s: KeyframeEveryS = 2.0


class CameraConfig(_Table):
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


class MotionConfig(_Table):
    """When something that moves is a visit."""

    enabled: bool = True
    least_share: float = Field(0.004, ge=0.0005, le=0.5)
    quiet_s: float = Field(4.0, ge=1, le=60)
    fps: Fps = 8


class ZoneConfig(_Table):
    """A simple polygon (3 to 32 corners, no crossing sides) that is watched or ignored."""

    name: Title
    kind: Literal["include", "ignore"]
    points: list[Annotated[Point, BeforeValidator(_pair)]]

    @field_validator("points")
    @classmethod
    def _polygon(cls, points: list[Point]) -> list[Point]:
        for mistake in _polygon_mistakes(points):
            raise ValueError(mistake)
        return points


class ClipsConfig(_Table):
    """How much is recorded around a press or a movement."""

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


class StorageConfig(_Table):
    """How much of the disk the clips and the log may take."""

    limit_bytes: int = Field(8_000_000_000, ge=10_000_000, le=100_000_000_000_000)
    longest_age_days: int = Field(30, ge=1, le=3650)
    reserve_bytes: int = Field(200_000_000, ge=0, le=100_000_000_000_000)
    log_rows: int = Field(100_000, ge=1000, le=10_000_000)


class MqttConfig(_Table):
    """The house's broker. The files are opened once here, to find a mistake before the night."""

    enabled: bool = True
    host: str = Field(
        "localhost",
        pattern=r"^([\w.%-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[\w.:%]*)$",
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
    keepalive_s: float = Field(20.0, ge=5, le=300)
    snapshots: bool = False
    state_every_s: float = Field(30.0, ge=5, le=3600)

    @field_validator("password_file", "ca_file", "cert_file", "key_file")
    @classmethod
    def _readable(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("enabled"):
            file = _absolute(value)
            if isinstance(file, Path):
                _open_once(file)
        return value

    @field_validator("snapshots")
    @classmethod
    def _no_snapshots_yet(cls, value: bool) -> bool:  # noqa: FBT001  (pydantic's form)
        if value:
            raise ValueError(
                "is refused: this version hands no picture to MQTT (docs/decisions/0003); leave it false"
            )
        return value

    @field_validator("key_file")
    @classmethod
    def _certificate_is_whole(cls, key_file: str, info: ValidationInfo) -> str:
        cert_file = info.data.get("cert_file", key_file)
        if bool(key_file) != bool(cert_file):
            raise ValueError("goes together with cert_file; set both, or neither")
        if key_file and info.data.get("ca_file") == "":
            raise ValueError("is of no use without TLS; set ca_file too, for it turns TLS on")
        return key_file


class Config(_Table):
    """The whole file; an empty one is the reference."""

    device: DeviceConfig = DeviceConfig()
    button: ButtonConfig = ButtonConfig()
    chime: ChimeConfig = ChimeConfig()
    camera: CameraConfig = CameraConfig()
    motion: MotionConfig = MotionConfig()
    zones: list[ZoneConfig] = []
    clips: ClipsConfig = Field(ClipsConfig(), validate_default=True)
    storage: StorageConfig = StorageConfig()
    mqtt: MqttConfig = MqttConfig()

    @field_validator("zones")
    @classmethod
    def _names_differ(cls, zones: list[ZoneConfig]) -> list[ZoneConfig]:
        names = [zone.name for zone in zones]
        for index, name in enumerate(names):
            if name in names[:index]:
                first = names.index(name)
                raise _at(
                    f"{index}.name",
                    f"{_text(name)} is the name of zones[{first}] too; give each zone its own",
                )
        return zones

    @field_validator("clips")
    @classmethod
    def _ring_holds_pre_roll(cls, clips: ClipsConfig, info: ValidationInfo) -> ClipsConfig:
        # A network stream's rate is not ours to know; the keeper measures it.
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
                f"{_number(clips.ring_bytes)} bytes do not hold pre_roll_s = {clips.pre_roll_s:g} "
                f"and a keyframe interval at {source.bitrate_kbps} kbit/s of camera.{camera.kind}; "
                f"choose at least {_number(needed_bytes)}, or a smaller pre_roll_s",
            )
        return clips


def load_config(path: Path) -> Config:
    """Read and check the file. Raises ConfigError, one line of its message for each mistake."""
    text = _read(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(_syntax_mistake(error, text, path)) from None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
    lines = _line_numbers(text)
    mistakes = sorted((_line_of(each, lines), _sentence(each, path, lines)) for each in found)
    raise ConfigError("\n".join(sentence for _, sentence in mistakes))


def dump_config(values: Mapping[str, Any]) -> str:
    """Return TOML of nested mappings of str, int, float, bool and list.

    A list of mappings becomes an array of tables. Raises TypeError at any other value.
    """
    return "\n".join(_toml_lines(values, ())) + "\n"


# --- writing ------------------------------------------------------------------------------------

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _toml_lines(table: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[str]:
    tables: list[tuple[str, str, Mapping[str, Any]]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            tables.append((key, "[{}]", value))
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            tables.extend((key, "[[{}]]", each) for each in value)
        else:
            yield f"{_key(key)} = {_toml_value(value)}"
    for key, header, inner in tables:
        inner_place = (*place, key)
        yield ""
        yield header.format(".".join(map(_key, inner_place)))
        yield from _toml_lines(inner, inner_place)


def _toml_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int() | float():
            return repr(value)
        case list():
            return "[" + ", ".join(map(_toml_value, value)) + "]"
        case Mapping():
            return "{" + ", ".join(f"{_key(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"TOML of {type(value).__name__} is not written here")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """Return a TOML basic string on one line, whatever is in it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = f"{ord(character):08x}"
    return f"\\u{code[4:]}" if code.startswith("0000") else f"\\U{code}"


# --- mistakes of the file itself ----------------------------------------------------------------


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; start from the reference: "
            f"cp firmware_config/doorbelld.toml {shlex.quote(str(path))}"
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: is a directory; name the file in it, such as {path / 'doorbelld.toml'}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: {_why(error, path)}") from None
    try:
        return content.decode("utf-8-sig")  # Some editors begin a file with a byte-order mark.
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"0x{content[error.start]:02x}"
        raise ConfigError(
            f"{path}, line {line}: byte {byte} is not UTF-8; save the file with that encoding"
        ) from None


def _open_once(file: Path) -> None:
    try:
        with file.open("rb"):
            return
    except FileNotFoundError:
        raise ValueError(f'there is no file {file}; create it, or set "" to do without') from None
    except OSError as error:
        raise ValueError(f"{file}: {_why(error, file)}") from None


def _why(error: OSError, file: Path) -> str:
    if isinstance(error, PermissionError):
        quoted = shlex.quote(str(file))
        return (
            f"the user with id {os.geteuid()} may not read it; "
            f"sudo chgrp doorbelld {quoted} && sudo chmod g+r {quoted}"
        )
    return f"cannot be read ({error.strerror}); name a readable file"


_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")
# What tomllib says, and what most often helps.
_SYNTAX_MENDS = (
    ("Cannot overwrite a value", "this key stands twice in its table; keep one"),
    ("twice", "put all keys of a table below one header; [[zones]] alone may be repeated"),
    ("Invalid value", "put text in double quotes, write true and false small, a number as 0.5"),
    ("Expected '='", "write KEY = VALUE, one on a line"),
    ("Invalid statement", "write KEY = VALUE or [TABLE], one on a line; a comment begins with #"),
    ("Illegal character", "close the text with the quote it began with, on the same line"),
    ("Unterminated string", "close the text with the quote it began with"),
    ("Unclosed array", "close the list with ], and put a comma between its values"),
    ("table", "write [TABLE] alone on its line"),
    ("Expected newline", "put one KEY = VALUE on a line, and text with spaces in double quotes"),
    ("Exceeds the limit", "write no number that long"),
    ("Unescaped '\\'", "write two \\\\ for one"),
)


def _syntax_mistake(error: Exception, text: str, path: Path) -> str:
    if isinstance(error, RecursionError):
        return f"{path}: brackets within brackets, too deep to read; take some away"
    said = str(error)
    place = _PLACE.search(said)
    where = ""
    if place:
        line, column = place.groups()
        where = f", line {line}, column {column}" if line else f", line {len(text.splitlines())}"
    reason = _PLACE.sub("", said).strip()
    mend = next((m for part, m in _SYNTAX_MENDS if part in said), "compare it with the reference")
    return f"{path}{where}: is not TOML ({reason}); {mend}"


# --- mistakes of a key --------------------------------------------------------------------------

_Location = tuple[str | int, ...]
_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_PART = re.compile(_KEY)
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")


def _line_numbers(text: str) -> dict[_Location, int]:
    """Return where each table and key stands, as far as a look at each line alone can tell."""
    lines: dict[_Location, int] = {}
    table: _Location = ()
    counts: dict[_Location, int] = {}
    in_text = False
    for number, line in enumerate(text.split("\n"), 1):
        header, assignment = _HEADER.fullmatch(line.rstrip("\r")), _ASSIGNMENT.match(line)
        if in_text:
            pass
        elif header:
            table = _parts(header[2])
            if header[1] == "[[":
                index = counts[table] = counts.get(table, -1) + 1
                lines.setdefault(table, number)
                table = (*table, index)
            lines.setdefault(table, number)
        elif assignment:
            place = (*table, *_parts(assignment[1]))
            for end in range(len(table) + 1, len(place) + 1):
                lines.setdefault(place[:end], number)
        in_text ^= bool((line.count('"""') + line.count("'''")) % 2)
    return lines


def _parts(dotted: str) -> _Location:
    return tuple(_unquoted(part) for part in _PART.findall(dotted))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return next(iter(tomllib.loads(f"{part} = 0")))
    except tomllib.TOMLDecodeError:
        return part


def _location(error: ErrorDetails) -> _Location:
    extra = str(error["ctx"]["key"]).split(".") if error["type"] == "told_at" else []
    return (*error["loc"], *(int(part) if part.isdigit() else part for part in extra))


def _line_of(error: ErrorDetails, lines: Mapping[_Location, int]) -> int:
    """Return the line of the key, or else of the nearest thing around it; 0 if there is none."""
    location = _location(error)
    around = (location[:end] for end in range(len(location), 0, -1))
    return next((lines[place] for place in around if place in lines), 0)


def _sentence(error: ErrorDetails, path: Path, lines: Mapping[_Location, int]) -> str:
    steps = (f"[{p}]" if isinstance(p, int) else f".{_key(p)}" for p in _location(error))
    line = _line_of(error, lines)
    where = f", line {line}" if line else ""
    return f"{''.join(steps).removeprefix('.')} in {path}{where}: {_complaint(error)}"


def _complaint(error: ErrorDetails) -> str:
    kind, value, location = error["type"], error["input"], error["loc"]
    _, field = _find(location)
    match kind:
        case "extra_forbidden":
            return _unknown(location, value)
        case "value_error":
            return str(error["ctx"]["error"])
        case "told_at":
            return error["msg"]
    return _field_complaint(error, field, value)


def _field_complaint(error: ErrorDetails, field: FieldInfo | None, value: Any) -> str:
    choices = [each for each in get_args(field.annotation) if isinstance(each, str)] if field else []
    one_of = " or ".join(map(_text, choices))
    match error["type"]:
        case "missing":
            said = f"is missing; add it{': ' + one_of if one_of else ''}"
        case "literal_error":
            near = difflib.get_close_matches(value if isinstance(value, str) else "", choices, n=1)
            mend = f"did you mean {_text(near[0])}?" if near else "choose one of them"
            said = f"must be {one_of}, not {_shown(value)}; {mend}"
        case "greater_than_equal" | "less_than_equal" as kind:
            size = "small" if kind == "greater_than_equal" else "large"
            unit = _UNITS.get(str(error["loc"][-1]).rpartition("_")[2], "")
            said = f"{_shown(value)} is too {size}; choose {allowed_range(field)}{unit}"
        case "multiple_of":
            near_by = f"{_shown(value - 1)} or {_shown(value + 1)}"
            said = f"must be an even number, not {_shown(value)}; choose {near_by}"
        case "string_pattern_mismatch" | "string_too_long":
            said = f"{_shown(value)} cannot be used; write {field.description if field else ''}"
        case kind:
            wanted, mend, quoted = _WANTED.get(kind, _WANTED["string_type"])
            if isinstance(value, str) and quoted.fullmatch(value):
                mend = "remove the quotes"
            said = f"must be {wanted}, not {_shown(value)}; {mend}"
    return said


# By pydantic's name: what the value must be, how to write it, which texts only need no quotes.
_NEVER = re.compile(r"(?!)")
_WANTED = {
    "int_type": ("a whole number", "write it in digits alone", re.compile(r"[+-]?\d+")),
    "float_type": ("a number", "write it as 12 or 0.5", re.compile(r"[+-]?\d+(\.\d+)?")),
    "finite_number": ("a finite number", "write it as 12 or 0.5", _NEVER),
    "bool_type": (
        "true or false",
        "write one of the two, without quotes",
        re.compile("true|false"),
    ),
    "string_type": ("a text", "put it in double quotes", _NEVER),
    "list_type": (
        "a list",
        "write [[zones]] above each zone, and its points as [[x, y], …]",
        _NEVER,
    ),
    "tuple_type": ("a point", "write [x, y]", _NEVER),
    "model_type": ("a table", "write its name in [ ] on a line alone, its keys below", _NEVER),
}


def _unknown(location: _Location, value: object) -> str:
    key, (table, _) = str(location[-1]), _find(location)
    what = "unknown table" if isinstance(value, dict) else "unknown key"
    if location == ("mqtt", "password"):
        return (
            "a password never stands in this file; put it into a file of its own that only the "
            "daemon can read (systemd: LoadCredential=) and name that in password_file"
        )
    near = difflib.get_close_matches(key, table.model_fields, n=1)
    if near:
        return f"{what}; did you mean {near[0]}?"
    homes = [place for place, name in _all_keys(Config, "") if name == key and place]
    if homes:
        return f"{what}; it belongs in {' or '.join(f'[{home}]' for home in homes)}"
    return f"{what}; known here: {', '.join(table.model_fields)}"


def _all_keys(table: type[BaseModel], place: str) -> Iterator[tuple[str, str]]:
    for name, field in table.model_fields.items():
        yield place, name
        inner = _table_of(field)
        if inner:
            yield from _all_keys(inner, f"{place}.{name}".removeprefix("."))


def _table_of(field: FieldInfo) -> type[BaseModel] | None:
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, _Table):
            return candidate
    return None


def _find(location: _Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the table that the location's last key stands in, and the key's field if known."""
    table: type[BaseModel] = Config
    field: FieldInfo | None = None
    for part in location:
        if isinstance(part, int):
            continue
        inner = _table_of(field) if field else None
        table = inner or table
        field = table.model_fields.get(part)
    return table, field


def allowed_range(field: FieldInfo | None) -> str:
    """Return a field's bounds in words, such as "1 to 500"; empty if it has none."""
    bounds = field.metadata if field else []
    least = next((bound.ge for bound in bounds if hasattr(bound, "ge")), None)
    most = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
    return "" if least is None or most is None else f"{_number(least)} to {_number(most)}"


_UNITS = {
    "ms": " milliseconds",
    "s": " seconds",
    "px": " pixels",
    "kbps": " kbit/s",
    "bytes": " bytes",
    "days": " days",
}


def _number(number: float) -> str:
    if isinstance(number, int):
        return f"{number:_}" if len(str(number)) > len("65535") else str(number)
    return f"{number:g}"


def _shown(value: object) -> str:
    """Return a value of the file in a few words; long texts, lists and tables are not repeated."""
    shown = "a date or time"
    match value:
        case bool():
            shown = "true" if value else "false"
        case int() if value.bit_length() > 64:  # noqa: PLR2004
            shown = "a number beyond all bounds"
        case int() | float():
            shown = _number(value)
        case str():
            shown = f"the text {_text(value if len(value) <= 40 else value[:40] + '…')}"  # noqa: PLR2004
        case list():
            shown = "a list"
        case dict():
            shown = "a table"
    return shown


# --- polygons -----------------------------------------------------------------------------------

_FEWEST_POINTS, _MOST_POINTS = 3, 32


def _polygon_mistakes(points: list[Point]) -> Iterator[str]:
    """Yield what keeps the points from being a simple polygon; the first is the one to tell."""
    if not _FEWEST_POINTS <= len(points) <= _MOST_POINTS:
        fewer = len(points) < _FEWEST_POINTS
        need = f"needs {_FEWEST_POINTS}" if fewer else f"has {_MOST_POINTS} at most"
        count = f"{len(points)} point{'s' * (len(points) != 1)}"
        yield f"{count}, a polygon {need}; {'add the missing' if fewer else 'leave some out'}"
    for number, (x, y) in enumerate(points, 1):
        if not (0 <= x <= 1 and 0 <= y <= 1):
            yield (
                f"point {number}, [{x:g}, {y:g}], lies outside the picture; write shares of its "
                "width and height, 0 to 1, not pixels"
            )
    for number, (point, following) in enumerate(pairwise(points), 1):
        if point == following:
            yield f"point {number + 1} repeats point {number}; leave one out"
    if points and points[0] == points[-1]:
        yield "the last point repeats the first; leave it out, the polygon closes by itself"
    if all(_turn(points[0], points[1], point) == 0 for point in points[2:]):
        yield "all points lie on one line, so nothing is inside; move one of them"
    yield from _crossings(list(zip(points, points[1:] + points[:1], strict=True)))


def _crossings(sides: list[tuple[Point, Point]]) -> Iterator[str]:
    for index, side in enumerate(sides):
        # A side's neighbours share a corner with it; the last and the first are neighbours too.
        for other in range(index + 2, len(sides) - (index == 0)):
            if _touch(side, sides[other]):
                yield (
                    f"the sides after point {index + 1} and after point {other + 1} cross; "
                    "give the corners in the order of a walk around the zone"
                )


def _turn(a: Point, b: Point, c: Point) -> int:
    """Return on which side of the line a-b the point c lies: -1, 0 or 1."""
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return (area > 0) - (area < 0)


def _touch(one: tuple[Point, Point], two: tuple[Point, Point]) -> bool:
    """Return whether two segments have a point in common."""
    (a, b), (c, d) = one, two
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    corners = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(
        turn == 0
        and min(p[0], q[0]) <= r[0] <= max(p[0], q[0])
        and min(p[1], q[1]) <= r[1] <= max(p[1], q[1])
        for turn, (p, q, r) in zip(turns, corners, strict=True)
    )
