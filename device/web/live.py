"""The live view: viewers get the packets of the feed from the newest keyframe on, without re-encoding.

A viewer that is too slow continues at a later keyframe; the others are not affected.
"""

import asyncio  # egress: page
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from device.errors import CameraError
from device.events import Packet
from device.system.clock import Clock
from device.web.backend import PacketFeed

QUIET_S = 1.0
"""Interval between two checks of a viewer's session."""
LATE_US = 3_000_000
"""A viewer that is further behind continues at the newest keyframe."""
MAX_VIEWERS = 8


class FrameNotifier:
    """Wakes viewers that wait for pictures, from the camera's thread and without a lock."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()

    def __call__(self) -> None:
        """Announce a new picture; costs nothing while there is no viewer."""
        loop = self._loop
        if loop is not None and self._waiting:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._wake)

    def begin(self) -> None:
        """Use the running loop for the viewers."""
        self._loop = asyncio.get_running_loop()

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    @contextlib.contextmanager
    def watching(self) -> Any:
        """Yield an event that is set at each picture."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield event
        finally:
            self._waiting.discard(event)


class Live:
    """Gives the feed to viewers, and counts them."""

    def __init__(self, feed: Callable[[], PacketFeed], clock: Clock) -> None:
        """`feed` is called before each read, because the feed that may be shown can change."""
        self.notify_frame = FrameNotifier()
        self._feed = feed
        self._clock = clock
        self.viewers = 0

    @contextlib.contextmanager
    def admit(self) -> Any:
        """Count a viewer; yield whether one more is allowed."""
        if self.viewers >= MAX_VIEWERS:
            yield False
            return
        self.viewers += 1
        try:
            yield True
        finally:
            self.viewers -= 1

    async def packets(self) -> AsyncIterator[Packet | None]:
        """Yield packets from the newest keyframe on; None if there was none for a second.

        After a gap the next one is a keyframe again.
        """
        feed: PacketFeed | None = None
        seq, whole = 0, False
        with self.notify_frame.watching() as new_picture:
            while True:
                new_picture.clear()
                allowed = self._feed()
                if allowed is not feed:  # also when a mask is drawn while somebody watches
                    feed = allowed
                    seq, whole = feed.seq_at(self._clock.mono_us()), False
                read = feed.since(seq)
                seq = read.next_seq
                whole = whole and not read.lost
                pictures = [packet for packet in read.packets if isinstance(packet, Packet)]
                if pictures and self._clock.mono_us() - pictures[0].dts_us > LATE_US and whole:
                    seq, whole = feed.seq_at(self._clock.mono_us()), False
                    continue
                for packet in pictures:
                    whole = whole or packet.is_keyframe
                    if whole:
                        yield packet
                if not pictures:
                    try:
                        await asyncio.wait_for(new_picture.wait(), QUIET_S)
                    except TimeoutError:
                        yield None


async def stream_mp4(live: Live, socket: Any, session_valid: Callable[[], bool]) -> None:
    """Send one viewer its pictures over a WebSocket (Starlette's) until it closes or the session ends.

    First, and at each change of format, a text: {"codec": "avc1…", "width": …, "height": …}; then the
    header of the file and its fragments.
    """
    from device.web.fmp4 import LiveMp4, codec_of  # PyAV, which is loaded by now

    with live.admit() as room:
        if not room:
            await socket.send_text(json.dumps({"error": "too many viewers; close another page"}))
            return
        mp4: LiveMp4 | None = None
        head_sent, checked_us = False, 0
        async for packet in live.packets():
            now_us = packet.dts_us if packet else 0
            if packet is None or now_us - checked_us > QUIET_S * 1e6:
                checked_us = now_us
                if not session_valid():
                    return
            if packet is None:
                await socket.send_text("{}")  # a heartbeat, which also detects that the viewer is gone
                continue
            if mp4 is None or mp4.video != packet.format:
                if not packet.is_keyframe:
                    continue
                mp4, head_sent = LiveMp4(packet.format), False
            try:
                data = mp4.add(packet)
            except CameraError:
                mp4 = None  # a new file, from the next keyframe on
                continue
            if not data:
                continue
            if not head_sent:
                video = packet.format
                head = {"codec": codec_of(data[:4096]), "width": video.width_px, "height": video.height_px}
                await socket.send_text(json.dumps(head))
                head_sent = True
            await socket.send_bytes(data)
