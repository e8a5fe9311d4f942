"""A WebDAV folder (RFC 4918): PUT, after making the folder, and a look at its quota (RFC 4331)."""

import re
from typing import Any
from urllib.parse import quote

import urllib3  # egress: backups-home, backups-outside

from device.backup_targets import AddressOf, BackupTarget, ByteSource, TargetFull, TargetRejected
from device.backup_targets.pool import TargetPool
from device.system.send_guard import SendGuard

_QUOTA = b'<propfind xmlns="DAV:"><prop><quota-available-bytes/></prop></propfind>'
_MADE, _STORED = (201, 405), (200, 201, 204)
_REFUSED, _FULL, _MISSING = (401, 403), 507, 409


def put_webdav(
    target: BackupTarget, name: str, content: ByteSource, size: int, address_of: AddressOf, guard: SendGuard
) -> None:
    """Store some bytes. Raises TargetFull, TargetRejected, OSError."""
    pool = TargetPool(target, address_of, guard)
    headers = urllib3.make_headers(basic_auth=f"{target.user}:{target.secret}") if target.user else {}
    root = f"{target.scheme}://{target.netloc}"

    def ask(method: str, path: str, body: Any = None, **more: str) -> urllib3.BaseHTTPResponse:
        try:
            return pool.request(
                method,
                root + quote(path),
                body=body,
                headers={**headers, **more},
                redirect=False,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"{target.netloc}: {error}") from error

    free = _free_bytes(ask("PROPFIND", target.path + "/", _QUOTA, depth="0"))
    if free is not None and free < size:
        raise TargetFull(f"{target.netloc} has room for {free} bytes; {size} are needed")
    made = ""
    for part in target.path.strip("/").split("/") if target.path else ():
        made += f"/{part}"
        answer = ask("MKCOL", made)
        if answer.status not in (*_MADE, *_REFUSED):  # what is refused here may be there
            raise _trouble(target, answer.status)
    path = f"{target.path}/{name}"
    length = {"content-length": str(size), "content-type": "application/octet-stream"}
    answer = ask("PUT", path, content.pieces(0), **length)
    if answer.status not in _STORED:
        raise _trouble(target, answer.status)


def _free_bytes(answer: urllib3.BaseHTTPResponse) -> int | None:
    """Return what a server says of its room, None if it says nothing."""
    found = re.search(rb"quota-available-bytes[^>]*>\s*([0-9]{1,18})\s*<", answer.data[:65_536])
    return int(found[1]) if found else None


def _trouble(target: BackupTarget, status: int) -> Exception:
    if status in _REFUSED:
        return TargetRejected(f"{target.netloc} refuses user or password ({status})")
    if status == _FULL:
        return TargetFull(f"{target.netloc} has no room ({status})")
    return OSError(f"{target.netloc} answered {status}")
