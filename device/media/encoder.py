"""Raw pictures to H.264, once, in software: for the drawn porch and for webcams that cannot encode."""

from fractions import Fraction
from typing import Any

import av

from device.events import Packet, VideoFormat
from device.media.masks import Masks

_US = Fraction(1, 1_000_000)


class SoftwareEncoder:
    """libx264 through PyAV: no B-frames, no look-ahead, parameter sets in front of each keyframe."""

    def __init__(
        self, video: VideoFormat, *, fps: float, bitrate_kbps: int, keyframe_every_s: float, masks: Masks
    ) -> None:
        context: Any = av.CodecContext.create("libx264", "w")
        context.width, context.height = video.width_px, video.height_px
        context.pix_fmt = "yuv420p"
        context.time_base = _US
        context.framerate = Fraction(fps).limit_denominator(1000)
        context.bit_rate = bitrate_kbps * 1000
        context.gop_size = max(1, round(fps * keyframe_every_s))
        context.thread_count = 1
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": "repeat-headers=1:annexb=1:scenecut=0",
        }
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
