"""The MQTT publisher: sends what the controller publishes, takes commands, replays the event log.

One thread, one connection after another. The controller only enqueues: a broker that is slow, gone or half-open
delays nothing. One refused topic ends neither the connection nor a ring. Topics and payloads are in topics.py.
"""

import logging
import os
import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion  # egress: mqtt, mqtt-picture

from device.config import MqttConfig
from device.events import AnnouncedNotice, Inbox, PressEvent, PressMissed
from device.mqtt import topics
from device.mqtt.announcements import Announcements
from device.mqtt.broker_picture import PressPictureOut
from device.mqtt.command_input import CommandInput
from device.mqtt.connection import CONNECT_TIMEOUT_S, BrokerConnection
from device.mqtt.discovery import Messages
from device.mqtt.link_reports import LinkReports
from device.mqtt.live_presses import LivePresses, PublishPress
from device.mqtt.local_only import refuse_outside, refuse_outside_names
from device.mqtt.log_replay import LogReplay
from device.mqtt.presence import HomeAssistantPresence
from device.mqtt.published import PROTOCOL_VALID_S, Protocol, Published
from device.mqtt.reasons import (
    ENDINGS,
    FAILURE,
    PACKET_TOO_LARGE,
    ConnectionLost,
    NoAnswer,
    OldBroker,
)
from device.mqtt.refusals import Refusals
from device.system.clock import Clock
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 1.0
FIRST_DELAY_S, MAX_DELAY_S = 1.0, 30.0


class MqttPublisher:
    """Serves one broker until its worker is stopped."""

    def __init__(
        self,
        config: MqttConfig,
        device_id: str,
        *,
        inbox: Inbox,
        clock: Clock,
        discovery: Messages,
        ask_log: Callable[[int | None, int], None],
        log_sent: Callable[[int], None],
        published: Published,
        remember: Callable[[Published], None],
    ) -> None:
        """`discovery` is empty if it is off; for `ask_log` and `log_sent` see LogReplay.

        `published` is what earlier settings left at this broker; `remember` takes what has to be kept over a restart.
        """
        self._root = topics.root(config, device_id)
        self._config = config
        self._client_id = f"doorbelld-{device_id}"
        self._inbox = inbox
        self._clock = clock
        self._discovery = discovery
        self._own_topics = topics.retained_topics(config, device_id)
        self._published = published
        self._remember = remember
        self._discovery_ended = 0
        """How many connections in a row ended before the discovery message was acknowledged."""
        self._presence = HomeAssistantPresence(
            lambda press: self._inbox(PressMissed(press=press, reason="home_assistant_away"))
        )
        self._presses = LivePresses(inbox, heard=self._presence.heard)
        self._announcements = Announcements()
        self.press_picture = PressPictureOut()
        self.page_url: str | None = None
        """The owner's page, for the link to a visit."""
        self._picture_entity: tuple[str, str] | None = None
        self._picture_entity_changed = False
        self._retained: dict[str, str] = {}
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.replay = LogReplay(ask=ask_log, sent=log_sent, wake=self._wake)
        self._input = CommandInput(self._root, inbox=inbox, clock=clock)
        self._refusals = Refusals(
            inbox,
            user=config.username or self._client_id,
            root=self._root,
            discovery=topics.discovery_topic(config, device_id),
        )
        self._link = LinkReports(config, client_id=self._client_id, root=self._root, inbox=inbox, clock=clock)
        self._birth = False

    # --- from other threads: enqueue and go -------------------------------------------------------

    def press(self, press: PressEvent) -> None:
        """Publish a press; PressSettled says whether somebody heard it."""
        self._presses.put(press)
        self._wake()

    def retain(self, subtopic: str, payload: str) -> None:
        """Publish a retained topic: now if the broker is connected, and again at every connection."""
        if self._retained.get(subtopic) != payload:
            self._retained[subtopic] = payload
            self._changed.put(subtopic)
            self._wake()

    def announce(self, notice: AnnouncedNotice) -> None:
        """Publish a notice; while there is no connection it waits, until it has expired."""
        self._announcements.put(notice)
        self._wake()

    def picture(self, jpeg: bytes, pressed_us: int) -> None:
        """Publish the picture of a press (monotonic microseconds), if the owner has granted it."""
        self.press_picture.put(jpeg, pressed_us)
        self._wake()

    def describe_picture(self, entity: tuple[str, str] | None) -> None:
        """Publish the discovery of the press picture's entity, or its removal, now and at every connection."""
        if entity != self._picture_entity:
            self._picture_entity, self._picture_entity_changed = entity, True
            self._wake()

    def leave(self) -> None:
        """Settle the presses that are left, and end the faults; called when the thread has ended."""
        self._presses.stop()
        self._refusals.clear()
        self._link.off()

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    # --- the publisher's thread ------------------------------------------------------------------------

    def run(self, worker: Worker) -> None:
        """Connect, serve, reconnect with a growing delay, until stopped."""
        delay_s, protocol = FIRST_DELAY_S, self._first_protocol()
        while not worker.stopping.is_set():
            worker.beat()
            try:
                refuse_outside_names(self._config)
                self._serve(worker, protocol)
                return
            except ConnectionLost as error:
                newest = protocol == MQTTProtocolVersion.MQTTv5
                if newest and (isinstance(error, OldBroker) or self._is_old(worker, error)):
                    log.warning("mqtt_old_broker using=3.1.1: presses cannot expire in its queues")
                    protocol = MQTTProtocolVersion.MQTTv311
                    continue
                lost, steady = self._link.down(error)
            delay_s = FIRST_DELAY_S if steady else min(delay_s * 2, MAX_DELAY_S)
            protocol = self._first_protocol()
            self._wait(worker, max(delay_s, ENDINGS[lost.reason].wait_s))

    def _known_version(self) -> Protocol:
        """Return what this broker took in the last days, or MQTT 5: finding out takes 7 s."""
        age_s = self._clock.wall_us() // 1_000_000 - self._published.protocol_at_s
        return self._published.protocol if 0 <= age_s < PROTOCOL_VALID_S else "5"

    def _first_protocol(self) -> MQTTProtocolVersion:
        return MQTTProtocolVersion.MQTTv5 if self._known_version() == "5" else MQTTProtocolVersion.MQTTv311

    def _wait(self, worker: Worker, delay_s: float) -> None:
        """Sleep; presses that become too old meanwhile are given up."""
        until_us = self._clock.mono_us() + int(delay_s * 1e6)
        while not worker.stopping.is_set() and self._clock.mono_us() < until_us:
            worker.beat()
            self._presses.expire(self._clock.mono_us())
            worker.stopping.wait(0.1)

    def _serve(self, worker: Worker, protocol: MQTTProtocolVersion) -> None:
        self._announcements.begin()
        session = BrokerConnection(
            self._config, self._client_id, f"{self._root}/{topics.AVAILABILITY}", protocol, self._take_input,
            on_subscribed=self._refusals.subscribed,
        )  # fmt: skip
        subscriptions = {f"{self._root}/{topics.command_topic('+')}": 2}
        if self._discovery:
            subscriptions[topics.birth_topic(self._config)] = 0
        try:
            session.connect(subscriptions)
            refuse_outside(session.peer())
            self._await_connack(worker, session)
            # Home Assistant ignores a ring of an unavailable device: `online` goes first, and the
            # connection counts as up only after its PUBACK.
            confirmed: list[int] = []
            self._publish(session, topics.AVAILABILITY, topics.ONLINE, retain=True, done=confirmed.append)
            while not confirmed:
                self._step(worker, session)
                self._presses.expire(self._clock.mono_us())
            version: Protocol = "5" if protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1"
            self._link.up(version)
            self._presses.connected_once = True
            self._publish_pending(session)  # presses before everything else
            self._clear_former(session, version)
            self._publish_retained(session)
            self.replay.begin()
            publish_log = self._publish_log(session)
            while not worker.stopping.is_set():
                self._publish_pending(session)
                self.replay.pump(publish_log, self._clock.mono_us())
                self._step(worker, session)
            self._close(session)
        except ConnectionLost as error:
            self._suspect_discovery(session, error)
            raise
        finally:
            self._presses.connection_ended()
            self._presence.disconnected(self._clock.mono_us())
            session.drop()

    def _clear_former(self, session: BrokerConnection, version: Protocol) -> None:
        """Remember what is retained here from now on, and remove what earlier settings left."""
        if version != self._published.protocol or version != self._known_version():
            at_s = self._clock.wall_us() // 1_000_000
            self._published = replace(self._published, protocol=version, protocol_at_s=at_s)
        self._keep(self._published.topics | self._own_topics)
        for topic in sorted(self._published.topics - self._own_topics):
            self._publish_to(session, topic, b"", retain=True, done=self._cleared(topic))

    def _cleared(self, topic: str) -> Callable[[int], None]:
        def done(code: int) -> None:
            if code < FAILURE:
                self._keep(self._published.topics - {topic})

        return done

    def _keep(self, names: frozenset[str]) -> None:
        self._published = replace(self._published, topics=names)
        self._remember(self._published)

    def _suspect_discovery(self, session: BrokerConnection, lost: ConnectionLost) -> None:
        """Leave discovery out if the broker ends each connection at it: a 3.1.1 broker gives no reason."""
        discovery = {topic for topic, _ in self._discovery}
        suspected = sorted(discovery & session.unacknowledged) if self._link.is_up else []
        if suspected:
            self._discovery_ended += 2 if lost.reason == "packet" else 1
            if self._discovery_ended > 1:
                self._refusals.ended_connection(suspected[0])
        else:
            self._discovery_ended = 0

    def _await_connack(self, worker: Worker, session: BrokerConnection) -> None:
        deadline_us = self._clock.mono_us() + int(CONNECT_TIMEOUT_S * 1e6)
        while not session.accepted:
            if self._clock.mono_us() > deadline_us or worker.stopping.is_set():
                raise NoAnswer("no_answer")
            self._step(worker, session)
            self._presses.expire(self._clock.mono_us())

    def _is_old(self, worker: Worker, lost: ConnectionLost) -> bool:
        """Try a bare MQTT 5 CONNECT on a broker that did not answer a full one; return whether it is an old broker."""
        if not isinstance(lost, NoAnswer):
            return False
        probe = BrokerConnection(
            self._config,
            self._client_id,
            "",
            MQTTProtocolVersion.MQTTv5,
            lambda _topic, _payload, _retained: None,
            bare=True,
        )
        try:
            probe.connect({})
            self._await_connack(worker, probe)
            probe.close()
        except OldBroker:
            return True
        except ConnectionLost:
            return False
        return False

    def _step(self, worker: Worker, session: BrokerConnection) -> None:
        worker.beat()
        wait_s = self._presses.wait_s(self._clock.mono_us()) if self._link.is_up else None
        session.step(self._wake_fd, min(STEP_S, wait_s or STEP_S), self._clock.mono_us)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        self._input.report()
        self._presence.tick(self._clock.mono_us())
        self._link.tick()
        if self._birth and self._link.is_up:
            self._birth = False
            self._publish_retained(session)

    def _publish(
        self,
        session: BrokerConnection,
        subtopic: str,
        payload: str | bytes,
        **options: Any,
    ) -> None:
        self._publish_to(session, f"{self._root}/{subtopic}", payload, **options)

    def _publish_to(
        self,
        session: BrokerConnection,
        topic: str,
        payload: str | bytes,
        *,
        done: Callable[[int], None] = lambda _code: None,
        **options: Any,
    ) -> None:
        def answered(code: int) -> None:
            self._refusals.published(topic, code)
            done(code)

        session.publish(topic, payload, now_us=self._clock.mono_us(), done=answered, **options)

    def _publish_retained(self, session: BrokerConnection) -> None:
        for topic, payload in self._discovery if self._discovery_ended <= 1 else ():
            self._publish_to(session, topic, payload, retain=True)
        self._publish(session, topics.AVAILABILITY, topics.ONLINE, retain=True)
        self._publish_picture_entity(session)
        for subtopic, payload in list(self._retained.items()):
            self._publish(session, subtopic, payload, retain=True)

    def _publish_pending(self, session: BrokerConnection) -> None:
        self._presses.pump(self._press_on(session), self._clock.mono_us)
        self._announcements.pump(
            partial(self._publish, session, topics.NOTICES), self._clock.wall_us() // 1_000_000
        )
        self.press_picture.pump(partial(self._publish, session, topics.PICTURE), self._clock.mono_us())
        if self._picture_entity_changed:
            self._publish_picture_entity(session)
        while not self._changed.empty():
            subtopic = self._changed.get_nowait()
            self._publish(session, subtopic, self._retained[subtopic], retain=True)

    def _publish_picture_entity(self, session: BrokerConnection) -> None:
        self._picture_entity_changed = False
        if self._picture_entity and self._discovery_ended <= 1:
            topic, payload = self._picture_entity
            self._publish_to(session, topic, payload, retain=True)

    def _press_on(self, session: BrokerConnection) -> PublishPress:
        def publish(press: PressEvent, *, expiry_s: int, done: Callable[[int], None]) -> None:
            self._publish(
                session,
                topics.PRESS,
                topics.press_payload(press, self.page_url),
                expiry_s=expiry_s,
                done=done,
            )

        return publish

    def _publish_log(self, session: BrokerConnection) -> Callable[[str, Callable[[], None]], None]:
        def publish(text: str, done: Callable[[], None]) -> None:
            def answered(code: int) -> None:
                # A row that is too large for this broker is left out; the gap in `seq` shows it.
                if code < FAILURE or code == PACKET_TOO_LARGE:
                    done()
                else:
                    self.replay.refused(self._clock.mono_us())

            self._publish(session, topics.LOG, text, done=answered)

        return publish

    def _close(self, session: BrokerConnection) -> None:
        self._publish_pending(session)
        self._publish(session, topics.AVAILABILITY, topics.OFFLINE, retain=True)
        until_us = self._clock.mono_us() + 1_000_000
        while session.unacknowledged and self._clock.mono_us() < until_us:
            session.step(self._wake_fd, 0.1, self._clock.mono_us)
        session.close()

    def _take_input(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001  (paho's order)
        if topic != topics.birth_topic(self._config):
            self._input.take(topic, payload, retained=retained)
        elif payload == topics.ONLINE.encode():
            self._birth = self._birth or not retained
            self._presence.born(self._clock.mono_us())
        elif payload == topics.OFFLINE.encode():
            self._presence.died(self._clock.mono_us())
