"""`python -m device.release.backup CLIP SEALED AGE`: seal one clip to its owner's key, whole and as it is."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from device.release.__main__ import NICENESS
from device.release.parcel import archive, seal


def main() -> int:
    """Seal it: an archive of one file, padded, so that a place learns no name and a size class alone."""
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
        seal(plain, sealed, age, [])
    finally:
        for left in (link, plain):
            left.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
