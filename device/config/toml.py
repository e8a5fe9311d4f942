"""TOML where tomllib stops: explain a syntax error, find the line of a key, quote a value in a message.

The product never writes TOML: the owner's file stays as it is, and changes of the page are kept beside it.
"""

import re
import tomllib
from pathlib import Path

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key_text(key: str) -> str:
    """Return a key as TOML writes it, in quotes if need be."""
    return key if _BARE.fullmatch(key) else quoted(key)


def quoted(text: str) -> str:
    """Return a TOML basic string on one line, whatever is in it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = f"{ord(character):08x}"
    return f"\\u{code[4:]}" if code.startswith("0000") else f"\\U{code}"


def number_text(number: float) -> str:
    """Return a number as TOML writes it, long ones with _ between."""
    if isinstance(number, int):
        return f"{number:_}" if len(str(number)) > 5 else str(number)
    return f"{number:g}"


_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")
# What tomllib says, and what most often helps.
_SYNTAX_ADVICE = (
    ("Cannot overwrite a value", "this key is in its table twice; keep one"),
    ("twice", "put all keys of a table below one header; [[zones]] and [[masks]] alone may be repeated"),
    ("Invalid value", "put text in double quotes, write true and false small, a number as 0.5"),
    ("Expected '='", "write KEY = VALUE, one on a line"),
    ("Invalid statement", "write KEY = VALUE or [TABLE], one on a line; a comment begins with #"),
    ("Illegal character", "close the text with the quote it began with, on the same line"),
    ("Unterminated string", "close the text with the quote it began with"),
    ("Unclosed array", "close the list with ], and put a comma between its values"),
    ("table", "write [TABLE] alone on its line"),
    ("Expected newline", "put one KEY = VALUE on a line, and text with spaces in double quotes"),
    ("Exceeds the limit", "write no number that long"),
    ("Unescaped '\\'", "write two \\\\ for one"),
)


def syntax_mistake(error: Exception, text: str, path: Path) -> str:
    """Return the message about a file that is not TOML."""
    if isinstance(error, RecursionError):
        return f"{path}: brackets within brackets, too deep to read; take some away"
    message = str(error)
    match = _PLACE.search(message)
    where = ""
    if match:
        line, column = match.groups()
        where = f", line {line}, column {column}" if line else f", line {len(text.splitlines())}"
    reason = _PLACE.sub("", message).strip()
    advice = next((m for part, m in _SYNTAX_ADVICE if part in message), "compare it with the reference")
    return f"{path}{where}: is not TOML ({reason}); {advice}"


Location = tuple[str | int, ...]
_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_PART = re.compile(_KEY)
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")


def line_numbers(text: str) -> dict[Location, int]:
    """Return the line of each table and key, as far as single lines show it."""
    lines: dict[Location, int] = {}
    table: Location = ()
    counts: dict[Location, int] = {}
    in_text = False
    for number, line in enumerate(text.split("\n"), 1):
        header, assignment = _HEADER.fullmatch(line.rstrip("\r")), _ASSIGNMENT.match(line)
        if in_text:
            pass
        elif header:
            table = _parts(header[2])
            if header[1] == "[[":
                index = counts[table] = counts.get(table, -1) + 1
                lines.setdefault(table, number)
                table = (*table, index)
            lines.setdefault(table, number)
        elif assignment:
            key = (*table, *_parts(assignment[1]))
            for end in range(len(table) + 1, len(key) + 1):
                lines.setdefault(key[:end], number)
        in_text ^= bool((line.count('"""') + line.count("'''")) % 2)
    return lines


def _parts(dotted: str) -> Location:
    return tuple(_unquoted(part) for part in _PART.findall(dotted))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return next(iter(tomllib.loads(f"{part} = 0")))
    except tomllib.TOMLDecodeError:
        return part
