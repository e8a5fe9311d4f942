"""The motion worker: the thread that runs the detector on the newest small picture and reports visits."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from device.config import MotionConfig, ZoneConfig
from device.events import Inbox, LumaFrame, MotionEnded, MotionSettling, MotionStarted
from device.system.clock import Clock
from device.system.latest import LatestValue
from device.system.worker import Worker

if TYPE_CHECKING:
    from device.motion.visit import VisitEnded, VisitStarted

log = logging.getLogger(__name__)

NO_PICTURE_US = 3_000_000
"""After this long without a picture a visit has ended: the camera is gone, and its pictures end nothing any more."""


class MotionWorker:
    """Feeds the detector; reports to the controller when a visit starts and ends."""

    def __init__(
        self,
        config: MotionConfig,
        zones: Sequence[ZoneConfig],
        *,
        inbox: Inbox,
        clock: Clock,
        enabled: Callable[[], bool],
    ) -> None:
        """`enabled`: whether motion is reported; when it is no more, an open visit ends at once."""
        self.latest_frame: LatestValue[LumaFrame] = LatestValue()
        self._wanted = (config, zones)
        self._inbox = inbox
        self._clock = clock
        self._enabled = enabled

    def configure(self, config: MotionConfig, zones: Sequence[ZoneConfig]) -> None:
        """Use other settings from the next picture on; the scene is learnt again."""
        self._wanted = (config, zones)

    def run(self, worker: Worker) -> None:
        """Run until stopped."""
        # Here, not at the top: OpenCV is slow to load, and the button must be live first.
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
        looked_us, seen_us, settling = 0, 0, False
        while not worker.stopping.is_set():
            worker.beat()
            if used is not self._wanted:
                if ended := visit.stop(looked_us):
                    self._report(ended)
                used = self._wanted
                detector, visit = made(*used)
            frame = self.latest_frame.take(timeout_s=0.5)
            now_us = self._clock.mono_us()
            # By the clock: without pictures nothing else would end the visit.
            if frame is not None:
                seen_us = now_us
            if (not self._enabled() or now_us - seen_us > NO_PICTURE_US) and (ended := visit.stop(now_us)):
                self._report(ended)
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
            change = visit.feed(look if self._enabled() else MotionResult(mono_us=looked_us))
            if change is not None:
                self._report(change)

    def _report(self, change: "VisitStarted | VisitEnded") -> None:
        from device.motion.visit import VisitStarted

        if isinstance(change, VisitStarted):
            log.info("motion_started score=%.2f zones=%s", change.score, ",".join(change.zones))
            self._inbox(
                MotionStarted(mono_us=change.mono_us, score=round(change.score, 2), zones=change.zones)
            )
            return
        log.info(
            "motion_ended peak=%.2f seconds=%.1f direction=%s",
            change.peak_score,
            (change.last_us - change.started_us) / 1e6,
            change.direction,
        )
        why = tuple(
            {
                "s": round((glimpse.mono_us - change.started_us) / 1e6, 2),
                "score": round(glimpse.score, 2),
                "box": [round(share, 3) for share in glimpse.box],
                "zone": glimpse.zone,
            }
            for glimpse in change.glimpses
        )
        self._inbox(
            MotionEnded(
                mono_us=change.mono_us,
                started_us=change.started_us,
                last_us=change.last_us,
                peak_score=round(change.peak_score, 2),
                zones=change.zones,
                direction=change.direction,
                why=why,
            )
        )
