"""Live pictures as fragmented MP4 for MediaSource: the camera's own packets, one fragment a picture."""

from fractions import Fraction
from typing import Any

import av

from device.errors import CameraError
from device.events import Packet, VideoFormat

_TIME_BASE = Fraction(1, 90_000)
_HVCC_HEAD = 13
"""Bytes of hvcC up to the level (ISO/IEC 14496-15, 8.3.3.1)."""


class _ByteSink:
    """A sink for PyAV without `seek`, so that FFmpeg patches nothing afterwards."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


class LiveMp4:
    """One viewer's endless file. FFmpeg writes a fragment when it gets the next picture."""

    def __init__(self, video: VideoFormat) -> None:
        self.video = video
        self._out = _ByteSink()
        self._muxer = av.open(  # egress: local
            self._out,
            "w",
            format="mp4",
            options={
                "movflags": "frag_every_frame+delay_moov+default_base_moof",
                "fflags": "+bitexact",
                "flush_packets": "1",
                "avioflags": "direct",
            },
        )
        self._stream: Any = self._muxer.add_mux_stream(
            video.codec, width=video.width_px, height=video.height_px, time_base=_TIME_BASE
        )
        self._zero_us: int | None = None

    def add(self, packet: Packet) -> bytes:
        """Add a picture, the first one a keyframe; return the bytes to send.

        Raises CameraError if it cannot follow the previous ones, for example because its time is earlier.
        """
        if self._zero_us is None:
            self._zero_us = packet.dts_us
        copy = av.Packet(packet.data)
        copy.stream = self._stream
        copy.time_base = _TIME_BASE
        copy.pts = (packet.pts_us - self._zero_us) * 9 // 100
        copy.dts = (packet.dts_us - self._zero_us) * 9 // 100
        copy.duration = packet.duration_us * 9 // 100
        copy.is_keyframe = packet.is_keyframe
        try:
            self._muxer.mux_one(copy)
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise CameraError(f"live view: {error}") from error
        data = bytes(self._out.data)
        self._out.data.clear()
        return data


def codec_of(head: bytes) -> str | None:
    """Return the codecs parameter (RFC 6381) of a file that begins with `head`, None if it has none.

    Sources: ISO/IEC 14496-15, 5.3.3.1 (avcC) and Annex E (the parameter of HEVC).
    """
    offset = head.find(b"avcC")
    if offset >= 0:
        return f"avc1.{head[offset + 5 : offset + 8].hex()}"
    offset = head.find(b"hvcC")
    record = head[offset + 4 : offset + 4 + _HVCC_HEAD]
    if offset < 0 or len(record) < _HVCC_HEAD:
        return None
    profile, flags = record[1], int.from_bytes(record[2:6])
    compatible = int(f"{flags:032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    name = "hvc1" if b"hvc1" in head else "hev1"
    space = ["", "A", "B", "C"][profile >> 6]
    tier = "H" if profile & 0x20 else "L"
    parts = [name, f"{space}{profile & 0x1F}", f"{compatible:x}", f"{tier}{record[12]}"]
    return ".".join([*parts, *(f"{byte:X}" for byte in constraints)])
