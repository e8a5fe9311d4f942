"""What may be asked of the house, by its page and by `doorbell`: each question, and who answers it.

Implements `device.web.backend.Backend`. Every method runs on a thread of the page that may wait,
and raises CommandError.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from device.config import PAGE_FILE, Sources
from device.daemon.clip_access import ClipAccess
from device.daemon.isolation_check import IsolationCheck
from device.daemon.wiring import Daemon
from device.errors import CameraError, CommandError, ConfigError
from device.events import ClipAsked, Pressed, SettingAsked, StatusAsked
from device.hw.button import SimulatedButton
from device.mqtt.broker_test import try_broker
from device.store.event_log import EventLogReader, LogRow
from device.store.files import is_whole_jpeg, plain_size
from device.store.index import ClipRow
from device.store.messages import DeleteClip, MakeThumbnail, StarClip, StorageMessage, WriteFile
from device.store.timeline_query import MAX_DAYS, visit_hours, visits_json

if TYPE_CHECKING:
    from device.consent.offer import Corners
    from device.store.masked_export import MaskedCopies
    from device.web.backend import Consent

ANSWER_S = 5.0
MAX_ROWS = 1000

MQTT_PASSWORD_FILE, MAX_PASSWORD = "mqtt-password", 256

T = TypeVar("T")
Reply = Callable[[dict[str, Any]], None]


class ApiBackend:
    """Asks the controller by a fact, the storage worker by an order; reads the disk through connections of its own."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._layout = daemon.layout
        self._orders = daemon.storage_messages
        self._making = threading.Lock()
        self._copies: MaskedCopies | None = None
        self._changing = threading.Lock()
        self.footage = ClipAccess(daemon)

    # --- the controller -----------------------------------------------------------------------------------

    def ring(self) -> dict[str, Any]:
        """Ring as if the button was pressed."""
        daemon = self._daemon

        def press(reply: Reply) -> None:
            if isinstance(daemon.button, SimulatedButton):
                if not daemon.button.press("command", reply):
                    raise CommandError("the button was pressed this very moment; that was one press")
            else:
                name = daemon.config.button.name
                now_us = daemon.clock.mono_us()
                daemon.inbox(Pressed(mono_us=now_us, button=name, source="command", reply=reply))

        return _ask(press)

    def status(self) -> dict[str, Any]:
        """Return how the doorbell is."""
        answer = _ask(lambda reply: self._daemon.inbox(StatusAsked(reply=reply)))
        daemon = self._daemon
        waiting = {"controller": daemon.controller.inbox.qsize(), "storage": daemon.storage_messages.qsize()}
        return {
            "pid": os.getpid(),
            **answer,
            "camera_drops": daemon.motion_worker.latest_frame.dropped,
            "waiting": waiting,
        }

    def record(self) -> dict[str, Any]:
        """Make a clip of this moment."""
        now_us = self._daemon.clock.mono_us()
        answer = _ask(lambda reply: self._daemon.inbox(ClipAsked(mono_us=now_us, reply=reply)))
        if answer["refused"]:
            raise CommandError(answer["refused"])
        return answer

    def switch(self, name: str, payload: str) -> dict[str, Any]:
        """Change a switch."""
        clock = self._daemon.clock
        answer = _ask(
            lambda reply: self._daemon.inbox(
                SettingAsked(
                    mono_us=clock.mono_us(), name=name, payload=payload, origin="command", reply=reply
                )
            )
        )
        return _good(answer)

    # --- what is on the disk ------------------------------------------------------------------------

    def clips(self, from_wall_us: int | None, until_wall_us: int | None) -> list[dict[str, Any]]:
        """Return the clips of a span, or the newest."""
        if from_wall_us is not None and until_wall_us is not None:
            rows = self.footage.ask(lambda index: index.between(from_wall_us, until_wall_us))
        else:
            rows = self.footage.ask(lambda index: index.newest_first(MAX_ROWS))[::-1]
        return [row.public(self._layout.clips) for row in rows]

    def clip(self, clip_id: str) -> dict[str, Any]:
        """Return one clip, and what has to be covered before anybody else sees it."""
        row = self._row(clip_id)
        daemon = self._daemon
        masks = [] if daemon.covered_by_camera else [mask.points for mask in daemon.config.masks]
        return {**row.public(self._layout.clips), "masks": masks}

    def star(self, clip_id: str, *, on: bool) -> dict[str, Any]:
        """Set or take the owner's star."""
        return self._ask_storage_worker(lambda reply: StarClip(clip_id=clip_id, on=on, reply=reply))

    def delete(self, clip_id: str) -> dict[str, Any]:
        """Delete a clip."""
        return self._ask_storage_worker(lambda reply: DeleteClip(clip_id=clip_id, reply=reply))

    def log(self) -> list[dict[str, Any]]:
        """Return the newest rows of the log."""
        return [row.payload for row in self._read_log(lambda reader: reader.latest(MAX_ROWS))]

    def event(self, part: str) -> list[dict[str, Any]]:
        """Return the log of one visit, by the beginning or the end of its id."""
        if part == "last":
            latest = self._read_log(lambda reader: reader.latest(MAX_ROWS))
            part = next(
                (str(r.payload["event_id"]) for r in reversed(latest) if r.payload["kind"] == "motion_ended"),
                "",
            )
            if not part:
                raise CommandError("there was no motion yet, or the first visit goes on")
        rows = self._read_log(lambda reader: reader.of_event(part, MAX_ROWS))
        found = sorted({row.payload["event_id"] for row in rows})
        if len(found) != 1:
            told = f"{len(found)} events begin or end with {part}" if found else f"there is no event {part}"
            raise CommandError(f"{told}; `doorbell log` shows them")
        return [row.payload for row in rows]

    # --- pictures -------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return what the camera sees now, masked."""
        if self._daemon.controller.settings.privacy:
            raise CommandError("privacy is on: nothing is seen")
        try:
            return self._daemon.snapshot()
        except CameraError as error:
            raise CommandError(str(error)) from error

    def thumbnail(self, clip_id: str) -> Path | None:
        """Return a clip's small picture; if it is not there, have it made."""
        row = self._row(clip_id)
        path = self._layout.thumbnail(row.clip_id)
        if is_whole_jpeg(path):
            return path
        self._orders.put(MakeThumbnail(clip_id=row.clip_id))
        return None

    def video(self, clip_id: str) -> Path:
        """Return a clip's file; with masks to cover, of a copy of it that is made now."""
        clip = self.clip(clip_id)
        path = Path(clip["file"])
        try:
            if plain_size(path) is None:
                raise CommandError(f"{path.name} is no ordinary file; `doorbell check` says more")
            return self._masked(path, clip["masks"]) if clip["masks"] else path
        except OSError as error:
            raise CommandError(f"{path.name}: {error.strerror}; `doorbell check` says more") from error

    def _masked(self, path: Path, polygons: list[Any]) -> Path:
        from device.store.masked_export import MaskedCopies  # loads PyAV

        with self._making:
            self._copies = self._copies or MaskedCopies(self._layout.masked)
        try:
            return self._copies.copy_of(path, polygons)
        except ValueError as error:
            raise CommandError(f"{path.name}: cannot be encoded with its masks ({error})") from error

    def picture(self, clip_id: str, at_us: int, blurs: "Sequence[Corners]" = ()) -> bytes:
        """Return what a clip shows at a time, masked and blurred, as JPEG."""
        return self.footage.picture(self._row(clip_id), at_us, blurs)

    # --- the neighbourhood ----------------------------------------------------------------------------

    @property
    def consent(self) -> "Consent":
        """Requests, notices, pins and the ledger."""
        consent_service = self._daemon.consent_service
        if consent_service is None:
            raise CommandError("the house is starting; try again")
        return cast("Consent", consent_service)

    def check_isolation(self) -> dict[str, Any]:
        """Try to break through the walls from both sides; return what happened."""
        return IsolationCheck(self._daemon).tried()

    def place(self) -> tuple[float, float] | None:
        """Return where the house stands, longitude and latitude, if the owner said so."""
        told = self._daemon.config.neighbourhood
        return (told.longitude, told.latitude) if told.enabled else None

    # --- the day --------------------------------------------------------------------------------------

    def visits(self, from_wall_us: int, until_wall_us: int) -> str:
        """Return the visits of a span as JSON."""
        return self._ask_both(lambda log, index: visits_json(log, index, from_wall_us, until_wall_us))

    def hours(self) -> list[tuple[int, int]]:
        """Return when something happened in the last months."""
        since_us = max(0, self._daemon.clock.wall_us() - MAX_DAYS * 86_400_000_000)
        return self._ask_both(lambda log, index: visit_hours(log, index, since_us))

    def _ask_both(self, question: Callable[[Path, Path], T]) -> T:
        try:
            return question(self._layout.event_log, self._layout.index)
        except sqlite3.Error as error:
            raise CommandError(f"the log and the index cannot be read yet: {error}; try again") from error

    # --- settings -------------------------------------------------------------------------------------

    def config(self) -> list[dict[str, Any]]:
        """Return every setting, its value, and where that comes from."""
        return self._daemon.sources.explained()

    def change_config(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change settings, all or none, now and for after a restart."""
        with self._changing:
            return self._take(lambda sources: sources.changed(self._without_password(sources, changes)))

    def undo_config(self) -> dict[str, Any]:
        """Undo the last change."""
        with self._changing:
            return self._take(lambda sources: sources.undone())

    def _take(self, change: Callable[[Sources], Sources]) -> dict[str, Any]:
        before = self._daemon.sources
        try:
            after = change(before)
        except ConfigError as error:
            raise CommandError(str(error)) from error
        if after is not before:
            self.save(PAGE_FILE, after.content())
            self._daemon.apply(after)
        return {"undo": len(after.before)}

    def _without_password(self, sources: Sources, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes with the broker's password in a file of its own, as the daemon reads it."""
        kept = dict(changes)
        password = kept.pop("mqtt.password", None)
        if password is None:
            return kept
        if not isinstance(password, str) or not password.isprintable() or len(password) > MAX_PASSWORD:
            raise CommandError(f"mqtt.password must be a text of at most {MAX_PASSWORD} characters")
        sources.changed(kept)  # what does not fit is refused before the old password is gone
        self.save(MQTT_PASSWORD_FILE, password.encode())
        return {**kept, "mqtt.password_file": str(self._layout.state_dir / MQTT_PASSWORD_FILE)}

    def try_mqtt(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Connect once to the broker that these settings name; a password that was typed is not kept."""
        values = dict(changes)
        password = values.pop("mqtt.password", None)
        try:
            config = self._daemon.sources.changed(values).config()
        except ConfigError as error:
            raise CommandError(str(error)) from error
        return {"said": try_broker(config.mqtt, config.device.id, password)}

    def save(self, name: str, content: bytes) -> None:
        """Make a small file of the state directory durable; it is the daemon's alone."""
        self._ask_storage_worker(
            lambda reply: WriteFile(name=name, content=content, private=True, reply=reply)
        )

    def _row(self, clip_id: str) -> ClipRow:
        row: ClipRow | None = self.footage.ask(lambda index: index.find(clip_id))
        if row is None:
            raise CommandError(f"there is no clip {clip_id}; `doorbell clips list` shows them")
        return row

    def _read_log(self, question: Callable[[EventLogReader], list[LogRow]]) -> list[LogRow]:
        try:
            reader = EventLogReader(self._layout.event_log)
            try:
                return question(reader)
            finally:
                reader.close()
        except sqlite3.Error as error:
            raise CommandError(f"the log cannot be read yet: {error}; try again") from error

    def _ask_storage_worker(self, order: Callable[[Reply], StorageMessage]) -> dict[str, Any]:
        return _good(_ask(lambda reply: self._orders.put(order(reply))))


def _good(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise CommandError(answer["error"])
    return answer


def _ask(question: Callable[[Reply], None]) -> dict[str, Any]:
    """Ask and wait for the reply on this thread."""
    answered = threading.Event()
    answer: dict[str, Any] = {}

    def reply(values: dict[str, Any]) -> None:
        answer.update(values)
        answered.set()

    question(reply)
    if not answered.wait(ANSWER_S):
        raise CommandError("the house did not answer within 5 s; see its log")
    return answer
