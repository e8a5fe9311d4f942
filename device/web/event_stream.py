"""Sends the rows of the log to every open page, as they are written."""

import asyncio  # egress: page
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

MAX_UNSENT = 200
HEARTBEAT_S = 2.0
"""After this long without a row a heartbeat is sent: the page says "not connected" after 5 s of silence."""
MAX_LISTENERS = 32


class Events:
    """Passes log rows from the controller's thread to the loop's listeners. `tell` only enqueues."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[asyncio.Queue[str]] = set()

    def begin(self) -> None:
        """Use the running loop for the listeners."""
        self._loop = asyncio.get_running_loop()

    def tell(self, fact: Mapping[str, object]) -> None:
        """Send a row to every open page."""
        if self._loop is not None and self._listeners:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._spread, fact)

    def _spread(self, fact: Mapping[str, object]) -> None:
        text = json.dumps(dict(fact))
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()  # a slow listener loses the oldest; the timeline has it
            queue.put_nowait(text)

    async def serve(self, socket: Any, session_valid: Callable[[], bool]) -> None:
        """Send rows to one page's WebSocket until it closes or the session ends; "{}" is a heartbeat."""
        if len(self._listeners) >= MAX_LISTENERS:
            return
        queue: asyncio.Queue[str] = asyncio.Queue(MAX_UNSENT)
        self._listeners.add(queue)
        gone = asyncio.ensure_future(_until_gone(socket))
        try:
            await socket.send_text("{}")
            while session_valid() and not gone.done():
                try:
                    text = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    text = "{}"
                await socket.send_text(text)
        finally:
            gone.cancel()
            self._listeners.discard(queue)


async def _until_gone(socket: Any) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
