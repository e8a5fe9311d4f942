"""The live view over WebRTC: the camera's H.264 in RTP, with the least delay.

aiortc (1.16) is loaded on the first request. It sends H.264 only if that is preferred before the offer is set, and
uses a public STUN server unless its list of servers is empty. Addresses outside the home network are removed
from the offer, so no pictures go there.
"""

import asyncio  # egress: page
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from device.errors import CommandError
from device.events import Packet
from device.system.local_network import is_home
from device.web.backend import Reader
from device.web.live import Live

log = logging.getLogger(__name__)

MAX_OFFER = 64_000
HURRY_US = 1000
"""Between two pictures of before the view began."""
CONNECT_S = 20.0
"""Timeout for the browser to connect after its offer."""


def home_candidates(sdp: str) -> str:
    """Return an offer without candidates (RFC 8839, 5.1) outside the home network; mDNS names stay."""
    return "".join(line for line in sdp.splitlines(keepends=True) if _is_at_home(line))


def _is_at_home(line: str) -> bool:
    if not line.startswith("a=candidate:"):
        return True
    parts = line.split()
    if len(parts) < 6:  # foundation, component, transport, priority, address, port
        return False
    return parts[4].endswith(".local") or is_home(parts[4])


class Whep:
    """The open WebRTC views, by number."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._open: dict[int, Any] = {}
        self._readers: dict[int, Reader | None] = {}
        self._next = 1
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(
        self, offer: str, session_valid: Callable[[], bool], *, reader: Reader | None = None
    ) -> tuple[int, str]:
        """Return the view's number and the SDP answer; `reader`: None if a session asked. Raises CommandError."""
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription  # egress: webrtc
        from aiortc.exceptions import InvalidStateError  # egress: webrtc
        from aiortc.rtcrtpsender import RTCRtpSender  # egress: webrtc

        _check_memory()
        if self._live.private:
            raise CommandError("privacy is on: nothing is seen", code="private")
        number, self._next = self._next, self._next + 1
        admitted = contextlib.ExitStack()
        if not admitted.enter_context(self._live.admit(lambda: self._end_soon(number))):
            admitted.close()
            raise CommandError("too many viewers; close another page", code="too_many_viewers")
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        packets = self._live.packets()
        track = _track(hurried(packets, self._live.age_us), session_valid)
        try:
            sending = peer.addTransceiver(track, direction="sendonly")
            codecs = RTCRtpSender.getCapabilities("video").codecs
            sending.setCodecPreferences([codec for codec in codecs if codec.mimeType == "video/H264"])
            description = RTCSessionDescription(sdp=home_candidates(offer[:MAX_OFFER]), type="offer")
            await peer.setRemoteDescription(description)
            await peer.setLocalDescription(await peer.createAnswer())
        except (ValueError, AssertionError, IndexError, KeyError, AttributeError, InvalidStateError) as error:
            # aiortc reports a bad offer by any of these.
            await peer.close()
            admitted.close()
            raise CommandError(f"this browser's offer cannot be taken ({error})", code="webrtc") from error
        self._open[number] = (peer, track, packets, admitted)
        self._readers[number] = reader

        async def changed() -> None:
            if peer.connectionState in ("failed", "closed", "disconnected"):
                await self.end(number)

        async def ended() -> None:
            await self.end(number)

        async def give_up() -> None:
            await asyncio.sleep(CONNECT_S)
            if peer.connectionState != "connected":
                await self.end(number)

        self._start(give_up())
        peer.on("connectionstatechange", changed)
        track.on("ended", ended)
        log.info("live_view kind=webrtc number=%d", number)
        return number, peer.localDescription.sdp

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(task := asyncio.create_task(work))
        task.add_done_callback(self._tasks.discard)

    def _end_soon(self, number: int) -> None:
        """End a view: privacy has begun. Its track sends nothing more from this moment on."""
        if number in self._open:
            self._open[number][1].stop()
        self._start(self.end(number))

    def is_of(self, number: int, reader: Reader | None) -> bool:
        """Return whether a view is open that this reader has asked for; None: a session."""
        return number in self._open and self._readers[number] == reader

    async def end(self, number: int) -> None:
        """End a view, if it is open."""
        self._readers.pop(number, None)
        found = self._open.pop(number, None)
        if found is None:
            return
        peer, track, packets, admitted = found
        admitted.close()
        track.stop()
        await peer.close()
        with contextlib.suppress(RuntimeError):  # a picture is being read; it ends after that
            await packets.aclose()

    async def end_all(self) -> None:
        """End every view."""
        for number in list(self._open):
            await self.end(number)


async def hurried(
    packets: AsyncIterator[Packet | None], age_us: Callable[[int], int]
) -> AsyncIterator[Packet | None]:
    """Yield packets whose times let a player show the older ones at once, up to the present.

    A view begins at the newest keyframe, seconds ago. A player that gets their true times plays those seconds at
    their own pace and stays late for good.
    """
    floor_us: int | None = None
    async for packet in packets:
        if packet is None:
            yield None
            continue
        if floor_us is None:
            floor_us = packet.pts_us + age_us(packet.pts_us)
        if packet.pts_us > floor_us:
            yield packet
        else:
            yield replace(packet, pts_us=floor_us, dts_us=floor_us)
            floor_us += HURRY_US


def _check_memory() -> None:
    """Raises CommandError where no memory may be both writable and executable, which pyOpenSSL's callbacks need."""
    import cffi

    try:
        cffi.FFI().callback("int(int)", lambda number: number)
    except MemoryError:
        raise CommandError(
            "low delay is not possible here: the service forbids the memory that its encryption needs "
            "(MemoryDenyWriteExecute=, see systemd/README.md)",
            code="webrtc_forbidden",
        ) from None


def _track(packets: AsyncIterator[Packet | None], session_valid: Callable[[], bool]) -> Any:
    """Return an aiortc track that forwards encoded packets."""
    from fractions import Fraction

    import av
    from aiortc import MediaStreamTrack  # egress: webrtc
    from aiortc.mediastreams import MediaStreamError  # egress: webrtc

    time_base = Fraction(1, 1_000_000)

    class Pictures(MediaStreamTrack):
        kind = "video"

        async def recv(self) -> Any:
            async for packet in packets:
                if self.readyState != "live" or not session_valid():
                    break
                if packet is not None:
                    copy = av.Packet(packet.data)
                    copy.pts, copy.dts, copy.time_base = packet.pts_us, packet.dts_us, time_base
                    return copy
            self.stop()
            raise MediaStreamError

    return Pictures()
