"""The motion worker: one thread that looks at the newest small picture and says when a visit starts and ends."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from device.config import MotionConfig, ZoneConfig
from device.events import Inbox, LumaFrame, MotionEnded, MotionSettling, MotionStarted
from device.system.latest import LatestValue
from device.system.worker import Worker

if TYPE_CHECKING:
    from device.motion.visit import VisitEnded, VisitStarted

log = logging.getLogger(__name__)


class MotionWorker:
    """Feeds the detector and tells the controller when a visit starts and ends."""

    def __init__(
        self,
        config: MotionConfig,
        zones: Sequence[ZoneConfig],
        *,
        inbox: Inbox,
        enabled: Callable[[], bool],
    ) -> None:
        self.latest_frame: LatestValue[LumaFrame] = LatestValue()
        self._wanted = (config, zones)
        self._inbox = inbox
        self._enabled = enabled

    def configure(self, config: MotionConfig, zones: Sequence[ZoneConfig]) -> None:
        """Look with other settings from the next picture on; the scene is learnt anew."""
        self._wanted = (config, zones)

    def run(self, worker: Worker) -> None:
        """Look until stopped."""
        # Here, not at the top: OpenCV takes its time to load, and the bell comes first.
        import cv2

        from device.motion.detector import MotionDetector, MotionResult
        from device.motion.visit import LINGER_US, Visit
        from device.motion.zones import Zones

        cv2.setNumThreads(1)  # more threads cost more than they bring on small pictures

        def made(config: MotionConfig, zones: Sequence[ZoneConfig]) -> tuple[MotionDetector, Visit]:
            visit = Visit(quiet_us=int(config.quiet_s * 1e6), linger_us=LINGER_US)
            return MotionDetector(Zones.configured(zones, config)), visit

        used = self._wanted
        detector, visit = made(*used)
        looked_us, settling = 0, False
        while not worker.stopping.is_set():
            worker.beat()
            if used is not self._wanted:
                if ended := visit.stop(looked_us):
                    self._tell(ended)
                used = self._wanted
                detector, visit = made(*used)
            frame = self.latest_frame.take(timeout_s=0.5)
            if frame is None:
                continue
            look = detector.feed(frame.luma, frame.mono_us)
            if look.mono_us == looked_us:
                continue
            looked_us = look.mono_us
            if look.settling != settling:
                settling = look.settling
                self._inbox(MotionSettling(mono_us=frame.mono_us, settling=settling))
            # Switched off, nothing is reported, but the scene is still learnt.
            told = visit.feed(look if self._enabled() else MotionResult(mono_us=looked_us))
            if told is not None:
                self._tell(told)

    def _tell(self, told: "VisitStarted | VisitEnded") -> None:
        from device.motion.visit import VisitStarted

        if isinstance(told, VisitStarted):
            log.info("motion_started score=%.2f zones=%s", told.score, ",".join(told.zones))
            self._inbox(MotionStarted(mono_us=told.mono_us, score=round(told.score, 2), zones=told.zones))
            return
        log.info(
            "motion_ended peak=%.2f seconds=%.1f direction=%s",
            told.peak_score,
            (told.last_us - told.started_us) / 1e6,
            told.direction,
        )
        why = tuple(
            {
                "s": round((glimpse.mono_us - told.started_us) / 1e6, 2),
                "score": round(glimpse.score, 2),
                "box": [round(share, 3) for share in glimpse.box],
                "zone": glimpse.zone,
            }
            for glimpse in told.glimpses
        )
        self._inbox(
            MotionEnded(
                mono_us=told.mono_us,
                started_us=told.started_us,
                last_us=told.last_us,
                peak_score=round(told.peak_score, 2),
                zones=told.zones,
                direction=told.direction,
                why=why,
            )
        )
