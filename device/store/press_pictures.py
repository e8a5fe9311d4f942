"""Makes the picture of the moment of a press from the ring buffer, on a thread of its own.

It is in memory as soon as it is encoded: page and MQTT need not wait for the disk. The storage worker writes it
(`press_picture_files.py`). Nothing here is on the press's path, and a press without a picture is a press.
"""

import logging
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import av
import cv2

from device.errors import CameraError
from device.events import Inbox, Packet, PressEvent, PressPictureReady
from device.media.decoder import shown_at, still
from device.media.mask_history import Polygon, digest_of
from device.media.masks import Masks
from device.store.files import labelled_jpeg
from device.store.layout import Layout
from device.store.messages import KeepPicture, StorageMessage
from device.store.press_picture_name import PressPictureName
from device.store.ring import RingBuffer
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 1.0
STALE_US = 2_000_000
"""A picture that is older than this at the press does not show its moment."""
MAX_WAITING = 16
"""Presses beyond this many in the queue get no picture: somebody plays with the button."""
MAX_UNWRITTEN = 8
MAX_THREADS = 4
"""Threads of the decoder: a group of pictures may be long, and the decoder lives for a moment only."""


class UnwrittenPictures:
    """Press pictures that are not on the disk yet, or could not be written; the newest few. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jpegs: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def put(self, event_id: str, press_number: int, jpeg: bytes) -> None:
        """Add one."""
        with self._lock:
            self._jpegs[event_id, press_number] = jpeg
            while len(self._jpegs) > MAX_UNWRITTEN:
                self._jpegs.popitem(last=False)

    def get(self, event_id: str, press_number: int) -> bytes | None:
        """Return one, or None."""
        with self._lock:
            return self._jpegs.get((event_id, press_number))

    def forget(self, event_id: str, press_number: int | None = None) -> None:
        """Remove one that was written, or all of a visit that was deleted."""
        with self._lock:
            for key in [key for key in self._jpegs if key[0] == event_id and press_number in (None, key[1])]:
                del self._jpegs[key]


class PressPictures:
    """Takes presses from its queue, and delivers their pictures."""

    def __init__(
        self,
        *,
        presses: "queue.SimpleQueue[PressEvent]",
        ring: RingBuffer,
        masks_of: Callable[[Sequence[Packet]], Sequence[Polygon]],
        unwritten: UnwrittenPictures,
        layout: Layout,
        storage: Callable[[StorageMessage], None],
        inbox: Inbox,
    ) -> None:
        """`masks_of` returns what has to be masked in some pictures of the ring buffer."""
        self._presses = presses
        self._ring = ring
        self._masks_of = masks_of
        self._unwritten = unwritten
        self._layout = layout
        self._storage = storage
        self._inbox = inbox

    def run(self, worker: Worker) -> None:
        """Make pictures until stopped."""
        while not worker.stopping.is_set():
            worker.beat()
            try:
                press = self._presses.get(timeout=STEP_S)
            except queue.Empty:
                continue
            if self._presses.qsize() >= MAX_WAITING:
                log.warning("press_picture_skipped event_id=%s reason=%r", press.event_id, "too many presses")
            else:
                self.make(press)

    def make(self, press: PressEvent) -> None:
        """Make the picture of a press, or log why there is none."""
        began_s = time.monotonic()
        try:
            jpeg = self._jpeg(press.at.mono_us)
        except (CameraError, ValueError, av.error.FFmpegError, cv2.error) as error:
            log.warning("press_picture_failed event_id=%s error=%s", press.event_id, error)
            return
        name = PressPictureName.of(press)
        self._unwritten.put(press.event_id, press.press_number, jpeg)
        self._inbox(
            PressPictureReady(
                event_id=press.event_id,
                press_number=press.press_number,
                at=press.at,
                jpeg=jpeg,
                path=self._layout.press_pictures / name.file_name,
            )
        )
        self._storage(KeepPicture(name=name, jpeg=jpeg))
        took_ms = (time.monotonic() - began_s) * 1e3
        log.info("press_picture event_id=%s bytes=%d took_ms=%.0f", press.event_id, len(jpeg), took_ms)

    def _jpeg(self, mono_us: int) -> bytes:
        """Return the picture shown at a moment. Raises CameraError, ValueError, FFmpegError or cv2.error."""
        reader = self._ring.reader(mono_us)
        packets = shown_at(reader.take(), mono_us)
        if not packets or mono_us - packets[-1].dts_us > STALE_US:
            raise CameraError("the camera delivered no picture at that moment")
        masks = self._masks_of(packets)
        threads = min(MAX_THREADS, os.cpu_count() or 1)
        jpeg = still(packets, Masks(masks), until_us=mono_us, threads=threads)
        if reader.closed:
            raise CameraError("privacy began")
        return labelled_jpeg(jpeg, digest_of(masks))
