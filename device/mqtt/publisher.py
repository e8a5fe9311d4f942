"""The MQTT publisher: sends what the controller publishes, takes commands, replays the event log.

One thread, one connection after another. The controller only enqueues: a broker that is slow, gone or half-open
delays nothing. One refused topic ends neither the connection nor a ring. Topics and payloads are in topics.py.
"""

import logging
import os
import queue
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion  # egress: mqtt, mqtt-picture

from device.config import MqttConfig
from device.events import AnnouncedNotice, Fault, Inbox, MqttReport, PressEvent, PressMissed
from device.mqtt import topics
from device.mqtt.announcements import Announcements
from device.mqtt.broker_picture import PressPictureOut
from device.mqtt.command_input import CommandInput
from device.mqtt.connection import CONNECT_TIMEOUT_S, BrokerConnection
from device.mqtt.live_presses import LivePresses, PublishPress
from device.mqtt.local_only import refuse_outside, refuse_outside_names
from device.mqtt.log_replay import LogReplay
from device.mqtt.presence import HomeAssistantPresence
from device.mqtt.reasons import (
    ENDINGS,
    FAILURE,
    PACKET_TOO_LARGE,
    ConnectionLost,
    NoAnswer,
    OldBroker,
    described,
)
from device.mqtt.refusals import Refusals
from device.system.clock import Clock
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 1.0
FIRST_DELAY_S, MAX_DELAY_S = 1.0, 30.0
STEADY_US = 10_000_000
"""A connection that ends sooner keeps the delay growing: two clients with the same id end each other's."""
RIVAL_GONE_US = 60_000_000
"""For how long a connection has to last until another client with the same id counts as gone."""


class MqttPublisher:
    """Serves one broker until its worker is stopped."""

    def __init__(
        self,
        config: MqttConfig,
        device_id: str,
        *,
        inbox: Inbox,
        clock: Clock,
        discovery: tuple[str, str] | None,
        ask_log: Callable[[int | None, int], None],
        log_sent: Callable[[int], None],
    ) -> None:
        """`discovery` is (topic, payload); for `ask_log` and `log_sent` see LogReplay."""
        self._root = topics.root(config, device_id)
        self._config = config
        self._client_id = f"doorbelld-{device_id}"
        self._inbox = inbox
        self._clock = clock
        self._discovery = discovery
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
        self._birth = False
        self._up = False
        self._up_us = 0
        self._rival = False
        self._short_lives = 0
        self._reported = ("", "")

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
        self._inbox(MqttReport(mono_us=self._clock.mono_us(), state="off"))
        self._inbox(Fault(code="mqtt_rival", active=False))
        self._inbox(Fault(code="mqtt_down", active=False))

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    # --- the publisher's thread ------------------------------------------------------------------------

    def run(self, worker: Worker) -> None:
        """Connect, serve, reconnect with a growing delay, until stopped."""
        delay_s, protocol = FIRST_DELAY_S, MQTTProtocolVersion.MQTTv5
        while not worker.stopping.is_set():
            worker.beat()
            self._up = False
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
                lost, steady = self._judged(error)
            self._report_down(lost)
            delay_s = FIRST_DELAY_S if steady else min(delay_s * 2, MAX_DELAY_S)
            protocol = MQTTProtocolVersion.MQTTv5
            self._wait(worker, max(delay_s, ENDINGS[lost.reason].wait_s))

    def _judged(self, lost: ConnectionLost) -> tuple[ConnectionLost, bool]:
        """Return why the connection ended, with what its length adds to that, and whether it was steady."""
        if not self._up:
            return lost, False
        steady = self._clock.mono_us() - self._up_us > STEADY_US
        self._short_lives = 0 if steady else self._short_lives + 1
        if not steady and lost.reason in ("closed", "ended"):
            lost = ConnectionLost("short", lost.detail)
        if lost.reason == "rival" or self._short_lives > 1:
            self._report_rival(active=True, suspected=lost.reason != "rival")
        return lost, steady and lost.reason != "rival"

    def _report_rival(self, *, active: bool, suspected: bool = False) -> None:
        self._rival = active
        name = self._client_id
        text = f"another client logs in to the broker as {name}, and the broker ends one connection for the other"
        if suspected:
            text = f"the broker ends each connection soon; perhaps another doorbell logs in as {name}, too"
        self._inbox(
            Fault(
                code="mqtt_rival",
                active=active,
                reason="suspected" if suspected else "",
                params={"client_id": name},
                text=text,
                remedy="give each doorbell a device.id of its own",
            )
        )

    def _wait(self, worker: Worker, delay_s: float) -> None:
        """Sleep; presses that become too old meanwhile are given up."""
        until_us = self._clock.mono_us() + int(delay_s * 1e6)
        while not worker.stopping.is_set() and self._clock.mono_us() < until_us:
            worker.beat()
            self._presses.expire(self._clock.mono_us())
            worker.stopping.wait(0.1)

    def _report_down(self, lost: ConnectionLost) -> None:
        self._up = False
        fault = described(lost, self._config, client_id=self._client_id, root=self._root)
        self._report("down", text=fault["text"])
        self._inbox(Fault(code="mqtt_down", active=True, **fault))

    def _report(self, state: Any, *, protocol: str = "", text: str = "") -> None:
        if (state, text) == self._reported:
            return
        self._reported = (state, text)
        log.info("mqtt state=%s broker=%s:%d %s", state, self._config.host, self._config.port, text)
        self._inbox(MqttReport(mono_us=self._clock.mono_us(), state=state, protocol=protocol, text=text))

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
            self._up, self._up_us = True, self._clock.mono_us()
            self._presses.connected_once = True
            self._report("up", protocol="5" if protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1")
            self._inbox(Fault(code="mqtt_down", active=False))
            self._publish_pending(session)  # presses before everything else
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

    def _suspect_discovery(self, session: BrokerConnection, lost: ConnectionLost) -> None:
        """Leave discovery out if the broker ends each connection at it: a 3.1.1 broker gives no reason."""
        if self._discovery and self._up and self._discovery[0] in session.unacknowledged:
            self._discovery_ended += 2 if lost.reason == "packet" else 1
            if self._discovery_ended > 1:
                self._refusals.ended_connection(self._discovery[0])
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
        wait_s = self._presses.wait_s(self._clock.mono_us()) if self._up else None
        session.step(self._wake_fd, min(STEP_S, wait_s or STEP_S), self._clock.mono_us)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        now_us = self._clock.mono_us()
        self._input.report()
        self._presence.tick(now_us)
        if self._birth and self._up:
            self._birth = False
            self._publish_retained(session)
        if self._rival and self._up and now_us - self._up_us > RIVAL_GONE_US:
            self._report_rival(active=False)

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
        if self._discovery and self._discovery_ended <= 1:
            topic, payload = self._discovery
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
