"""The MQTT publisher: sends what the controller publishes, takes commands, replays the event log.

One thread, one connection after another. The controller only enqueues: a broker that is slow, gone or half-open
delays nothing. A press is published within 10 s or never. Topics and payloads are in topics.py.
"""

import logging
import os
import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion  # egress: mqtt

from device.config import MqttConfig
from device.events import (
    AnnouncedNotice,
    ClipAsked,
    Fault,
    Inbox,
    InputRefused,
    MqttReport,
    PressEvent,
    PressSettled,
    SettingAsked,
)
from device.mqtt import topics
from device.mqtt.connection import CONNECT_TIMEOUT_S, BrokerConnection, ConnectionLost, NoAnswer, OldBroker
from device.mqtt.local_only import refuse_outside, refuse_outside_names
from device.mqtt.log_replay import LogReplay
from device.policy.rate_limit import TokenBucket
from device.system.clock import Clock
from device.system.worker import Worker

log = logging.getLogger(__name__)

PRESS_LIVE_US = 10_000_000
MAX_PAYLOAD_BYTES = 256
MAX_NOTICES = 50
MAX_NAME, MAX_NAMES = 40, 16
"""How many refused names are counted until they are reported."""
REFUSED_EVERY_US = 5_000_000
STEP_S = 1.0
FIRST_DELAY_S, MAX_DELAY_S = 1.0, 30.0
STEADY_US = 10_000_000
"""A connection that ends sooner keeps the delay growing: two clients with the same id end each other's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announcement:
    """A notice for the dashboards. `id` includes the notice's state: its withdrawal is another announcement."""

    id: str
    payload: str
    expires_s: int


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
        self._presses: queue.SimpleQueue[PressEvent] = queue.SimpleQueue()
        self._notices: dict[str, _Announcement] = {}
        self._announced: set[str] = set()
        self._retained: dict[str, str] = {}
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.replay = LogReplay(ask=ask_log, sent=log_sent, wake=self._wake)
        self._birth = False
        self._input_rate = TokenBucket(burst=10, refill_us=500_000)
        self._refused: dict[str, tuple[str, int]] = {}
        self._refused_us = 0
        self._up = False
        self._up_us = 0
        self._reported = ("", "")

    # --- from other threads: enqueue and go -------------------------------------------------------

    def press(self, press: PressEvent) -> None:
        """Publish a press; PressSettled says whether the broker acknowledged it."""
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
        if len(self._notices) < MAX_NOTICES:
            name = f"{notice['source']} {notice['id']} {notice['state']}"
            payload = topics.notice_payload(notice)
            self._notices[name] = _Announcement(id=name, payload=payload, expires_s=notice["expires"])
            self._wake()

    def leave(self) -> None:
        """Settle the presses that are left; called when the thread has ended."""
        self._settle_presses()
        self._inbox(MqttReport(mono_us=self._clock.mono_us(), state="off"))
        self._inbox(Fault(code="mqtt_down", active=False))

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    # --- the publisher's thread ------------------------------------------------------------------------

    def run(self, worker: Worker) -> None:
        """Connect, serve, reconnect with a growing delay, until stopped."""
        delay_s, protocol = FIRST_DELAY_S, MQTTProtocolVersion.MQTTv5
        while not worker.stopping.is_set():
            worker.beat()
            steady = False
            try:
                refuse_outside_names(self._config)
                self._serve(worker, protocol)
                return
            except OldBroker:
                if protocol == MQTTProtocolVersion.MQTTv5:
                    log.warning("mqtt_old_broker using=3.1.1: presses cannot expire in its queues")
                    protocol = MQTTProtocolVersion.MQTTv311
                    continue
            except ConnectionLost as error:
                if isinstance(error, NoAnswer) and self._is_old(worker):
                    protocol = MQTTProtocolVersion.MQTTv311
                    continue
                lived_us = self._clock.mono_us() - self._up_us if self._up else None
                steady = lived_us is not None and lived_us > STEADY_US
                hint = "" if lived_us is None or steady else self._rival_hint()
                self._lost(f"{error}{hint}")
            delay_s = FIRST_DELAY_S if steady else min(delay_s * 2, MAX_DELAY_S)
            protocol = MQTTProtocolVersion.MQTTv5
            self._wait(worker, delay_s)

    def _rival_hint(self) -> str:
        return (
            f"; it ended soon after it began: does another doorbell log in as {self._client_id}? "
            "Each needs a device.id of its own"
        )

    def _wait(self, worker: Worker, delay_s: float) -> None:
        """Sleep, but settle presses at once: there is no connection for them."""
        until_us = self._clock.mono_us() + int(delay_s * 1e6)
        while not worker.stopping.is_set() and self._clock.mono_us() < until_us:
            worker.beat()
            self._settle_presses()
            worker.stopping.wait(0.1)

    def _lost(self, reason: str) -> None:
        self._up = False
        self._settle_presses()
        self._report("down", text=reason)

    def _report(self, state: Any, *, protocol: str = "", text: str = "") -> None:
        if (state, text) == self._reported:
            return
        self._reported = (state, text)
        log.info("mqtt state=%s broker=%s:%d %s", state, self._config.host, self._config.port, text)
        self._inbox(MqttReport(mono_us=self._clock.mono_us(), state=state, protocol=protocol, text=text))
        down = state == "down"
        remedy = "is the broker running, and are mqtt.host and mqtt.port right?" if down else ""
        self._inbox(Fault(code="mqtt_down", active=down, text=text, remedy=remedy))

    def _settle_presses(self) -> None:
        while True:
            try:
                press = self._presses.get_nowait()
            except queue.Empty:
                return
            self._inbox(PressSettled(press_id=press.press_id, delivered=False))

    def _serve(self, worker: Worker, protocol: MQTTProtocolVersion) -> None:
        self._announced.clear()  # notices without a PUBACK are published again
        live: set[int] = set()  # press_ids that were published and have no PUBACK yet
        session = BrokerConnection(
            self._config, self._client_id, f"{self._root}/{topics.AVAILABILITY}", protocol, self._take_input
        )
        commands = f"{self._root}/{topics.command_topic('+')}"
        births = [topics.birth_topic(self._config)] if self._discovery else []
        try:
            session.connect([commands, *births])
            refuse_outside(self._config, session.peer())
            self._await_connack(worker, session)
            # Home Assistant ignores a ring of an unavailable device: `online` goes first, and the
            # connection counts as up only after its PUBACK.
            confirmed: list[bool] = []
            self._publish(
                session, topics.AVAILABILITY, topics.ONLINE, retain=True, done=lambda: confirmed.append(True)
            )
            while not confirmed:
                self._step(worker, session)
                self._settle_presses()
            self._up, self._up_us = True, self._clock.mono_us()
            self._report("up", protocol="5" if protocol == MQTTProtocolVersion.MQTTv5 else "3.1.1")
            self._publish_retained(session)
            self.replay.begin()
            publish_log = self._publish_log(session)
            while not worker.stopping.is_set():
                self._publish_pending(session, live)
                self.replay.pump(publish_log)
                self._step(worker, session)
            self._close(session, live)
        finally:
            for press_id in live:
                self._inbox(PressSettled(press_id=press_id, delivered=False))
            session.drop()

    def _await_connack(self, worker: Worker, session: BrokerConnection) -> None:
        deadline_us = self._clock.mono_us() + int(CONNECT_TIMEOUT_S * 1e6)
        while not session.accepted:
            if self._clock.mono_us() > deadline_us or worker.stopping.is_set():
                raise NoAnswer("the broker does not answer CONNECT")
            self._step(worker, session)
            self._settle_presses()

    def _is_old(self, worker: Worker) -> bool:
        """Try a bare MQTT 5 CONNECT on a broker that did not answer a full one; return whether it is an old broker."""
        probe = BrokerConnection(
            self._config,
            self._client_id,
            "",
            MQTTProtocolVersion.MQTTv5,
            lambda _topic, _payload, _retained: None,
            bare=True,
        )
        try:
            probe.connect([])
            self._await_connack(worker, probe)
            probe.close()
        except OldBroker:
            log.warning("mqtt_old_broker using=3.1.1: presses cannot expire in its queues")
            return True
        except ConnectionLost:
            return False
        return False

    def _step(self, worker: Worker, session: BrokerConnection) -> None:
        worker.beat()
        session.step(self._wake_fd, STEP_S, self._clock.mono_us)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        self._report_refused()
        if self._birth and self._up:
            self._birth = False
            self._publish_retained(session)

    def _publish(
        self, session: BrokerConnection, subtopic: str, payload: str | bytes, **options: Any
    ) -> None:
        topic = f"{self._root}/{subtopic}"
        session.publish(topic, payload, now_us=self._clock.mono_us(), **options)

    def _publish_retained(self, session: BrokerConnection) -> None:
        if self._discovery:
            topic, payload = self._discovery
            session.publish(topic, payload, now_us=self._clock.mono_us(), retain=True)
        self._publish(session, topics.AVAILABILITY, topics.ONLINE, retain=True)
        for subtopic, payload in list(self._retained.items()):
            self._publish(session, subtopic, payload, retain=True)

    def _publish_pending(self, session: BrokerConnection, live: set[int]) -> None:
        while not self._presses.empty():
            press = self._presses.get_nowait()
            now_us = self._clock.mono_us()
            if now_us - press.at.mono_us > PRESS_LIVE_US:
                self._inbox(PressSettled(press_id=press.press_id, delivered=False))
                continue
            live.add(press.press_id)
            self._publish(
                session, topics.PRESS, topics.press_payload(press), expiry_s=PRESS_LIVE_US // 1_000_000,
                done=self._delivered(live, press.press_id),
            )  # fmt: skip
        self._publish_notices(session)
        while not self._changed.empty():
            subtopic = self._changed.get_nowait()
            self._publish(session, subtopic, self._retained[subtopic], retain=True)

    def _publish_notices(self, session: BrokerConnection) -> None:
        now_s = self._clock.wall_us() // 1_000_000
        for notice in list(self._notices.values()):
            if notice.expires_s <= now_s:
                del self._notices[notice.id]
            elif notice.id not in self._announced:
                self._announced.add(notice.id)
                self._publish(
                    session, topics.NOTICES, notice.payload, expiry_s=notice.expires_s - now_s,
                    done=self._acknowledged(notice.id),
                )  # fmt: skip

    def _acknowledged(self, notice_id: str) -> Callable[[], None]:
        def done() -> None:
            self._notices.pop(notice_id, None)

        return done

    def _delivered(self, live: set[int], press_id: int) -> Callable[[], None]:
        def done() -> None:
            if press_id in live:
                live.remove(press_id)
                self._inbox(PressSettled(press_id=press_id, delivered=True))

        return done

    def _publish_log(self, session: BrokerConnection) -> Callable[[str, Callable[[], None]], None]:
        return lambda text, done: self._publish(session, topics.LOG, text, done=done)

    def _close(self, session: BrokerConnection, live: set[int]) -> None:
        self._publish_pending(session, live)
        self._publish(session, topics.AVAILABILITY, topics.OFFLINE, retain=True)
        until_us = self._clock.mono_us() + 1_000_000
        while session.unacknowledged and self._clock.mono_us() < until_us:
            session.step(self._wake_fd, 0.1, self._clock.mono_us)
        session.close()

    # --- input: never trusted -------------------------------------------------------

    def _take_input(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
        if topic == topics.birth_topic(self._config):
            self._birth = self._birth or payload == topics.ONLINE.encode()
            return None
        name = topic.removeprefix(f"{self._root}/").removesuffix(topics.command_topic(""))
        now_us = self._clock.mono_us()
        if retained:
            return self._refuse(name, "retained messages on /set topics are ignored")
        if len(payload) > MAX_PAYLOAD_BYTES:
            return self._refuse(name, f"more than {MAX_PAYLOAD_BYTES} bytes")
        if not self._input_rate.take(now_us):
            return self._refuse(name, "more than 2 changes a second")
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            return self._refuse(name, "not UTF-8 text")
        if name == topics.CLIP:
            if text != topics.MAKE_CLIP:
                return self._refuse(name, f"{name} takes {topics.MAKE_CLIP}")
            self._inbox(ClipAsked(mono_us=now_us))
        else:
            self._inbox(SettingAsked(mono_us=now_us, name=name, payload=text, origin="mqtt"))
        return None

    def _refuse(self, name: str, reason: str) -> None:
        where = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
        if len(self._refused) < MAX_NAMES or where in self._refused:
            _, count = self._refused.get(where, ("", 0))
            self._refused[where] = (reason, count + 1)

    def _report_refused(self) -> None:
        now_us = self._clock.mono_us()
        if not self._refused or now_us - self._refused_us < REFUSED_EVERY_US:
            return
        self._refused_us = now_us
        for where, (reason, count) in self._refused.items():
            self._inbox(InputRefused(mono_us=now_us, where=where, reason=reason, count=count))
        self._refused.clear()
