"""`python -m device.release.backup CLIP SEALED AGE`: seal one clip to its owner's key, whole and as it is."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from device.release.parcel import archive, seal
from device.release.process import NICENESS
from device.system.core_dumps import forbid_core_dumps


def main() -> int:
    """Seal it, padded, so that a place learns a size class and no name; print the SHA-256 of the seal."""
    forbid_core_dumps()
    with suppress(OSError):
        os.nice(NICENESS)
    os.umask(0o077)
    clip, sealed, age = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    link, plain = sealed.with_name("clip"), sealed.with_name("plain")
    for left in (link, plain):
        left.unlink(missing_ok=True)
    try:
        link.hardlink_to(clip)
        archive(plain, [(clip.name, link)])
        digest, _ = seal(plain, sealed, age)
    finally:
        for left in (link, plain):
            left.unlink(missing_ok=True)
    print(digest)  # noqa: T201  (its one answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
