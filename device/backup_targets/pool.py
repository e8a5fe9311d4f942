"""HTTP to one checked address, whatever the name resolves to a moment later."""

from typing import Any

import urllib3  # egress: backups-home, backups-outside

from device.backup_targets import TIMEOUT_S, AddressOf, BackupTarget
from device.system.https import https_pool
from device.system.send_guard import SendGuard


class TargetPool(urllib3.PoolManager):
    """Connections to one place alone: another host or port, by a redirection say, is an error."""

    def __init__(self, target: BackupTarget, address_of: AddressOf, guard: SendGuard) -> None:
        super().__init__()
        self._target = target
        self._guard = guard
        self._address = address_of(target.host, target.port)
        self._pool: urllib3.HTTPConnectionPool | None = None

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,  # noqa: ARG002  (urllib3 hands it over)
    ) -> urllib3.HTTPConnectionPool:
        """Return the one pool. Raises OSError for anything else."""
        target = self._target
        if (
            (host or "").strip("[]") != target.host
            or (port or target.port) != target.port
            or scheme != target.scheme
        ):
            raise OSError(f"{target.netloc} sends on to {scheme}://{host}:{port}, which is never followed")
        if self._pool is None:
            if scheme == "https":
                self._pool = https_pool(target.host, target.port, self._address, timeout_s=TIMEOUT_S)
            else:
                timeout = urllib3.Timeout(TIMEOUT_S)
                self._pool = urllib3.HTTPConnectionPool(self._address, target.port, timeout=timeout)
            self._guard.watch_pool(self._pool)
        return self._pool
