"""The web thread: one event loop that serves the command socket and, if the page is enabled, the network."""

import asyncio  # egress: page
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from device.config import PageConfig
from device.errors import CommandError
from device.events import Fault, Inbox
from device.system.clock import Clock
from device.system.worker import Worker
from device.web.backend import Backend, PacketFeed
from device.web.sockets import ListeningSockets

if TYPE_CHECKING:
    from device.web.auth_accounts import Accounts
    from device.web.connection_limiter import ConnectionLimiter
    from device.web.health_history import History

log = logging.getLogger(__name__)

THREADS = 6
STEP_S = 0.5
HISTORY_EVERY_S = 60
Keep = Callable[[str, bytes], None]
"""Makes a file of the state directory durable; raises CommandError."""


class WebServer:
    """Serves until stopped. `events.tell` and `live.notify_frame`, which other threads call, only enqueue."""

    def __init__(
        self,
        config: PageConfig,
        *,
        name: Callable[[], str],
        state_dir: Path,
        runtime_dir: Path,
        sockets: ListeningSockets,
        clock: Clock,
        inbox: Inbox,
        backend: Backend,
        feed: Callable[[], PacketFeed],
        keep: Keep,
    ) -> None:
        from device.web.event_stream import Events
        from device.web.live import Live
        from device.web.mjpeg import Mjpeg
        from device.web.open_streams import OpenStreams
        from device.web.whep import Whep

        self._config = config
        self._name = name
        self._state_dir = state_dir
        self._code_path = runtime_dir / "claim-code"
        self._listeners = sockets
        self._clock = clock
        self._inbox = inbox
        self._backend = backend
        self._keep = keep
        self.live = Live(feed, clock)
        self.whep = Whep(self.live)
        self.mjpeg = Mjpeg(self.live)
        self.streams = OpenStreams()
        self.events = Events()

    def run(self, worker: Worker) -> None:
        """Serve."""
        asyncio.run(self._serve(worker))

    async def _serve(self, worker: Worker) -> None:
        from device.web.app import limit_threads, socket_app
        from device.web.connection_limiter import ConnectionLimiter
        from device.web.health_history import History

        worker.beat()
        limit_threads(THREADS)
        self.live.notify_frame.begin()
        self.events.begin()
        self.streams.begin()
        accounts = await asyncio.to_thread(self._accounts)
        history = await asyncio.to_thread(History, self._state_dir, self._keep)
        unix = ConnectionLimiter(socket_app(self._backend, accounts, history))
        tasks = [asyncio.create_task(unix.serve(self._listeners.unix, None))]
        limiters = [unix]
        if not accounts.usable:
            self._listeners.close_network()
        if self._listeners.http or self._listeners.https:
            network, network_tasks = await self._network(accounts, history)
            limiters.append(network)
            tasks += network_tasks
        tasks.append(asyncio.create_task(self._sample(history, accounts)))
        log.info("page ready http=%d https=%d", len(self._listeners.http), len(self._listeners.https))
        while not worker.stopping.is_set():
            worker.beat()
            await asyncio.wait(tasks, timeout=STEP_S)
            for task in tasks:
                if task.done():
                    task.result()  # a task never ends by itself: this raises what ended it
        for task in tasks:
            task.cancel()
        await self.whep.end_all()
        for limiter in limiters:
            await limiter.shut_down()
        await asyncio.to_thread(history.save)
        self._code_path.unlink(missing_ok=True)

    async def _network(
        self, accounts: "Accounts", history: "History"
    ) -> "tuple[ConnectionLimiter, list[asyncio.Task[None]]]":
        """Serve the page to the home network; return its connection limiter and tasks."""
        from device.web.app import page_app
        from device.web.certificate import Certificate, host_names
        from device.web.connection_limiter import ConnectionLimiter

        certificate = Certificate(
            self._config, name=self._name(), state_dir=self._state_dir, clock=self._clock, keep=self._keep
        )
        app = page_app(
            self._backend,
            accounts,
            name=self._name,
            hosts=host_names(self._config),
            live=self.live,
            whep=self.whep,
            mjpeg=self.mjpeg,
            streams=self.streams,
            events=self.events,
            history=history,
            ca_cert=lambda: certificate.authority,
        )
        network = ConnectionLimiter(app, signed_in_peers=lambda: self._known_peers(accounts))
        tasks = [asyncio.create_task(network.serve(listener, None)) for listener in self._listeners.http]
        if self._listeners.https:
            try:
                tls = await asyncio.to_thread(certificate.context)
            except (OSError, ValueError, CommandError) as error:
                detail = getattr(error, "strerror", None) or str(error)
                self._inbox(
                    Fault(
                        code="page_failed",
                        active=True,
                        reason="https",
                        params={"detail": detail},
                        text=f"no HTTPS: {detail}",
                        remedy="see page.cert_file and page.key_file, or the disk",
                    )
                )
                return network, tasks
            tasks.append(asyncio.create_task(certificate.renew(tls)))
            tasks += [asyncio.create_task(network.serve(listener, tls)) for listener in self._listeners.https]
        return network, tasks

    def _known_peers(self, accounts: "Accounts") -> set[str]:
        """Return the addresses that places are kept for: of signed-in browsers and of the owner's readers."""
        try:
            readers = self._backend.readers.peers()
        except CommandError:  # the ledger has not been opened yet
            readers = set()
        return accounts.signed_in_peers() | readers

    async def _sample(self, history: "History", accounts: "Accounts") -> None:
        while True:
            await asyncio.sleep(HISTORY_EVERY_S)
            await asyncio.to_thread(accounts.save_if_needed)
            with suppress(CommandError):  # a controller that does not answer has its fault
                await asyncio.to_thread(self._take_sample, history)

    def _take_sample(self, history: "History") -> None:
        """Ask the controller, sometimes the storage worker: both may take seconds, so never on the event loop."""
        history.feed(self._clock.wall_us(), self._backend.status())

    # --- the owner --------------------------------------------------------------------------------

    def _accounts(self) -> "Accounts":
        from device.web.auth_accounts import Accounts

        path = self._state_dir / "page.json"
        content: bytes | None = None
        trouble = ""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            pass
        except OSError as error:
            trouble = f"{path}: {error.strerror}"
        try:
            return Accounts(
                clock=self._clock,
                content=content,
                save=lambda data: self._keep("page.json", data),
                show_code=self._show_code,
                usable=not trouble,
            )
        except ValueError as error:
            trouble = f"{path}: {error}"
        text = f"the page stays closed, for its owner cannot be read: {trouble}"
        self._inbox(
            Fault(
                code="page_failed",
                active=True,
                reason="owner",
                params={"detail": trouble},
                text=text,
                remedy="`doorbell page reset` makes a new claim code",
            )
        )
        return Accounts(
            clock=self._clock,
            content=None,
            save=lambda data: self._keep("page.json", data),
            show_code=self._show_code,
            usable=False,
        )

    def _show_code(self, code: str | None) -> None:
        """Write the claim code to the log and to a file for the daemon's group."""
        with suppress(OSError):
            if code is None:
                self._code_path.unlink(missing_ok=True)
            else:
                self._code_path.write_text(f"{code}\n")
        if code is not None and self._config.enabled:
            log.warning("page_unclaimed code=%s: open the page and enter this code to become its owner", code)
