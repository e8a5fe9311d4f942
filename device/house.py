"""The house, built but not started: every room, and what lies between them."""

import logging
import queue
from collections.abc import Callable
from typing import Any

from device import __version__
from device.clock import Clock, wall_at_us
from device.config import Config
from device.desk import Desk
from device.events import Fact, LumaFrame
from device.hw.button import Button, SimulatedButton
from device.hw.chime import Chime, NoChime, SimulatedChime
from device.link.discovery import discovery
from device.link.mqtt import LivePress, MqttLink
from device.link.replay import LogPage
from device.mailbox import Mailbox
from device.notify import Notifier
from device.policy.episode import ClipOrder
from device.policy.settings import Settings
from device.store.layout import Layout
from device.store.orders import Flush, KeeperOrder, MarkSent, NewFact, ReadLog, SaveSettings, SettlePress
from device.store.ring import Ring
from device.watch import Watch
from device.worker import Worker

log = logging.getLogger(__name__)

RING_SLACK_US = 8_000_000
"""What the ring keeps beyond the pre-roll, so that a slow disk costs no picture at once."""


class Orders:
    """The desk's orders, handed to those who carry them out. Every method only enqueues."""

    def __init__(
        self, *, keeper: "queue.SimpleQueue[KeeperOrder]", link: MqttLink | None, chime: Chime, clock: Clock
    ) -> None:
        self._keeper = keeper
        self._link = link
        self._chime = chime
        self._clock = clock

    def press(self, press_id: int, mono_us: int, payload: str) -> None:
        """Tell a press over MQTT; without MQTT there is nobody to wait for."""
        if self._link:
            self._link.press(LivePress(press_id=press_id, mono_us=mono_us, payload=payload))
        else:
            self.settle(press_id, late=True)

    def retain(self, subtopic: str, payload: str) -> None:
        """Set a retained topic."""
        if self._link:
            self._link.retain(subtopic, payload)

    def ring(self) -> None:
        """Sound the chime."""
        self._chime.ring()

    def clip(self, order: ClipOrder) -> None:
        """Hand a clip order to the keeper."""
        self._keeper.put(order)

    def flush(self) -> None:
        """Have the keeper end every recording and say Flushed."""
        self._keeper.put(Flush())

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
        """Hand a fact to the keeper, stamped."""
        self._keeper.put(
            NewFact(
                kind=kind,
                mono_us=mono_us,
                wall_us=wall_at_us(self._clock, mono_us),
                clock=self._clock.flag(),
                late=late,
                event_id=event_id,
                press_id=press_id,
                fields=fields,
            )
        )

    def settle(self, press_id: int, *, late: bool) -> None:
        """Hand the fate of a press to the keeper."""
        self._keeper.put(SettlePress(press_id=press_id, late=late))

    def save(self, settings: Settings) -> None:
        """Hand the switches to the keeper."""
        self._keeper.put(SaveSettings(values=settings.as_dict()))


class Pictures:
    """What the camera delivers, to those who want it: packets to the ring, small pictures to the watch."""

    def __init__(self, ring: Ring, mailbox: Mailbox[LumaFrame]) -> None:
        self.packet = self.sound = ring.append
        self.luma = mailbox.put

    def note(self, text: str) -> None:
        """Say what the camera costs."""
        log.info("camera_note %s", text)


class House:
    """Every room, built and connected."""

    def __init__(self, config: Config, clock: Clock, settings: Settings, notifier: Notifier) -> None:
        self.config = config
        self.clock = clock
        self.layout = Layout(config.device.state_dir)
        facts: queue.SimpleQueue[Fact] = queue.SimpleQueue()
        self.inbox = facts.put
        self.keeper_orders: queue.SimpleQueue[KeeperOrder] = queue.SimpleQueue()
        self.link = self._link() if config.mqtt.enabled else None
        chime: Chime = SimulatedChime() if config.chime.kind == "simulated" else NoChime()
        self.desk = Desk(
            config=config,
            clock=clock,
            outlets=Orders(keeper=self.keeper_orders, link=self.link, chime=chime, clock=clock),
            settings=settings,
            notifier=notifier,
            inbox=facts,
        )
        self._ring = Ring(
            keep_us=int(config.clips.pre_roll_s * 1e6) + RING_SLACK_US,
            limit_bytes=config.clips.ring_bytes,
        )
        self.watch = Watch(
            config.motion,
            config.zones,
            inbox=self.inbox,
            enabled=lambda: self.desk.motion_enabled,
        )
        self.button = self._button()

    def _link(self) -> MqttLink:
        device = self.config.device
        return MqttLink(
            self.config.mqtt,
            device.id,
            inbox=self.inbox,
            clock=self.clock,
            discovery=discovery(self.config.mqtt, device.id, device.name, __version__),
            ask_log=self._ask_log,
            log_sent=lambda seq: self.keeper_orders.put(MarkSent(acked_seq=seq)),
        )

    def _ask_log(self, after_seq: int | None, limit: int) -> None:
        def reply(acked_seq: int | None, rows: list[tuple[int, str]]) -> None:
            if self.link:
                self.link.replay.page(LogPage(after_seq=after_seq, acked_seq=acked_seq, rows=rows))

        self.keeper_orders.put(ReadLog(after_seq=after_seq, limit=limit, reply=reply))

    def _button(self) -> Button:
        match self.config.button.kind:
            case "simulated":
                return SimulatedButton(self.config.button, inbox=self.inbox, clock=self.clock)
            case "gpio":
                from device.hw.gpio_button import GpioButton  # gpiozero, only here

                return GpioButton(self.config.button, inbox=self.inbox, clock=self.clock)

    def hire(self, name: str, work: Callable[[Worker], None], *, patience_s: float) -> Worker:
        """Start a worker that the watchdog minds."""
        worker = Worker(name, work, inbox=self.inbox, patience_s=patience_s)
        self.desk.workers.append(worker)
        worker.start()
        return worker

    def open_store(self) -> Worker:
        """Start the keeper: it mends what a power cut left, then records."""
        from device.store.keeper import Keeper  # loads PyAV; the bell comes first

        keeper = Keeper(
            layout=self.layout,
            ring=self._ring,
            inbox=self.inbox,
            clock=self.clock,
            storage=self.config.storage,
            orders=self.keeper_orders,
            log_grew=self.link.replay.grew if self.link else lambda: None,
        )
        return self.hire("keeper", keeper.run, patience_s=120)

    def open_camera(self) -> Worker:
        """Start the camera's thread."""
        from device.hw.capture import capture, open_camera  # loads PyAV
        from device.policy.masks import Masks  # loads OpenCV

        masks = Masks([mask.points for mask in self.config.masks])
        if masks:
            log.info("masks count=%d clips_masked_by=%s", len(self.config.masks), self.config.clips.masked_by)
        camera = open_camera(self.config.camera, clock=self.clock, masks=masks, press=self._visitor_presses)
        pictures = Pictures(self._ring, self.watch.mailbox)

        def work(worker: Worker) -> None:
            capture(
                worker,
                camera=camera,
                sink=pictures,
                inbox=self.inbox,
                clock=self.clock,
                masks=masks,
                privacy=lambda: self.desk.settings.privacy,
            )

        return self.hire("camera", work, patience_s=60)

    def _visitor_presses(self, _mono_us: int) -> None:
        if isinstance(self.button, SimulatedButton):
            self.button.press("visitor")
