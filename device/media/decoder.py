"""Decodes packets of the ring buffer on request; a damaged one does not stop it."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import av

from device.errors import CameraError
from device.events import Packet, SoundPacket
from device.media.ffmpeg_input import FAILURES
from device.media.jpeg import masked_jpeg
from device.media.masks import Masks

QUALITY = 85
_US = Fraction(1, 1_000_000)


def decoded(context: Any, packet: Any) -> list[Any]:
    """Return the pictures of a packet; a damaged one, as cameras on Wi-Fi send now and then, has none."""
    try:
        return list(context.decode(packet))
    except FAILURES:
        return []


def shown_at(packets: Iterable[Packet | SoundPacket], mono_us: int) -> list[Packet]:
    """Return the pictures that the one shown at a moment needs, its keyframe first; none if there is none."""
    pictures = [packet for packet in packets if isinstance(packet, Packet) and packet.dts_us <= mono_us]
    keyframes = [index for index, packet in enumerate(pictures) if packet.is_keyframe]
    return pictures[keyframes[-1] :] if keyframes else []


def still(packets: Sequence[Packet], masks: Masks, *, until_us: int | None = None, threads: int = 1) -> bytes:
    """Return JPEG of the last picture of `packets`, which begin at a keyframe, or of the one shown at `until_us`.

    Masked. `threads` decode. Raises CameraError.
    """
    if not packets:
        raise CameraError("there is no picture yet")
    context: Any = av.CodecContext.create(packets[0].format.codec, "r")
    context.thread_count = threads
    last: Any = None
    for packet in [*packets, None]:
        for frame in decoded(context, _copy(packet) if packet else None):
            if until_us is None or frame.pts is None or frame.pts <= until_us:
                last = frame
    if last is None:
        raise CameraError("the camera's picture cannot be decoded")
    return masked_jpeg(last, masks, QUALITY)


def _copy(packet: Packet) -> Any:
    copy: Any = av.Packet(packet.data)
    copy.pts, copy.dts, copy.time_base = packet.pts_us, packet.dts_us, _US
    return copy
