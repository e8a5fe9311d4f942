"""A sender's folder: its keys and its identity, and the messages that it signs with them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.consent import area, keys
from device.consent.documents import GeoJsonPolygon
from device.consent.envelope import NOTICE, RECORD, REQUEST, encoded
from device.consent.models import (
    MAX_AREA_CORNERS,
    MAX_JURISDICTION_CORNERS,
    Polygon,
    notice_of,
    record_of,
    request_of,
    time_text,
)
from device.consent.reasons import Reason, Refused
from device.system.durable_files import PRIVATE, new_private_file, write_durably
from device.system.ulid import new_ulid
from server.agency.signing import signed_envelope

SIGNING_KEY, SEALING_KEY, WHO = "signing-key.pem", "sealing-key.txt", "sender.json"
DAY_S = 86_400


_REMEDIES = {
    Reason.AREA_SHAPE: "draw one area that is at least 100 m wide everywhere; a circle is one: --around, --radius-m",
    Reason.AREA_SIZE: "draw a larger or a smaller area, or set --radius-m",
    Reason.AREA_ACROSS_180: "send one request for each side of the meridian",
}


class AgencyError(Exception):
    """The command cannot be carried out; the message is for a person."""


def explained(error: Refused) -> str:
    """Return why a doorbell refuses a message, and what the sender can do."""
    remedy = _REMEDIES.get(error.reason)
    return f"{error}; {remedy}" if remedy else str(error)


class Folder:
    """A sender's folder: the private keys never leave it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> str:
        """Make the two keys; return the signing key's fingerprint. Raises Wrong if there are some."""
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / SIGNING_KEY).exists():
            raise AgencyError(f"{self.path / SIGNING_KEY} exists already; keys are made once")
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write_secret(self.path / SIGNING_KEY, pem)
        identity = pyrage.x25519.Identity.generate()
        text = f"# public key: {identity.to_public()}\n{identity}\n"
        _write_secret(self.path / SEALING_KEY, text.encode())
        return keys.fingerprint(key.public_key().public_bytes_raw())

    @property
    def key(self) -> Ed25519PrivateKey:
        """The signing key. Raises Wrong."""
        try:
            loaded = serialization.load_pem_private_key((self.path / SIGNING_KEY).read_bytes(), None)
        except FileNotFoundError:
            raise AgencyError(
                f"{self.path}: no {SIGNING_KEY} here; make one with `scripts/agency keygen`"
            ) from None
        except (OSError, ValueError) as error:
            raise AgencyError(f"{self.path / SIGNING_KEY}: {error}") from error
        if not isinstance(loaded, Ed25519PrivateKey):
            raise AgencyError(f"{self.path / SIGNING_KEY}: is no Ed25519 key")
        return loaded

    @property
    def recipient(self) -> str:
        """Whom parcels are sealed for: the age recipient of the sealing key. Raises Wrong."""
        try:
            lines = (self.path / SEALING_KEY).read_text().split()
            return str(pyrage.x25519.Identity.from_str(lines[-1]).to_public())
        except FileNotFoundError:
            raise AgencyError(
                f"{self.path}: no {SEALING_KEY} here; make one with `scripts/agency keygen`"
            ) from None
        except (OSError, ValueError, IndexError, pyrage.IdentityError) as error:
            raise AgencyError(f"{self.path / SEALING_KEY}: {error}") from error

    def who(self) -> dict[str, Any]:
        """Return what `record` kept. Raises Wrong."""
        try:
            kept: dict[str, Any] = json.loads((self.path / WHO).read_text())
        except FileNotFoundError:
            raise AgencyError(
                f"{self.path}: no record here yet; write one with `scripts/agency record`"
            ) from None
        return kept

    def record(self, *, fields: dict[str, Any], days: int, now: int) -> bytes:
        """Return a signed record, one serial further than the last, and store its fields. Raises Wrong."""
        try:
            serial = self.who()["serial"] + 1
        except AgencyError:
            serial = 1
        raw = self.key.public_key().public_bytes_raw()
        payload = {
            "v": 1,
            "serial": serial,
            **fields,
            "keys": [
                {
                    "kid": keys.fingerprint(raw),
                    "x": encoded(raw).decode(),
                    "valid_from": time_text(now - 300),
                    "valid_until": time_text(now + days * DAY_S),
                }
            ],
            "iat": time_text(now),
        }
        content = self._signed(RECORD, payload, record_of)
        text = json.dumps(payload, indent=1, ensure_ascii=False)
        write_durably(self.path / WHO, text.encode(), mode=PRIVATE)
        return content

    def request(self, **fields: Any) -> bytes:
        """Return a signed footage request. Raises Wrong."""
        return self._signed(
            REQUEST, {"v": 1, "op": "request", "agency": self.who()["sender"], **fields}, request_of
        )

    def cancellation(self, typ: str, name: str, now: int) -> bytes:
        """Return the signed cancellation of a request or notice. Raises Wrong."""
        role = "agency" if typ == REQUEST else "source"
        payload = {"v": 1, "op": "cancel", "id": name, role: self.who()["sender"], "iat": time_text(now)}
        return self._signed(typ, payload, request_of if typ == REQUEST else notice_of)

    def notice(self, **fields: Any) -> bytes:
        """Return a signed notice. Raises Wrong."""
        return self._signed(
            NOTICE, {"v": 1, "op": "issue", "source": self.who()["sender"], **fields}, notice_of
        )

    def _signed(self, typ: str, payload: dict[str, Any], look: Callable[[dict[str, Any]], Any]) -> bytes:
        try:
            look(payload)
        except Refused as error:
            raise AgencyError(f"every doorbell would refuse it: {explained(error)}") from error
        return signed_envelope(typ, payload, self.key)


def fresh_id(now: int) -> str:
    """Return an id for a request or notice."""
    return new_ulid(now * 1_000_000)


def polygon_of(
    path: Path | None, around: str | None, radius_m: float, *, jurisdiction: bool = False
) -> GeoJsonPolygon:
    """Return the area of a GeoJSON file (a Polygon, or a Feature with one) or around LATITUDE,LONGITUDE.
    Raises Wrong.
    """
    if path is not None:
        try:
            shape = json.loads(path.read_text())
            shape = shape["features"][0] if shape.get("type") == "FeatureCollection" else shape
            shape = shape["geometry"] if shape.get("type") == "Feature" else shape
            found = Polygon.model_validate({"type": shape["type"], "coordinates": shape["coordinates"]})
            found.corners(MAX_JURISDICTION_CORNERS if jurisdiction else MAX_AREA_CORNERS)
        except OSError as error:
            raise AgencyError(f"{path}: {error.strerror}") from error
        except Refused as error:
            raise AgencyError(f"{path}: {explained(error)}") from error
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise AgencyError(
                f"{path}: is no GeoJSON with one Polygon of one ring: {str(error)[:100]}"
            ) from error
        return {"type": "Polygon", "coordinates": shape["coordinates"]}
    try:
        latitude, longitude = (float(part) for part in (around or "").split(","))
    except ValueError:
        raise AgencyError(
            f"{around!r}: write LATITUDE,LONGITUDE in degrees, for instance 48.8584,2.2945"
        ) from None
    return area.circle(longitude, latitude, radius_m)


def now_s() -> int:
    """Return the time in Unix seconds."""
    return int(time.time())


def _write_secret(path: Path, content: bytes) -> None:
    with new_private_file(path) as file:
        file.write(content)
