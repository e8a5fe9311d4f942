"""The watch: one thread that looks at the newest small picture and says when something moves."""

import logging
from collections.abc import Callable, Sequence

from device.config import MotionConfig, ZoneConfig
from device.events import Inbox, LumaFrame, MotionEnded, MotionStarted
from device.mailbox import Mailbox
from device.worker import Worker

log = logging.getLogger(__name__)


class Watch:
    """Feeds the detector and tells the desk when a visit starts and ends."""

    def __init__(
        self,
        config: MotionConfig,
        zones: Sequence[ZoneConfig],
        *,
        inbox: Inbox,
        enabled: Callable[[], bool],
    ) -> None:
        self.mailbox: Mailbox[LumaFrame] = Mailbox()
        self._config = config
        self._zones = zones
        self._inbox = inbox
        self._enabled = enabled

    def run(self, worker: Worker) -> None:
        """Look until stopped."""
        # Here, not at the top: OpenCV takes its time to load, and the bell comes first.
        import cv2

        from device.policy.motion import BackgroundDetector, Visit
        from device.policy.zones import Zone

        cv2.setNumThreads(1)  # more threads cost more than they bring on small pictures
        zones = [Zone(name=z.name, kind=z.kind, points=tuple(z.points)) for z in self._zones]
        detector = BackgroundDetector(zones, least_share=self._config.least_share)
        visit = Visit(quiet_us=int(self._config.quiet_s * 1e6))
        least_step_us = int(1e6 / self._config.fps)
        looked_us = 0
        while not worker.stopping.is_set():
            worker.beat()
            frame = self.mailbox.take(timeout_s=0.5)
            if frame is None or frame.mono_us - looked_us < least_step_us * 9 // 10:
                continue
            looked_us = frame.mono_us
            motion = detector.feed(frame.luma, frame.mono_us)
            if not self._enabled():
                motion = None
            change = visit.feed(motion, frame.mono_us)
            if change is True and motion is not None:
                log.info("motion_started score=%.4f zones=%s", motion.score, ",".join(motion.zones))
                self._inbox(MotionStarted(mono_us=frame.mono_us, score=motion.score, zones=motion.zones))
            elif change is False:
                log.info("motion_ended peak=%.4f", visit.peak_score)
                self._inbox(
                    MotionEnded(mono_us=frame.mono_us, last_us=visit.last_us, peak_score=visit.peak_score)
                )
