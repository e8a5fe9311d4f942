"""Writes one clip: packets are copied into an MP4, nothing is re-encoded.

While it grows it is fragmented, so that a power cut costs at most the fragment that is being written.
At close FFmpeg's "hybrid" mode appends an ordinary `moov` and turns the fragments into one `mdat` by
overwriting 8 bytes near the start. If a power cut made that patch durable and the `moov` not, the whole
clip would be unreadable: `_SyncedFile` syncs before any write that goes backwards.

The record of the masks (mask_record.py) is in the first `moov` and in the last. FFmpeg writes both as they were at
the start; `_SyncedFile` replaces them, so that the record is on the disk before the pictures that it is about.
"""

import errno
import io
import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from device.errors import StoreError
from device.events import Packet, SoundFormat, SoundPacket, VideoFormat
from device.media.mask_history import SpanMasks
from device.store import mp4
from device.store.files import sha256_of
from device.store.mask_record import MARK, record_of
from device.system.durable_files import sync_folder

_TIME_BASE = Fraction(1, 90_000)
_FRAGMENT_US = 1_500_000
_BUFFER_BYTES = 32_768
"""How much PyAV gathers before it writes."""
_INTERLEAVE_US = 200_000
"""How long the muxer waits for the sound that belongs to a picture (its default is for ever)."""
_SOUND_SLACK_US = 40_000
"""A gap or an overlap of sound up to this is jitter and is closed; a larger one is real."""
_FAILURES = (OSError, ValueError, av.error.FFmpegError)
"""PyAV raises an OSError where there is an errno, otherwise a subclass of FFmpegError and perhaps of others."""


def _ticks(us: int) -> int:
    return us * 9 // 100


class _SyncedFile:
    """The file that PyAV writes to: unbuffered, counts its bytes, syncs before it writes backwards.

    `record` is the record of the masks as the muxer writes it.
    """

    def __init__(self, path: Path, record: bytes) -> None:
        self.path = path
        self._first_record = self._record = record
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self.raw = os.fdopen(fd, "r+b", buffering=0)
        self.written_bytes = 0
        self.end_bytes = 0
        self._dirty = False

    def write(self, data: bytes) -> int:
        if self.raw.tell() < self.end_bytes:
            self.put_record()
            self.sync()
        if self._record != self._first_record:
            data = data.replace(self._first_record, self._record)
        left = memoryview(data)
        while left:
            count = self.raw.write(left)
            left = left[count:]
            self.written_bytes += count
        self._dirty = True
        self.end_bytes = max(self.end_bytes, self.raw.tell())
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.raw.seek(offset, whence)

    def tell(self) -> int:
        return self.raw.tell()

    def overwrite(self, offset: int, data: bytes) -> None:
        """Overwrite some bytes of the finished file; it is valid with the old and with the new ones."""
        os.pwrite(self.raw.fileno(), data, offset)
        self.written_bytes += len(data)
        self._dirty = True

    def replace_record(self, record: bytes) -> None:
        """Replace the record by one of the same length, durably: pictures that need it are added after that."""
        if record != self._record:
            self._record = record
            self.put_record()
            self.sync()

    def put_record(self) -> None:
        """Overwrite the record in the last `moov`; one that is not written yet gets it on its way."""
        if self._record != self._first_record and (offset := mp4.offset_in_moov(self.path, MARK)):
            self.overwrite(offset, self._record)

    def sync(self) -> None:
        if self._dirty:
            os.fsync(self.raw.fileno())
            self._dirty = False


def _for_want_of_space(error: BaseException | None) -> bool:
    """Return whether the error, or what caused it, is that of a full disk; PyAV wraps what a callback raised."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


class ClipFile:
    """A growing clip of one format, of pictures and perhaps sound; the first packet must be a keyframe.

    Every method may raise StoreError; what was synced before is still readable then.
    """

    def __init__(self, final_path: Path, video: VideoFormat, masks: SpanMasks | None = None) -> None:
        """`masks`: how the pictures are masked; a clip that does not say so is covered whole when it leaves."""
        self.final_path = final_path
        self.part_path = final_path.with_name(final_path.name + ".part")
        self.video = video
        self.started_us: int | None = None
        self.ended_us = 0
        self._name_durable = False
        try:
            record = record_of(masks) if masks else b""
            self._record_bytes = len(record)
            self._file = _SyncedFile(self.part_path, record)
            self._muxer = av.open(  # egress: local
                self._file,
                "w",
                format="mp4",
                buffer_size=_BUFFER_BYTES + len(record),  # the first record is in one piece in it
                options={
                    # Negative offsets: the first picture is shown at 0 when there are B-frames, too.
                    # +empty_moov: the header does not wait for the first packet of every track.
                    # +bitexact: no name and version of the muxer in the file.
                    "movflags": "+hybrid_fragmented+frag_keyframe+negative_cts_offsets"
                    + ("+empty_moov" if video.sound else ""),
                    "fflags": "+bitexact",
                    "frag_duration": str(_FRAGMENT_US),
                    "max_interleave_delta": str(_INTERLEAVE_US),
                },
            )
            if record:
                self._muxer.metadata["comment"] = record.decode()
            self._stream: Any = self._muxer.add_mux_stream(
                video.codec, width=video.width_px, height=video.height_px, time_base=_TIME_BASE
            )
            self._sound_stream: Any = _sound_stream(self._muxer, video.sound) if video.sound else None
            self._sound_end = 0
        except _FAILURES as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> StoreError:
        return StoreError(f"clip {self.final_path.name}: {error}", full=_for_want_of_space(error))

    def rename(self, final_path: Path) -> None:
        """Rename the growing file. A failure is ignored: the name matters only after a power cut."""
        part_path = final_path.with_name(final_path.name + ".part")
        with suppress(OSError):
            self.part_path.rename(part_path)
            self.final_path, self.part_path = final_path, part_path
            self._file.path = part_path
            self._name_durable = False

    def hold(self, masks: SpanMasks) -> None:
        """Record the masks of everything up to the next packets; costs nothing while they stay the same."""
        if not self._record_bytes:
            return
        try:
            self._file.replace_record(record_of(masks, self._record_bytes))
        except OSError as error:
            raise self._error(error) from error

    def add(self, packet: Packet) -> None:
        """Append one packet."""
        if self.started_us is None:
            self.started_us = packet.pts_us
            self._zero_us = packet.dts_us
        copy = av.Packet(packet.data)  # a reference to the same bytes with times of its own
        copy.stream = self._stream
        copy.time_base = _TIME_BASE
        copy.pts = _ticks(packet.pts_us - self._zero_us)
        copy.dts = _ticks(packet.dts_us - self._zero_us)
        copy.duration = _ticks(packet.duration_us)
        copy.is_keyframe = packet.is_keyframe
        try:
            self._muxer.mux_one(copy)
        except _FAILURES as error:
            raise self._error(error) from error
        self.ended_us = max(self.ended_us, packet.pts_us + packet.duration_us)

    def add_sound(self, packet: SoundPacket) -> None:
        """Append some sound; sound of another format, or from before the end of the last, is dropped.

        A gap is filled with silence: browsers play a track's sound without breaks, whatever its time stamps, so
        all sound after a gap would come too early.
        """
        sound = self.video.sound
        if sound is None or self.started_us is None or packet.format != sound:
            return
        at = round((packet.pts_us - self.started_us) * sound.rate_hz / 1e6)
        slack = _SOUND_SLACK_US * sound.rate_hz // 1_000_000
        if at < self._sound_end - slack:
            return
        while sound.silence and at > self._sound_end + slack:
            self._mux_sound(sound.silence, self._sound_end, sound.silence_us, sound)
        # In samples and without gaps: time stamps in microseconds, or with jitter, would crackle.
        at = self._sound_end if at <= self._sound_end + slack else at
        self._mux_sound(packet.data, at, packet.duration_us, sound)

    def _mux_sound(self, data: Any, at: int, duration_us: int, sound: SoundFormat) -> None:
        copy = av.Packet(data)
        copy.stream = self._sound_stream
        copy.time_base = Fraction(1, sound.rate_hz)
        copy.pts = copy.dts = at
        copy.duration = max(1, round(duration_us * sound.rate_hz / 1e6))
        copy.is_keyframe = True
        self._sound_end = at + copy.duration
        try:
            self._muxer.mux_one(copy)
        except _FAILURES as error:
            raise self._error(error) from error

    def sync(self) -> None:
        """Sync the complete fragments, and the folder that has the file's name."""
        try:
            self._file.sync()
            if not self._name_durable:
                sync_folder(self.part_path.parent)
                self._name_durable = True
        except OSError as error:
            raise self._error(error) from error

    @property
    def size_bytes(self) -> int:
        """The file's size now."""
        return self._file.end_bytes

    @property
    def written_bytes(self) -> int:
        """The number of bytes written, overwritten ones counted twice."""
        return self._file.written_bytes

    def close(self, final_path: Path) -> str:
        """Finish, sync, rename to `final_path`, sync the folder; return the SHA-256 in hex."""
        try:
            self._muxer.close()
            self._file.put_record()
            if self.video.codec == "hevc" and (offset := mp4.offset_in_moov(self.part_path, mp4.HEV1)):
                self._file.overwrite(offset, b"hvc1")  # the only one QuickTime plays; PyAV cannot set it
            self._file.sync()
            self._file.raw.close()
            digest = sha256_of(self.part_path)
            self.part_path.rename(final_path)
            self.part_path = final_path  # the file that is left if the next step fails
            sync_folder(final_path.parent)
        except _FAILURES as error:
            raise self._error(error) from error
        return digest

    def abandon(self) -> None:
        """Close after an error: the `.part` stays and is recovered as after a power cut."""
        for close in (self._muxer.close, self._file.raw.close):
            try:
                close()
            except _FAILURES:
                continue


def _sound_stream(muxer: Any, sound: SoundFormat) -> Any:
    """Add a track for sound that is only copied.

    `add_mux_stream` takes no header, and in AAC and Opus FFmpeg finds none in band. So the track is made
    like one of another muxer, which opens no encoder, and is given the header before anything is written.
    """
    with av.open(io.BytesIO(), "w", format="mp4") as other:  # egress: local
        template: Any = other.add_stream(sound.codec, rate=sound.rate_hz)
        template.layout = f"{sound.channels}c"
        stream = muxer.add_stream_from_template(template)
    stream.codec_context.extradata = sound.header
    stream.time_base = Fraction(1, sound.rate_hz)
    return stream
