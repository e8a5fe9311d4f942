"""What happens, told at once to every page that is open: the facts of the log, as they are written."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

MAX_UNSENT = 200
QUIET_S = 1.0
MAX_LISTENERS = 32


class Events:
    """Spreads facts from the controller's thread to the loop's listeners. `tell` only enqueues."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[asyncio.Queue[str]] = set()

    def begin(self) -> None:
        """Take the running loop as the one that listeners live in."""
        self._loop = asyncio.get_running_loop()

    def tell(self, fact: dict[str, Any]) -> None:
        """Tell every page that is open."""
        if self._loop is not None and self._listeners:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._spread, fact)

    def _spread(self, fact: dict[str, Any]) -> None:
        text = json.dumps(fact)
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()  # who does not listen misses the oldest; the timeline has it
            queue.put_nowait(text)

    async def serve(self, socket: Any, session_valid: Callable[[], bool]) -> None:
        """Tell one page over its WebSocket until it leaves or `welcome` ends; "{}" is a sign of life."""
        if len(self._listeners) >= MAX_LISTENERS:
            return
        queue: asyncio.Queue[str] = asyncio.Queue(MAX_UNSENT)
        self._listeners.add(queue)
        gone = asyncio.ensure_future(_until_gone(socket))
        try:
            await socket.send_text("{}")
            silent = 0
            while session_valid() and not gone.done():
                try:
                    text = await asyncio.wait_for(queue.get(), QUIET_S)
                except TimeoutError:
                    silent += 1
                    if silent % 10 == 0:
                        await socket.send_text("{}")
                    continue
                await socket.send_text(text)
        finally:
            gone.cancel()
            self._listeners.discard(queue)


async def _until_gone(socket: Any) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
