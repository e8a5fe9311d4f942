"""Hands each command of the controller to the component that carries it out."""

import json
import queue
from collections.abc import Callable
from typing import Any

from device.daemon.status import told
from device.hw.chime import Chime
from device.mqtt.publisher import Announcement, LivePress, MqttPublisher
from device.policy.episode import ClipOrder
from device.policy.settings import Settings
from device.store.layout import SETTINGS_FILE
from device.store.messages import Flush, NewFact, SettlePress, StorageMessage, WriteFile
from device.system.clock import Clock, rfc3339, wall_at_us


class CommandRouter:
    """The controller's orders, handed to those who carry them out. Every method only enqueues."""

    def __init__(
        self,
        *,
        storage_worker: "queue.SimpleQueue[StorageMessage]",
        link: Callable[[], MqttPublisher | None],
        chime: Chime,
        clock: Clock,
        tell_page: Callable[[dict[str, Any]], None],
    ) -> None:
        self._storage_worker = storage_worker
        self._tell_page = tell_page
        self._link = link
        self._chime = chime
        self._clock = clock

    def press(self, press_id: int, mono_us: int, payload: str) -> None:
        """Tell a press over MQTT; without MQTT there is nobody to wait for."""
        link = self._link()
        if link:
            link.press(LivePress(press_id=press_id, mono_us=mono_us, payload=payload))
        else:
            self.settle(press_id, late=True)

    def retain(self, subtopic: str, payload: str) -> None:
        """Set a retained topic."""
        link = self._link()
        if link:
            link.retain(subtopic, payload)

    def notice(self, notice: dict[str, Any], *, announce: bool) -> None:
        """Tell a notice to the pages that are open, and over MQTT if it is to be announced."""
        link = self._link()
        if link and announce:
            gone = notice["state"] != "current"
            payload = json.dumps({"event_type": "withdrawn" if gone else notice["kind"], **told(notice)})
            name = f"{notice['source']} {notice['id']} {notice['state']}"
            link.announce(Announcement(id=name, payload=payload, expires_s=notice["expires"]))
        self._tell_page({"kind": "notice_heard", "notice": notice, "announce": announce})

    def ring(self) -> None:
        """Sound the chime."""
        self._chime.ring()

    def clip(self, order: ClipOrder) -> None:
        """Hand a clip order to the storage worker."""
        self._storage_worker.put(order)

    def flush(self) -> None:
        """Have the storage worker end every recording and say Flushed."""
        self._storage_worker.put(Flush())

    def log_fact(
        self,
        kind: str,
        *,
        mono_us: int,
        late: bool | None,
        event_id: str | None,
        press_id: int | None,
        fields: dict[str, Any],
    ) -> None:
        """Hand a fact to the storage worker, stamped, and tell the pages that are open."""
        wall_us = wall_at_us(self._clock, mono_us)
        self._storage_worker.put(
            NewFact(
                kind=kind,
                mono_us=mono_us,
                wall_us=wall_us,
                clock=self._clock.flag(),
                late=late,
                event_id=event_id,
                press_id=press_id,
                fields=fields,
            )
        )
        self._tell_page({"kind": kind, "event_id": event_id, "occurred_at": rfc3339(wall_us), **fields})

    def settle(self, press_id: int, *, late: bool) -> None:
        """Hand the fate of a press to the storage worker."""
        self._storage_worker.put(SettlePress(press_id=press_id, late=late))

    def save(self, settings: Settings) -> None:
        """Hand the switches to the storage worker."""
        content = json.dumps(settings.as_dict(), indent=1).encode()
        self._storage_worker.put(WriteFile(name=SETTINGS_FILE, content=content))
