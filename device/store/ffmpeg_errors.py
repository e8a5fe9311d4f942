"""What FFmpeg says of a file, as errors that every caller of a file knows."""

from collections.abc import Iterator
from contextlib import contextmanager

import av


@contextmanager
def plain_errors() -> Iterator[None]:
    """Let FFmpeg's errors pass as OSError or ValueError; some of its kinds are one already, not all."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise error if isinstance(error, (OSError, ValueError)) else ValueError(str(error)) from error
