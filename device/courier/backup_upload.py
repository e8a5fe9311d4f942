"""Upload of a sealed backup to the owner's own target outside the home. Each attempt starts from the first byte."""

from collections.abc import Iterator

from device.backup_targets import BackupTarget, TargetKind, TargetRejected, put
from device.courier.public_address import public_address
from device.courier.upload_attempt import Refusing, UploadAttempt


class BackupUploader:
    """The way to an owner's own S3, WebDAV or SFTP."""

    def carry(self, attempt: UploadAttempt) -> None:
        """Carry it. Raises OSError, Refusing, GrantGone."""
        attempt.prove_parcel()
        grant, account = attempt.grant, attempt.grant.account
        kinds: dict[str, TargetKind] = {"bucket": "s3", "webdav": "webdav", "sftp": "sftp"}
        kind = kinds.get(grant.kind)
        if account is None or kind is None:
            raise Refusing("the grant names no account")
        try:
            target = BackupTarget(
                kind=kind,
                url=account.url,
                user=account.user,
                secret=account.secret,
                host_key=account.host_key,
            )
            if f"{target.scheme}://{target.netloc}" != grant.origin or target.scheme == "http":
                raise Refusing("the account is at another place than the grant")
            content = _Stream(attempt.chunks(0, grant.size_bytes))
            put(target, f"{grant.sha256}.age", content, grant.size_bytes, public_address)
        except (TargetRejected, ValueError) as error:
            raise Refusing(str(error)) from error
        attempt.stored({})


class _Stream:
    """Reads what is yielded."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes: so many, unless it ends."""
        parts, have = [self._left], len(self._left)
        while size < 0 or have < size:
            block = next(self._chunks, b"")
            if not block:
                break
            parts.append(block)
            have += len(block)
        whole = b"".join(parts)
        self._left = whole[size:] if size >= 0 else b""
        return whole[:size] if size >= 0 else whole
