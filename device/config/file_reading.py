"""Files that the configuration reads or names."""

import os
import shlex
from pathlib import Path

from device.errors import ConfigError


def read_text(path: Path) -> str:
    """Return what is in the file. Raises ConfigError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; start from the reference: "
            f"cp firmware_config/doorbelld.toml {shlex.quote(str(path))}"
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: is a directory; name the file in it, such as {path / 'doorbelld.toml'}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: {why(error, path)}") from None
    try:
        return content.decode("utf-8-sig")  # Some editors begin a file with a byte-order mark.
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"0x{content[error.start]:02x}"
        raise ConfigError(
            f"{path}, line {line}: byte {byte} is not UTF-8; save the file with that encoding"
        ) from None


def open_once(file: Path) -> None:
    """Try a file that the configuration names. Raises ValueError."""
    try:
        with file.open("rb"):
            return
    except FileNotFoundError:
        raise ValueError(f'there is no file {file}; create it, or set "" to do without') from None
    except OSError as error:
        raise ValueError(f"{file}: {why(error, file)}") from None


def why(error: OSError, file: Path) -> str:
    """Return why a file cannot be read, and what to do."""
    if isinstance(error, PermissionError):
        quoted = shlex.quote(str(file))
        return (
            f"the user with id {os.geteuid()} may not read it; "
            f"sudo chgrp doorbelld {quoted} && sudo chmod g+r {quoted}"
        )
    return f"cannot be read ({error.strerror}); name a readable file"
