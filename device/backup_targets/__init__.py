"""The owner's own targets for sealed backups: S3, WebDAV, SFTP. One `put` for all of them.

doorbelld serves the targets on the home network, the courier those outside. The caller decides which addresses may
be used (`AddressOf`), and the connection goes to exactly that address. Only encrypted bytes come here.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import unquote, urlsplit

from device.system.host_patterns import HOST_OR_IPV6
from device.system.send_guard import SendGuard
from device.system.urls import endpoint

TargetKind = Literal["s3", "webdav", "sftp"]
AddressOf = Callable[[str, int], str]
"""Returns the address to connect to for a host and port. Raises OSError if it is not one that may be used."""
PORTS = {"https": 443, "http": 80, "sftp": 22}
SCHEMES = {"s3": ("https", "http"), "webdav": ("https", "http"), "sftp": ("sftp",)}
TIMEOUT_S = 30.0
_PATH = re.compile(r"(/[A-Za-z0-9._~-]{1,100}){0,8}/?")


def refuse_credentials(url: str) -> None:
    """Raise ValueError if a backup target's URL holds a user or a password, wherever and however written.

    The URL is shown and recorded in the ledger. No path of a target has an @, so any @ ends a user or a password.
    """
    if "@" in url or "%40" in url:
        raise ValueError(
            f"{endpoint(url)}: a backup target's URL may hold no user and no password, because it is shown and "
            "recorded in the ledger; give the user as --user, and the password when you are asked, or in "
            "--secret-file"
        )


class TargetFull(OSError):
    """The place has no room for more."""


class TargetRejected(Exception):
    """The place will not take it, however often it is asked: a key, a name or a password is wrong."""


class ByteSource(Protocol):
    """The encrypted bytes to send. They end with an error when they may not be sent any more."""

    def pieces(self, begin: int) -> Iterator[bytes]:
        """Yield the bytes from an offset to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupTarget:
    """Where, and as whom. `secret` is a password, an S3 secret or an OpenSSH private key."""

    kind: TargetKind
    url: str
    user: str = ""
    secret: str = ""
    host_key: str = ""
    """Of SFTP: the server's fingerprint, as `ssh` shows it (SHA256:…)."""

    def __post_init__(self) -> None:
        refuse_credentials(self.url)
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), 0
        fits = (
            self.url.isascii()
            and self.url.isprintable()  # urlsplit leaves out line ends and tabs
            and parts.scheme in SCHEMES.get(self.kind, ())
            and re.fullmatch(HOST_OR_IPV6, parts.netloc.removesuffix(f":{port}"))
            and port != 0
            and _PATH.fullmatch(parts.path)
            and not {"?", "#"} & set(self.url)
            and (self.kind != "s3" or len(parts.path.strip("/")) > 0)
            and (self.kind != "sftp" or self.host_key.startswith("SHA256:"))
        )
        if not fits:
            raise ValueError(
                f"{endpoint(self.url)}: this is not a URL of this kind: s3 is https://host/bucket, webdav is "
                "https://host/folder, sftp is sftp://host/folder with the server's key (SHA256:…)"
            )

    @property
    def scheme(self) -> str:
        """`https`, `http` or `sftp`."""
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        """The host's name or address."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """The port."""
        return urlsplit(self.url).port or PORTS[self.scheme]

    @property
    def path(self) -> str:
        """The folder, without a slash at its end."""
        return unquote(urlsplit(self.url).path).rstrip("/")

    @property
    def netloc(self) -> str:
        """Host and, if it is not the usual one, port."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"


def put(
    target: BackupTarget, name: str, content: ByteSource, size: int, address_of: AddressOf, guard: SendGuard
) -> None:
    """Store some bytes under a name in a target's folder. `guard` watches the connections.

    Raises TargetFull, TargetRejected, OSError (retry).
    """
    match target.kind:
        case "s3":
            from device.backup_targets.s3 import put_s3 as store
        case "webdav":
            from device.backup_targets.webdav import put_webdav as store
        case "sftp":
            from device.backup_targets.sftp import put_sftp as store
    store(target, name, content, size, address_of, guard)
