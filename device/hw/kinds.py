"""Which kinds of camera there are."""

from collections.abc import Callable

from device.clock import Clock
from device.config import CameraConfig
from device.hw.camera import Camera


def open_here(config: CameraConfig, *, clock: Clock, press: Callable[[int], None] | None) -> Camera:
    """Return the camera of the configured kind, to run in this very process."""
    match config.kind:
        case "scene":
            from device.hw.scene_camera import SceneCamera

            return SceneCamera(config.scene, clock=clock, press=press)
        case "stream":
            from device.hw.stream_camera import StreamCamera

            return StreamCamera(config.stream, clock=clock)
        case "pi":
            from device.hw.pi_camera import PiCamera

            return PiCamera(config.pi)
