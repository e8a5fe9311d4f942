"""Opening a parcel: unseal, check everything that it says of itself, and write down how anybody can check it.

Nothing of a parcel is believed: not its names, not its sizes. It is unpacked into a new folder, file by file,
by the manifest's list alone.
"""

import hashlib
import json
import tarfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from device.consent.envelope import REQUEST, read
from device.consent.models import FootageRequest, request_of
from device.consent.reasons import Refused
from device.release.audit import AuditReport, Promise, audit
from device.release.manifest import FILE
from device.release.parcel import size_class
from device.system.clock import parse_rfc3339
from device.system.durable_files import PRIVATE_FOLDER, new_private_file
from server.agency.manifest_reader import BadManifest, raw_of, signing_input, verified
from server.agency.paper import SEALING_KEY, AgencyError

MAX_CLIP_BYTES = 1 << 32


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked; `result` is a sentence."""

    name: str
    good: bool
    result: str


@dataclass(slots=True)
class Opened:
    """A parcel, opened and checked."""

    parcel: Path
    sha256: str
    size_bytes: int
    manifest: dict[str, Any]
    folder: Path
    checks: list[Check] = field(default_factory=list)
    audits: dict[str, AuditReport] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether everything holds."""
        return all(check.good for check in self.checks)


def open_parcel(parcel: Path, key_folder: Path, out: Path, requests: list[Path]) -> Opened:
    """Open a parcel into a new folder. Raises Wrong if it cannot be opened at all."""
    try:
        out.mkdir(mode=PRIVATE_FOLDER, parents=True)
    except FileExistsError:
        raise AgencyError(f"{out} exists already; name another folder with --out") from None
    plain = out / "parcel.tar"
    _unseal(parcel, key_folder / SEALING_KEY, plain)
    with parcel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        manifest = _unpack(plain, out)
    except AgencyError:
        plain.unlink()
        raise
    opened = Opened(parcel, digest, parcel.stat().st_size, manifest, out)
    opened.checks.append(Check("seal", True, "it was sealed for this key, and not changed since"))  # noqa: FBT003
    opened.checks.append(Check("signature", True, f"the manifest is signed by the key {manifest['key']}"))  # noqa: FBT003
    _check_padding(plain, opened)
    _check_request(opened, requests)
    for clip in manifest["clips"]:
        _check_clip(opened, clip)
    plain.unlink()
    _write_proofs(opened)
    return opened


def _unseal(parcel: Path, key: Path, plain: Path) -> None:
    try:
        words = key.read_text().split()
        identity = pyrage.x25519.Identity.from_str(words[-1])
        with parcel.open("rb") as sealed, new_private_file(plain) as file:
            pyrage.decrypt_io(sealed, file, [identity])
    except pyrage.DecryptError as error:
        raise AgencyError(f"{parcel}: cannot be opened with {key}: {error}") from error
    except (OSError, IndexError, pyrage.IdentityError) as error:
        raise AgencyError(f"{error}") from error


def _unpack(plain: Path, out: Path) -> dict[str, Any]:
    """Unpack what the manifest names, and nothing else; return what it says."""
    try:
        with tarfile.open(plain, "r:") as tar:
            members = tar.getmembers()
            if not members or members[0].name != FILE or not members[0].isreg():
                raise AgencyError(f"the parcel does not begin with {FILE}")
            file = tar.extractfile(members[0])
            content = file.read() if file else b""
            manifest = verified(content)
            names = [FILE, *(f"clip-{number}.mp4" for number in range(1, len(manifest["clips"]) + 1))]
            if [member.name for member in members] != names or not all(member.isreg() for member in members):
                raise AgencyError("the parcel holds other files than its manifest names")
            _write(out / FILE, content)
            for member, clip in zip(members[1:], manifest["clips"], strict=True):
                if member.size != clip["bytes"] or member.size > MAX_CLIP_BYTES:
                    raise AgencyError(f"{member.name} has another size than the manifest says")
                inner = tar.extractfile(member)
                assert inner  # noqa: S101  (a regular file)
                with new_private_file(out / member.name) as copy:
                    while block := inner.read(1 << 20):
                        copy.write(block)
    except (tarfile.TarError, KeyError, TypeError) as error:
        raise AgencyError(f"the parcel's archive cannot be read: {error}") from error
    except BadManifest as error:
        raise AgencyError(str(error)) from error
    return manifest


def _check_padding(plain: Path, opened: Opened) -> None:
    size = plain.stat().st_size
    with tarfile.open(plain, "r:") as tar:
        end = max(member.offset_data + -(-member.size // 512) * 512 for member in tar.getmembers())
    with plain.open("rb") as file:
        file.seek(end)
        clean = all(not block.strip(b"\0") for block in iter(lambda: file.read(1 << 20), b""))
    good = clean and size == size_class(size)
    text = f"{size:,} bytes, a size class; behind the last file only zeros"
    opened.checks.append(Check("padding", good, text if good else "there is data behind the last file"))


def _check_request(opened: Opened, requests: list[Path]) -> None:
    """Check that it answers a request that this agency made, if the requests are at hand."""
    manifest = opened.manifest
    if not requests:
        opened.checks.append(
            Check("request", True, f"{manifest['request']}; give --request FILE to compare it with your own")  # noqa: FBT003
        )
        return
    for path in requests:
        content = path.read_bytes().strip()
        if hashlib.sha256(content).hexdigest() != manifest["request_sha256"]:
            continue
        try:
            asked = request_of(read(content, types=(REQUEST,), kids=None).payload)
        except Refused:
            continue
        if isinstance(asked, FootageRequest) and asked.id == manifest["request"]:
            window = {name: parse_rfc3339(manifest["window"][name]) // 1_000_000 for name in ("start", "end")}
            same = window == {"start": asked.window.start, "end": asked.window.end}
            text = f"{path.name}: case {asked.case}"
            opened.checks.append(Check("request", same, text if same else f"{text}; its window is another"))
            return
    opened.checks.append(Check("request", False, "it answers none of the requests that were given"))  # noqa: FBT003


def _check_clip(opened: Opened, clip: dict[str, Any]) -> None:
    path = opened.folder / clip["file"]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    same = digest == clip["sha256"]
    opened.checks.append(Check(f"{clip['file']} SHA-256", same, digest if same else f"is {digest}"))
    start_us, end_us = parse_rfc3339(clip["start"]), parse_rfc3339(clip["end"])
    from_us, until_us = (parse_rfc3339(opened.manifest["window"][name]) for name in ("start", "end"))
    inside = from_us <= start_us < end_us <= until_us
    result = f"{clip['start']} to {clip['end']}, {'inside' if inside else 'NOT inside'} the window"
    opened.checks.append(Check(f"{clip['file']} times", inside, result))
    promise = Promise(frames=clip["frames"], length_us=end_us - start_us, sound=clip["sound"])
    found = audit(path, promise, [])
    opened.audits[clip["file"]] = found
    result = found.wrong or f"{found.frames} pictures, {found.length_us / 1e6:.3f} s, and nothing besides"
    opened.checks.append(Check(f"{clip['file']} content", found.good, result))


def _write_proofs(opened: Opened) -> None:
    """Write what public tools need to check the same."""
    out, manifest = opened.folder, opened.manifest
    content = (out / FILE).read_bytes()
    signed, signature = signing_input(content)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    _write(out / "manifest.json", text.encode())
    _write(out / "manifest.signed", signed)
    _write(out / "manifest.sig", signature)
    key = Ed25519PublicKey.from_public_bytes(raw_of(manifest["key"]))
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(out / "release-key.pem", pem)
    lines = [f"{clip['sha256']}  {clip['file']}\n" for clip in manifest["clips"]]
    _write(out / "SHA256SUMS", "".join(lines).encode())


def _write(path: Path, content: bytes) -> None:
    with new_private_file(path) as file:
        file.write(content)


def opened_at() -> str:
    """Return the time, for the report."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
