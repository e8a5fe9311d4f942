"""The sound of a cut: decoded and re-encoded, so that only audible sound is sent.

Packets of AAC and Opus have room for texts that no player shows (FFmpeg's own encoder writes its name
there), and they cannot be taken out without reading all of the rest. Re-encoded, it also begins with the
very sample.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from device.media.nal_filter import NotAllowed

SAMPLES = 1024
"""Of an AAC packet; its encoder is as many late, and the decoder needs one packet more to be right."""
BITS_A_SECOND = 64_000
"""For each channel."""
RATES_HZ = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)


class AudioTranscoder:
    """One stream of sound; `packets` may be asked once."""

    def __init__(self, file: Any, begin_s: Fraction, length_s: Fraction) -> None:
        """`begin_s` is on the file's clock. Raises NotAllowed."""
        self._file = file
        self._audio = file.streams.audio[0]
        context = self._audio.codec_context
        self.rate_hz = context.sample_rate if context.sample_rate in RATES_HZ else 48_000
        self.channels = min(2, context.layout.nb_channels)
        self._begin_s = begin_s
        self._samples = int(length_s * self.rate_hz)
        self._layout = "mono" if self.channels == 1 else "stereo"
        encoder: Any = av.CodecContext.create("aac", "w")
        encoder.sample_rate, encoder.layout, encoder.format = self.rate_hz, self._layout, "fltp"
        encoder.bit_rate = BITS_A_SECOND * self.channels
        encoder.flags |= av.codec.context.Flags.bitexact  # else it writes its name into the first packet
        encoder.flags |= av.codec.context.Flags.global_header
        encoder.open()
        self._encoder = encoder
        self.header = bytes(encoder.extradata or b"")
        if not self.header:
            raise NotAllowed("the sound cannot be encoded here")

    def packets(self) -> Iterator[bytes]:
        """Yield packets of AAC, each of SAMPLES samples, from the first moment of the cut to its last."""
        fifo = av.AudioFifo()
        made = 0
        for samples in self._heard():
            frame: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts = self.rate_hz, None
            fifo.write(frame)
            while whole := fifo.read(SAMPLES):
                for packet in self._encode(whole):
                    made += 1
                    yield packet
        rest = fifo.read(0)
        for packet in [*(self._encode(rest) if rest else []), *self._encode(None)]:
            made += 1
            if made * SAMPLES <= self._samples:
                yield packet

    def _encode(self, frame: Any) -> Iterator[bytes]:
        for packet in self._encoder.encode(frame):
            if packet.pts is None or packet.pts >= 0:  # before it is the encoder's delay
                yield bytes(packet)

    def _heard(self) -> Iterator[Any]:
        """Yield samples (float32, channels x n), from begin to end, behind silence if it begins late."""
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self.rate_hz)
        at: int | None = None
        for decoded in self._decoded():
            begins = decoded.pts * decoded.time_base if decoded.pts is not None else None
            for frame in resampler.resample(decoded):
                samples = frame.to_ndarray()
                if at is None:
                    at = round(((begins or Fraction(0)) - self._begin_s) * self.rate_hz)
                    if at > 0:
                        yield np.zeros((self.channels, min(at, self._samples)), np.float32)
                first, last = max(0, -at), min(samples.shape[1], self._samples - at)
                if first < last:
                    yield np.ascontiguousarray(samples[:, first:last])
                at += samples.shape[1]
            if at is not None and at >= self._samples:
                return

    def _decoded(self) -> Iterator[Any]:
        for packet in self._file.demux(self._audio):
            yield from packet.decode()
