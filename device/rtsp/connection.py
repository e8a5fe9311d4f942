"""One client of the RTSP server: its requests, its session, and what is sent to it. No method waits."""

import logging
import secrets
import socket  # egress: rtsp
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from device.rtsp import rtp
from device.rtsp.messages import Account, Picture, Sound, StreamFormat
from device.rtsp.protocol import (
    METHODS,
    Request,
    Requests,
    challenge,
    reader_of,
    response,
    sdp_of,
    track_of,
    transport_of,
)

log = logging.getLogger(__name__)

LOGIN_S = 10.0
"""Time from the connection to the right digest."""
STALLED_S = 10.0
"""A client that takes nothing for so long is disconnected."""
SESSION_S = 60
MAX_FAILURES = 4
MAX_UNSENT_BYTES = 3_000_000
"""Above it a client waits for the next keyframe."""
MAX_UDP_BURST_BYTES = 128_000
"""UDP clients get the pictures since the last keyframe at once if they are no more than this."""
REPORT_EVERY_S = 5.0
LINGER_0 = struct.pack("ii", 1, 0)
"""Reset instead of an orderly end, which drops what the kernel has not sent (socket(7))."""


class Stream(Protocol):
    """What all clients share."""

    @property
    def accounts(self) -> dict[str, Account]:
        """The readers, by name."""

    @property
    def format(self) -> StreamFormat | None:
        """The format, once there are pictures."""

    @property
    def group(self) -> list[Picture | Sound]:
        """What came since the last keyframe, beginning with it."""

    def has_room(self) -> bool:
        """Return whether one more may play."""

    def used(self, name: str, peer: str) -> None:
        """Note that a reader has connected."""


class _Track:
    """One track of a session, and the channel or the UDP sockets that carry it."""

    def __init__(self, numbered: rtp.RtpTrack, channel: int, sockets: tuple[socket.socket, ...]) -> None:
        self.numbered = numbered
        self.channel = channel
        self.sockets = sockets
        self.reported_s = 0.0


class Connection:
    """`closed` is set once it has ended."""

    def __init__(self, stream: Stream, client: socket.socket, peer: str) -> None:
        self.socket = client
        self.peer = peer
        self.reader = ""
        self.described = False
        self.playing = False
        self.closed = False
        self._stream = stream
        self._requests = Requests()
        self._nonce = secrets.token_hex(16)
        self._session = secrets.token_hex(8)
        self._tracks: dict[int, _Track] = {}
        self._describing: Request | None = None
        self._unsent = bytearray()
        self._failures = 0
        self._behind = True
        self._began_s = self._alive_s = self._taken_s = time.monotonic()
        client.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- the socket ---------------------------------------------------------------------------------------

    @property
    def wants_to_write(self) -> bool:
        """Whether something waits until the client takes more."""
        return bool(self._unsent)

    def read(self) -> None:
        """Take what the client has sent. Raises OSError, BadRequest."""
        data = self.socket.recv(16_384)
        if not data:
            raise ConnectionResetError("the client has left")
        reports = self._requests.reports
        for request in self._requests.feed(data):
            self._alive_s = time.monotonic()
            self._answer(request)
        if self._requests.reports != reports:
            self._alive_s = time.monotonic()

    def write(self) -> None:
        """Send what waits, as far as the client takes it. Raises OSError."""
        with suppress(BlockingIOError):
            while self._unsent:
                sent = self.socket.send(memoryview(self._unsent)[:262_144])
                del self._unsent[:sent]
                self._taken_s = time.monotonic()

    def _send(self, data: bytes) -> None:
        if not self._unsent:
            self._taken_s = time.monotonic()
        self._unsent += data
        self.write()

    def close(self) -> None:
        """End it with a reset: nothing that waits is delivered."""
        self.closed = True
        self.playing = False
        for track in self._tracks.values():
            for udp in track.sockets:
                udp.close()
        self._tracks.clear()
        self.socket.close()

    def is_overdue(self, now_s: float) -> bool:
        """Return whether it has to end: no digest in time, nothing taken for long, or silent over UDP."""
        if not self.reader:
            return now_s - self._began_s > LOGIN_S
        if self._unsent and now_s - self._taken_s > STALLED_S:
            return True
        uses_udp = any(track.sockets for track in self._tracks.values())
        return (uses_udp or not self.playing) and now_s - self._alive_s > SESSION_S + 5

    # --- requests -----------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        if request.method == "OPTIONS":
            self._send(response(200, request, Public=METHODS))
            return
        name = reader_of(
            request, self._nonce, {name: each.ha1 for name, each in self._stream.accounts.items()}
        )
        if not name or (self.reader and name != self.reader):
            self._failures += "authorization" in request.headers
            if self._failures >= MAX_FAILURES:
                raise ConnectionResetError("too many wrong digests")
            self._send(response(401, request, WWW_Authenticate=challenge(self._nonce)))
            return
        if not self.reader:
            self.reader = name
            self._stream.used(name, self.peer)
        match request.method:
            case "DESCRIBE":
                self._describe(request)
            case "SETUP":
                self._set_up(request)
            case "PLAY":
                self._play(request)
            case "TEARDOWN":
                # An orderly end, so that the answer arrives.
                self.playing = False
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
                self._send(response(200, request, Session=self._session))
                raise ConnectionResetError("the client has ended its session")
            case "GET_PARAMETER" | "SET_PARAMETER":
                self._send(response(200, request, Session=self._session))
            case _:
                self._send(response(405, request, Allow=METHODS))

    def _describe(self, request: Request) -> None:
        if request.path != "/live":
            self._send(response(404, request))
            return
        self._describing = request
        self.describe_if_possible()

    def describe_if_possible(self) -> None:
        """Answer a DESCRIBE that waits for the first keyframe."""
        request, stream, group = self._describing, self._stream.format, self._stream.group
        if request is None or stream is None or not group or not isinstance(group[0], Picture):
            return
        self._describing, self.described = None, True
        host = str(self.socket.getsockname()[0])
        body = sdp_of(stream, group[0].data, host, sound=self._hears)
        base = request.url.rstrip("/") + "/"
        self._send(response(200, request, body, Content_Base=base, Content_Type="application/sdp"))

    @property
    def _hears(self) -> bool:
        account = self._stream.accounts.get(self.reader)
        return bool(account and account.sound)

    def _set_up(self, request: Request) -> None:
        stream = self._stream.format
        if stream is None or self.playing:
            self._send(response(455, request))
            return
        number = track_of(request.path, [0, 1] if self._hears and stream.sound_codec else [0])
        if number is None:
            self._send(response(404, request))
            return
        wanted = transport_of(request.headers.get("transport", ""))
        if wanted is None:
            self._send(response(461, request))
            return
        if number:
            rate_hz = 48_000 if stream.sound_codec == "opus" else stream.sound_rate_hz
            numbered = rtp.RtpTrack(rtp.SOUND_TYPE, rate_hz)
        else:
            numbered = rtp.RtpTrack(rtp.PICTURE_TYPE, rtp.PICTURE_HZ)
        sockets: tuple[socket.socket, ...] = ()
        if wanted.udp:
            sockets = _udp_pair(self.socket, wanted.first)
            ports = "-".join(str(udp.getsockname()[1]) for udp in sockets)
            how = f"RTP/AVP;unicast;client_port={wanted.first}-{wanted.first + 1};server_port={ports}"
        else:
            how = f"RTP/AVP/TCP;unicast;interleaved={wanted.first}-{wanted.first + 1}"
        if old := self._tracks.pop(number, None):
            for udp in old.sockets:
                udp.close()
        self._tracks[number] = _Track(numbered, wanted.first, sockets)
        how += f";ssrc={numbered.ssrc:08X}"
        self._send(response(200, request, Transport=how, Session=f"{self._session};timeout={SESSION_S}"))

    def _play(self, request: Request) -> None:
        if not self._tracks:
            self._send(response(455, request))
            return
        if not self.playing and not self._stream.has_room():
            self._send(response(453, request))
            return
        base = request.url.rstrip("/")
        group = self._stream.group
        parts = []
        for number, track in sorted(self._tracks.items()):
            part = f"url={base}/trackID={number};seq={track.numbered.sequence}"
            first = next((each for each in group if isinstance(each, Sound) == bool(number)), None)
            parts.append(f"{part};rtptime={track.numbered.stamp(first.pts_us)}" if first else part)
        self._send(response(200, request, Session=self._session, Range="npt=now-", RTP_Info=",".join(parts)))
        if not self.playing:
            self.playing = True
            self._begin(group)

    # --- pictures and sound -------------------------------------------------------------------------------

    def _begin(self, group: list[Picture | Sound]) -> None:
        """Send what came since the last keyframe, so that the first picture is there at once."""
        uses_udp = any(track.sockets for track in self._tracks.values())
        if uses_udp and sum(len(each.data) for each in group) > MAX_UDP_BURST_BYTES:
            return
        for each in group:
            self.deliver(each)

    def deliver(self, part: Picture | Sound) -> None:
        """Send a picture or some sound. Raises OSError if the client has left."""
        number = int(isinstance(part, Sound))
        track, stream = self._tracks.get(number), self._stream.format
        if track is None or stream is None:
            return
        if isinstance(part, Picture):
            if len(self._unsent) > MAX_UNSENT_BYTES:
                self._behind = True
            elif part.is_keyframe:
                self._behind = False
        if self._behind:
            return
        self._report(track, part.pts_us)
        numbered = track.numbered
        if isinstance(part, Picture):
            payloads: Iterable[tuple[bytes, bool]] = rtp.picture_payloads(
                rtp.units_of(part.data), stream.codec
            )
        else:
            payloads = [(rtp.sound_payload(part.data, stream.sound_codec), True)]
        packets = [numbered.packet(payload, part.pts_us, last=last) for payload, last in payloads]
        self._carry(track, 0, packets)

    def _report(self, track: _Track, pts_us: int) -> None:
        now_s = time.monotonic()
        if track.reported_s and now_s - track.reported_s < REPORT_EVERY_S:
            return
        track.reported_s = now_s
        wall_us = time.time_ns() // 1000 - (time.monotonic_ns() // 1000 - pts_us)
        self._carry(track, 1, [track.numbered.report(pts_us, wall_us)])

    def _carry(self, track: _Track, kind: int, packets: list[bytes]) -> None:
        """Send packets; `kind`: 0 RTP, 1 RTCP."""
        if track.sockets:
            for packet in packets:
                with suppress(BlockingIOError):
                    track.sockets[kind].send(packet)
            return
        channel = track.channel + kind
        self._send(b"".join(struct.pack(">cBH", b"$", channel, len(each)) + each for each in packets))

    def hear_reports(self) -> None:
        """Take what came over UDP: receiver reports are the client's sign of life."""
        for track in self._tracks.values():
            for udp in track.sockets:
                with suppress(OSError):
                    while udp.recv(2048):
                        self._alive_s = time.monotonic()


def _udp_pair(connected: socket.socket, first_port: int) -> tuple[socket.socket, socket.socket]:
    """Return two UDP sockets with ports side by side, for RTP and RTCP, connected to the client's two ports."""
    here, there = connected.getsockname(), connected.getpeername()
    for _ in range(20):
        first = socket.socket(connected.family, socket.SOCK_DGRAM)
        second = socket.socket(connected.family, socket.SOCK_DGRAM)
        try:
            first.bind((here[0], 0, *here[2:]))
            second.bind((here[0], first.getsockname()[1] + 1, *here[2:]))
            for udp, port in ((first, first_port), (second, first_port + 1)):
                udp.connect((there[0], port, *there[2:]))
                udp.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
        except (OSError, OverflowError):
            first.close()
            second.close()
            continue
        return first, second
    raise OSError("no two UDP ports side by side are free")
