"""A bucket of the owner's own. The minio client signs an address; the object is sent there in pieces, as a whole.

`Minio.put_object` reads 8 MiB before it sends them, and sends those whatever happens meanwhile.
"""

import re
from datetime import timedelta

import urllib3  # egress: backups-home, backups-outside
from minio import Minio  # egress: backups-home, backups-outside
from minio.error import MinioException  # egress: backups-home, backups-outside

from device.backup_targets import AddressOf, BackupTarget, ByteSource, TargetFull, TargetRejected
from device.backup_targets.pool import TargetPool
from device.system.send_guard import SendGuard

MAX_OBJECT_BYTES = 5 << 30
"""S3 takes no larger object in one request."""
SIGNED_FOR = timedelta(days=1)
"""A slow upload may take hours; the address is known to nobody else."""
_OK = 200
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")
_FULL = ("QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "InsufficientCapacity")
_WRONG = ("AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "NoSuchBucket", "InvalidBucketName")


def put_s3(
    target: BackupTarget, name: str, content: ByteSource, size: int, address_of: AddressOf, guard: SendGuard
) -> None:
    """Store some bytes; each try starts from the first. Raises TargetFull, TargetRejected, OSError."""
    if size > MAX_OBJECT_BYTES:
        raise TargetRejected(f"the clip is larger than an S3 object may be ({MAX_OBJECT_BYTES >> 30} GB)")
    bucket, _, folder = target.path.strip("/").partition("/")
    key = f"{folder}/{name}" if folder else name
    pool = TargetPool(target, address_of, guard)
    client = Minio(
        target.netloc,
        target.user,
        target.secret,
        secure=target.scheme == "https",
        region="us-east-1",  # named, so that nothing is asked to find it out
        http_client=pool,
    )
    try:
        url = client.get_presigned_url("PUT", bucket, key, expires=SIGNED_FOR)
        answer = pool.request(
            "PUT",
            url,
            body=content.pieces(0),
            headers={"content-length": str(size), "content-type": "application/octet-stream"},
            redirect=False,
            retries=False,
        )
    except (MinioException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise OSError(f"{target.netloc}: {error}") from error
    if answer.status != _OK:
        raise _trouble(target, answer)


def _trouble(target: BackupTarget, answer: urllib3.BaseHTTPResponse) -> Exception:
    found = _CODE.search(answer.data[:65_536])
    code = found[1].decode() if found else ""
    text = f"{target.netloc} answered {answer.status} {code}".strip()
    if code in _FULL:
        return TargetFull(text)
    return TargetRejected(text) if code in _WRONG else OSError(text)
