"""The live view: viewers get the packets of the feed from the newest keyframe on, without re-encoding.

A viewer that is too slow continues at a later keyframe; the others are not affected. When privacy begins, every view
ends, and what a connection has not sent yet is dropped.
"""

import asyncio  # egress: page
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.websockets import WebSocketDisconnect

from device.errors import CameraError
from device.events import LIVE_US, Packet, SoundPacket
from device.system.clock import Clock, wall_at_us
from device.web.backend import PacketFeed

QUIET_S = 1.0
"""Interval between two checks of a viewer's session."""
MAX_VIEWERS = 8
MAX_ECHO = 40
"""Characters of a viewer's text that come back."""


class FrameNotifier:
    """Wakes viewers that wait for pictures, from the camera's thread and without a lock."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()

    def __call__(self) -> None:
        """Announce a new picture; costs nothing while there is no viewer."""
        if self._waiting:
            self.call(self._wake)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function on the loop, if there is one."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(function)

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
    """Gives the feed to viewers, counts them, and ends their views when privacy begins."""

    def __init__(self, feed: Callable[[], PacketFeed], clock: Clock) -> None:
        """`feed` is called before each read, because the feed that may be shown can change."""
        self.notify_frame = FrameNotifier()
        self._feed = feed
        self._clock = clock
        self._views: dict[object, Callable[[], None]] = {}

    @property
    def viewers(self) -> int:
        """How many views are open."""
        return len(self._views)

    @property
    def private(self) -> bool:
        """Whether privacy is on, so that there is nothing to see."""
        return self._feed().closed

    def age_us(self, mono_us: int) -> int:
        """Return how long ago a picture was taken."""
        return max(0, self._clock.mono_us() - mono_us)

    def wall_us(self, mono_us: int) -> int:
        """Return when a picture was taken, as Unix time."""
        return wall_at_us(self._clock, mono_us)

    @contextlib.contextmanager
    def admit(self, end: Callable[[], None]) -> Any:
        """Count a viewer; yield whether one more is allowed.

        `end` is called on the loop when privacy begins. It must drop what the view has not sent yet, also what waits
        for a viewer that takes nothing.
        """
        if self.viewers >= MAX_VIEWERS:
            yield False
            return
        view = object()
        self._views[view] = end
        try:
            yield True
        finally:
            del self._views[view]

    def end_views(self) -> None:
        """End every view, since privacy has begun; from any thread, without a lock."""
        self.notify_frame.call(self._end_views)

    def _end_views(self) -> None:
        for end in list(self._views.values()):
            end()

    async def packets(self) -> AsyncIterator[Packet | None]:
        """Yield packets from the newest keyframe on, until privacy begins; None if there was none for a second.

        After a gap the next one is a keyframe again. Nothing begins while the newest picture is older than `LIVE_US`:
        it would only show the past.
        """
        feed = self._feed()
        reader = feed.reader(self._clock.mono_us())
        whole = False
        with self.notify_frame.watching() as new_picture:
            while not reader.closed:
                new_picture.clear()
                if (allowed := self._feed()) is not feed:  # also when a mask is drawn while somebody watches
                    feed, reader, whole = allowed, allowed.reader(self._clock.mono_us()), False
                if not whole:
                    reader.skip()
                idle = True
                for packet in reader.take() if whole or not self._is_old(reader.newest_us) else ():
                    whole = whole and not reader.lost
                    if isinstance(packet, SoundPacket):
                        continue
                    if whole and self._is_old(packet.dts_us) and reader.skip():
                        whole = idle = False
                        break
                    whole = whole or packet.is_keyframe
                    if whole:
                        idle = False
                        yield packet
                if idle:
                    try:
                        await asyncio.wait_for(new_picture.wait(), QUIET_S)
                    except TimeoutError:
                        yield None

    def _is_old(self, at_us: int | None) -> bool:
        return at_us is None or self.age_us(at_us) > LIVE_US


async def stream_mp4(live: Live, socket: Any, session_valid: Callable[[], bool]) -> None:
    """Send one viewer its pictures over a WebSocket (Starlette's) until it closes or the session ends.

    First, and at each change of format, a text: {"codec": "avc1…", "width": …, "height": …}; then the
    header of the file and its fragments. While privacy is on, {"private": true} once a second; when it begins during
    a view, the connection is reset.

    A heartbeat answers each text of the viewer, and comes once a second while there are no pictures: {"echo": that
    text or null, "age_ms": the age of the newest picture sent, "at_ms": its time (Unix), null before the first}. What
    a viewer has received when the heartbeat comes is no older than `age_ms` and the time since it sent the text.
    """
    with live.admit(socket.state.reset) as room:
        if not room:
            await socket.send_text(
                json.dumps({"error": "too many viewers; close another page", "code": "too_many_viewers"})
            )
            return
        while live.private:
            if not session_valid():
                return
            await socket.send_text(json.dumps({"private": True}))
            await asyncio.sleep(QUIET_S)
        heartbeat = _Heartbeat(live, socket)
        answering = asyncio.create_task(heartbeat.answer())
        try:
            await _stream(live, socket, session_valid, heartbeat)
        finally:
            answering.cancel()


class _Heartbeat:
    """Tells a viewer how old the newest picture is that was sent to it."""

    def __init__(self, live: Live, socket: Any) -> None:
        self._live = live
        self._socket = socket
        self.newest_us: int | None = None

    async def send(self, echo: str | None = None) -> None:
        age_us = None if self.newest_us is None else self._live.age_us(self.newest_us)
        at_us = None if self.newest_us is None else self._live.wall_us(self.newest_us)
        message = {
            "echo": echo,
            "age_ms": None if age_us is None else age_us // 1000,
            "at_ms": None if at_us is None else at_us // 1000,
        }
        await self._socket.send_text(json.dumps(message))

    async def answer(self) -> None:
        """Answer the viewer's texts until it is gone."""
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            while (message := await self._socket.receive())["type"] != "websocket.disconnect":
                await self.send(str(message.get("text", ""))[:MAX_ECHO])


async def _stream(live: Live, socket: Any, session_valid: Callable[[], bool], heartbeat: _Heartbeat) -> None:
    from device.web.fmp4 import LiveMp4, codec_of  # PyAV, which is loaded by now

    mp4: LiveMp4 | None = None
    head_sent, checked_us = False, 0
    async for packet in live.packets():
        now_us = packet.dts_us if packet else 0
        if packet is None or now_us - checked_us > QUIET_S * 1e6:
            checked_us = now_us
            if not session_valid():
                return
        if packet is None:
            await heartbeat.send()  # also detects that the viewer is gone
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
        heartbeat.newest_us = packet.dts_us
