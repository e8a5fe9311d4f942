"""The page's thread: one event loop that serves the command socket and, if wanted, the network."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from device.clock import Clock
from device.config import PageConfig
from device.errors import CommandError, StateError
from device.events import Fault, Inbox
from device.page.home import Feed, Home
from device.page.socket_address import SOCKET_NAME, short_address
from device.worker import Worker

log = logging.getLogger(__name__)

THREADS = 6
TURN_S = 0.5
HISTORY_EVERY_S = 60
Keep = Callable[[str, bytes], None]
"""Makes a file of the state directory durable; raises CommandError."""


class Listeners:
    """The sockets, bound before anything heavy is loaded: who comes early waits a moment, and is served."""

    def __init__(self, runtime_dir: Path, config: PageConfig, inbox: Inbox) -> None:
        """Raises StateError if another daemon listens on the command socket or the folder cannot be used.

        A taken port is a fault: the bell rings without a page.
        """
        self.path = runtime_dir / SOCKET_NAME
        try:
            runtime_dir.mkdir(parents=True, exist_ok=True)
            with short_address(runtime_dir) as address:
                self._refuse_second(address)
                self.path.unlink(missing_ok=True)
                self.unix = socket.socket(socket.AF_UNIX)
                mask = os.umask(0o117)
                try:
                    self.unix.bind(address)
                finally:
                    os.umask(mask)
                self.unix.listen(64)
        except OSError as error:
            raise StateError(
                f"command socket {self.path}: {error.strerror}; "
                "make the runtime directory writable for the user that runs doorbelld"
            ) from error
        self.http: list[socket.socket] = []
        self.https: list[socket.socket] = []
        if config.enabled:
            self.http = list(_bound(config.loopback_port, ("127.0.0.1", "::1"), "page.loopback_port", inbox))
            self.https = list(_bound(config.port, ("0.0.0.0", "::"), "page.port", inbox))  # noqa: S104

    def _refuse_second(self, address: str) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(address)
            except OSError:
                return
        raise StateError(f"another doorbelld listens on {self.path}; stop it first")

    def close(self) -> None:
        """Close all and take the command socket away."""
        for listener in (self.unix, *self.http, *self.https):
            listener.close()
        self.path.unlink(missing_ok=True)


def _bound(port: int, addresses: tuple[str, str], key: str, inbox: Inbox) -> Iterator[socket.socket]:
    for address in addresses if port else ():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listener = socket.socket(family)
        except OSError:
            continue  # a kernel without IPv6
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            listener.listen(64)
        except OSError as error:
            listener.close()
            if family == socket.AF_INET:
                text = f"{key} {port} cannot be used: {error.strerror}"
                remedy = "see what else listens there (ss -ltnp), or choose another port"
                inbox(Fault(code="page_failed", active=True, text=text, remedy=remedy))
            continue
        yield listener


class Page:
    """Serves until stopped. What the house tells it (`tell`, `stir`) only enqueues."""

    def __init__(
        self,
        config: PageConfig,
        *,
        name: str,
        state_dir: Path,
        runtime_dir: Path,
        listeners: Listeners,
        clock: Clock,
        inbox: Inbox,
        home: Home,
        feed: Callable[[], Feed],
        keep: Keep,
    ) -> None:
        from device.page.events import Events
        from device.page.live import Live

        self._config = config
        self._name = name
        self._state_dir = state_dir
        self._code_path = runtime_dir / "claim-code"
        self._listeners = listeners
        self._clock = clock
        self._inbox = inbox
        self._home = home
        self._keep = keep
        self.live = Live(feed, clock)
        self.events = Events()
        self._ca: bytes | None = None

    def run(self, worker: Worker) -> None:
        """Serve."""
        asyncio.run(self._serve(worker))

    async def _serve(self, worker: Worker) -> None:
        from device.page.doorman import Doorman
        from device.page.history import History
        from device.page.web import limit_threads, page_app, socket_app

        worker.beat()
        await limit_threads(THREADS)
        self.live.stir.begin()
        self.events.begin()
        accounts = await asyncio.to_thread(self._accounts)
        history = await asyncio.to_thread(History, self._state_dir, self._keep)
        unix = Doorman(socket_app(self._home, accounts, history))
        doors = [asyncio.create_task(unix.serve(self._listeners.unix, None))]
        doormen = [unix]
        if accounts.usable and (self._listeners.http or self._listeners.https):
            app = page_app(
                self._home,
                accounts,
                name=self._name,
                hosts=self._hosts(),
                live=self.live,
                events=self.events,
                history=history,
                ca_cert=lambda: self._ca,
            )
            network = Doorman(app)
            doormen.append(network)
            tls = await asyncio.to_thread(self._tls) if self._listeners.https else None
            doors += [asyncio.create_task(network.serve(each, None)) for each in self._listeners.http]
            if tls:
                doors += [asyncio.create_task(network.serve(each, tls)) for each in self._listeners.https]
        doors.append(asyncio.create_task(self._sample(history)))
        log.info("page ready http=%d https=%d", len(self._listeners.http), len(self._listeners.https))
        while not worker.stopping.is_set():
            worker.beat()
            await asyncio.wait(doors, timeout=TURN_S)
            for door in doors:
                if door.done():
                    door.result()  # a door never ends by itself: this raises what ended it
        for door in doors:
            door.cancel()
        for doorman in doormen:
            await doorman.goodbye()
        await asyncio.to_thread(history.save)
        self._code_path.unlink(missing_ok=True)

    async def _sample(self, history: Any) -> None:
        while True:
            await asyncio.sleep(HISTORY_EVERY_S)
            with suppress(CommandError):  # a desk that does not answer has its fault
                history.feed(self._clock.wall_us(), await asyncio.to_thread(self._home.status))

    # --- who may come in --------------------------------------------------------------------------

    def _accounts(self) -> Any:
        from device.page.accounts import Accounts

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
                tell_code=self._tell_code,
                usable=not trouble,
            )
        except ValueError as error:
            trouble = f"{path}: {error}"
        text = f"the page stays closed, for its owner cannot be read: {trouble}"
        remedy = "`doorbell page reset` makes a new claim code"
        self._inbox(Fault(code="page_failed", active=True, text=text, remedy=remedy))
        return Accounts(
            clock=self._clock,
            content=None,
            save=lambda data: self._keep("page.json", data),
            tell_code=self._tell_code,
            usable=False,
        )

    def _tell_code(self, code: str | None) -> None:
        """Print the claim code into the log and into a file for the daemon's group."""
        with suppress(OSError):
            if code is None:
                self._code_path.unlink(missing_ok=True)
            else:
                self._code_path.write_text(f"{code}\n")
        if code is not None and self._config.enabled:
            log.warning("page_unclaimed code=%s: open the page and enter this code to become its owner", code)

    # --- names and certificates -------------------------------------------------------------------

    def _hosts(self) -> list[str]:
        own = socket.gethostname().lower()
        names = ["localhost", own, f"{own.partition('.')[0]}.local", *self._config.hosts]
        return sorted({name.lower() for name in names if name})

    def _tls(self) -> ssl.SSLContext | None:
        from device.page import tls

        try:
            if self._config.cert_file:
                return tls.context(Path(self._config.cert_file), Path(self._config.key_file))
            return tls.context(self._own_certificate(), None)
        except (OSError, ValueError, CommandError) as error:
            text = f"no HTTPS: {getattr(error, 'strerror', None) or error}"
            remedy = "see page.cert_file and page.key_file, or the disk"
            self._inbox(Fault(code="page_failed", active=True, text=text, remedy=remedy))
            return None

    def _own_certificate(self) -> Path:
        """Return the file of a certificate that fits, made anew if need be."""
        from device.page import tls

        now_us = self._clock.wall_us()
        hosts = [*self._hosts(), "127.0.0.1", "::1", *_home_addresses()]
        cert, ca, ca_key = (self._state_dir / name for name in ("page.pem", "page-ca.pem", "page-ca-key.pem"))
        if not (ca.exists() and ca_key.exists() and tls.authority_good(ca.read_bytes(), now_us)):
            made, key = tls.make_authority(self._name, hosts, now_us)
            self._keep(ca_key.name, key)
            self._keep(ca.name, made)
            cert.unlink(missing_ok=True)
        self._ca = ca.read_bytes()
        if not cert.exists() or not tls.still_good(cert.read_bytes(), hosts, now_us):
            self._keep(cert.name, tls.make_certificate(self._ca, ca_key.read_bytes(), hosts, now_us))
        return cert


def _home_addresses() -> list[str]:
    """Return this machine's addresses in the home network."""
    import ifaddr

    from device.home_network import is_home

    found = {
        str(ip.ip[0] if isinstance(ip.ip, tuple) else ip.ip) for a in ifaddr.get_adapters() for ip in a.ips
    }
    return sorted(address for address in found if is_home(address))
