"""A FAKE of picamera2, for machines without a Pi: the parts that device/camera/pi.py uses, and no more.

What it keeps of the real one: rows of `lores` are longer than the picture is wide, time stamps of packets
count from the encoder's first picture, the exposure takes a while to settle, packets come from a thread of
the encoder's own. What only a real Pi can show: the drivers, the hardware encoder, the sensor.
FAKE_PICAMERA2 = "none" finds no camera, "busy" cannot open it, "hang:N" falls silent after N pictures.
"""

import os
import threading
import time
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .encoders import H264Encoder
from .outputs import Output

_MODE = os.environ.get("FAKE_PICAMERA2", "")
STRIDE = 384


class _Request:
    def __init__(self, lores: NDArray[np.uint8], metadata: dict[str, Any]) -> None:
        self.lores = lores
        self._metadata = metadata

    def get_metadata(self) -> dict[str, Any]:
        return self._metadata

    def release(self) -> None:
        self.lores[:] = 0  # the driver reuses its memory: an old view shows other pictures


class MappedArray:
    def __init__(self, request: _Request, stream: str, reshape: bool = True, write: bool = True) -> None:
        assert stream == "lores"
        assert reshape
        assert not write
        self.array = request.lores

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Picamera2:
    def __init__(self) -> None:
        if _MODE == "busy":
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self._config: dict[str, Any] = {}
        self._encoder: H264Encoder | None = None
        self._pictures = 0
        self._due_s = 0.0

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [] if _MODE == "none" else [{"Model": "fake"}]

    def create_video_configuration(self, **config: Any) -> dict[str, Any]:
        return config

    def configure(self, config: dict[str, Any]) -> None:
        assert config["main"]["format"] == config["lores"]["format"] == "YUV420"
        self._config = config

    def start_encoder(self, encoder: H264Encoder, output: Output, name: str) -> None:
        assert name == "main"
        encoder.open(self._config["main"]["size"], output)
        self._encoder = encoder

    def start(self) -> None:
        self._due_s = time.monotonic()

    def capture_request(self) -> _Request:
        assert self._encoder
        if _MODE.startswith("hang:") and self._pictures >= int(_MODE[5:]):
            threading.Event().wait()
        self._due_s += 1 / self._config["controls"]["FrameRate"]
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        stamp_ns = time.monotonic_ns()
        self._pictures += 1
        self._encoder.encode(self._pictures, stamp_ns // 1000)
        width, height = self._config["lores"]["size"]
        lores = np.full((height * 3 // 2, STRIDE), 255, np.uint8)
        lores[:height, :width] = 100
        state = 2 if self._pictures > 5 else 1
        return _Request(lores, {"SensorTimestamp": stamp_ns, "AeState": state})

    def stop_encoder(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass
