"""The settings, as the API has them: read, weighed before a change, changed, undone.

Every method runs on a thread of the web server that may wait, and raises CommandError. One change at a time.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue

from device.config import PAGE_FILE, Effect, Sources, StorageConfig, effects, flat
from device.errors import CommandError, ConfigError
from device.mqtt import topics
from device.mqtt.published import Published, broker_name
from device.mqtt.single_connection import clear_broker, try_broker
from device.policy.limit_hold import HOLD_US
from device.store.deletion_preview import Deletion, would_delete
from device.store.event_log import EventLogReader
from device.system.clock import rfc3339
from device.web.models import (
    BrokerTestResponse,
    DeletionResponse,
    EffectsResponse,
    ForgetResponse,
    SettingResponse,
    UndoResponse,
)

if TYPE_CHECKING:
    from device.daemon.clip_access import ClipAccess
    from device.daemon.wiring import Daemon

TAKEN_S = 2.0
MQTT_PASSWORD_FILE, MAX_PASSWORD = "mqtt-password", 256
PASSWORD_KEY = "mqtt.password"  # noqa: S105  (a key's name)
"""Not a setting: its value goes into a file, which mqtt.password_file then names."""

Allow = Callable[[Mapping[str, Effect]], None]
"""Takes the effects of a change, and raises if it is not allowed."""
Save = Callable[[str, bytes], None]
T = TypeVar("T")


class SettingsApi:
    """Changes the settings of a running daemon; `save` writes a file of the state directory durably."""

    def __init__(self, daemon: "Daemon", footage: "ClipAccess", save: Save) -> None:
        self._daemon = daemon
        self._footage = footage
        self._save = save
        self._changing = threading.Lock()

    def rows(self) -> list[SettingResponse]:
        """Return every setting, its value, and where that comes from."""
        return [SettingResponse.model_validate(row) for row in self._daemon.sources.explained()]

    def weigh(self, changes: Mapping[str, JsonValue]) -> EffectsResponse:
        """Return what a change would do, without making it."""
        kept = {key: value for key, value in changes.items() if key != PASSWORD_KEY}
        return self._weighed(self._changed(self._daemon.sources, kept), with_password=PASSWORD_KEY in changes)

    def weigh_undo(self) -> EffectsResponse:
        """Return what undoing the last change would do."""
        return self._weighed(_refusing(self._daemon.sources.undone))

    def change(self, changes: Mapping[str, JsonValue], allow: Allow) -> UndoResponse:
        """Change settings, all or none, now and for after a restart."""
        with self._changing:
            kept = dict(changes)
            password = kept.pop(PASSWORD_KEY, None)
            before = self._daemon.sources
            # What does not fit is refused before the old password is gone.
            after = self._changed(before, kept)
            allow(self._effects(after, with_password=password is not None))
            if password is not None:
                after = self._changed(before, {**kept, "mqtt.password_file": self._keep_password(password)})
            return self._apply(after)

    def undo(self, allow: Allow) -> UndoResponse:
        """Undo the last change."""
        with self._changing:
            after = _refusing(self._daemon.sources.undone)
            allow(self._effects(after))
            return self._apply(after)

    def keep_limits(self, in_force: Mapping[str, int]) -> UndoResponse:
        """Configure the storage limits in force, so that those that wait for their hour never hold."""
        with self._changing:
            sources = self._daemon.sources
            without = flat(self._changed(sources, dict.fromkeys(in_force)).config())
            changes = {key: None if without[key] == value else value for key, value in in_force.items()}
            return self._apply(self._changed(sources, changes))

    def try_mqtt(self, changes: Mapping[str, JsonValue]) -> BrokerTestResponse:
        """Connect once to the broker that these settings name; the password is not kept."""
        values = dict(changes)
        password = values.pop(PASSWORD_KEY, None)
        if not isinstance(password, str | None):
            raise CommandError("mqtt.password must be a text", code="mqtt_password", most=MAX_PASSWORD)
        config = self._changed(self._daemon.sources, values).config()
        return BrokerTestResponse(result=try_broker(config.mqtt, config.device.id, password))

    def forget_mqtt(self) -> ForgetResponse:
        """Turn MQTT off, and remove from the broker everything that was retained there."""
        if self._daemon.config.mqtt.enabled:
            self.change({"mqtt.enabled": False}, lambda _effects: None)
        daemon, config = self._daemon, self._daemon.config
        broker = broker_name(config.mqtt)
        known = daemon.published.at(broker)
        names = known.topics | topics.retained_topics(config.mqtt, config.device.id)
        count = clear_broker(config.mqtt, config.device.id, names)
        daemon.remember_published(
            broker, Published(protocol=known.protocol, protocol_at_s=known.protocol_at_s)
        )
        return ForgetResponse(broker=broker, topics=count)

    def _changed(self, sources: Sources, changes: Mapping[str, Any]) -> Sources:
        return _refusing(lambda: sources.changed(changes))

    def _apply(self, after: Sources) -> UndoResponse:
        if after is not self._daemon.sources:
            self._save(PAGE_FILE, after.content())
            taken: queue.SimpleQueue[object] = queue.SimpleQueue()
            self._daemon.apply(after, limits_taken=taken.put)
            with suppress(queue.Empty):  # a busy disk: the change is made all the same
                taken.get(timeout=TAKEN_S)
        return UndoResponse(undo=len(after.before))

    def _keep_password(self, password: object) -> str:
        """Write the broker's password into its file, from which the daemon reads it; return the file's path."""
        if not isinstance(password, str) or not password.isprintable() or len(password) > MAX_PASSWORD:
            text = f"mqtt.password must be a text of at most {MAX_PASSWORD} characters"
            raise CommandError(text, code="mqtt_password", most=MAX_PASSWORD)
        self._save(MQTT_PASSWORD_FILE, password.encode())
        return str(self._daemon.layout.state_dir / MQTT_PASSWORD_FILE)

    def _effects(self, after: Sources, *, with_password: bool = False) -> dict[str, Effect]:
        found = effects(flat(self._daemon.config), flat(_refusing(after.config)))
        if with_password and after.config().mqtt.enabled:
            found["mqtt.password_file"] = "exposes"  # another password in the same file
        return found

    def _weighed(self, after: Sources, *, with_password: bool = False) -> EffectsResponse:
        found = self._effects(after, with_password=with_password)
        deletion = self._deletion(after.config().storage) if "destroys" in found.values() else None
        return EffectsResponse(effects=found, deletion=deletion)

    def _deletion(self, storage: StorageConfig) -> DeletionResponse:
        wall_us, clips = self._daemon.clock.wall_us(), self._daemon.layout.clips
        found: Deletion = self._footage.ask(lambda index: would_delete(index, storage, wall_us, clips))
        return DeletionResponse(
            clips=found.clips,
            of_clips=found.of_clips,
            pictures=found.pictures,
            bytes=found.disk_bytes,
            oldest_at=None if found.oldest_us is None else rfc3339(found.oldest_us),
            newest_at=None if found.newest_us is None else rfc3339(found.newest_us),
            log_rows=read_log(self._daemon.layout.event_log, lambda log: log.beyond(storage.log_rows)),
            wait_s=HOLD_US // 1_000_000,
        )


def read_log(path: Path, question: Callable[[EventLogReader], T]) -> T:
    """Return the answer of a reader of the event log. Raises CommandError."""
    try:
        reader = EventLogReader(path)
        try:
            return question(reader)
        finally:
            reader.close()
    except sqlite3.Error as error:
        text = f"the log cannot be read yet: {error}; try again"
        raise CommandError(text, code="not_readable_yet") from error


def _refusing(change: Callable[[], T]) -> T:
    try:
        return change()
    except ConfigError as error:
        raise CommandError(str(error), code=error.code, **error.params) from error
