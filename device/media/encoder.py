"""H.264 encoding in software: the one set-up of x264, for live pictures and for copies of clips."""

from fractions import Fraction
from typing import Any

import av

from device.events import Packet, VideoFormat
from device.media.masks import Masks

_US = Fraction(1, 1_000_000)


COPY_KEYFRAME_EVERY_S = 2.0
_IN_BAND_HEADERS = "repeat-headers=1:annexb=1"
"""Annex B with the parameter sets in front of each keyframe, as a camera delivers it."""


def configure_live(context: Any, *, width_px: int, height_px: int, rate: Fraction, gop_size: int) -> None:
    """Set up a codec context that delays no picture: no B-frames, no look-ahead, no extra keyframes.

    Pictures are stamped in microseconds.
    """
    _configure(context, width_px, height_px, _US, rate, gop_size)
    context.thread_count = 1
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"{_IN_BAND_HEADERS}:scenecut=0",
    }


def fraction_of(rational: Any) -> Fraction | None:
    """Return one of PyAV's rational numbers, which are Fractions before PyAV 19; None if there is none."""
    return Fraction(rational.numerator, rational.denominator) if rational else None


def configure_copy(
    context: Any,
    *,
    width_px: int,
    height_px: int,
    time_base: Fraction,
    rate: Fraction,
    crf: int,
    in_band_headers: bool,
) -> None:
    """Set up a codec context for a copy of a clip in constant quality (`crf`, x264's scale).

    No look-ahead and few references: a small board has little memory, and nobody waits for each picture. An MP4
    muxer of FFmpeg takes the parameter sets from the context, so it needs no `in_band_headers`.
    """
    _configure(context, width_px, height_px, time_base, rate, max(1, round(rate * COPY_KEYFRAME_EVERY_S)))
    frugal = "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:ref=1"
    context.options = {
        "preset": "superfast",
        "crf": str(crf),
        "x264-params": f"{frugal}:{_IN_BAND_HEADERS}" if in_band_headers else frugal,
    }


def _configure(
    context: Any, width_px: int, height_px: int, time_base: Fraction, rate: Fraction, gop_size: int
) -> None:
    context.width, context.height, context.pix_fmt = width_px, height_px, "yuv420p"
    context.time_base, context.framerate, context.gop_size = time_base, rate, gop_size


class SoftwareEncoder:
    """Live pictures to H.264, masked: for the simulated camera and for webcams that cannot encode."""

    def __init__(
        self, video: VideoFormat, *, fps: float, bitrate_kbps: int, keyframe_every_s: float, masks: Masks
    ) -> None:
        context: Any = av.CodecContext.create("libx264", "w")
        configure_live(
            context,
            width_px=video.width_px,
            height_px=video.height_px,
            rate=Fraction(fps).limit_denominator(1000),
            gop_size=max(1, round(fps * keyframe_every_s)),
        )
        context.bit_rate = bitrate_kbps * 1000
        self._context = context
        self._video = video
        self._masks = masks
        self._duration_us = int(1e6 / fps)

    def encode(self, frame: Any, mono_us: int) -> list[Packet]:
        """Encode one av.VideoFrame (yuv420p) shown at `mono_us`, masked."""
        frame.pts = mono_us
        frame.time_base = _US
        if self._masks:
            frame = self._masks.covered(frame)
        return [
            Packet(
                data=packet,
                size_bytes=packet.size,
                pts_us=packet.pts,
                dts_us=packet.dts,
                duration_us=self._duration_us,
                is_keyframe=packet.is_keyframe,
                format=self._video,
            )
            for packet in self._context.encode(frame)
        ]
