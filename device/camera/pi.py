"""The camera on the Pi's camera connector. The only module that imports picamera2.

Runs in the capture process (capture_process.py), since libcamera and the encoder's driver may hang.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from device.camera.interface import next_epoch
from device.camera.luma import shrink
from device.config import PiCameraConfig
from device.errors import CameraError
from device.events import CameraSink, LumaFrame, Packet, VideoFormat
from device.motion.frame_sampler import FrameSampler

AE_CONVERGED = 2
SETTLING_US = 3_000_000
"""Maximum time that motion gets no pictures while the exposure settles and the whole picture changes."""


class PiCamera:
    """Main stream to H.264 (in hardware on a Zero 2 W, 3 and 4; on a Pi 5 libx264), lores to motion."""

    kind = "pi"

    def __init__(self, config: PiCameraConfig) -> None:
        self._config = config

    def run(self, sink: CameraSink, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Deliver until stopped. Raises CameraError when there is no picamera2 or no camera."""
        camera, mapped_array = self._start(_Packets(self._config, sink))
        width_px, height_px = self._config.luma_width_px, self._config.luma_height_px
        opened_us, pace, settled = time.monotonic_ns() // 1000, FrameSampler(), False
        try:
            while not stop.is_set():
                beat()
                request = camera.capture_request()  # blocks; the parent kills a process that blocks too long
                try:
                    metadata = request.get_metadata()
                    # CLOCK_BOOTTIME, which on a board that never sleeps is CLOCK_MONOTONIC.
                    mono_us = metadata["SensorTimestamp"] // 1000
                    settled = settled or _exposure_settled(metadata) or mono_us - opened_us > SETTLING_US
                    if settled and pace.takes(mono_us):
                        with mapped_array(request, "lores", write=False) as mapped:
                            # Rows are padded (stride), and U and V follow Y.
                            luma = shrink(mapped.array[:height_px, :width_px])
                        sink.luma(LumaFrame(mono_us=mono_us, luma=luma))
                finally:
                    request.release()
        finally:
            camera.stop_encoder()
            camera.stop()
            camera.close()

    def _start(self, packets: "_Packets") -> tuple[Any, Any]:
        """Return a running Picamera2, and picamera2's MappedArray."""
        config = self._config
        try:
            from picamera2 import MappedArray, Picamera2
            from picamera2.encoders import H264Encoder  # picamera2 chooses hardware or libx264
            from picamera2.outputs import Output
        except ImportError as error:
            raise CameraError(
                f"camera.kind pi needs picamera2 ({error}): sudo apt install python3-picamera2, "
                "then DOORBELLD_SYSTEM_SITE=1 scripts/setup --doorbell",
                reason="no_picamera2",
            ) from error

        class ToPackets(Output):  # type: ignore[misc]  # picamera2 takes nothing else
            def outputframe(self, frame: bytes, keyframe: object, timestamp: int, *_: Any, **__: Any) -> None:
                packets.take(frame, is_keyframe=bool(keyframe), mono_us=encoder.firsttimestamp + timestamp)

        if not Picamera2.global_camera_info():
            raise CameraError(
                "camera.kind pi: no camera at the connector; see the ribbon cable, "
                "then: rpicam-hello --list-cameras",
                reason="no_connector",
            )
        try:
            camera = Picamera2()
        except (RuntimeError, IndexError, OSError) as error:
            text = f"camera.kind pi cannot be opened; does another program use it? ({error})"
            raise CameraError(text, reason="busy", detail=str(error)) from error
        try:
            camera.configure(
                camera.create_video_configuration(
                    main={"size": (config.width_px, config.height_px), "format": "YUV420"},
                    lores={"size": (config.luma_width_px, config.luma_height_px), "format": "YUV420"},
                    controls={"FrameRate": config.fps},
                )
            )
            encoder = H264Encoder(
                bitrate=config.bitrate_kbps * 1000,
                repeat=True,  # parameter sets in front of each keyframe
                iperiod=max(1, round(config.fps * config.keyframe_every_s)),
                framerate=config.fps,
            )
            camera.start_encoder(encoder, ToPackets(), name="main")
            camera.start()
        except (RuntimeError, OSError) as error:
            camera.close()
            text = f"camera.kind pi cannot start {config.width_px} x {config.height_px}: {error}"
            size = {"width": config.width_px, "height": config.height_px}
            raise CameraError(text, reason="cannot_start", detail=str(error), **size) from error
        return camera, MappedArray


class _Packets:
    """The encoder's output as packets of one stream."""

    def __init__(self, config: PiCameraConfig, sink: CameraSink) -> None:
        self._sink = sink
        self._duration_us = int(1e6 / config.fps)
        self._format = VideoFormat(
            codec="h264", width_px=config.width_px, height_px=config.height_px, epoch=next_epoch()
        )
        self._started = False

    def take(self, frame: bytes, *, is_keyframe: bool, mono_us: int) -> None:
        self._started = self._started or is_keyframe
        if self._started:
            self._sink.packet(
                Packet(
                    data=bytes(frame),
                    size_bytes=len(frame),
                    pts_us=mono_us,
                    dts_us=mono_us,  # the encoder makes no B-frames
                    duration_us=self._duration_us,
                    is_keyframe=is_keyframe,
                    format=self._format,
                )
            )


def _exposure_settled(metadata: dict[str, Any]) -> bool:
    # Older libcamera has AeLocked instead of AeState.
    return bool(metadata.get("AeState") == AE_CONVERGED or metadata.get("AeLocked"))
