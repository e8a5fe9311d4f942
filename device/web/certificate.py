"""The page's certificate: the owner's, or the doorbell's own for its present names and addresses."""

import asyncio  # egress: page
import logging
import socket  # egress: page
import ssl  # egress: page
from collections.abc import Callable
from pathlib import Path

from device.config import PageConfig
from device.errors import CommandError
from device.system.clock import Clock
from device.system.local_network import home_addresses
from device.web import certificate_authority

log = logging.getLogger(__name__)

RENEW_EVERY_S = 600


def host_names(config: PageConfig) -> list[str]:
    """Return the names of the page that are accepted besides addresses of the home network."""
    own = socket.gethostname().lower()
    names = ["localhost", own, f"{own.partition('.')[0]}.local", *config.hosts]
    return sorted({name.lower() for name in names if name})


def certificate_names(config: PageConfig) -> list[str]:
    """Return the names that the page's certificate is for: those of `page.hosts` with a dot, and home names.

    The machine's own name counts only below a name that is reserved for home networks: a network can assign another
    one (DHCP), and the authority must not vouch for it.
    """
    chosen = {host.lower() for host in config.hosts}
    return [name for name in host_names(config) if _is_home_name(name) or (name in chosen and "." in name)]


def _is_home_name(name: str) -> bool:
    return name == "localhost" or name.endswith(
        tuple(f".{home}" for home in certificate_authority.HOME_NAMES)
    )


class Certificate:
    """Made and renewed in the state directory."""

    def __init__(
        self,
        config: PageConfig,
        *,
        name: str,
        state_dir: Path,
        clock: Clock,
        keep: Callable[[str, bytes], None],
    ) -> None:
        """`keep` writes a file of the state directory durably, or raises CommandError."""
        self._config = config
        self._name = name
        self._state_dir = state_dir
        self._clock = clock
        self._keep = keep
        self.authority: bytes | None = None
        """The doorbell's own authority, PEM; None where the owner's files are used."""

    def context(self) -> ssl.SSLContext:
        """Return a server's context. Raises OSError, ValueError, CommandError."""
        if self._config.cert_file:
            return certificate_authority.context(Path(self._config.cert_file), Path(self._config.key_file))
        return certificate_authority.context(self._made(), None)

    async def renew(self, context: ssl.SSLContext) -> None:
        """Renew the certificate in `context` until cancelled: addresses change, and a certificate expires."""
        while not self._config.cert_file:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                context.load_cert_chain(await asyncio.to_thread(self._made))
            except (OSError, ValueError, CommandError) as error:
                log.warning("page_certificate_not_renewed error=%s", error)
        await asyncio.Event().wait()  # the owner's own files are read only at the start

    def _made(self) -> Path:
        """Return the file of a valid certificate; make a new one if necessary."""
        now_us = self._clock.wall_us()
        names = certificate_names(self._config)
        outside = [name for name in names if not _is_home_name(name)]
        hosts = [*names, "127.0.0.1", "::1", *home_addresses()]
        cert, ca, ca_key = (self._state_dir / name for name in ("page.pem", "page-ca.pem", "page-ca-key.pem"))
        if not (
            ca.exists()
            and ca_key.exists()
            and certificate_authority.authority_good(ca.read_bytes(), outside, now_us)
        ):
            made, key = certificate_authority.make_authority(self._name, outside, now_us)
            self._keep(ca_key.name, key)
            self._keep(ca.name, made)
            cert.unlink(missing_ok=True)
        self.authority = ca.read_bytes()
        if not cert.exists() or not certificate_authority.still_good(cert.read_bytes(), hosts, now_us):
            self._keep(
                cert.name,
                certificate_authority.make_certificate(self.authority, ca_key.read_bytes(), hosts, now_us),
            )
        return cert
