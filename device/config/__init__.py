"""The configuration file: its keys, and the messages about mistakes in it.

A mistake is never corrected silently: `load_config` names all of them at once, each with its line and what to
do. No message shows what is in a secret.
"""

from device.config.effects import EFFECTS, Effect, effect_of, effects
from device.config.model import (
    ButtonConfig,
    CameraConfig,
    ChimeConfig,
    ClipsConfig,
    Config,
    MaskConfig,
    MotionConfig,
    MqttConfig,
    NeighbourhoodConfig,
    PageConfig,
    PiCameraConfig,
    SceneCameraConfig,
    StorageConfig,
    StreamCameraConfig,
    ZoneConfig,
)
from device.config.paths import config_below
from device.config.sources import NOT_SHOWN, PAGE_FILE, PAGE_KEYS, Sources, flat, load_config, read_sources

__all__ = [
    "EFFECTS",
    "NOT_SHOWN",
    "PAGE_FILE",
    "PAGE_KEYS",
    "ButtonConfig",
    "CameraConfig",
    "ChimeConfig",
    "ClipsConfig",
    "Config",
    "Effect",
    "MaskConfig",
    "MotionConfig",
    "MqttConfig",
    "NeighbourhoodConfig",
    "PageConfig",
    "PiCameraConfig",
    "SceneCameraConfig",
    "Sources",
    "StorageConfig",
    "StreamCameraConfig",
    "ZoneConfig",
    "config_below",
    "effect_of",
    "effects",
    "flat",
    "load_config",
    "read_sources",
]
