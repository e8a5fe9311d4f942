"""Converts H.264 and H.265 to Annex B: see docs/decisions/0002-annex-b-in-the-ring.md."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import av
from av.bitstream import BitStreamFilterContext

from device.media.ffmpeg_input import FAILURES

_START = re.compile(rb"\x00\x00\x01")
_SET_TYPES = {"h264": (7, 8), "hevc": (32, 33, 34)}
_PICTURE_TYPES = {"h264": range(1, 6), "hevc": range(32)}
"""NAL unit types: ITU-T H.264 table 7-1, H.265 table 7-1."""


def parameter_sets(data: bytes, codec: Literal["h264", "hevc"]) -> bytes:
    """Return the parameter sets in front of an Annex B picture, joined; empty if there are none."""
    sets = b""
    starts = _START.finditer(data)
    begin = next(starts, None)
    while begin:
        head = data[begin.end() : begin.end() + 1]
        kind = (head[0] & 31 if codec == "h264" else head[0] >> 1 & 63) if head else -1
        if kind in _PICTURE_TYPES[codec]:
            break
        end = next(starts, None)
        if kind in _SET_TYPES[codec]:
            # Zero bytes before the next start code are padding.
            sets += data[begin.start() : end.start() if end else len(data)].rstrip(b"\0")
        begin = end
    return sets


class AnnexB:
    """Converts packets to Annex B with parameter sets in front of each keyframe."""

    def __init__(self, codec: str, video: Any) -> None:
        self._filter: Any = BitStreamFilterContext(f"{codec}_mp4toannexb", video)
        self._damaged = False
        extradata = bytes(video.codec_context.extradata or b"")
        # For a file (avcC, hvcC) the filter above inserts the sets; RTSP may have them in the SDP only.
        in_band = not extradata.startswith((b"\0\0\1", b"\0\0\0\1"))
        self._sets = b"" if in_band else extradata

    def filter(self, raw: Any) -> Iterator[Any]:
        """Yield the converted packets; after a damaged one nothing until the next keyframe."""
        try:
            packets = list(self._filter.filter(raw))
        except FAILURES:
            self._filter.flush()
            self._damaged = True
            return
        for packet in packets:
            self._damaged = self._damaged and not packet.is_keyframe
            if self._damaged:
                continue
            if not self._sets or not packet.is_keyframe:
                yield packet
                continue
            data = bytes(packet)
            if self._sets[:32] in data[: len(self._sets) + 64]:
                yield packet
                continue
            whole = av.Packet(self._sets + data)
            whole.pts, whole.dts, whole.duration = packet.pts, packet.dts, packet.duration
            whole.time_base, whole.is_keyframe = packet.time_base, True
            yield whole
