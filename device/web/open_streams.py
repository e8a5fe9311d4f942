"""Streams that must end the moment their reader may see no more: with the connection, and all that it still holds."""

import asyncio  # egress: page, readers
import contextlib
from collections.abc import Callable, Iterator

Stream = tuple[Callable[[], bool], Callable[[], None]]
"""Whether it may go on; what aborts it."""


class OpenStreams:
    """The open streams of the running loop. `check` may be called from any thread, and only enqueues."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: set[Stream] = set()

    def begin(self) -> None:
        """Use the running loop."""
        self._loop = asyncio.get_running_loop()

    @contextlib.contextmanager
    def watch(self, allowed: Callable[[], bool], abort: Callable[[], None]) -> Iterator[None]:
        """Abort a stream as soon as it is not allowed any more, until the end of the context."""
        stream = (allowed, abort)
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    def check(self) -> None:
        """Abort what is not allowed any more, because a token was revoked."""
        if self._loop is not None and self._streams:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._check)

    def _check(self) -> None:
        for allowed, abort in tuple(self._streams):
            if not allowed():
                abort()
