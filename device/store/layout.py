"""The paths below the state directory."""

import json
from dataclasses import dataclass
from pathlib import Path

from device.policy.settings import SettingRefused, Settings, settings_from_dict

SETTINGS_FILE = "settings.json"
PUBLISHED_FILE = "mqtt-published.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders and files of the state directory."""

    state_dir: Path

    @property
    def clips(self) -> Path:
        """Clips, and `.part` files of clips being recorded."""
        return self.state_dir / "clips"

    @property
    def quarantine(self) -> Path:
        """Files in clips/ that were not recognised."""
        return self.state_dir / "quarantine"

    @property
    def index(self) -> Path:
        """The index of clips."""
        return self.state_dir / "index.db"

    @property
    def event_log(self) -> Path:
        """The event log."""
        return self.state_dir / "log.db"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.state_dir / "ledger.db"

    @property
    def thumbnails(self) -> Path:
        """Thumbnails of clips; may be deleted."""
        return self.state_dir / "thumbnails"

    def thumbnail(self, clip_id: str) -> Path:
        """Return the path of a clip's thumbnail, which may not exist."""
        return self.thumbnails / f"{clip_id}.jpg"

    @property
    def press_pictures(self) -> Path:
        """Pictures of the moment of a press."""
        return self.state_dir / "press_pictures"

    @property
    def masked(self) -> Path:
        """Masked copies of clips that were played; may be deleted."""
        return self.state_dir / "masked"

    @property
    def releases(self) -> Path:
        """A working folder for each release that is being made; anything else in it is erased."""
        return self.state_dir / "releases"

    @property
    def release_secret(self) -> Path:
        """The secret that the signing keys of releases are derived from; it never leaves this folder."""
        return self.state_dir / "release-secret"

    @property
    def settings(self) -> Path:
        """The owner's switches."""
        return self.state_dir / SETTINGS_FILE

    @property
    def mqtt_published(self) -> Path:
        """Which topics hold a message of ours, by broker."""
        return self.state_dir / PUBLISHED_FILE

    def make(self) -> None:
        """Create the folders."""
        self.clips.mkdir(parents=True, exist_ok=True)
        self.press_pictures.mkdir(exist_ok=True)

    def load_settings(self) -> tuple[Settings, str]:
        """Return the owner's switches, or the defaults and why they could not be read."""
        try:
            values = json.loads(self.settings.read_bytes())
            return settings_from_dict(values), ""
        except FileNotFoundError:
            return Settings(), ""
        except (OSError, ValueError, SettingRefused) as error:
            return Settings(), f"{self.settings}: {error}; the defaults are used"
