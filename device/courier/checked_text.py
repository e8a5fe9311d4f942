"""Texts from outside, by pattern."""

import re
from typing import Any


def matching(pattern: re.Pattern[str], text: Any) -> str:
    """Return `text` if all of it matches. Raises ValueError."""
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError(f"{str(text)[:60]!r} does not match {pattern.pattern}")
    return text
