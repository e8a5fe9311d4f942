"""Records one episode: takes packets from the ring buffer and writes one clip file after another.

A new file begins when the format changes (the camera came back, other parameters, other sound) or when
time jumps. Only pictures count: sound opens no file, ends none and keeps none open. The storage
worker turns what `take` returns into rows of the index.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from device.events import Cause, ClockFlag, Packet, SoundPacket
from device.media.mask_history import MaskHistory
from device.store.clip_file import ClipFile
from device.store.clip_name import ClipName
from device.store.ring import RingBuffer

GAP_US = 2_000_000
"""Packets further apart than this belong to two clips: the camera was away in between."""
SILENCE_US = 3_000_000
"""After this long without a picture the open file is closed, so that it is safe."""
RESUME_US = 5_000_000
"""Delay between an error of the disk and the next attempt."""
SYNC_EVERY_US = 1_500_000
MAX_EARLY = 64
"""Maximum number of sound packets kept until their keyframe comes: over a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A synced clip file under its final name that has no row yet."""

    name: ClipName
    path: Path
    started_us: int
    duration_us: int
    sha256: str
    lost_packets: int
    written_bytes: int


class Recording:
    """Follows the ring from `from_us` until `until_us` (unknown at first)."""

    def __init__(
        self,
        *,
        event_id: str,
        cause: Cause,
        from_us: int,
        ring: RingBuffer,
        folder: Path,
        stamp: Callable[[int], tuple[int, ClockFlag]],
        masks: MaskHistory | None = None,
    ) -> None:
        """`stamp` turns a monotonic time into (Unix microseconds, clock flag).

        Without `masks` the clips do not say how they are masked, and are covered whole when they leave.
        """
        self.event_id = event_id
        self.cause = cause
        self.until_us: int | None = None
        self.missed_packets = 0
        self.has_clip = False
        """Whether a clip was finished."""
        self.failed = False
        """Whether an error of the disk has cost a part, or all of it."""
        self._reader = ring.reader(from_us)
        self._folder = folder
        self._stamp = stamp
        self._masks = masks
        self._file: ClipFile | None = None
        self._name: ClipName | None = None
        self._lost = 0
        self._last_sync_us = 0
        self._last_dts_us = 0
        self._seen_us = 0
        self._early: deque[SoundPacket] = deque(maxlen=MAX_EARLY)
        self._resume_us = 0

    @property
    def private(self) -> bool:
        """Whether privacy has ended it."""
        return self._reader.closed

    @property
    def open_bytes(self) -> int:
        """How many bytes the growing file has."""
        return self._file.size_bytes if self._file else 0

    @property
    def part_path(self) -> Path | None:
        """The growing file, if there is one."""
        return self._file.part_path if self._file else None

    def raise_cause(self, cause: Cause) -> None:
        """Take a cause of higher rank; the growing file is renamed at once, in case of a power cut."""
        self.cause = cause
        if self._file and self._name:
            self._name = replace(self._name, cause=cause)
            self._file.rename(self._folder / self._name.file_name)

    def take(self, mono_us: int) -> tuple[list[Finished], bool]:
        """Copy the new packets of the ring buffer; return (files finished by it, whether the recording is over).

        It is over once the ring was closed (privacy). Raises StoreError; call `fail` then.
        """
        if mono_us < self._resume_us:
            return [], self.private or (self.until_us is not None and mono_us > self.until_us)
        if self._resume_us:
            self._resume_us = 0
            self._reader.seek(mono_us)
        packets, lost = self._reader.take(), self._reader.lost
        self._lost += lost
        self.missed_packets += lost
        if self._file and self._masks and self._file.started_us is not None:
            # After the packets were read and before one is written: all masks that held until now.
            self._file.hold(self._masks.since(self._file.started_us, encoded_here=self._file.video.masked))
        finished: list[Finished] = []
        wait_for_keyframe = lost > 0
        for packet in packets:
            if isinstance(packet, SoundPacket):
                if not wait_for_keyframe:
                    self._add_sound(packet)
                continue
            self._seen_us = mono_us
            # By decoding time: with B-frames, pictures from before `until_us` still follow later ones.
            if self.until_us is not None and packet.dts_us > self.until_us:
                return finished + self.finish(), True
            if wait_for_keyframe and not packet.is_keyframe:
                self._lost += 1
                continue
            wait_for_keyframe = False
            finished += self._add(packet)
        if self._file and mono_us - self._last_sync_us >= SYNC_EVERY_US:
            self._file.sync()
            self._last_sync_us = mono_us
        # By arrival: time stamps that lag do not make a camera silent.
        silent = self._file is not None and mono_us - self._seen_us > SILENCE_US
        over = self.private or (self.until_us is not None and mono_us - self.until_us > SILENCE_US)
        if silent or over:
            finished += self.finish()
        return finished, over

    def _add(self, packet: Packet) -> list[Finished]:
        finished: list[Finished] = []
        if self._file and (packet.format != self._file.video or packet.dts_us - self._last_dts_us > GAP_US):
            finished = self.finish()
        if self._file is None:
            if not packet.is_keyframe:
                return finished
            self._open(packet)
        if self._file is not None:
            self._file.add(packet)
            self._last_dts_us = packet.dts_us
            while self._early:
                self._file.add_sound(self._early.popleft())
        return finished

    def _add_sound(self, packet: SoundPacket) -> None:
        if self._file is None:
            self._early.append(packet)
        elif self.until_us is None or packet.pts_us <= self.until_us:
            self._file.add_sound(packet)

    def _open(self, packet: Packet) -> None:
        wall_us, clock = self._stamp(packet.pts_us)
        while True:
            name = ClipName(started_wall_us=wall_us, event_id=self.event_id, cause=self.cause, clock=clock)
            if not name.is_taken(self._folder):
                break
            wall_us += 1000  # The wall clock was set back within this event: never overwrite.
        self._name = name
        masks = None
        if self._masks:
            masks = self._masks.since(packet.pts_us, encoded_here=packet.format.masked)
        self._file = ClipFile(self._folder / name.file_name, packet.format, masks)

    def finish(self) -> list[Finished]:
        """Close the open file, if any."""
        file, name = self._file, self._name
        if file is None or name is None or file.started_us is None:
            self._file = self._name = None
            self._lost = 0
            return []
        final = ClipName(
            started_wall_us=name.started_wall_us,
            event_id=name.event_id,
            cause=self.cause,
            clock=name.clock,
        )
        path = self._folder / final.file_name
        digest = file.close(path)
        # Only here: if the close fails, `fail` needs the file.
        self._file = self._name = None
        lost, self._lost = self._lost, 0
        self.has_clip = True
        return [
            Finished(
                name=final,
                path=path,
                started_us=file.started_us,
                duration_us=file.ended_us - file.started_us,
                sha256=digest,
                lost_packets=lost,
                written_bytes=file.written_bytes,
            )
        ]

    def fail(self, mono_us: int) -> Path | None:
        """Abandon the open file after an error, and start a new one some seconds later.

        Return the `.part` that is left, if any.
        """
        self.failed = True
        part_path = None
        if self._file:
            self._file.abandon()
            part_path = self._file.part_path
        self._file = self._name = None
        self._resume_us = mono_us + RESUME_US
        return part_path
