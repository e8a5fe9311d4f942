"""The sound of a cut: decoded, and written as plain PCM, in which every byte is sound.

A packet of AAC or Opus has room for texts that no player shows, and only a complete decoder can find them. PCM has
no packets and no headers, so its proof is its length. It begins with the very sample.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE_HZ = 16_000
"""Mono, 16 bits, little endian: 1.9 MB a minute. It holds a voice up to 8 kHz."""
_BLOCK = RATE_HZ


def pcm(file: Any, begin_s: Fraction, samples: int) -> Iterator[bytes]:
    """Yield exactly so many samples of a file's sound, from `begin_s` on the file's clock; silence where it has
    none. Raises av.error.FFmpegError.
    """
    done = 0
    for heard in _heard(file, begin_s, samples):
        if done + len(heard) > samples:
            heard = heard[: samples - done]  # noqa: PLW2901
        done += len(heard)
        yield heard.astype("<i2").tobytes()
        if done == samples:
            return
    while done < samples:
        silent = min(_BLOCK, samples - done)
        done += silent
        yield bytes(2 * silent)


def _heard(file: Any, begin_s: Fraction, samples: int) -> Iterator[Any]:
    """Yield int16 samples from begin on, behind silence if the sound begins late."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    at: int | None = None
    for decoded in _decoded(file):
        if decoded is not None and at is None:
            begins = decoded.pts * decoded.time_base if decoded.pts is not None else Fraction(0)
            at = round((begins - begin_s) * RATE_HZ)
            for first in range(0, min(max(at, 0), samples), _BLOCK):
                yield np.zeros(min(_BLOCK, min(at, samples) - first), np.int16)
        for frame in resampler.resample(decoded):
            if at is None:
                return
            heard = frame.to_ndarray().reshape(-1)
            if at + len(heard) > 0:
                yield heard[max(0, -at) :]
            at += len(heard)


def _decoded(file: Any) -> Iterator[Any]:
    """Yield frames, and None at the end, which makes the resampler return the rest."""
    for packet in file.demux(file.streams.audio[0]):
        yield from packet.decode()
    yield None
