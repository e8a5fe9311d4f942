"""From a file to a checked configuration, or to all that is wrong with it."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from device.config.mistakes import line_of, sentence
from device.config.model import Config
from device.config.reading import read_text
from device.config.toml import line_numbers, syntax_mistake
from device.errors import ConfigError


def load_config(path: Path) -> Config:
    """Read and check the file. Raises ConfigError, one line of its message for each mistake."""
    text = read_text(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(syntax_mistake(error, text, path)) from None
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
    lines = line_numbers(text)
    mistakes = sorted((line_of(each, lines), sentence(each, path, lines)) for each in found)
    raise ConfigError("\n".join(sentence for _, sentence in mistakes))
