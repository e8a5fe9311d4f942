"""The sound of a stream, if the owner allowed it: see docs/decisions/0005-sound.md.

AAC and Opus are copied; any other sound is decoded and encoded as AAC. A problem with the
sound never costs pictures.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Literal, Protocol, cast

import av
from av.bitstream import BitStreamFilterContext

from device.camera.decoder import Cost
from device.events import CameraSink, SoundFormat, SoundPacket
from device.media.decoder import decoded
from device.media.ffmpeg_input import FAILURES, Microseconds
from device.policy.timeline import Timeline

OPUS_HZ = 48_000
"""Opus counts samples at this rate, whatever the source's rate (RFC 7845, 5.1)."""
AAC_HZ = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
)  # fmt: skip
"""By AAC's number for them (ISO/IEC 14496-3, table 1.18)."""
MIN_HZ = 16_000
"""Minimum rate of our AAC. At telephone rate (8000 Hz) a packet of 1024 samples would last 128 ms."""
MONO_OR_STEREO = (1, 2)
_AAC_SAMPLES = 1024
_OPUS_SILENCE = b"\xf8\xff\xfe"
"""20 ms of it, also for stereo (RFC 6716, 3.1: CELT, full band, one frame, mono)."""
MAX_FAILURES = 25
"""After this many errors in a row the sound is given up until the camera is opened again."""


class _AudioPath(Protocol):
    """How sound of one kind becomes packets."""

    @property
    def format(self) -> SoundFormat | None:
        """The format of the packets from here on; None: not known yet."""

    def packets(self, raw: Any, at_us: int | None) -> Iterable[SoundPacket]:
        """Turn one packet, timed `at_us` (None: no time yet), into any number of packets. Raises FAILURES."""


class AudioStream:
    """One audio stream beside the pictures whose `timeline` it shares."""

    def __init__(self, audio: Any, way: _AudioPath, *, timeline: Timeline, sink: CameraSink) -> None:
        self.stream = audio
        self._way = way
        self._timeline = timeline
        self._sink = sink
        self._in_us = Microseconds(audio.time_base)
        self._failures = 0

    @property
    def format(self) -> SoundFormat | None:
        """The format of the sound; None if it is not known yet, or the sound was given up."""
        return self._way.format if self._failures < MAX_FAILURES else None

    def time_us(self, raw: Any) -> int | None:
        """Return a packet's own time."""
        return self._in_us(raw.dts if raw.pts is None else raw.pts)

    def take(self, raw: Any, source_us: int | None, arrived_us: int) -> None:
        """Hand one packet's sound to the sink; a damaged packet is dropped."""
        if self._failures >= MAX_FAILURES:
            return
        at_us = self._timeline.beside(source_us, arrived_us=arrived_us)
        try:
            for packet in self._way.packets(raw, at_us):
                self._sink.sound(packet)
        except FAILURES as error:
            self._failures += 1
            if self._failures == MAX_FAILURES:
                self._sink.note(f"the sound cannot be recorded: {error}; the clips are without")
        else:
            self._failures = 0


def sound_of(source: Any, *, timeline: Timeline, sink: CameraSink) -> AudioStream | None:
    """Return a recorder for the first audio stream of a source, or None; a note reports which."""
    if not source.streams.audio:
        sink.note("the source sends no sound")
        return None
    audio = source.streams.audio[0]
    context = audio.codec_context
    try:
        if context is None or not context.sample_rate:
            raise ValueError("FFmpeg does not know it")
        copied = context.name in ("aac", "opus")
        way: _AudioPath = _Copied(audio) if copied else _Encoded(audio, sink)
    except FAILURES as error:
        sink.note(f"the sound cannot be recorded: {error}; the clips are without")
        return None
    what = "is recorded as it comes" if copied else "is decoded, and recorded as AAC"
    sink.note(f"sound is on: {context.name} {what}")
    return AudioStream(audio, way, timeline=timeline, sink=sink)


class _Copied:
    """AAC or Opus, copied; ADTS headers are removed, since MP4 has none."""

    def __init__(self, audio: Any) -> None:
        context = audio.codec_context
        self._audio = audio
        self._codec = cast("Literal['aac', 'opus']", context.name)
        self._in_us = Microseconds(audio.time_base)
        header = bytes(context.extradata or b"")
        self._in_adts = self._codec == "aac" and not header
        self._adts_filter: Any = None
        self._adts_kind = b""
        if not header:
            make = _opus_head if self._codec == "opus" else _low_complexity
            header = make(context.sample_rate, context.layout.nb_channels)
        self.format = self._described(header) if header else None

    def packets(self, raw: Any, at_us: int | None) -> list[SoundPacket]:
        packet = self._without_adts(raw) if self._in_adts else raw
        if packet.has_sidedata("new_extradata"):
            header = bytes(packet.get_sidedata("new_extradata"))
            if self.format is None or header != self.format.header:
                self.format = self._described(header)
        if at_us is None or self.format is None:
            return []
        return [
            SoundPacket(
                data=packet,
                size_bytes=packet.size,
                pts_us=at_us,
                duration_us=self._in_us(raw.duration) or self.format.silence_us,
                format=self.format,
            )
        ]

    def _without_adts(self, raw: Any) -> Any:
        """Return an AAC packet without its ADTS header; the first of each kind brings a new header."""
        head = bytes(memoryview(raw)[:4])
        kind = head[:3] + bytes([head[3] & 0xF0]) if len(head) == 4 else b""  # 28 bits
        if kind[:1] != b"\xff" or kind[1] & 0xF6 != 0xF0:  # ISO/IEC 13818-7, 6.2
            raise ValueError("an AAC packet without an ADTS header")
        if kind != self._adts_kind:
            self._adts_filter = BitStreamFilterContext("aac_adtstoasc", self._audio)
            self._adts_kind = kind
        try:
            (packet,) = self._adts_filter.filter(raw)
        except FAILURES:
            self._adts_kind = b""  # start again with the next packet
            raise
        return packet

    def _described(self, header: bytes) -> SoundFormat:
        context = self._audio.codec_context
        channels = max(1, context.layout.nb_channels)
        if self._codec == "opus":
            rate_hz = OPUS_HZ
            silence, silence_us = (_OPUS_SILENCE if channels in MONO_OR_STEREO else b""), 20_000
        else:
            rate_hz = _rate_of(header) or context.sample_rate
            # For HE-AAC the rate would be wrong until the first packet with SBR data.
            plain = channels in MONO_OR_STEREO and context.profile == "LC"
            silence, silence_us = (_aac_silence(rate_hz, channels) if plain else b""), _aac_us(rate_hz)
        return SoundFormat(
            codec=self._codec,
            rate_hz=rate_hz,
            channels=channels,
            header=header,
            silence=silence,
            silence_us=silence_us,
        )


def _aac_encoder(rate_hz: int, channels: int) -> Any:
    """Open FFmpeg's own encoder, for mono or stereo."""
    context: Any = av.CodecContext.create("aac", "w")
    context.sample_rate, context.layout = rate_hz, ("mono", "stereo")[channels - 1]
    context.format = "fltp"
    context.time_base = Fraction(1, rate_hz)
    context.bit_rate = channels * min(64_000, 2 * rate_hz)
    context.options = {"flags": "+bitexact"}  # else its first packet names FFmpeg and its version
    context.open()
    return context


def _aac_silence(rate_hz: int, channels: int) -> bytes:
    """Return one silent packet of AAC-LC."""
    encoder = _aac_encoder(rate_hz, channels)
    frame: Any = av.AudioFrame(format="fltp", layout=encoder.layout.name, samples=_AAC_SAMPLES)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, encoder.time_base
    return bytes([*encoder.encode(frame), *encoder.encode(None)][-1])


def _aac_us(rate_hz: int) -> int:
    """Return how long a packet of AAC lasts."""
    return _AAC_SAMPLES * 1_000_000 // rate_hz


def _rate_of(header: bytes) -> int | None:
    """Return the rate that an AudioSpecificConfig names by number, or None (ISO/IEC 14496-3, 1.6.2.1)."""
    number = int.from_bytes(header[:2]) >> 7 & 15
    return AAC_HZ[number] if header[0] >> 3 < 31 and number < len(AAC_HZ) else None  # escape


def _low_complexity(rate_hz: int, channels: int) -> bytes:
    """Return the AudioSpecificConfig that most ADTS streams have, so that their first clip has sound; empty if
    the stream cannot have it (ISO/IEC 14496-3, 1.6.2.1).
    """
    if rate_hz not in AAC_HZ or not 1 <= channels <= 6:  # with more channels it has another number
        return b""
    return (2 << 11 | AAC_HZ.index(rate_hz) << 7 | channels << 3).to_bytes(2)


def _opus_head(_rate_hz: int, channels: int) -> bytes:
    """Return the header of mono or stereo Opus with nothing to skip and no gain (RFC 7845, 5.1).

    RTP sends none; its Opus is always of this kind (RFC 7587).
    """
    head = b"OpusHead" + bytes([1, min(2, max(1, channels))])
    return head + (0).to_bytes(2, "little") + OPUS_HZ.to_bytes(4, "little") + bytes(3)


class _Encoded:
    """Any sound that FFmpeg can decode, encoded as AAC in mono or stereo."""

    def __init__(self, audio: Any, sink: CameraSink) -> None:
        self._decoder = audio.codec_context
        rate_hz = self._decoder.sample_rate
        if rate_hz not in AAC_HZ or rate_hz < MIN_HZ:
            rate_hz = MIN_HZ if rate_hz < MIN_HZ else OPUS_HZ
        self._rate_hz, self._channels = rate_hz, min(2, max(1, self._decoder.layout.nb_channels))
        self._cost = Cost(f"sound: {self._decoder.name} is decoded and encoded as AAC", sink)
        self._encoder: Any = None
        self._heard: tuple[int, str, str] | None = None
        self._fed = 0
        self.format = SoundFormat(
            codec="aac",
            rate_hz=self._rate_hz,
            channels=self._channels,
            header=bytes(_aac_encoder(self._rate_hz, self._channels).extradata),
            silence=_aac_silence(self._rate_hz, self._channels),
            silence_us=_aac_us(self._rate_hz),
        )

    def packets(self, raw: Any, at_us: int | None) -> list[SoundPacket]:
        if at_us is None:
            return []
        packets: list[SoundPacket] = []
        with self._cost:
            for frame in decoded(self._decoder, raw):
                try:
                    packets += self._encode(frame, at_us)
                except FAILURES:
                    self._heard = None  # start again: FFmpeg's encoder takes nothing after an error
                    raise
                at_us += frame.samples * 1_000_000 // frame.sample_rate
        return packets

    def _encode(self, frame: Any, at_us: int) -> Iterable[SoundPacket]:
        heard = (frame.sample_rate, frame.layout.name, frame.format.name)
        if heard != self._heard:
            # The source's rate may change; the output, and so the clip, keeps its format.
            self._encoder = _aac_encoder(self._rate_hz, self._channels)
            self._fed, self._heard = 0, heard
        frame.pts, frame.time_base = self._fed, Fraction(1, frame.sample_rate)
        zero_us = at_us - self._fed * 1_000_000 // frame.sample_rate
        self._fed += frame.samples
        for packet in self._encoder.encode(frame):
            yield SoundPacket(
                data=packet,
                size_bytes=packet.size,
                pts_us=zero_us + packet.pts * 1_000_000 // self._rate_hz,
                duration_us=_aac_us(self._rate_hz),
                format=self.format,
            )
