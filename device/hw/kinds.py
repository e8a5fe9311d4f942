"""Which kinds of camera there are."""

from collections.abc import Callable

from device.clock import Clock
from device.config import CameraConfig
from device.hw.camera import Camera
from device.policy.masks import Masks


def open_here(
    config: CameraConfig, *, clock: Clock, masks: Masks, press: Callable[[int], None] | None
) -> Camera:
    """Return the camera of the configured kind, to run in this very process.

    `masks` are burnt into what it encodes itself; what comes encoded is passed on as it is.
    """
    match config.kind:
        case "scene":
            from device.hw.scene_camera import SceneCamera

            return SceneCamera(config.scene, clock=clock, masks=masks, press=press)
        case "stream":
            from device.hw.stream_camera import StreamCamera

            return StreamCamera(config.stream, clock=clock, masks=masks)
        case "pi":
            from device.hw.pi_camera import PiCamera

            return PiCamera(config.pi)
