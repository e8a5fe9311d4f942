"""The message about a mistake at a key: where it is, what is wrong, how to correct it."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from device.config.model import Config, Table
from device.config.toml import Location, key_text, number_text, quoted
from device.system.urls import without_urls


def _location(error: ErrorDetails) -> Location:
    extra = str(error["ctx"]["key"]).split(".") if error["type"] == "at_key" else []
    return (*error["loc"], *(int(part) if part.isdigit() else part for part in extra))


def line_of(error: ErrorDetails, lines: Mapping[Location, int]) -> int:
    """Return the line of the key, or else of the nearest thing around it; 0 if there is none."""
    location = _location(error)
    around = (location[:end] for end in range(len(location), 0, -1))
    return next((lines[part] for part in around if part in lines), 0)


def sentence(error: ErrorDetails, path: Path, lines: Mapping[Location, int]) -> str:
    """Return the message about one mistake: key, file, line, what is wrong, what to do."""
    steps = (f"[{p}]" if isinstance(p, int) else f".{key_text(p)}" for p in _location(error))
    line = line_of(error, lines)
    where = f", line {line}" if line else ""
    return f"{''.join(steps).removeprefix('.')} in {path}{where}: {_complaint(error)}"


def code_of(error: ErrorDetails) -> tuple[str, dict[str, str | float]]:
    """Return a mistake's code for the page, and its parameters; `detail` is the English message without its key."""
    location = _location(error)
    params: dict[str, str | float] = {
        "key": ".".join(str(part) for part in location if isinstance(part, str))
    }
    least, most = _bounds(_find(location)[1])
    if error["type"] in ("greater_than_equal", "less_than_equal") and least is not None and most is not None:
        if str(params["key"]).endswith("_bytes"):
            return "setting_range_bytes", {**params, "least_bytes": least, "most_bytes": most}
        return "setting_range", {**params, "least": least, "most": most}
    return "setting", {**params, "detail": _complaint(error)}


def _complaint(error: ErrorDetails) -> str:
    kind, value, location = error["type"], error["input"], error["loc"]
    _, field = _find(location)
    match kind:
        case "extra_forbidden":
            return _unknown(location, value)
        case "value_error":
            return str(error["ctx"]["error"])
        case "at_key":
            return error["msg"]
    return _field_complaint(error, field, value)


def _field_complaint(error: ErrorDetails, field: FieldInfo | None, value: Any) -> str:
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)] if field else []
    one_of = " or ".join(map(quoted, choices))
    match error["type"]:
        case "missing":
            complaint = f"is missing; add it{': ' + one_of if one_of else ''}"
        case "literal_error":
            near = difflib.get_close_matches(value if isinstance(value, str) else "", choices, n=1)
            advice = f"did you mean {quoted(near[0])}?" if near else "choose one of them"
            complaint = f"must be {one_of}, not {_shown(value)}; {advice}"
        case "greater_than_equal" | "less_than_equal" as kind:
            size = "small" if kind == "greater_than_equal" else "large"
            unit = _UNITS.get(str(error["loc"][-1]).rpartition("_")[2], "")
            complaint = f"{_shown(value)} is too {size}; choose {allowed_range(field)}{unit}"
        case "multiple_of":
            _, most = _bounds(field)
            near = [number for number in (value - 1, value + 1) if most is None or number <= most]
            near_by = " or ".join(map(_shown, near))
            complaint = f"must be an even number, not {_shown(value)}; choose {near_by}"
        case "string_pattern_mismatch" | "string_too_long":
            complaint = f"{_shown(value)} cannot be used; write {field.description if field else ''}"
        case kind:
            wanted, advice, in_quotes = _WANTED.get(kind, _WANTED["string_type"])
            if isinstance(value, str) and in_quotes.fullmatch(value):
                advice = "remove the quotes"
            complaint = f"must be {wanted}, not {_shown(value)}; {advice}"
    return complaint


# By pydantic's name: what the value must be, how to write it, which texts only need no quotes.
_NEVER = re.compile(r"(?!)")
_WANTED = {
    "int_type": ("a whole number", "write it in digits alone", re.compile(r"[+-]?\d+")),
    "float_type": ("a number", "write it as 12 or 0.5", re.compile(r"[+-]?\d+(\.\d+)?")),
    "finite_number": ("a finite number", "write it as 12 or 0.5", _NEVER),
    "bool_type": (
        "true or false",
        "write one of the two, without quotes",
        re.compile("true|false"),
    ),
    "string_type": ("a text", "put it in double quotes", _NEVER),
    "list_type": (
        "a list",
        "write [[zones]] above each zone, [[masks]] above each mask, and points as [[x, y], …]",
        _NEVER,
    ),
    "tuple_type": ("a point", "write [x, y]", _NEVER),
    "model_type": ("a table", "write its name in [ ] on a line alone, its keys below", _NEVER),
}


def _unknown(location: Location, value: object) -> str:
    key, (table, _) = str(location[-1]), _find(location)
    what = "unknown table" if isinstance(value, dict) else "unknown key"
    if location == ("mqtt", "password"):
        return (
            "a password must not be in this file; put it into a file of its own that only the "
            "daemon can read (systemd: LoadCredential=) and name that in password_file"
        )
    near = difflib.get_close_matches(key, table.model_fields, n=1)
    if near:
        return f"{what}; did you mean {near[0]}?"
    homes = [path for path, name in _all_keys(Config, "") if name == key and path]
    if homes:
        return f"{what}; it belongs in {' or '.join(f'[{home}]' for home in homes)}"
    return f"{what}; known here: {', '.join(table.model_fields)}"


def _all_keys(table: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in table.model_fields.items():
        yield prefix, name
        inner = _table_of(field)
        if inner:
            yield from _all_keys(inner, f"{prefix}.{name}".removeprefix("."))


def _table_of(field: FieldInfo) -> type[BaseModel] | None:
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Table):
            return candidate
    return None


def _find(location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the table of the location's last key, and the key's field if known."""
    table: type[BaseModel] = Config
    field: FieldInfo | None = None
    for part in location:
        if isinstance(part, int):
            continue
        inner = _table_of(field) if field else None
        table = inner or table
        field = table.model_fields.get(part)
    return table, field


def allowed_range(field: FieldInfo | None) -> str:
    """Return a field's bounds in words, such as "1 to 500"; empty if it has none."""
    least, most = _bounds(field)
    return "" if least is None or most is None else f"{number_text(least)} to {number_text(most)}"


def _bounds(field: FieldInfo | None) -> tuple[float | None, float | None]:
    bounds = field.metadata if field else []
    least = next((bound.ge for bound in bounds if hasattr(bound, "ge")), None)
    most = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
    return least, most


_UNITS = {
    "ms": " milliseconds",
    "s": " seconds",
    "px": " pixels",
    "kbps": " kbit/s",
    "bytes": " bytes",
    "days": " days",
}


def _shown(value: object) -> str:
    """Return a value of the file in a few words; long texts, lists and tables are not repeated."""
    shown = "a date or time"
    match value:
        case bool():
            shown = "true" if value else "false"
        case int() if value.bit_length() > 64:  # what TOML promises
            shown = "a number beyond all bounds"
        case int() | float():
            shown = number_text(value)
        case str() if "@" in value or without_urls(value) != value:
            shown = "a text that may hold a password"
        case str():
            shown = f"the text {quoted(value if len(value) <= 40 else value[:40] + '…')}"
        case list():
            shown = "a list"
        case dict():
            shown = "a table"
    return shown
