"""A bucket of the owner's own, by way of the minio client."""

from typing import BinaryIO, cast

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from device.backup_targets import AddressOf, BackupTarget, ByteSource, TargetFull, TargetRejected
from device.backup_targets.pool import TargetPool

PART_BYTES = 8 << 20
_FULL = ("QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "InsufficientCapacity")
_WRONG = ("AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "NoSuchBucket", "InvalidBucketName")


def put_s3(target: BackupTarget, name: str, content: ByteSource, size: int, address_of: AddressOf) -> None:
    """Store some bytes. Raises TargetFull, TargetRejected, OSError."""
    bucket, _, folder = target.path.strip("/").partition("/")
    key = f"{folder}/{name}" if folder else name
    client = Minio(
        target.netloc,
        target.user,
        target.secret,
        secure=target.scheme == "https",
        region="us-east-1",  # named, so that nothing is asked to find it out
        http_client=TargetPool(target, address_of),
    )
    try:
        client.put_object(
            bucket, key, cast("BinaryIO", content), size, part_size=PART_BYTES, num_parallel_uploads=1
        )
    except S3Error as error:
        text = f"{target.netloc}: {error.code}: {error.message}"
        if error.code in _FULL:
            raise TargetFull(text) from error
        if error.code in _WRONG:
            raise TargetRejected(text) from error
        raise OSError(text) from error
    except (MinioException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise OSError(f"{target.netloc}: {error}") from error
