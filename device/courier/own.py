"""A sealed backup to a place of the owner's own, outside the home: whole, anew at each attempt."""

from collections.abc import Iterator

from device.courier.address import public_address
from device.courier.errand import Errand, Refusing
from device.places import Kind, Place, Wrong, put


class Own:
    """The way to an owner's own S3, WebDAV or SFTP."""

    def carry(self, errand: Errand) -> None:
        """Carry it. Raises OSError, Refusing, GrantGone."""
        errand.prove_parcel()
        grant, account = errand.grant, errand.grant.account
        kinds: dict[str, Kind] = {"bucket": "s3", "webdav": "webdav", "sftp": "sftp"}
        kind = kinds.get(grant.kind)
        if account is None or kind is None:
            raise Refusing("the grant names no account")
        try:
            place = Place(
                kind=kind,
                url=account.url,
                user=account.user,
                secret=account.secret,
                host_key=account.host_key,
            )
            if f"{place.scheme}://{place.netloc}" != grant.origin or place.scheme == "http":
                raise Refusing("the account is at another place than the grant")
            content = _Stream(errand.chunks(0, grant.size_bytes))
            put(place, f"{grant.sha256}.age", content, grant.size_bytes, public_address)
        except (Wrong, ValueError) as error:
            raise Refusing(str(error)) from error
        errand.stored({})


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
