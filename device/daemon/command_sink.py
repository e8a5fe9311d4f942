"""The controller's commands. `command_router.py` executes them; tests record them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from device.daemon.status import ActiveFault
from device.events import (
    AnnouncedNotice,
    MotionStarted,
    PressEvent,
    PressMissed,
    PressPictureReady,
    Stamp,
)
from device.policy.episode import ClipOrder
from device.policy.settings import Settings


class CommandSink(Protocol):
    """Takes the controller's commands. Every method only enqueues: none waits for disk, network or a thread."""

    def publish_press(self, press: PressEvent) -> None:
        """Publish a press over MQTT within seconds or never; PressSettled comes back."""

    def publish_missed_ring(self, missed: PressMissed, count: int) -> None:
        """Publish the last press that was missed, and how many there were since the start."""

    def publish_faults(self, faults: Sequence[ActiveFault]) -> None:
        """Publish the active faults, with their texts."""

    def publish_last_refusal(self, refused: dict[str, Any]) -> None:
        """Publish the last change that was refused."""

    def publish_motion(self, *, moving: bool) -> None:
        """Publish whether somebody moves."""

    def publish_motion_attributes(self, motion: MotionStarted, event_id: str | None) -> None:
        """Publish where the motion is and which visit it belongs to."""

    def publish_settings(self, settings: Settings) -> None:
        """Publish every setting."""

    def publish_state(self, state: dict[str, Any]) -> None:
        """Publish the daemon's health."""

    def publish_pending_requests(self, count: int) -> None:
        """Publish how many requests wait for the owner."""

    def publish_notice(self, notice: AnnouncedNotice, *, announce: bool) -> None:
        """Show a notice on the open pages, and publish it over MQTT if it is to be announced."""

    def ring(self) -> None:
        """Ring the chime."""

    def clip(self, order: ClipOrder) -> None:
        """Open a clip, raise its cause, or close it."""

    def picture_press(self, press: PressEvent) -> None:
        """Make the picture of the moment of a press; PressPictureReady comes back, if there is a picture."""

    def show_press_picture(self, picture: PressPictureReady) -> None:
        """Announce that the picture of a press can be had."""

    def flush(self) -> None:
        """End every recording; Flushed comes back."""

    def log_fact(
        self,
        kind: str,
        *,
        at: Stamp,
        late: bool | None,
        event_id: str | None,
        press_id: int | None,
        fields: dict[str, Any],
    ) -> None:
        """Add a row to the event log and show it on the open pages."""

    def show_recording(self, event_ids: Sequence[str]) -> None:
        """Show on the open pages which visits are being recorded."""

    def settle(self, press_id: int, *, late: bool) -> None:
        """Set the `late` of a press in the event log."""

    def set_privacy(self, *, on: bool) -> None:
        """Forget every buffered picture and end whatever reads them; or let the camera open again."""

    def publish_numbers(self, numbers: Mapping[str, float]) -> None:
        """Publish the numbers of the configuration that a dashboard may change."""

    def change_number(self, name: str, value: float) -> None:
        """Change one of them; ConfigChanged or InputRefused comes back."""

    def save(self, settings: Settings) -> None:
        """Store the owner's switches, so that a restart keeps them."""
