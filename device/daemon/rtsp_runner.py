"""Starts the RTSP process (device/rtsp/) while a reader may use it, and gives it the live view's packets.

The process may die, hang or be killed at any time: nothing waits for it but this thread. Privacy kills it at once, and
the kernel resets its connections, so that nothing from before privacy is delivered.
"""

import json
import logging
import socket  # egress: local
import subprocess  # egress: local
import sys
import threading
from collections.abc import Callable
from typing import Any

from device.consent_service.readers import Readers
from device.events import LIVE_US, Fault, Inbox, Packet, PacketReader, SoundFormat, SoundPacket
from device.rtsp import messages
from device.rtsp.messages import Account, StreamFormat
from device.store.ring import RingBuffer
from device.system.clock import Clock
from device.system.worker import Worker

log = logging.getLogger(__name__)

IDLE_S = 0.5
STEP_S = 0.25
SEND_S = 2.0
"""A process that takes nothing for so long is ended and started again."""
MAX_DELAY_S = 30.0
SCOPE, SOUND_SCOPE = "rtsp", "sound"


class RtspRunner:
    """`run` is the thread. `notify_frame`, `readers_changed` and `end_views` wait for nothing."""

    def __init__(
        self,
        port: int,
        *,
        feed: Callable[[], RingBuffer],
        is_private: Callable[[], bool],
        readers: Readers,
        clock: Clock,
        inbox: Inbox,
    ) -> None:
        """`feed` as for the live view: it is called before each read, because what may be shown can change."""
        self._port = port
        self.feed = feed
        self.is_private = is_private
        self.readers = readers
        self.clock = clock
        self._inbox = inbox
        self._wake = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_fault = False
        self.is_wanted = False
        """Whether a client reads, so that masked pictures have to be made."""

    def notify_frame(self) -> None:
        """Announce a new picture."""
        if self.is_wanted:
            self._wake.set()

    def readers_changed(self) -> None:
        """Announce that a reader was added or revoked."""
        self._wake.set()

    def end_views(self) -> None:
        """End the process, since privacy has begun: the kernel resets its connections and drops what they hold."""
        process = self._process
        if process is not None:
            process.kill()
        self._wake.set()

    def run(self, worker: Worker) -> None:
        """Work until stopped."""
        delay_s = 1.0
        while not worker.stopping.is_set():
            worker.beat()
            if not self.accounts() or self.is_private():
                self.wait(IDLE_S)
                continue
            began_us = self.clock.mono_us()
            self._serve(worker)
            lasted_s = (self.clock.mono_us() - began_us) / 1e6
            delay_s = 1.0 if lasted_s > MAX_DELAY_S else min(delay_s * 2, MAX_DELAY_S)
            if self.accounts() and not self.is_private():
                worker.stopping.wait(delay_s)

    def wait(self, seconds: float) -> None:
        """Wait for a picture, a change of the readers, or privacy."""
        self._wake.wait(seconds)
        self._wake.clear()

    def accounts(self) -> dict[str, Account]:
        """Return who may read over RTSP, by name."""
        return {
            reader.name: Account(ha1=reader.rtsp_ha1, sound=SOUND_SCOPE in reader.scopes)
            for reader in self.readers.current
            if SCOPE in reader.scopes
        }

    def _serve(self, worker: Worker) -> None:
        """Start the process and serve it until it has to end, or has ended."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                command = [sys.executable, "-P", "-m", "device.rtsp", "--port", str(self._port)]
                self._process = subprocess.Popen(command, stdin=theirs.fileno())  # noqa: S603  (our own program)
            ours.settimeout(SEND_S)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
            try:
                _Link(ours, self, self._process).serve(worker)
            except (OSError, ValueError) as error:
                log.info("rtsp_ended %r", error)
            finally:
                self.is_wanted = False
                self._process.kill()
                self._process.wait()
                self._process = None

    def fault(self, reason: str, text: str) -> None:
        """Raise the fault of this server, or clear it."""
        if not text and not self._has_fault:
            return
        self._has_fault = bool(text)
        remedy = "see what else uses the port (ss -ltnp), or choose another rtsp.port"
        params: dict[str, str | float] = {"port": self._port, "why": text}
        self._inbox(
            Fault(
                code="rtsp_failed",
                active=bool(text),
                reason=reason,
                params=params,
                text=f"RTSP port {self._port} cannot be used: {text}",
                remedy=remedy,
            )
        )


class _Link:
    """One process, from its start to its end."""

    def __init__(self, link: socket.socket, runner: RtspRunner, process: "subprocess.Popen[bytes]") -> None:
        self._link = link
        self._runner = runner
        self._process = process
        self._heard = b""
        self._sent: dict[str, Account] | None = None
        self._ring: RingBuffer | None = None
        self._reader: PacketReader | None = None
        self._whole = False
        self._format: Any = None
        self._sound: SoundFormat | None = None

    def serve(self, worker: Worker) -> None:
        """Serve until the process ends, nobody may read, or doorbelld stops. Raises OSError, ValueError."""
        runner = self._runner
        while not worker.stopping.is_set() and self._process.poll() is None:
            worker.beat()
            self._hear()
            accounts = runner.accounts()
            # The process may hold pictures of before privacy, however short that was: it ends with them.
            if not accounts or runner.is_private() or (self._reader is not None and self._reader.closed):
                return
            if accounts != self._sent:
                self._sent = accounts
                self._link.sendall(messages.readers_message(accounts))
            if not runner.is_wanted:
                self._ring = None
                runner.wait(STEP_S)
            elif not self._pass_on():
                runner.wait(STEP_S)

    def _hear(self) -> None:
        """Take the process's reports."""
        self._link.setblocking(False)  # noqa: FBT003  (the socket API has no keyword)
        try:
            while data := self._link.recv(65_536):
                self._heard += data
        except BlockingIOError:
            pass
        finally:
            self._link.settimeout(SEND_S)
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "wanted" in report:
                self._runner.is_wanted = bool(report["wanted"])
            if "used" in report:
                self._runner.readers.note_use(*report["used"])
            if "failed" in report:
                self._runner.fault("port", str(report["failed"]))
            if "listening" in report:
                log.info("rtsp ready port=%d", report["listening"])
                self._runner.fault("", "")

    def _pass_on(self) -> bool:
        """Give the process what has come; return whether there was something."""
        runner = self._runner
        now_us = runner.clock.mono_us()
        ring = runner.feed()
        if ring is not self._ring or self._reader is None:  # also when a mask is drawn while somebody watches
            self._ring, self._reader, self._format, self._whole = ring, ring.reader(now_us), None, False
        reader = self._reader
        if not self._whole:
            if reader.newest_us is None or now_us - reader.newest_us > LIVE_US:
                return False  # it would only show the past
            reader.skip()
        some = False
        for packet in reader.take():
            if self._whole and (reader.lost or now_us - packet.dts_us > LIVE_US):
                self._whole = False
                return True
            self._whole = self._whole or packet.is_keyframe
            if self._whole:
                self._send(packet)
                some = True
        return some

    def _send(self, packet: Packet | SoundPacket) -> None:
        if isinstance(packet, SoundPacket):
            if packet.format == self._sound:
                self._link.sendall(messages.sound_head(packet.size_bytes, packet.pts_us))
                self._link.sendall(packet.data)
            return
        if packet.format != self._format:
            self._whole = packet.is_keyframe
            if not self._whole:
                return
            self._link.sendall(messages.head_of(messages.RESET, 0))
            self._link.sendall(messages.format_message(_stream_format(packet)))
            self._format, self._sound = packet.format, packet.format.sound
        head = messages.picture_head(packet.size_bytes, packet.pts_us, is_keyframe=packet.is_keyframe)
        self._link.sendall(head)
        self._link.sendall(packet.data)


def _stream_format(packet: Packet) -> StreamFormat:
    sound = packet.format.sound
    if sound is None:
        return StreamFormat(codec=packet.format.codec)
    return StreamFormat(
        codec=packet.format.codec,
        sound_codec=sound.codec,
        sound_rate_hz=sound.rate_hz,
        sound_channels=sound.channels,
        sound_header=sound.header.hex(),
    )
