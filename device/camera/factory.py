"""Creates the camera of the configured kind."""

from collections.abc import Callable

from device.camera.interface import Camera
from device.config import CameraConfig
from device.media.masks import Masks
from device.system.clock import Clock


def open_here(
    config: CameraConfig, *, clock: Clock, masks: Masks, press: Callable[[int], None] | None
) -> Camera:
    """Return the camera of the configured kind, to run in this process.

    `masks` are burnt into pictures that it encodes itself; encoded streams are forwarded unchanged.
    """
    match config.kind:
        case "scene":
            from device.camera.simulated.camera import SceneCamera

            return SceneCamera(config.scene, clock=clock, masks=masks, press=press)
        case "stream":
            from device.camera.stream import StreamCamera

            return StreamCamera(config.stream, clock=clock, masks=masks)
        case "pi":
            from device.camera.pi import PiCamera

            return PiCamera(config.pi)
