"""The masked live view, for a camera that does not apply the masks itself: decode, mask, encode again.

Also for a while after the masks have changed: then older pictures lack a mask. Only while somebody watches, since it
needs a decoder and an encoder. The picture is smaller than the camera's, so
that a small board can keep up; if it cannot, it skips pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av

from device.camera.interface import next_epoch
from device.events import Packet, PacketReader, PacketWriter, SoundPacket, VideoFormat
from device.media.decoder import decoded
from device.media.encoder import SoftwareEncoder
from device.media.masks import Masks
from device.motion.zones import Points
from device.system.clock import Clock
from device.system.worker import Worker

WIDEST_PX = 960
BITRATE_KBPS = 1500
KEYFRAME_EVERY_S = 2.0
IDLE_S = 0.5
STEP_S = 0.02
LATE_US = 1_000_000
_US = Fraction(1, 1_000_000)


class MaskedLive:
    """Reads the ring buffer and delivers masked pictures, on a thread of its own."""

    def __init__(
        self,
        *,
        reader: Callable[[int], PacketReader],
        target: Callable[[], PacketWriter],
        masks: Callable[[int], Sequence[Points]],
        notify: Callable[[], None],
        clock: Clock,
        wanted: Callable[[], bool],
    ) -> None:
        """`reader(mono_us)` follows the camera's pictures from the last keyframe at that time on.

        `target()` takes masked packets until the masks change; then it is another one. `masks(mono_us)`: those of a
        picture that was taken then. `notify` is called after each packet. `wanted`: whether somebody watches.
        """
        self._reader = reader
        self._target = target
        self._masks = masks
        self._notify = notify
        self._clock = clock
        self._wanted = wanted

    def run(self, worker: Worker) -> None:
        """Deliver while somebody watches, until stopped."""
        while not worker.stopping.is_set():
            worker.beat()
            if self._wanted():
                self._cover(worker)
            worker.stopping.wait(IDLE_S)

    def _cover(self, worker: Worker) -> None:
        reader = self._reader(self._clock.mono_us())
        steps: _Steps | None = None
        target = self._target()
        while self._wanted() and not worker.stopping.is_set():
            worker.beat()
            packets = reader.take()
            if reader.lost:
                steps = None
            taken = False
            for packet in packets:
                taken = True
                if isinstance(packet, SoundPacket):
                    continue
                if steps is None or steps.source != packet.format:
                    if not packet.is_keyframe:
                        continue
                    steps = _Steps(packet.format, self._masks)
                put = self._target()  # before its masks are read: at worst nobody reads what it takes
                late = self._clock.mono_us() - packet.pts_us > LATE_US
                for covered in steps.take(packet, late=late, restart=put != target):
                    if reader.closed:
                        return
                    put.append(covered)
                    self._notify()
                target = put
            if not taken:
                if reader.closed:
                    return
                worker.stopping.wait(STEP_S)


class _Steps:
    """Decoder, masks and encoder of one unbroken stream."""

    def __init__(self, source: VideoFormat, masks: Callable[[int], Sequence[Points]]) -> None:
        self.source = source
        self._decoder: Any = av.CodecContext.create(source.codec, "r")
        self._decoder.thread_count = 1
        width_px = min(source.width_px, WIDEST_PX) & ~1
        height_px = round(source.height_px * width_px / source.width_px) & ~1
        self._form = VideoFormat(codec="h264", width_px=width_px, height_px=height_px, epoch=next_epoch())
        self._encoder: SoftwareEncoder | None = None
        self._masks_at = masks
        self._masks = Masks()

    def take(self, packet: Packet, *, late: bool, restart: bool) -> list[Packet]:
        """Return the masked packets for one packet; a late one is only decoded. `restart`: with a keyframe."""
        if restart and self._encoder is not None:
            self._form, self._encoder = replace(self._form, epoch=next_epoch()), None
        copy: Any = av.Packet(packet.data)
        copy.pts, copy.dts, copy.time_base = packet.pts_us, packet.dts_us, _US
        covered: list[Packet] = []
        for frame in decoded(self._decoder, copy):
            if late or frame.pts is None:
                continue
            if self._encoder is None:
                fps = min(30.0, max(1.0, 1e6 / max(packet.duration_us, 1)))
                self._encoder = SoftwareEncoder(
                    self._form,
                    fps=fps,
                    bitrate_kbps=BITRATE_KBPS,
                    keyframe_every_s=KEYFRAME_EVERY_S,
                    masks=self._masks,
                )
            masks = tuple(self._masks_at(frame.pts))
            if masks != self._masks.polygons:
                self._masks.replace(masks)
            small = frame.reformat(self._form.width_px, self._form.height_px, "yuv420p")
            covered += self._encoder.encode(small, frame.pts)
        return covered
