"""Upload of a sealed backup to the owner's own target outside the home."""

from collections.abc import Iterator

from device.backup_targets import BackupTarget, TargetKind, TargetRejected, put
from device.courier.public_address import public_address
from device.courier.upload_attempt import Refusing, UploadAttempt


class BackupUploader:
    """The way to an owner's own S3, WebDAV or SFTP."""

    def carry(self, attempt: UploadAttempt) -> None:
        """Carry it. Raises OSError, Refusing, GrantGone, LeaseLapsed."""
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
            name = f"{grant.sha256}.age"
            attempt.check()
            put(target, name, _Pieces(attempt), grant.size_bytes, public_address, attempt.guard)
        except (TargetRejected, ValueError) as error:
            raise Refusing(str(error)) from error
        attempt.stored({})


class _Pieces:
    """An attempt's bytes, as a backup target takes them."""

    def __init__(self, attempt: UploadAttempt) -> None:
        self._attempt = attempt

    def pieces(self, begin: int) -> Iterator[bytes]:
        """Yield the bytes from an offset to the end."""
        return self._attempt.chunks(begin, self._attempt.grant.size_bytes)
