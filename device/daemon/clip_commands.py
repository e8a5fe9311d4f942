"""Opens and closes clips as the episode rule says, unless privacy is on."""

from collections.abc import Sequence

from device.config import ClipsConfig
from device.daemon.command_sink import CommandSink
from device.events import CameraReport, Cause, DropReason, Stamp
from device.policy.episode import ClipOrder, EpisodeRule
from device.system.ulid import new_ulid

PRIVACY_TEXT = "privacy is on: nothing is recorded"


class ClipCommands:
    """One visit at a time. In `privacy` the rule goes on, so presses of one visit share an id; nothing is recorded."""

    def __init__(self, config: ClipsConfig, sink: CommandSink, *, privacy: bool) -> None:
        self.privacy = privacy
        self._sink = sink
        self._episodes = EpisodeRule(pre_roll_us=0, post_roll_us=0, longest_us=0)
        self.configure(config)

    def configure(self, config: ClipsConfig) -> None:
        """Take other lengths, which also apply to the open clip."""
        self._episodes.pre_roll_us = int(config.pre_roll_s * 1e6)
        self._episodes.post_roll_us = int(config.post_roll_s * 1e6)
        self._episodes.longest_us = int(config.longest_s * 1e6)

    @property
    def event_id(self) -> str | None:
        """The id of the open visit, if any."""
        return self._episodes.event_id

    @property
    def presses(self) -> int:
        """How many presses the visit has seen."""
        return self._episodes.presses

    def trigger(self, cause: Cause, at: Stamp) -> list[ClipOrder]:
        """Begin or prolong a visit; return what to `give`."""
        return self._episodes.trigger(cause, mono_us=at.mono_us, new_event_id=new_ulid(at.wall_us))

    def still(self, *, last_us: int) -> None:
        """Motion has ended; `last_us` is the last moment with motion."""
        self._episodes.still(last_us=last_us)

    def tick(self, mono_us: int) -> None:
        """Close what is over."""
        self.give(self._episodes.tick(mono_us))

    def stop(self, mono_us: int) -> None:
        """End the visit."""
        self.give(self._episodes.stop(mono_us))

    def give(self, orders: Sequence[ClipOrder]) -> None:
        """Command the clips."""
        if not self.privacy:
            for order in orders:
                self._sink.clip(order)


def no_clip_reason(camera: CameraReport | None, *, privacy: bool) -> tuple[DropReason, str] | None:
    """Return why nothing can be recorded, as a word and as a sentence; None if it can."""
    if privacy:
        return "privacy", PRIVACY_TEXT
    if camera is not None and camera.state == "live":
        return None
    text = f"the camera is {camera.state if camera else 'opening'}: nothing can be recorded"
    return "no_pictures", f"{text} ({camera.text})" if camera and camera.text else text
