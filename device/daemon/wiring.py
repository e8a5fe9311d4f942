"""The daemon, built but not started: every component, and what connects them."""

import logging
import queue
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from device import __version__
from device.config import PAGE_KEYS, Config, Sources
from device.daemon.command_router import CommandRouter
from device.daemon.controller import Controller
from device.daemon.dashboard_changes import DashboardChanges
from device.daemon.frame_fan_out import FrameFanOut
from device.daemon.main_loop import MainLoop
from device.daemon.picture_buffers import PictureBuffers
from device.daemon.status import page_url_for_phones
from device.events import ConfigChanged, Fact, PressEvent
from device.hw.button import Button, SimulatedButton
from device.hw.chime import Chime, NoChime, SimulatedChime
from device.media.mask_history import MaskHistory
from device.motion.worker import MotionWorker
from device.mqtt.broker_picture import picture_entity
from device.mqtt.discovery import discovery
from device.mqtt.log_replay import LogPage
from device.mqtt.published import Published, broker_name, load_record
from device.mqtt.publisher import MqttPublisher
from device.policy.settings import Settings
from device.store.layout import PUBLISHED_FILE, Layout
from device.store.messages import HoldStorage, MarkSent, ReadLog, StorageMessage, WriteFile
from device.store.ring import RingBuffer
from device.system.board import wifi_signal_dbm
from device.system.clock import Clock
from device.system.sd_notify import Notifier
from device.system.worker import Worker

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from device.consent_service.backup_worker import Clips
    from device.consent_service.clip_source import ClipSource
    from device.consent_service.release_protocol import ReleaseBackend
    from device.consent_service.service import ConsentService
    from device.daemon.rtsp_runner import RtspRunner
    from device.media.masks import Masks
    from device.store.press_pictures import UnwrittenPictures
    from device.web.backend import Backend
    from device.web.server import Keep, WebServer
    from device.web.sockets import ListeningSockets

RING_SLACK_US = 8_000_000
"""How much the ring buffer holds beyond the pre-roll, so that a slow disk does not lose pictures."""


def _polygons(config: Config) -> list[list[tuple[float, float]]]:
    return [mask.points for mask in config.masks]


def _by_camera(config: Config) -> bool:
    return config.clips.masked_by == "camera"


def _ring_us(config: Config) -> int:
    return int(config.clips.pre_roll_s * 1e6) + RING_SLACK_US


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
        self._pictured_presses: queue.SimpleQueue[PressEvent] = queue.SimpleQueue()
        self._unwritten_pictures: UnwrittenPictures | None = None
        self.published = load_record(self.layout.mqtt_published)
        self.publisher = self._new_publisher() if config.mqtt.enabled else None
        self._mqtt_worker: Worker | None = None
        self._masks: Masks | None = None
        self.mask_history = MaskHistory(_polygons(config), by_camera=_by_camera(config))
        self._rtsp: RtspRunner | None = None
        self.pictures = PictureBuffers(
            RingBuffer(
                keep_us=_ring_us(config), limit_bytes=config.clips.ring_bytes, closed=settings.privacy
            ),
            mask_history=self.mask_history,
            clock=clock,
            start_covering=self._start_covering,
            end_views=self._end_views,
        )
        chime: Chime = SimulatedChime() if config.chime.kind == "simulated" else NoChime()
        self.dashboard_changes = DashboardChanges(inbox=self.inbox, clock=clock)
        self.controller = Controller(
            config=config,
            clock=clock,
            sink=CommandRouter(
                storage_worker=self.storage_messages,
                pictured_presses=self._pictured_presses,
                publisher=lambda: self.publisher,
                chime=chime,
                change_number=self.dashboard_changes.put,
                tell_page=lambda fact: self.page.events.tell(fact) if self.page else None,
                close_pictures=self.pictures.close,
                open_pictures=self.pictures.open,
            ),
            settings=settings,
            inbox=facts,
        )
        self.loop = MainLoop(self.controller, inbox=facts, clock=clock, notifier=notifier)
        self.motion_worker = MotionWorker(
            config.motion,
            config.zones,
            inbox=self.inbox,
            clock=clock,
            enabled=lambda: self.controller.motion_enabled and not self.controller.settings.privacy,
        )
        self.button = self._button()

    def _new_publisher(self) -> MqttPublisher:
        device = self.config.device
        return MqttPublisher(
            self.config.mqtt,
            device.id,
            inbox=self.inbox,
            clock=self.clock,
            discovery=discovery(
                self.config.mqtt,
                device.id,
                device.name,
                __version__,
                page_url=page_url_for_phones(self.config),
                has_wifi=wifi_signal_dbm() is not None,
            ),
            ask_log=self._ask_log,
            log_sent=lambda seq: self.storage_messages.put(MarkSent(acked_seq=seq)),
            published=self.published.at(broker_name(self.config.mqtt)),
            remember=partial(self.remember_published, broker_name(self.config.mqtt)),
        )

    def remember_published(self, broker: str, published: Published) -> None:
        """Keep what is retained at a broker; any thread, one at a time."""
        if published == self.published.at(broker):
            return
        self.published = self.published.with_broker(broker, published)
        self.storage_messages.put(
            WriteFile(name=PUBLISHED_FILE, content=self.published.content(), private=True)
        )

    def _press_pictures_allowed(self) -> bool:
        """Return whether the broker may have the picture of a press now."""
        granted = bool(self.consent_service and self.consent_service.readers.broker_gets_press_pictures)
        return granted and not self.pictures.ring.closed

    def describe_picture(self) -> None:
        """Have Home Assistant show the press picture, or not, as it is granted now."""
        if self.publisher and self.consent_service and self.consent_service.ledger_store.is_open:
            granted = self.consent_service.readers.broker_gets_press_pictures
            self.publisher.describe_picture(
                picture_entity(self.config.mqtt, self.config.device.id, granted=granted)
            )

    def _ask_log(self, after_seq: int | None, limit: int) -> None:
        def reply(acked_seq: int | None, rows: list[tuple[int, str]]) -> None:
            if self.publisher:
                self.publisher.replay.page(LogPage(after_seq=after_seq, acked_seq=acked_seq, rows=rows))

        self.storage_messages.put(ReadLog(after_seq=after_seq, limit=limit, reply=reply))

    def _button(self) -> Button:
        match self.config.button.kind:
            case "simulated":
                return SimulatedButton(self.config.button, inbox=self.inbox, clock=self.clock)
            case "gpio":
                from device.hw.gpio_button import GpioButton  # gpiozero, only here

                return GpioButton(self.config.button, inbox=self.inbox, clock=self.clock)

    def start_worker(self, name: str, work: Callable[[Worker], None], *, patience_s: float) -> Worker:
        """Start a worker thread that the watchdog monitors."""
        worker = Worker(name, work, inbox=self.inbox, patience_s=patience_s)
        self.loop.workers.append(worker)
        worker.start()
        return worker

    def open_mqtt(self) -> None:
        """Start the MQTT thread, if MQTT is enabled."""
        if self.publisher:
            self.publisher.page_url = page_url_for_phones(self.config)
            self.publisher.press_picture.allowed = self._press_pictures_allowed
            self.describe_picture()
            self._mqtt_worker = self.start_worker("mqtt", self.publisher.run, patience_s=90)

    def close_mqtt(self, timeout_s: float = 1.5) -> None:
        """Stop the MQTT thread; presses that it did not send become late."""
        worker, self._mqtt_worker = self._mqtt_worker, None
        if worker:
            self.loop.workers.remove(worker)  # so the watchdog does not miss it
            worker.stop(timeout_s)

    def apply(
        self, sources: Sources, *, limits_taken: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        """Apply other settings (of `PAGE_KEYS`) without a restart; on the web server's threads, one at a time.

        `limits_taken` is called with {} when the controller knows which storage limits hold.
        """
        old, new = self.config, sources.config()
        changed = [key for key in PAGE_KEYS if sources.page.get(key) != self.sources.page.get(key)]
        self.sources, self.config = sources, new
        if (old.motion, old.zones) != (new.motion, new.zones):
            self.motion_worker.configure(new.motion, new.zones)
        # First the history: at no moment is a mask drawn, or left out, that it does not have.
        self.mask_history.change(self.clock.mono_us(), _polygons(new), by_camera=_by_camera(new))
        self.masks.replace(_polygons(new))
        self.pictures.ring.keep(_ring_us(new))
        if old.storage != new.storage:
            self.storage_messages.put(HoldStorage(storage=new.storage, reply=limits_taken))
        else:
            limits_taken({})
        if (old.mqtt, old.device.name) != (new.mqtt, new.device.name):
            # The new publisher is there before the old one ends, so that no press is lost between them.
            before, self.publisher = self.publisher, self._new_publisher() if new.mqtt.enabled else None
            self.close_mqtt()
            if before:
                before.leave()
            self.open_mqtt()
        if old.neighbourhood != new.neighbourhood and self.consent_service:
            self.consent_service.configure(new.neighbourhood)
        self.inbox(ConfigChanged(config=new, keys=tuple(changed)))

    @property
    def masks(self) -> "Masks":
        """The privacy masks, shared by everything that decodes."""
        if self._masks is None:
            from device.media.masks import Masks  # loads OpenCV; the button must be live first

            self._masks = Masks(_polygons(self.config))
        return self._masks

    def open_store(self) -> Worker:
        """Start the storage worker: it repairs what a power cut left, then records."""
        from device.store.storage_worker import StorageWorker  # loads PyAV; the button must be live first
        from device.store.thumbnails import Thumbnails

        storage_worker = StorageWorker(
            layout=self.layout,
            ring=self.pictures.ring,
            inbox=self.inbox,
            clock=self.clock,
            storage=self.config.storage,
            messages=self.storage_messages,
            log_grew=lambda: self.publisher.replay.grew() if self.publisher else None,
            thumbnails=Thumbnails(self.layout, self.masks),
            masks=self.mask_history,
            forget_picture=self.unwritten_pictures.forget,
        )
        return self.start_worker("storage", storage_worker.run, patience_s=120)

    @property
    def unwritten_pictures(self) -> "UnwrittenPictures":
        """The press pictures that are not on the disk yet."""
        if self._unwritten_pictures is None:
            from device.store.press_pictures import UnwrittenPictures  # loads PyAV and OpenCV

            self._unwritten_pictures = UnwrittenPictures()
        return self._unwritten_pictures

    def open_press_pictures(self) -> Worker:
        """Start the worker that makes the picture of the moment of each press."""
        from device.store.press_pictures import PressPictures

        press_pictures = PressPictures(
            presses=self._pictured_presses,
            ring=self.pictures.ring,
            masks_of=lambda pictures: self.pictures.masks_of(pictures).held,
            unwritten=self.unwritten_pictures,
            layout=self.layout,
            storage=self.storage_messages.put,
            inbox=self.inbox,
        )
        return self.start_worker("press_pictures", press_pictures.run, patience_s=30)

    def open_consent_service(
        self, footage: "ClipSource", release_backend: "ReleaseBackend", clips: "Clips"
    ) -> Worker:
        """Start the consent service, which reads the ledger and then the spool."""
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
            trust_clock=self.config.device.trust_clock,
        )
        return self.start_worker("consent", self.consent_service.inbox_worker.run, patience_s=120)

    def open_leases(self) -> Worker:
        """Start the worker that renews the leases of what may be sent."""
        assert self.consent_service  # noqa: S101  (open_consent_service comes first)
        return self.start_worker("leases", self.consent_service.lease_keeper.run, patience_s=120)

    def open_releases(self) -> Worker:
        """Start the worker that makes approved releases."""
        assert self.consent_service  # noqa: S101  (open_consent_service comes first)
        return self.start_worker("releases", self.consent_service.release_worker.run, patience_s=120)

    def open_backups(self) -> Worker:
        """Start the worker that sends sealed clips to the owner's backup targets."""
        assert self.consent_service  # noqa: S101  (open_consent_service comes first)
        return self.start_worker("backups", self.consent_service.backup_worker.run, patience_s=900)

    def open_camera(self) -> Worker:
        """Start the camera's thread."""
        from device.camera.capture import capture, open_camera  # loads PyAV

        masks = self.masks
        if masks:
            log.info("masks count=%d clips_masked_by=%s", len(self.config.masks), self.config.clips.masked_by)
        camera = open_camera(self.config.camera, clock=self.clock, masks=masks, press=self._visitor_presses)

        def make_sink() -> FrameFanOut:
            writer = self.pictures.ring.writer()
            return FrameFanOut(writer, self.motion_worker.latest_frame, self._notify_frame)

        def work(worker: Worker) -> None:
            capture(
                worker,
                camera=camera,
                make_sink=make_sink,
                inbox=self.inbox,
                clock=self.clock,
                masks=masks,
            )

        return self.start_worker("camera", work, patience_s=60)

    def open_web(self, sockets: "ListeningSockets", backend: "Backend", keep: "Keep") -> Worker:
        """Start the web server: the command socket and the page."""
        from device.web.server import WebServer  # loads FastAPI

        device = self.config.device
        self.page = WebServer(
            self.config.page,
            name=lambda: self.config.device.name,
            state_dir=device.state_dir,
            runtime_dir=device.runtime_dir,
            sockets=sockets,
            clock=self.clock,
            inbox=self.inbox,
            backend=backend,
            feed=self.pictures.feed,
            keep=keep,
        )
        assert self.consent_service  # noqa: S101  (open_consent_service comes first)
        self.consent_service.readers.on_change.append(self.page.streams.check)
        self.consent_service.readers.on_change.append(self.describe_picture)
        self.describe_picture()  # the ledger may have been opened before
        return self.start_worker("web", self.page.run, patience_s=30)

    def _start_covering(self) -> None:
        """Start the worker that masks the live view's pictures."""
        from device.camera.masked_live import MaskedLive

        pictures = self.pictures
        covering = MaskedLive(
            reader=pictures.ring.reader,
            target=pictures.covered_writer,
            masks=lambda mono_us: self.mask_history.since(mono_us).held,
            notify=self._notify_frame,
            clock=self.clock,
            wanted=lambda: pictures.covering and self._has_viewers(),
        )
        self.start_worker("masked_live", covering.run, patience_s=30)

    def open_rtsp(self) -> Worker | None:
        """Start the thread that runs the RTSP process while a reader may use it; None if it has no port."""
        if not self.config.rtsp.port:
            return None
        from device.daemon.rtsp_runner import RtspRunner

        assert self.consent_service  # noqa: S101  (open_consent_service comes first)
        readers = self.consent_service.readers
        self._rtsp = RtspRunner(
            self.config.rtsp.port,
            feed=self.pictures.feed,
            is_private=lambda: self.pictures.ring.closed,
            readers=readers,
            clock=self.clock,
            inbox=self.inbox,
        )
        readers.on_change.append(self._rtsp.readers_changed)
        return self.start_worker("rtsp", self._rtsp.run, patience_s=60)

    def _has_viewers(self) -> bool:
        return bool(self.page and self.page.live.viewers) or bool(self._rtsp and self._rtsp.is_wanted)

    def _end_views(self) -> None:
        if self._rtsp:
            self._rtsp.end_views()
        if self.page:
            self.page.live.end_views()

    def _notify_frame(self) -> None:
        if self.page:
            self.page.live.notify_frame()
        if self._rtsp:
            self._rtsp.notify_frame()

    def _visitor_presses(self, _mono_us: int) -> None:
        if isinstance(self.button, SimulatedButton):
            self.button.press("visitor")
