"""The auditor's own reading of a parcel's archive, before it is sealed: the audited clips, a manifest, and zeros.

The manifest is proved member by member, by the form that each value must have, and never searched for names: a
doorbell may be called `video` or `window`. Source: POSIX.1-1988 (ustar).
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from device.release.audit_boxes import Violation

_BLOCK = 512
_MANIFEST = "manifest.jws"
_MAX_MANIFEST_BYTES = 1_000_000
_READ_BYTES = 1 << 20
_HEADER = b'{"alg":"EdDSA","typ":"parcel-manifest+jws"}'

_SHA256 = "[0-9a-f]{64}"
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
_COUNT = r"\d{1,15}"
_FORMS: Mapping[str, str] = {
    "v": "1",
    "request": r"[0-9A-Za-z_-]{1,64}",
    "request_sha256": _SHA256,
    "recipient": "age1[0-9a-z]{58}",
    "offer_hash": _SHA256,
    "software": r"\d{1,5}(\.\d{1,5}){0,3}([.+-]?[a-z]{1,4}\.?\d{0,5}){0,2}",
    "key": "[0-9A-Za-z_-]{43}",
}
_WINDOW_FORMS = {"start": f"{_TIME}Z", "end": f"{_TIME}Z"}
_CLIP_FORMS = {
    "file": r"clip-\d{1,4}\.mp4",
    "sha256": _SHA256,
    "bytes": _COUNT,
    "start": rf"{_TIME}\.\d{{6}}Z",
    "end": rf"{_TIME}\.\d{{6}}Z",
    "clock": "synchronised|unsynchronised",
    "frames": _COUNT,
    "length_us": _COUNT,
    "sound": "true|false",
    "masks": _COUNT,
    "blurs": _COUNT,
}


def audit_parcel(path: Path, clips_sha256: Sequence[str]) -> str:
    """Return the first thing that is wrong with an archive of these clips, as a sentence; empty if there is none.

    Raises OSError.
    """
    try:
        with path.open("rb") as file:
            _read(file, clips_sha256)
    except Violation as error:
        return str(error)
    return ""


def _read(file: BinaryIO, clips_sha256: Sequence[str]) -> None:
    manifest = file.read(_header(file, _MANIFEST, _MAX_MANIFEST_BYTES))
    _zeros(file, -len(manifest) % _BLOCK)
    clips = _manifest(manifest)["clips"]
    if [clip["sha256"] for clip in clips] != list(clips_sha256):
        raise Violation("the manifest names other clips than were audited")
    for number, clip in enumerate(clips, 1):
        name = f"clip-{number}.mp4"
        size = _header(file, name, 1 << 32)
        if clip["file"] != name or clip["bytes"] != size:
            raise Violation(f"{name} has another name or size in the manifest")
        digest, left = hashlib.sha256(), size
        while left and (block := file.read(min(left, _READ_BYTES))):
            digest.update(block)
            left -= len(block)
        if left or digest.hexdigest() != clip["sha256"]:
            raise Violation(f"{name} is not the clip that was audited")
        _zeros(file, -size % _BLOCK)
    while block := file.read(_READ_BYTES):
        if block.strip(b"\0"):
            raise Violation("there is data behind the last clip")


def _header(file: BinaryIO, name: str, most_bytes: int) -> int:
    """Prove that the next block is the header of a plain file; return the file's size."""
    header = file.read(_BLOCK)
    octal = header[124:135]
    if not re.fullmatch(b"[0-7]{11}", octal) or int(octal, 8) > most_bytes:
        raise Violation(f"the header of {name} has no size that it can have")
    fields = (
        name.encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + octal + b"\0" + b"0" * 11 + b"\0"
    )
    rest = b"0" + bytes(100) + b"ustar\x0000" + bytes(64)
    sizes = (bytes(16), b"0000000\0" * 2)  # the numbers of a device, which a plain file does not have
    for device in sizes:
        tail = (rest + device).ljust(_BLOCK - len(fields) - 8, b"\0")
        checksum = sum(fields) + 8 * ord(" ") + sum(tail)
        if header == fields + f"{checksum:06o}\0 ".encode() + tail:
            return int(octal, 8)
    raise Violation(f"the header of {name} holds more than name and size")


def _zeros(file: BinaryIO, count: int) -> None:
    if file.read(count) != bytes(count):
        raise Violation("there is data between two files")


def _manifest(content: bytes) -> dict[str, Any]:
    parts = content.split(b".")
    if len(parts) != 3 or _decoded(parts[0]) != _HEADER or len(_decoded(parts[2])) != 64:
        raise Violation("the manifest is not a signed text of its form")
    text = _decoded(parts[1])
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise Violation(f"the manifest cannot be read: {error}") from error
    compact = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if compact != text or not isinstance(manifest, dict):
        raise Violation("the manifest is not canonical JSON")
    _check(manifest, _FORMS, "the manifest", {"window", "clips"})
    _check(manifest["window"], _WINDOW_FORMS, "the manifest's window")
    for clip in manifest["clips"]:
        _check(clip, _CLIP_FORMS, "a clip of the manifest")
    return manifest


def _check(
    found: Any, forms: Mapping[str, str], what: str, others: frozenset[str] | set[str] = frozenset()
) -> None:
    if not isinstance(found, dict) or set(found) != set(forms) | others:
        raise Violation(f"{what} does not have the members that it must have")
    for name, form in forms.items():
        value = found[name]
        if not re.fullmatch(form, value if isinstance(value, str) else json.dumps(value)):
            raise Violation(f"{what}: {name} has a form that it cannot have")


def _decoded(coded: bytes) -> bytes:
    try:
        raw = base64.b64decode(coded + b"=" * (-len(coded) % 4), b"-_", validate=True)
    except ValueError:
        raise Violation("the manifest is not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != coded:
        raise Violation("the manifest is not base64url in its one form")
    return raw
