"""Runs a camera in a process of its own, which can be killed: kernel drivers may hang for ever.

Parent and child share one pipe of pickled packets and small pictures, each preceded by its length. The child
reads the configuration from standard input, which then stays open: when it closes, the parent has stopped or died,
and the child ends.
"""

import logging
import os
import pickle
import select
import subprocess  # egress: local
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from struct import Struct
from typing import IO, Any, cast

from device.camera.factory import open_here
from device.camera.interface import next_epoch
from device.config import CameraConfig
from device.errors import CameraError
from device.events import CameraSink, LumaFrame, Packet, SoundPacket, VideoFormat
from device.media.masks import Masks
from device.system.clock import Clock, SystemClock
from device.system.core_dumps import forbid_core_dumps

log = logging.getLogger(__name__)

SILENCE_US = 4_500_000
"""Maximum time without a packet once there was one (FAULTS F5 asks for a report within 5 s)."""
OPENING_US = 30_000_000
"""Maximum time until the first packet: on a small board loading the libraries takes seconds."""
GOODBYE_S = 0.6
"""Time from closing standard input to the kill; an orderly stop of the daemon may take 3 s in all."""
LAST_WORDS_S = 0.5
"""Time that the child has to close the camera in order."""
MAX_MESSAGE_BYTES = 16_000_000
_LENGTH = Struct("<I")


class ChildCamera:
    """Runs the camera of `config.kind` in a child process and forwards what it delivers."""

    def __init__(self, config: CameraConfig, *, clock: Clock) -> None:
        self.kind: str = config.kind
        self._config = config
        self._clock = clock

    def run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Deliver until stopped. Raises CameraError when the child fails, ends or falls silent."""
        ours: dict[VideoFormat, VideoFormat] = {}  # the child numbers its formats independently
        with self._child() as (process, pipe):
            heard_us, patience_us = self._clock.mono_us(), OPENING_US
            for message in messages(pipe):
                beat()
                if stop.is_set():
                    return
                match message:
                    case Packet(format=form, data=data):
                        heard_us, patience_us = self._clock.mono_us(), SILENCE_US
                        if form not in ours:
                            ours[form] = replace(form, epoch=next_epoch())
                        sink.packet(replace(message, format=ours[form], data=memoryview(data)))
                    case SoundPacket(data=data):
                        sink.sound(replace(message, data=memoryview(data)))
                    case LumaFrame():
                        sink.luma(message)
                    case str():
                        sink.note(message)
                    case CameraError():
                        raise message
                if self._clock.mono_us() - heard_us > patience_us:
                    waited_s = (self._clock.mono_us() - heard_us) / 1e6
                    raise CameraError(
                        f"camera.kind {self.kind} gave no picture for {waited_s:.0f} s; "
                        "its process is killed and started again",
                        reason="hung",
                        seconds=round(waited_s),
                    )
            raise CameraError(f"camera.kind {self.kind}: {_how_it_ended(process)}", reason="process_ended")

    @contextmanager
    def _child(self) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
        """Start the child, yield it and the pipe's reading end; the process has ended afterwards."""
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603  (this very program)
                [sys.executable, "-P", "-m", "device.camera.capture_process", str(writing)],
                stdin=subprocess.PIPE,
                stdout=sys.stderr.fileno(),  # libraries print
                pass_fds=(writing,),
                process_group=0,  # Ctrl-C in a terminal is for the daemon, which then closes the standard input
                env={"LIBCAMERA_LOG_LEVELS": "*:WARN", **os.environ},
            )
        except OSError as error:
            os.close(reading)
            raise CameraError(
                f"camera.kind {self.kind}: no process for it: {error.strerror}", reason="process_ended"
            ) from error
        finally:
            os.close(writing)
        life_line = cast("IO[bytes]", process.stdin)
        try:
            with suppress(BrokenPipeError):  # it ended at once, which reading the empty pipe will show
                pickle.dump(self._config, life_line)
                life_line.flush()
            yield process, reading
        finally:
            os.close(reading)
            _close(process)


def _close(process: "subprocess.Popen[bytes]") -> None:
    with suppress(BrokenPipeError):
        cast("IO[bytes]", process.stdin).close()
    try:
        process.wait(GOODBYE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            # Stuck in the kernel (state D): nothing helps, and the daemon must go on.
            log.error("capture_process_unkillable pid=%d", process.pid)


def _how_it_ended(process: "subprocess.Popen[bytes]") -> str:
    try:
        status = process.wait(GOODBYE_S)
    except subprocess.TimeoutExpired:
        return "the capture process closed its pipe"
    if status < 0:
        return f"the capture process was ended by signal {-status}"
    return f"the capture process ended with status {status}; its error output is in the log above"


def messages(pipe: int) -> Iterator[object]:
    """Yield what the child sent, and None at least four times a second; end at the pipe's end.

    Never waits for the rest of a message: a frozen child may never send it.
    """
    received = bytearray()
    while True:
        ready, _, _ = select.select([pipe], [], [], 0.25)
        if not ready:
            yield None
            continue
        chunk = os.read(pipe, 1 << 20)
        if not chunk:
            return
        received += chunk
        while len(received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received)
            if length > MAX_MESSAGE_BYTES:
                raise CameraError(
                    f"the capture process sent a message of {length} bytes; its pipe is broken",
                    reason="process_ended",
                )
            end = _LENGTH.size + length
            if len(received) < end:
                break
            try:
                message = pickle.loads(received[_LENGTH.size : end])  # noqa: S301  (our own child's)
            except Exception as error:  # a stray write to the pipe may raise anything
                raise CameraError(
                    f"the capture process sent an unreadable message: {error!r}", reason="process_ended"
                ) from error
            del received[:end]
            yield message
        yield None


# --- the child's side -----------------------------------------------------------------------------


class _PipeSink:
    """A CameraSink that writes to the parent; without a parent the process ends."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()  # packets and small pictures come from two threads

    def send(self, message: object) -> None:
        body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        left = memoryview(_LENGTH.pack(len(body)) + body)
        with self._lock:
            try:
                while left:
                    left = left[os.write(self._pipe, left) :]
            except BrokenPipeError:
                os._exit(0)

    def packet(self, packet: Packet) -> None:
        self.send(replace(packet, data=bytes(packet.data)))

    def sound(self, packet: SoundPacket) -> None:
        self.send(replace(packet, data=bytes(packet.data)))

    def luma(self, frame: LumaFrame) -> None:
        self.send(frame)

    def note(self, text: str) -> None:
        self.send(text)


def main() -> int:
    """Capture until standard input ends."""
    forbid_core_dumps()
    sink = _PipeSink(int(sys.argv[1]))
    config: Any = pickle.load(sys.stdin.buffer)  # noqa: S301  (our own parent's)
    stop = threading.Event()

    def hold_the_life_line() -> None:
        sys.stdin.buffer.read()
        stop.set()
        time.sleep(LAST_WORDS_S)
        os._exit(0)  # the main thread may hang in a driver, and there may be no parent to kill it

    threading.Thread(target=hold_the_life_line, name="life line", daemon=True).start()
    try:
        open_here(config, clock=SystemClock(), masks=Masks(), press=None).run(sink, stop, lambda: None)
    except CameraError as error:
        sink.send(error)
        return 1
    return 0


if __name__ == "__main__":
    # No clean-up of the interpreter: a thread inside a driver must not delay the end.
    os._exit(main())
