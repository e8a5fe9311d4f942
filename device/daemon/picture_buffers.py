"""The buffered pictures: the camera's, and masked ones for the live view if the camera's lack a mask.

Privacy closes both at once (`close`), and with them every reader: clips, live views, snapshots (store/ring.py).
"""

from collections.abc import Callable, Sequence

from device.errors import CameraError, CommandError
from device.events import LIVE_US, Packet, PacketReader, PacketWriter
from device.media.mask_history import MaskHistory, SpanMasks
from device.store.ring import RingBuffer
from device.system.clock import Clock

COVERED_US, COVERED_BYTES = 3_000_000, 4_000_000
"""Limits of the masked live view's buffer: enough for a viewer to start."""


class PictureBuffers:
    """`ring` has the camera's pictures. `open` and `close` are the controller's and only swap references."""

    def __init__(
        self,
        ring: RingBuffer,
        *,
        mask_history: MaskHistory,
        clock: Clock,
        start_covering: Callable[[], None],
        end_views: Callable[[], None],
    ) -> None:
        """`start_covering` starts the masked live view, once; `end_views` ends the views that are open."""
        self.ring = ring
        self.covering = False
        """Whether the live view needs masked pictures."""
        self._mask_history = mask_history
        self._clock = clock
        self._start_covering = start_covering
        self._end_views = end_views
        self._started = False
        self._covered = RingBuffer(keep_us=COVERED_US, limit_bytes=COVERED_BYTES, closed=ring.closed)
        self._covered_version = mask_history.version

    def close(self) -> None:
        """Forget every picture and end everything that reads them: privacy begins."""
        self.ring.close()
        self._covered.close()
        self._end_views()

    def open(self) -> None:
        """Take pictures again: privacy ends."""
        self.ring.open()
        self._covered.open()

    def feed(self) -> RingBuffer:
        """Return the buffer for the live view: the camera's pictures, or masked ones if they lack a mask.

        Called before each read. A viewer begins at the last keyframe, so what counts is how the pictures since then
        are masked. After each change of masks there is another buffer: pictures from before lack the new ones.
        """
        version = self._mask_history.version
        masks = self.masks_of(_pictures(self._newest()))
        self.covering = set(masks.held) != set(masks.drawn)
        if not self.covering:
            return self.ring
        if version != self._covered_version:
            self._covered = RingBuffer(keep_us=COVERED_US, limit_bytes=COVERED_BYTES, closed=self.ring.closed)
            self._covered_version = version
            if self.ring.closed:  # privacy began in between, and closed the one before
                self._covered.close()
        if not self._started:
            self._started = True
            self._start_covering()
        return self._covered

    def covered_writer(self) -> PacketWriter:
        """Return what takes masked pictures; another one after each change of masks."""
        return self._covered.writer()

    def snapshot(self) -> bytes:
        """Return the newest picture as a masked JPEG. Raises CameraError, or CommandError in privacy."""
        from device.media.decoder import still
        from device.media.masks import Masks

        reader = self._newest()
        pictures = _pictures(reader)
        if pictures:
            age_us = self._clock.mono_us() - max(packet.pts_us for packet in pictures)
            if age_us > LIVE_US:
                raise CommandError(
                    f"the newest picture is {age_us / 1e6:.0f} s old",
                    code="picture_old",
                    age_s=age_us // 1_000_000,
                )
        try:
            picture = still(pictures, Masks(self.masks_of(pictures).held))
        except CameraError:
            if not reader.closed:
                raise
        if reader.closed:
            raise CommandError("privacy is on: nothing is seen", code="private")
        return picture

    def _newest(self) -> PacketReader:
        """Return a reader of the camera's pictures from its last keyframe on."""
        return self.ring.reader(self._clock.mono_us())

    def masks_of(self, pictures: Sequence[Packet]) -> SpanMasks:
        """Return the masks of some pictures of the ring buffer and of those that follow."""
        if not pictures:
            return self._mask_history.since(self._clock.mono_us())
        here = all(packet.format.masked for packet in pictures)
        return self._mask_history.since(min(packet.pts_us for packet in pictures), encoded_here=here)


def _pictures(reader: PacketReader) -> list[Packet]:
    return [packet for packet in reader.take() if isinstance(packet, Packet)]
