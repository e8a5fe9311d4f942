"""The live view as MJPEG, for dashboards that show nothing else: decoded once for all clients, at a bounded rate.

Only while somebody watches. The pictures are those of the live view, masked where there are masks. A client that is
too slow misses pictures; none is kept for it.
"""

import asyncio  # egress: page, readers
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from device.web.live import QUIET_S, Live

BOUNDARY = "doorbelld-picture"
MEDIA_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
PICTURE_EVERY_US = 200_000
WIDEST_PX = 1280
QUALITY = 75
STALLED_S = 5.0
"""A stream ends after so long without a new picture: a client would show the old one as live."""


class Mjpeg:
    """Gives JPEG pictures to clients; `open` counts them."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._source: asyncio.Task[None] | None = None
        self._thread = anyio.CapacityLimiter(1)
        self._picture = b""
        self._number = 0
        self._new = asyncio.Event()
        self.open = 0

    async def parts(self, allowed: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield the parts of one client's answer, until it may not see more or there is no picture."""
        self.open += 1
        if self._source is None:
            self._source = asyncio.create_task(self._decode())
        try:
            seen, waited_s = self._number, 0.0
            yield f"--{BOUNDARY}\r\n".encode()
            while allowed() and waited_s < STALLED_S and not self._source.done():
                if self._number == seen:
                    waited_s += QUIET_S
                    await self._next_picture()
                    continue
                seen, waited_s = self._number, 0.0
                yield _part(self._picture)
        finally:
            self.open -= 1
            if not self.open and self._source:
                self._source.cancel()
                self._source, self._picture = None, b""

    async def _next_picture(self) -> None:
        try:
            await asyncio.wait_for(self._new.wait(), QUIET_S)
        except TimeoutError:
            return

    async def _decode(self) -> None:
        """Decode the live view; return when the camera's pictures end."""
        decoder = _Decoder()
        async for packet in self._live.packets():
            if packet is None:
                continue
            picture = await anyio.to_thread.run_sync(partial(decoder.take, packet), limiter=self._thread)
            if picture and not self._live.private:
                self._picture, self._number = picture, self._number + 1
                self._new.set()
                self._new = asyncio.Event()


def _part(picture: bytes) -> bytes:
    """Return a part with the next boundary: a browser shows a picture when it has seen its end."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture + f"\r\n--{BOUNDARY}\r\n".encode()


class _Decoder:
    """Packets in, JPEG out, a few each second."""

    def __init__(self) -> None:
        self._format: Any = None
        self._context: Any = None
        self._due_us = 0

    def take(self, packet: Any) -> bytes | None:
        """Return the picture of a packet if one is due."""
        import av

        from device.media.ffmpeg_input import FAILURES
        from device.media.jpeg import jpeg_of

        if packet.format != self._format:
            if not packet.is_keyframe:
                return None
            self._format = packet.format
            self._context = av.CodecContext.create(packet.format.codec, "r")
            self._context.thread_count = 1
        try:
            frames = self._context.decode(av.Packet(packet.data))
        except FAILURES:
            return None  # a damaged picture, as cameras on Wi-Fi send now and then
        if not frames or packet.pts_us < self._due_us:
            return None
        self._due_us = max(self._due_us, packet.pts_us - PICTURE_EVERY_US) + PICTURE_EVERY_US
        width_px = min(packet.format.width_px, WIDEST_PX) & ~1
        height_px = round(packet.format.height_px * width_px / packet.format.width_px) & ~1
        return jpeg_of(frames[-1].reformat(width_px, height_px, "yuv420p").to_ndarray(), QUALITY)
