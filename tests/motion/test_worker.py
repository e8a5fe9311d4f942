"""The motion worker ends a visit by the clock, also when no picture comes any more."""

from collections.abc import Callable, Iterator

from device.config import MotionConfig
from device.events import ClockFlag, Fact, LumaFrame, MotionEnded, MotionStarted
from device.motion.worker import MotionWorker
from device.system.worker import Worker
from tests.motion.porch import Porch, person

S = 1_000_000


class Time:
    """A clock that shows the time of the newest picture, and goes on by hand."""

    now_us = 0

    def mono_us(self) -> int:
        return self.now_us

    def wall_us(self) -> int:
        return self.now_us

    def flag(self) -> ClockFlag:
        return "synchronised"


def visitor(until_s: float) -> Iterator[LumaFrame]:
    """Yield the pictures of somebody who comes nearer, until the camera is gone."""
    porch = Porch()
    for mono_us, s, picture in porch.clip(until_s, fps=10):
        if s >= 5:
            near = (s - 5) / 5
            person(picture, 0.5 + 0.1 * near, 0.45 + 0.5 * near, 0.2 + 0.55 * near)
        yield LumaFrame(mono_us=mono_us, luma=porch.shown(picture, s))


def facts_of(
    pictures: Iterator[LumaFrame], *, silent_s: float, enabled: Callable[[int], bool] = lambda _us: True
) -> list[Fact]:
    """Return what the worker reports for `pictures` and the silence after them."""
    time, facts = Time(), list[Fact]()
    watch = MotionWorker(
        MotionConfig(), [], inbox=facts.append, clock=time, enabled=lambda: enabled(time.now_us)
    )
    worker = Worker("motion", watch.run, inbox=facts.append, patience_s=60)
    last_us: list[int] = []

    class Camera:
        def take(self, timeout_s: float) -> LumaFrame | None:
            frame = next(pictures, None)
            time.now_us = frame.mono_us if frame else time.now_us + int(timeout_s * 1e6)
            if frame:
                last_us[:] = [frame.mono_us]
            elif time.now_us > last_us[0] + silent_s * 1e6:
                worker.stopping.set()
            return frame

    watch.latest_frame = Camera()  # type: ignore[assignment]
    watch.run(worker)
    return facts


def test_a_visit_ends_three_seconds_after_the_camera_is_lost() -> None:
    facts = facts_of(visitor(8), silent_s=5)
    started = next(fact for fact in facts if isinstance(fact, MotionStarted))
    ended = next(fact for fact in facts if isinstance(fact, MotionEnded))
    assert started.mono_us < ended.last_us <= ended.mono_us - 3 * S
    assert ended.mono_us - ended.last_us < 5 * S
    assert facts.count(ended) == 1


def test_a_visit_goes_on_over_a_short_stall() -> None:
    facts = facts_of(visitor(8), silent_s=2)
    assert [fact for fact in facts if isinstance(fact, MotionEnded)] == []


def test_a_visit_ends_at_once_when_motion_is_not_reported_any_more() -> None:
    begin_us = next(visitor(1)).mono_us
    off_us = begin_us + 8 * S
    facts = facts_of(visitor(9), silent_s=0, enabled=lambda now_us: now_us < off_us)
    ended = next(fact for fact in facts if isinstance(fact, MotionEnded))
    assert off_us <= ended.mono_us < off_us + S
