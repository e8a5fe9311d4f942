"""Turns FFmpeg's errors into OSError and ValueError."""

from collections.abc import Iterator
from contextlib import contextmanager

import av


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise FFmpeg's errors as OSError or ValueError; only some of them are that already."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise error if isinstance(error, (OSError, ValueError)) else ValueError(str(error)) from error
