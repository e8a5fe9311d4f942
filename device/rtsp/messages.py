"""Messages between doorbelld and the RTSP process, over one socket pair.

To the process: one byte of kind, the length of the rest (4 bytes, big-endian), the rest. Back: lines of JSON.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

READERS, FORMAT, PICTURE, SOUND, RESET = b"R", b"F", b"P", b"S", b"X"
_HEAD = struct.Struct(">cI")
_PICTURE = struct.Struct(">q?")
_SOUND = struct.Struct(">q")
MAX_MESSAGE_BYTES = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A reader of RTSP. `ha1` is the MD5 that digest authentication calls H(A1) (RFC 7616, 3.4.2)."""

    ha1: str
    sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFormat:
    """What follows; `sound_codec` is empty without sound. `sound_header`: AudioSpecificConfig, in hexadecimal."""

    codec: str
    sound_codec: str = ""
    sound_rate_hz: int = 0
    sound_channels: int = 0
    sound_header: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded picture, Annex B; `pts_us` on the monotonic clock."""

    pts_us: int
    is_keyframe: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Sound:
    """Some encoded sound, without headers."""

    pts_us: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """Nothing that was sent before may be shown any more."""


Message = dict[str, Account] | StreamFormat | Picture | Sound | Reset


def head_of(kind: bytes, size: int) -> bytes:
    """Return what comes before a message's rest."""
    return _HEAD.pack(kind, size)


def readers_message(accounts: dict[str, Account]) -> bytes:
    """Return a message: who may read, by name."""
    return _json(READERS, {name: asdict(account) for name, account in accounts.items()})


def format_message(stream: StreamFormat) -> bytes:
    """Return a message: what follows."""
    return _json(FORMAT, asdict(stream))


def picture_head(size: int, pts_us: int, *, is_keyframe: bool) -> bytes:
    """Return what comes before a picture of `size` bytes."""
    return head_of(PICTURE, _PICTURE.size + size) + _PICTURE.pack(pts_us, is_keyframe)


def sound_head(size: int, pts_us: int) -> bytes:
    """Return what comes before some sound of `size` bytes."""
    return head_of(SOUND, _SOUND.size + size) + _SOUND.pack(pts_us)


def _json(kind: bytes, value: dict[str, Any]) -> bytes:
    rest = json.dumps(value).encode()
    return head_of(kind, len(rest)) + rest


class Messages:
    """Bytes in, messages out."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole now. Raises ValueError."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            kind, size = _HEAD.unpack_from(self._bytes)
            if size > MAX_MESSAGE_BYTES:
                raise ValueError(f"a message of {size} bytes")
            if len(self._bytes) < _HEAD.size + size:
                return
            rest = bytes(self._bytes[_HEAD.size : _HEAD.size + size])
            del self._bytes[: _HEAD.size + size]
            yield _message(kind, rest)


def _message(kind: bytes, rest: bytes) -> Message:
    if kind == PICTURE:
        pts_us, is_keyframe = _PICTURE.unpack_from(rest)
        return Picture(pts_us, is_keyframe, rest[_PICTURE.size :])
    if kind == SOUND:
        return Sound(_SOUND.unpack_from(rest)[0], rest[_SOUND.size :])
    if kind == READERS:
        return {name: Account(**account) for name, account in json.loads(rest).items()}
    if kind == FORMAT:
        return StreamFormat(**json.loads(rest))
    if kind == RESET:
        return Reset()
    raise ValueError(f"a message of kind {kind!r}")
