"""The daemon, built but not started: every component, and what connects them."""

import json
import logging
import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from device import __version__
from device.config import PAGE_KEYS, Config, Sources
from device.daemon.controller import Controller
from device.daemon.status import page_url, told
from device.events import ConfigChanged, Fact, LumaFrame, Packet
from device.hw.button import Button, SimulatedButton
from device.hw.chime import Chime, NoChime, SimulatedChime
from device.motion.worker import MotionWorker
from device.mqtt.discovery import discovery
from device.mqtt.log_replay import LogPage
from device.mqtt.publisher import Announcement, LivePress, MqttPublisher
from device.policy.episode import ClipOrder
from device.policy.settings import Settings
from device.store.layout import SETTINGS_FILE, Layout
from device.store.messages import (
    Flush,
    HoldStorage,
    MarkSent,
    NewFact,
    ReadLog,
    SettlePress,
    StorageMessage,
    WriteFile,
)
from device.store.ring import Ring
from device.system.clock import Clock, rfc3339, wall_at_us
from device.system.latest import LatestValue
from device.system.sd_notify import Notifier
from device.system.worker import Worker

log = logging.getLogger(__name__)

COVERED_US, COVERED_BYTES = 3_000_000, 4_000_000
"""Of the live view: no more than a viewer needs to begin with."""

if TYPE_CHECKING:
    from device.consent_service.backup_worker import Clips
    from device.consent_service.clip_source import ClipSource
    from device.consent_service.release_protocol import ReleaseBackend
    from device.consent_service.service import ConsentService
    from device.media.masks import Masks
    from device.web.backend import Backend
    from device.web.server import Keep, WebServer
    from device.web.sockets import ListeningSockets

RING_SLACK_US = 8_000_000
"""What the ring keeps beyond the pre-roll, so that a slow disk costs no picture at once."""


def _ring_us(config: Config) -> int:
    return int(config.clips.pre_roll_s * 1e6) + RING_SLACK_US


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


class FrameFanOut:
    """What the camera delivers, to those who want it: packets to the ring, small pictures to the motion worker."""

    def __init__(
        self, ring: Ring, latest_frame: LatestValue[LumaFrame], notify_frame: Callable[[], None]
    ) -> None:
        self.sound = self._append = ring.append
        self.luma = latest_frame.put
        self._notify_frame = notify_frame

    def packet(self, packet: Packet) -> None:
        """Take a picture, and wake whoever watches live."""
        self._append(packet)
        self._notify_frame()

    def note(self, text: str) -> None:
        """Say what the camera costs."""
        log.info("camera_note %s", text)


class Daemon:
    """Every component, built and connected."""

    def __init__(self, sources: Sources, clock: Clock, settings: Settings, notifier: Notifier) -> None:
        self.sources = sources
        self.config = config = sources.config()
        self.clock = clock
        self.layout = Layout(config.device.state_dir)
        facts: queue.SimpleQueue[Fact] = queue.SimpleQueue()
        self.inbox = facts.put
        self.page: WebServer | None = None
        self.consent_service: ConsentService | None = None
        self.storage_messages: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
        self.link = self._new_link() if config.mqtt.enabled else None
        self._link_worker: Worker | None = None
        self._masks: Masks | None = None
        self._covered: Ring | None = None
        chime: Chime = SimulatedChime() if config.chime.kind == "simulated" else NoChime()
        self.controller = Controller(
            config=config,
            clock=clock,
            sink=CommandRouter(
                storage_worker=self.storage_messages,
                link=lambda: self.link,
                chime=chime,
                clock=clock,
                tell_page=lambda fact: self.page.events.tell(fact) if self.page else None,
            ),
            settings=settings,
            notifier=notifier,
            inbox=facts,
        )
        self._ring = Ring(
            keep_us=_ring_us(config),
            limit_bytes=config.clips.ring_bytes,
        )
        self.motion_worker = MotionWorker(
            config.motion,
            config.zones,
            inbox=self.inbox,
            enabled=lambda: self.controller.motion_enabled,
        )
        self.button = self._button()

    def _new_link(self) -> MqttPublisher:
        device = self.config.device
        return MqttPublisher(
            self.config.mqtt,
            device.id,
            inbox=self.inbox,
            clock=self.clock,
            discovery=discovery(self.config.mqtt, device.id, device.name, __version__, page_url(self.config)),
            ask_log=self._ask_log,
            log_sent=lambda seq: self.storage_messages.put(MarkSent(acked_seq=seq)),
        )

    def _ask_log(self, after_seq: int | None, limit: int) -> None:
        def reply(acked_seq: int | None, rows: list[tuple[int, str]]) -> None:
            if self.link:
                self.link.replay.page(LogPage(after_seq=after_seq, acked_seq=acked_seq, rows=rows))

        self.storage_messages.put(ReadLog(after_seq=after_seq, limit=limit, reply=reply))

    def _button(self) -> Button:
        match self.config.button.kind:
            case "simulated":
                return SimulatedButton(self.config.button, inbox=self.inbox, clock=self.clock)
            case "gpio":
                from device.hw.gpio_button import GpioButton  # gpiozero, only here

                return GpioButton(self.config.button, inbox=self.inbox, clock=self.clock)

    def start_worker(self, name: str, work: Callable[[Worker], None], *, patience_s: float) -> Worker:
        """Start a worker that the watchdog minds."""
        worker = Worker(name, work, inbox=self.inbox, patience_s=patience_s)
        self.controller.workers.append(worker)
        worker.start()
        return worker

    def open_mqtt(self) -> None:
        """Start the link's thread, if there is to be one."""
        if self.link:
            self._link_worker = self.start_worker("mqtt", self.link.run, patience_s=90)

    def close_mqtt(self, timeout_s: float = 1.5) -> None:
        """End the link's thread; what it did not send is settled."""
        worker, self._link_worker = self._link_worker, None
        if worker:
            self.controller.workers.remove(worker)  # it ends because it is told to
            worker.stop(timeout_s)

    def apply(self, sources: Sources) -> None:
        """Take other settings (of `PAGE_KEYS`) without a restart; on the page's threads, one at a time."""
        old, new = self.config, sources.config()
        changed = [key for key in PAGE_KEYS if sources.page.get(key) != self.sources.page.get(key)]
        self.sources, self.config = sources, new
        if (old.motion, old.zones) != (new.motion, new.zones):
            self.motion_worker.configure(new.motion, new.zones)
        self.masks.replace([mask.points for mask in new.masks])
        self._ring.keep(_ring_us(new))
        if old.storage != new.storage:
            self.storage_messages.put(HoldStorage(storage=new.storage))
        if old.mqtt != new.mqtt:
            # The new one stands before the old one goes, so that no press falls between them.
            before, self.link = self.link, self._new_link() if new.mqtt.enabled else None
            self.close_mqtt()
            if before:
                before.leave()
            self.open_mqtt()
        if old.neighbourhood != new.neighbourhood and self.consent_service:
            self.consent_service.configure(new.neighbourhood)
        self.inbox(ConfigChanged(config=new, keys=tuple(changed)))

    @property
    def masks(self) -> "Masks":
        """What nobody shall see; shared by all who decode."""
        if self._masks is None:
            from device.media.masks import Masks  # loads OpenCV; the bell comes first

            self._masks = Masks([mask.points for mask in self.config.masks])
        return self._masks

    @property
    def covered_by_camera(self) -> bool:
        """Whether the ring's pictures are masked already: drawn, or covered by the camera itself."""
        return self.config.camera.kind == "scene" or self.config.clips.masked_by == "camera"

    def snapshot(self) -> bytes:
        """Return what the camera sees now as JPEG, masked. Raises CameraError."""
        from device.camera.snapshot import still

        return still(self._ring.since(self._ring.seq_at(self.clock.mono_us())).packets, self.masks)

    def open_store(self) -> Worker:
        """Start the storage worker: it mends what a power cut left, then records."""
        from device.store.storage_worker import StorageWorker  # loads PyAV; the bell comes first
        from device.store.thumbnails import Thumbnails

        storage_worker = StorageWorker(
            layout=self.layout,
            ring=self._ring,
            inbox=self.inbox,
            clock=self.clock,
            storage=self.config.storage,
            orders=self.storage_messages,
            log_grew=lambda: self.link.replay.grew() if self.link else None,
            thumbnails=Thumbnails(self.layout, self.masks),
        )
        return self.start_worker("storage", storage_worker.run, patience_s=120)

    def open_consent_service(
        self, footage: "ClipSource", release_backend: "ReleaseBackend", clips: "Clips"
    ) -> Worker:
        """Start the consent service: it reads the ledger, then the spool."""
        from device.consent_service.service import ConsentService  # loads NumPy and cryptography

        self.consent_service = ConsentService(
            path=self.layout.ledger,
            working=self.layout.releases,
            config=self.config.neighbourhood,
            clock=self.clock,
            inbox=self.inbox,
            footage=footage,
            release_backend=release_backend,
            clips=clips,
        )
        return self.start_worker("consent", self.consent_service.inbox_worker.run, patience_s=120)

    def open_releases(self) -> Worker:
        """Start what carries an approval out, up to the spool."""
        assert self.consent_service  # noqa: S101  (open_registrar comes first)
        return self.start_worker("releases", self.consent_service.release_worker.run, patience_s=120)

    def open_backups(self) -> Worker:
        """Start what sends sealed clips to the owner's own places, if there are some."""
        assert self.consent_service  # noqa: S101  (open_registrar comes first)
        return self.start_worker("backups", self.consent_service.backup_worker.run, patience_s=900)

    def open_camera(self) -> Worker:
        """Start the camera's thread."""
        from device.camera.capture import capture, open_camera  # loads PyAV

        masks = self.masks
        if masks:
            log.info("masks count=%d clips_masked_by=%s", len(self.config.masks), self.config.clips.masked_by)
        camera = open_camera(self.config.camera, clock=self.clock, masks=masks, press=self._visitor_presses)
        pictures = FrameFanOut(self._ring, self.motion_worker.latest_frame, self._notify_frame)

        def work(worker: Worker) -> None:
            capture(
                worker,
                camera=camera,
                sink=pictures,
                inbox=self.inbox,
                clock=self.clock,
                masks=masks,
                privacy=lambda: self.controller.settings.privacy,
            )

        return self.start_worker("camera", work, patience_s=60)

    def open_web(self, sockets: "ListeningSockets", backend: "Backend", keep: "Keep") -> Worker:
        """Start the page's thread: the command socket, and the page."""
        from device.web.server import WebServer  # loads FastAPI

        device = self.config.device
        self.page = WebServer(
            self.config.page,
            name=device.name,
            state_dir=device.state_dir,
            runtime_dir=device.runtime_dir,
            sockets=sockets,
            clock=self.clock,
            inbox=self.inbox,
            backend=backend,
            feed=self._feed,
            keep=keep,
        )
        return self.start_worker("web", self.page.run, patience_s=30)

    def _feed(self) -> Ring:
        """Return what may be shown: the camera's own pictures, or covered ones if there are masks."""
        if not self.masks or self.covered_by_camera:
            return self._ring
        if self._covered is None:
            from device.camera.masked_live import MaskedLive

            covered = self._covered = Ring(keep_us=COVERED_US, limit_bytes=COVERED_BYTES)

            def put(packet: Packet) -> None:
                covered.append(packet)
                self._notify_frame()

            covering = MaskedLive(
                since=self._ring.since,
                seq_at=self._ring.seq_at,
                put=put,
                masks=self.masks,
                clock=self.clock,
                wanted=lambda: bool(self.page and self.page.live.viewers and self.masks),
            )
            self.start_worker("masked_live", covering.run, patience_s=30)
        return self._covered

    def _notify_frame(self) -> None:
        if self.page:
            self.page.live.notify_frame()

    def _visitor_presses(self, _mono_us: int) -> None:
        if isinstance(self.button, SimulatedButton):
            self.button.press("visitor")
