"""Hands each command of the controller to the component that carries it out."""

import json
import queue
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from device.daemon.status import ActiveFault
from device.events import (
    AnnouncedNotice,
    MotionStarted,
    PressEvent,
    PressMissed,
    PressPictureReady,
    Stamp,
)
from device.hw.chime import Chime
from device.mqtt import topics
from device.mqtt.publisher import MqttPublisher
from device.policy.episode import ClipOrder
from device.policy.settings import NUMBERS, Settings
from device.store.layout import SETTINGS_FILE
from device.store.messages import Flush, NewFact, SettlePress, StorageMessage, WriteFile
from device.system.clock import rfc3339


class CommandRouter:
    """A CommandSink. `publisher` returns the MQTT publisher, None while MQTT is off."""

    def __init__(
        self,
        *,
        storage_worker: "queue.SimpleQueue[StorageMessage]",
        pictured_presses: "queue.SimpleQueue[PressEvent]",
        publisher: Callable[[], MqttPublisher | None],
        chime: Chime,
        tell_page: Callable[[dict[str, Any]], None],
        change_number: Callable[[str, str, float], None],
        close_pictures: Callable[[], None],
        open_pictures: Callable[[], None],
    ) -> None:
        self._storage_worker = storage_worker
        self._pictured_presses = pictured_presses
        self._tell_page = tell_page
        self._change_number = change_number
        self._publisher = publisher
        self._chime = chime
        self._close_pictures = close_pictures
        self._open_pictures = open_pictures

    def publish_press(self, press: PressEvent) -> None:
        """Hand a press to MQTT; without MQTT it is late at once."""
        publisher = self._publisher()
        if publisher:
            publisher.press(press)
        else:
            self.settle(press.press_id, late=True)

    def publish_missed_ring(self, missed: PressMissed, count: int) -> None:
        """Publish the last press that was missed."""
        self._retain(topics.MISSED_RING, topics.missed_ring_payload(missed, count))

    def publish_faults(self, faults: Sequence[ActiveFault]) -> None:
        """Publish the active faults."""
        self._retain(topics.FAULTS, topics.faults_payload([(f.fault, f.since_wall_us) for f in faults]))

    def publish_last_refusal(self, refused: dict[str, Any]) -> None:
        """Publish the last change that was refused."""
        self._retain(topics.LAST_REFUSAL, json.dumps(refused))

    def publish_motion(self, *, moving: bool) -> None:
        """Publish whether somebody moves."""
        self._retain(topics.MOTION, topics.on_off(moving))

    def publish_motion_attributes(self, motion: MotionStarted, event_id: str | None) -> None:
        """Publish where the motion is and which visit it belongs to."""
        self._retain(topics.MOTION_ATTRIBUTES, topics.motion_attributes_payload(motion, event_id))

    def publish_settings(self, settings: Settings) -> None:
        """Publish every setting."""
        for topic, payload in topics.setting_payloads(settings).items():
            self._retain(topic, payload)

    def publish_state(self, state: dict[str, Any]) -> None:
        """Publish the daemon's health."""
        self._retain(topics.STATE, json.dumps(state))

    def publish_pending_requests(self, count: int) -> None:
        """Publish how many requests wait for the owner."""
        self._retain(topics.PENDING_REQUESTS, str(count))

    def publish_notice(self, notice: AnnouncedNotice, *, announce: bool) -> None:
        """Show a notice on the open pages, and publish it over MQTT if it is to be announced."""
        publisher = self._publisher()
        if publisher and announce:
            publisher.announce(notice)
        self._tell_page({"kind": "notice_heard", "notice": notice, "announce": announce})

    def _retain(self, topic: str, payload: str) -> None:
        publisher = self._publisher()
        if publisher:
            publisher.retain(topic, payload)

    def ring(self) -> None:
        """Ring the chime."""
        self._chime.ring()

    def clip(self, order: ClipOrder) -> None:
        """Hand a clip order to the storage worker."""
        self._storage_worker.put(order)

    def picture_press(self, press: PressEvent) -> None:
        """Have the picture of the moment of a press made."""
        self._pictured_presses.put(press)

    def show_press_picture(self, picture: PressPictureReady) -> None:
        """Tell the open pages that the picture of a press can be had, and hand it to MQTT, which may be allowed it."""
        if publisher := self._publisher():
            publisher.picture(picture.jpeg, picture.at.mono_us)
        self._tell_page(
            {
                "kind": "press_picture",
                "event_id": picture.event_id,
                "press_number": picture.press_number,
                "occurred_at": rfc3339(picture.at.wall_us),
            }
        )

    def flush(self) -> None:
        """Have the storage worker end every recording."""
        self._storage_worker.put(Flush())

    def log_fact(
        self,
        kind: str,
        *,
        at: Stamp,
        late: bool | None,
        event_id: str | None,
        press_id: int | None,
        fields: dict[str, Any],
    ) -> None:
        """Hand a fact to the storage worker and show it on the open pages."""
        self._storage_worker.put(
            NewFact(
                kind=kind,
                mono_us=at.mono_us,
                wall_us=at.wall_us,
                clock=at.flag,
                late=late,
                event_id=event_id,
                press_id=press_id,
                fields=fields,
            )
        )
        self._tell_page({"kind": kind, "event_id": event_id, "occurred_at": rfc3339(at.wall_us), **fields})

    def show_recording(self, event_ids: Sequence[str]) -> None:
        """Show on the open pages which visits are being recorded."""
        self._tell_page({"kind": "recording", "event_ids": list(event_ids)})

    def settle(self, press_id: int, *, late: bool) -> None:
        """Have the storage worker set the `late` of a press."""
        self._storage_worker.put(SettlePress(press_id=press_id, late=late))

    def set_privacy(self, *, on: bool) -> None:
        """Close or open the buffers of pictures."""
        if on:
            self._close_pictures()
        else:
            self._open_pictures()

    def publish_numbers(self, numbers: Mapping[str, float]) -> None:
        """Publish each number."""
        for name, value in numbers.items():
            self._retain(name, f"{value:g}")

    def change_number(self, name: str, value: float) -> None:
        """Have the configuration changed."""
        self._change_number(name, NUMBERS[name], value)

    def save(self, settings: Settings) -> None:
        """Have the storage worker write the switches to their file."""
        content = json.dumps(settings.as_dict(), indent=1).encode()
        self._storage_worker.put(WriteFile(name=SETTINGS_FILE, content=content))
