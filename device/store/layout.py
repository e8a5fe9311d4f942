"""Where things lie below the state directory."""

import json
from dataclasses import dataclass
from pathlib import Path

from device.policy.settings import SettingRefused, Settings, settings_from_dict

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """The state directory's folders and files."""

    state_dir: Path

    @property
    def clips(self) -> Path:
        """Clips, and `.part` files that grow."""
        return self.state_dir / "clips"

    @property
    def quarantine(self) -> Path:
        """Files that were found in clips/ and not understood."""
        return self.state_dir / "quarantine"

    @property
    def index(self) -> Path:
        """The index of clips."""
        return self.state_dir / "index.db"

    @property
    def event_log(self) -> Path:
        """The log."""
        return self.state_dir / "log.db"

    @property
    def ledger(self) -> Path:
        """What was heard, decided and sent."""
        return self.state_dir / "ledger.db"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of clips; may be deleted."""
        return self.state_dir / "thumbnails"

    def thumbnail(self, clip_id: str) -> Path:
        """Return where a clip's small picture lies, if it has one."""
        return self.thumbnails / f"{clip_id}.jpg"

    @property
    def masked(self) -> Path:
        """The newest clips that were shown masked; may be deleted."""
        return self.state_dir / "masked"

    @property
    def releases(self) -> Path:
        """Working copies of what is being sealed, a folder each; what does not belong there is erased."""
        return self.state_dir / "releases"

    @property
    def release_secret(self) -> Path:
        """What the keys that sign answers to requests are made of; it leaves this folder never."""
        return self.state_dir / "release-secret"

    @property
    def settings(self) -> Path:
        """The owner's switches."""
        return self.state_dir / SETTINGS_FILE

    def make(self) -> None:
        """Make the folders."""
        self.clips.mkdir(parents=True, exist_ok=True)

    def load_settings(self) -> tuple[Settings, str]:
        """Return the owner's switches, or the defaults and why they could not be read."""
        try:
            values = json.loads(self.settings.read_bytes())
            return settings_from_dict(values), ""
        except FileNotFoundError:
            return Settings(), ""
        except (OSError, ValueError, SettingRefused) as error:
            return Settings(), f"{self.settings}: {error}; the defaults are used"
