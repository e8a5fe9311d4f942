"""The rest of the daemon, as the web API needs it. The composition implements it (device/daemon/api_backend.py).

Every method may block for some seconds, is called on a thread that may, and raises CommandError.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue

from device.config import Effect
from device.consent.envelope import JsonObject
from device.consent.offer import Choice, Corners
from device.events import PacketReader
from device.web.models import (
    BrokerTestResponse,
    ClipResponse,
    ClipSummary,
    EffectsResponse,
    ForgetResponse,
    IsolationResponse,
    LogEntry,
    RecordResponse,
    RingResponse,
    SettingResponse,
    StatusResponse,
    UndoResponse,
    VisitKind,
)


class PacketFeed(Protocol):
    """Encoded pictures that may be shown: the camera's own, or masked ones."""

    @property
    def closed(self) -> bool:
        """Whether privacy is on: it has nothing, and gets nothing."""

    def reader(self, mono_us: int) -> PacketReader:
        """Return a reader from the last keyframe shown at or before `mono_us`."""


class Consent(Protocol):
    """The consent service, as far as the page goes (device/consent_service/service.py)."""

    def requests(self) -> Sequence[JsonObject]:
        """Return every request, newest first."""

    def request(self, request_id: str, choice: Choice) -> JsonObject:
        """Return one request with exactly what would leave."""

    def approve(
        self, request_id: str, shown_hash: str, choice: Choice, files: Sequence[str] = (), /
    ) -> JsonObject:
        """Approve what the owner was shown; `files`: the hashes of the files that he played."""

    def preview(self, request_id: str, shown_hash: str, choice: Choice) -> JsonObject:
        """Let the files be made that an approval would seal."""

    def preview_state(self, request_id: str) -> JsonObject:
        """Return how far they are."""

    def preview_file(self, request_id: str, number: int, sha256: str) -> Path:
        """Return one of them; the first is number 1."""

    def close_preview(self, request_id: str) -> None:
        """Delete them."""

    def decline(self, request_id: str) -> JsonObject:
        """Decline a request."""

    def withdraw(self, request_id: str) -> JsonObject:
        """Withdraw an approval."""

    def withdraw_all(self) -> JsonObject:
        """Withdraw every approval."""

    def destinations(self) -> Sequence[JsonObject]:
        """Return the owner's own backup destinations, without their secrets."""

    def add_destination(self, destination: JsonObject, secret: str, /) -> JsonObject:
        """Consent to backups to a destination."""

    def remove_destination(self, name: str) -> None:
        """Stop backups to a destination."""

    def notices(self) -> Sequence[JsonObject]:
        """Return the notices, newest first."""

    def senders(self) -> Sequence[JsonObject]:
        """Return the pinned senders."""

    def look_at(self, record: bytes) -> JsonObject:
        """Return the contents of a sender's file, before it is pinned."""

    def pin(self, record: bytes, fingerprint: str, /) -> None:
        """Pin a sender whose fingerprint was typed."""

    def rotate(self, record: bytes) -> None:
        """Replace a pinned sender's record by a newer one."""

    def unpin(self, sender: str) -> None:
        """Unpin a sender."""

    def feeds(self) -> dict[str, str]:
        """Return the feeds: name → address."""

    def add_feed(self, name: str, url: str) -> None:
        """Subscribe to a feed."""

    def remove_feed(self, name: str) -> None:
        """Unsubscribe from a feed."""

    def ledger(self, newest: int) -> JsonObject:
        """Return the newest entries, the head, and counts of refused messages."""

    def export(self) -> Iterator[str]:
        """Yield the whole ledger as JSON lines."""


class Reader(Protocol):
    """A client that the owner lets read pictures."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def scopes(self) -> frozenset[str]:
        """What it may read."""


class ReaderRegistry(Protocol):
    """The owner's readers (device/consent_service/readers.py). `find`, `may_read` and `peers` wait for nothing."""

    def find(self, token: str, peer: str, /) -> Reader | None:
        """Return the reader that a token belongs to, which was sent from an address."""

    def may_read(self, reader: Any, /) -> bool:
        """Return whether a reader's access still stands."""

    def peers(self) -> AbstractSet[str]:
        """Return the addresses that readers were last used from."""

    def views(self) -> Sequence[JsonObject]:
        """Return every reader, without its token."""

    def add(self, name: str, scopes: Sequence[Any], /) -> JsonObject:
        """Let a client read; return its token."""

    def remove(self, name: str, /) -> None:
        """Revoke a reader's access."""


class SettingsBackend(Protocol):
    """The settings, as far as the web API needs them (device/daemon/settings_api.py)."""

    def rows(self) -> list[SettingResponse]:
        """Return every setting with its value, and where that comes from."""

    def weigh(self, changes: Mapping[str, JsonValue]) -> EffectsResponse:
        """Return what a change would do, without making it."""

    def weigh_undo(self) -> EffectsResponse:
        """Return what undoing the last change would do."""

    def change(
        self, changes: Mapping[str, JsonValue], allow: Callable[[Mapping[str, Effect]], None]
    ) -> UndoResponse:
        """Change settings (dotted key → value; None: as in the file), all or none; `allow` raises if it may not be."""

    def undo(self, allow: Callable[[Mapping[str, Effect]], None]) -> UndoResponse:
        """Undo the last change; `allow` raises if it may not be."""

    def forget_mqtt(self) -> ForgetResponse:
        """Turn MQTT off, and remove everything from the broker."""

    def try_mqtt(self, changes: Mapping[str, JsonValue]) -> BrokerTestResponse:
        """Connect once to the broker that these settings name."""


class Backend(Protocol):
    """The daemon, as far as the web API needs it."""

    def ring(self) -> RingResponse:
        """Ring as if the button had been pressed."""

    def status(self) -> StatusResponse:
        """Return the state of the doorbell."""

    def record(self) -> RecordResponse:
        """Record a clip now."""

    def switch(self, name: str, payload: str) -> None:
        """Change one of the owner's switches; `payload` as on its MQTT topic."""

    def clips(self, from_wall_us: int | None, until_wall_us: int | None) -> list[ClipSummary]:
        """Return the clips that began in a span of Unix microseconds, or the newest thousand."""

    def clip(self, clip_id: str) -> ClipResponse:
        """Return one clip."""

    def star(self, clip_id: str, *, on: bool) -> None:
        """Set or remove the owner's star."""

    def delete(self, clip_id: str) -> None:
        """Delete a clip."""

    def log(self) -> list[LogEntry]:
        """Return the newest rows of the log."""

    def event(self, part: str) -> list[LogEntry]:
        """Return the log of one visit, by the beginning or the end of its event id."""

    def snapshot(self) -> bytes:
        """Return what the camera sees now as JPEG, masked."""

    def visits(self, from_wall_us: int, until_wall_us: int, kind: VisitKind, most: int) -> str:
        """Return the newest rings and visits of a span of Unix microseconds, as JSON; see store/timeline_query.py."""

    def visit(self, event_id: str) -> str:
        """Return the clips and pictures of a visit, as JSON."""

    def archive(self, from_wall_us: int, until_wall_us: int) -> Iterator[bytes]:
        """Return a ZIP archive of the clips and press pictures of a span, made while it is read."""

    def busy_quarters(self, from_wall_us: int, until_wall_us: int) -> list[tuple[int, int, int]]:
        """Return (Unix s of its begin, visits, 1 with a ring) of each quarter of an hour that had a visit."""

    def thumbnail(self, clip_id: str) -> Path | None:
        """Return a clip's small picture, or None while there is none."""

    def press_picture(self, event_id: str, press_number: int, *, small: bool = False) -> bytes | None:
        """Return the picture of the moment of a press as JPEG, masked, or None. `small`: for a list."""

    def delete_press_pictures(self, event_id: str) -> None:
        """Delete the press pictures of a visit."""

    def video(self, clip_id: str) -> Path:
        """Return a clip's file, or a masked copy of it."""

    def picture(self, clip_id: str, at_us: int, blurs: Sequence[Corners] = ()) -> bytes:
        """Return what a clip shows at a time in it, masked and blurred, as JPEG."""

    @property
    def consent(self) -> Consent:
        """Requests, notices, senders, backups and the ledger."""

    @property
    def readers(self) -> ReaderRegistry:
        """Clients that may read pictures."""

    def check_isolation(self) -> IsolationResponse:
        """Try to cross the isolation between the two processes, from both sides."""

    def home_position(self) -> tuple[float, float] | None:
        """Return the home's longitude and latitude, if they are configured."""

    @property
    def settings(self) -> SettingsBackend:
        """The settings."""

    def keep_limits(self) -> UndoResponse:
        """Keep the storage limits in force instead of those that wait for their hour."""
