"""A still picture, decoded on request from the packets in the ring buffer."""

from collections.abc import Sequence

import av

from device.camera.decoder import decoded
from device.errors import CameraError
from device.events import Packet
from device.media.jpeg import masked_jpeg
from device.media.masks import Masks

QUALITY = 85


def still(pictures: Sequence[Packet], masks: Masks) -> bytes:
    """Return JPEG of the last of `pictures`, which begin at a keyframe; masked. Raises CameraError."""
    keyframes = [index for index, packet in enumerate(pictures) if packet.is_keyframe]
    if not keyframes:
        raise CameraError("there is no picture yet")
    context = av.CodecContext.create(pictures[-1].format.codec, "r")
    context.thread_count = 1
    last = None
    for packet in pictures[keyframes[-1] :]:
        for frame in decoded(context, av.Packet(packet.data)):
            last = frame
    for frame in decoded(context, None):
        last = frame
    if last is None:
        raise CameraError("the camera's picture cannot be decoded")
    return masked_jpeg(last, masks, QUALITY)
