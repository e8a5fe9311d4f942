"""Where a setting comes from: the default, the configuration file, or the owner's page.

The page's changes are in their own file in the state directory and override the configuration
file, which is never written. Each change can be taken back.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from device.config.diagnostics import code_of, line_of, sentence
from device.config.file_reading import read_text
from device.config.model import Config
from device.config.toml import line_numbers, syntax_mistake
from device.errors import ConfigError

PAGE_FILE = "page-settings.json"
PAGE_KEYS = (
    "device.name",
    "motion.sensitivity",
    "motion.quiet_s",
    "zones",
    "masks",
    "clips.pre_roll_s",
    "clips.post_roll_s",
    "storage.limit_bytes",
    "storage.longest_age_days",
    "storage.reserve_bytes",
    "storage.log_rows",
    "chime.quiet_hours",
    "mqtt.enabled",
    "mqtt.host",
    "mqtt.port",
    "mqtt.username",
    "mqtt.password_file",
    "mqtt.discovery",
    "neighbourhood.enabled",
    "neighbourhood.latitude",
    "neighbourhood.longitude",
    "neighbourhood.broker_host",
    "neighbourhood.broker_port",
    "neighbourhood.broker_ca_file",
    "neighbourhood.upload_kbps",
    "neighbourhood.upload_hours",
)
"""Keys that the page may change; all take effect without a restart."""
MAX_UNDO = 20
NOT_SHOWN = "(not shown)"
_SECRET_KEYS = ("camera.stream.url", "camera.stream.substream_url")

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The configuration file's values, what the page changed (dotted key → value), and what was before."""

    path: Path
    file: Values = field(default_factory=dict)
    page: Values = field(default_factory=dict)
    before: tuple[Values, ...] = ()
    text: str = ""

    def config(self) -> Config:
        """Return the configuration. Raises ConfigError, one line of its message for each mistake."""
        values = _merged(self.file, self.page)
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            found = error.errors(include_url=False)
        lines = line_numbers(self.text)
        mistakes = sorted((line_of(mistake, lines), sentence(mistake, self.path, lines)) for mistake in found)
        code, params = code_of(found[0])
        raise ConfigError("\n".join(sentence for _, sentence in mistakes), code=code, **params)

    def changed(self, changes: Mapping[str, Any]) -> "Sources":
        """Return the sources with some keys changed; None: as the file has it. Raises ConfigError."""
        for key in changes:
            if key not in PAGE_KEYS:
                raise ConfigError(
                    f"{key} is not changed on the page; change it in {self.path} and restart doorbelld",
                    code="setting_not_here",
                    key=key,
                )
        page = {**self.page, **changes}
        page = {key: page[key] for key in PAGE_KEYS if page.get(key) is not None}
        if page == self.page:
            return self
        after = replace(self, page=page, before=(*self.before, self.page)[-MAX_UNDO:])
        try:
            replace(after, text="").config()  # without lines: these values stand in no file
        except ConfigError as error:
            text = str(error).replace(f" in {self.path}", "")
            raise ConfigError(text, code=error.code, **error.params) from None
        return after

    def undone(self) -> "Sources":
        """Return the sources before the last change. Raises ConfigError if there was none."""
        if not self.before:
            raise ConfigError("there is no change to take back", code="nothing_to_undo")
        return replace(self, page=self.before[-1], before=self.before[:-1])

    def content(self) -> bytes:
        """Return the content of the page's file."""
        document = {"version": 1, "settings": self.page, "before": list(self.before)}
        return json.dumps(document, indent=1, ensure_ascii=False).encode()

    def with_page_file(self, state_dir: Path) -> tuple["Sources", str]:
        """Return the sources with what the page has changed, or as they are and why that cannot be read."""
        path = state_dir / PAGE_FILE
        try:
            document = json.loads(path.read_bytes())
            if not isinstance(document, dict) or document.get("version") != 1:
                return self, f"{path}: is not what the page wrote"
            page, before = document["settings"], document["before"]
            unknown = [key for settings in (page, *before) for key in settings if key not in PAGE_KEYS]
            if unknown:
                return self, f"{path}: holds {unknown[0]}, which the page cannot change"
            found = replace(self, page=page, before=tuple(before))
        except FileNotFoundError:
            return self, ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            return self, f"{path}: {error}"
        return found.usable(path)

    def usable(self, path: Path) -> tuple["Sources", str]:
        """Return the sources without the page's setting that cannot be used, and which one that is.

        A setting may have been good when it was made: a file that it names may be gone. One key is taken back, or
        all of one table, and only if that does not help everything that the page changed.
        """
        try:
            self.config()
        except ConfigError as error:
            reason = str(error).replace(f" in {self.path}", "")
        else:
            return self, ""
        tables = dict.fromkeys(key.partition(".")[0] for key in self.page)
        keys = [[key] for key in self.page]
        keys += [[key for key in self.page if key.partition(".")[0] == table] for table in tables]
        for taken in [*keys, list(self.page)]:
            found = replace(self, page={key: value for key, value in self.page.items() if key not in taken})
            try:
                found.config()
            except ConfigError:
                continue
            return found, f"{path}: {', '.join(taken)} as in the configuration file again ({reason})"
        return replace(self, page={}), f"{path}: {reason}"

    def explained(self) -> list[dict[str, Any]]:
        """Return every setting: key, value, default, source, and whether the page may change it."""
        now, standard = flat(self.config()), flat(Config())
        rows = []
        for key, value in now.items():
            secret = key in _SECRET_KEYS and value
            source = "page" if key in self.page else "file" if _has(self.file, key) else "default"
            rows.append(
                {
                    "key": key,
                    "value": NOT_SHOWN if secret else value,
                    "default": standard[key],
                    "source": source,
                    "on_page": key in PAGE_KEYS,
                }
            )
        return rows


def read_sources(path: Path) -> Sources:
    """Read the file alone. Raises ConfigError if it is not TOML; `config` reports other mistakes."""
    text = read_text(path)
    try:
        return Sources(path=path, file=tomllib.loads(text), text=text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(syntax_mistake(error, text, path)) from None


def load_config(path: Path) -> Config:
    """Read and check the file. Raises ConfigError, one line of its message for each mistake."""
    return read_sources(path).config()


def _merged(file: Mapping[str, Any], page: Mapping[str, Any]) -> Values:
    merged = dict(file)
    for key, value in page.items():
        table, _, name = key.rpartition(".")
        if not table:
            merged[name] = value
        elif isinstance(merged.get(table, {}), dict):
            merged[table] = {**merged.get(table, {}), name: value}
    return merged


def _has(values: Mapping[str, Any], key: str) -> bool:
    node: Any = values
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def flat(config: Config) -> Values:
    """Return every setting: dotted key → value as JSON has it."""
    return dict(_flat(config))


def _flat(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(table).model_fields:
        value = getattr(table, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield (
                f"{prefix}{name}",
                [v.model_dump(mode="json") if isinstance(v, BaseModel) else v for v in value],
            )
        else:
            yield f"{prefix}{name}", str(value) if isinstance(value, Path) else value
