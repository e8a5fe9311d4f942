"""The camera's protocol."""

import itertools
import threading
from collections.abc import Callable
from typing import Protocol

from device.events import CameraSink

_epochs = itertools.count(1)


def next_epoch() -> int:
    """Return the number of a new opening of a camera: packets of two openings never share a clip."""
    return next(_epochs)


class Camera(Protocol):
    """A source of encoded packets and small grey pictures."""

    kind: str

    def run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Deliver to `sink` until `stop` is set. Raises CameraError when the camera fails."""
