"""doorbelld with a planted leak, to prove that `soak` detects one.

python -m scripts.fault_injection.leaky leak --config FILE
"""

import os
import sys
import threading
import time
from collections.abc import Callable

from device.daemon.main import main

_HOARD: list[bytes] = []


def _megabyte() -> None:
    _HOARD.append(b"\1" * 1_000_000)  # zeros would take no memory


def _descriptor() -> None:
    os.open(os.devnull, os.O_RDONLY)


LEAKS: dict[str, Callable[[], None]] = {"leak": _megabyte, "descriptors": _descriptor}
"""Leaked once a second."""


def _drip(lose: Callable[[], None]) -> None:
    while True:
        time.sleep(1)
        lose()


if __name__ == "__main__":
    threading.Thread(target=_drip, args=(LEAKS[sys.argv.pop(1)],), daemon=True).start()
    sys.exit(main())
