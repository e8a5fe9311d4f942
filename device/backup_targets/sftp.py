"""A folder on an SFTP server, by way of paramiko. The server's key is the one that the owner was shown."""

import base64
import errno
import hashlib
import io
import socket  # egress: backups-home, backups-outside
from contextlib import suppress

import paramiko  # egress: backups-home, backups-outside

from device.backup_targets import (
    TIMEOUT_S,
    AddressOf,
    BackupTarget,
    ByteSource,
    TargetFull,
    TargetRejected,
)
from device.system.send_guard import SendGuard

_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


def put_sftp(
    target: BackupTarget, name: str, content: ByteSource, size: int, address_of: AddressOf, guard: SendGuard
) -> None:
    """Store some bytes, under their name only once they are whole; go on where an earlier try ended.

    Raises TargetFull, TargetRejected, OSError.
    """
    try:
        with _transport(target, address_of, guard) as transport:
            _store(transport, target, name, content, size)
    except (paramiko.SSHException, EOFError) as error:
        raise OSError(f"{target.netloc}: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TargetFull(f"{target.netloc} has no room") from error
        raise


def _store(
    transport: paramiko.Transport, target: BackupTarget, name: str, content: ByteSource, size: int
) -> None:
    sftp = paramiko.SFTPClient.from_transport(transport)
    if sftp is None:
        raise OSError(f"{target.netloc} has no SFTP")
    sftp.get_channel().settimeout(TIMEOUT_S)
    _make(sftp, target.path)
    part = f"{target.path or '.'}/{name}.part"
    begin = _size_of(sftp, part)
    if begin > size:
        begin = 0
    with sftp.open(part, "r+b" if begin else "wb") as file:
        file.seek(begin)
        file.set_pipelined(True)
        for piece in content.pieces(begin):
            file.write(piece)
    if sftp.stat(part).st_size != size:
        raise OSError(f"{target.netloc} has another size than was sent")
    sftp.posix_rename(part, part.removesuffix(".part"))


def _size_of(sftp: paramiko.SFTPClient, path: str) -> int:
    """Return how much of an earlier try is there."""
    try:
        return sftp.stat(path).st_size or 0
    except OSError:
        return 0


def key_of(place_host: str, port: int, address_of: AddressOf) -> str:
    """Return the fingerprint of a server's key, to be shown to the owner. Raises OSError."""
    sock = socket.create_connection((address_of(place_host, port), port), TIMEOUT_S)
    transport = paramiko.Transport(sock)
    try:
        transport.start_client(timeout=TIMEOUT_S)
        return _fingerprint(transport.get_remote_server_key())
    except paramiko.SSHException as error:
        raise OSError(f"{place_host}:{port}: {error}") from error
    finally:
        transport.close()


def _transport(target: BackupTarget, address_of: AddressOf, guard: SendGuard) -> paramiko.Transport:
    sock = socket.create_connection((address_of(target.host, target.port), target.port), TIMEOUT_S)
    guard.watch(sock)
    transport = paramiko.Transport(sock)
    try:
        transport.start_client(timeout=TIMEOUT_S)
        _same_key(transport, target)
        if "PRIVATE KEY" in target.secret:
            transport.auth_publickey(target.user, _private_key(target.secret))
        else:
            transport.auth_password(target.user, target.secret)
    except paramiko.AuthenticationException as error:
        transport.close()
        raise TargetRejected(f"{target.netloc} refuses user, password or key") from error
    except BaseException:
        transport.close()
        raise
    return transport


def _same_key(transport: paramiko.Transport, target: BackupTarget) -> None:
    if _fingerprint(transport.get_remote_server_key()) != target.host_key:
        raise TargetRejected(f"{target.netloc} has another host key than you were shown: nothing was sent")


def _fingerprint(key: paramiko.PKey) -> str:
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _private_key(text: str) -> paramiko.PKey:
    for kind in _KEYS:
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text))
    raise TargetRejected("the private key cannot be read: it must be an OpenSSH key without a passphrase")


def _make(sftp: paramiko.SFTPClient, path: str) -> None:
    made = ""
    for part in path.strip("/").split("/") if path else ():
        made += f"/{part}"
        with suppress(OSError):  # it is there, or the next step says what is wrong
            sftp.mkdir(made)
