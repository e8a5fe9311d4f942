"""What a camera is."""

import itertools
import threading
from collections.abc import Callable
from typing import Protocol

from device.events import CameraSink

_epochs = itertools.count(1)


def next_epoch() -> int:
    """Number an opening of a camera: packets of two openings never share a clip."""
    return next(_epochs)


class Camera(Protocol):
    """A source of encoded packets and small grey pictures."""

    kind: str

    def run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Deliver to `sink` until `stop` is set. Raises CameraError when the world fails."""
