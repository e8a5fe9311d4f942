"""Hands what one opening of the camera delivers to its consumers: ring buffer, motion worker and live view."""

import logging
from collections.abc import Callable

from device.events import LumaFrame, Packet, PacketWriter, SoundPacket
from device.system.latest import LatestValue

log = logging.getLogger(__name__)


class FrameFanOut:
    """A CameraSink. Every method only enqueues, on the camera's thread. It takes nothing once privacy has begun."""

    def __init__(
        self, ring: PacketWriter, latest_frame: LatestValue[LumaFrame], notify_frame: Callable[[], None]
    ) -> None:
        self._ring = ring
        self._latest_frame = latest_frame
        self._notify_frame = notify_frame

    @property
    def closed(self) -> bool:
        """Whether privacy has begun since the camera was opened."""
        return self._ring.closed

    def packet(self, packet: Packet) -> None:
        """Store an encoded picture in the ring buffer and wake the live viewers."""
        self._ring.append(packet)
        self._notify_frame()

    def sound(self, packet: SoundPacket) -> None:
        """Store encoded sound in the ring buffer."""
        self._ring.append(packet)

    def luma(self, frame: LumaFrame) -> None:
        """Hand a small grey picture to the motion worker; it replaces one that was not taken yet."""
        if not self._ring.closed:
            self._latest_frame.put(frame)

    def note(self, text: str) -> None:
        """Log what the camera says about itself."""
        log.info("camera_note %s", text)
