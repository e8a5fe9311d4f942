"""What `doorbell` may ask of the house over the socket: each command, and who answers it."""

import os
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

from device.errors import CommandError
from device.events import ClipAsked, Pressed, StatusAsked
from device.house import House
from device.hw.button import SimulatedButton
from device.store.index import ClipRow, Index
from device.store.journal import JournalReader
from device.store.orders import DeleteClip, KeeperOrder, StarClip

ANSWER_S = 5.0
MOST_ROWS = 1000

Reply = Callable[[dict[str, Any]], None]


def commands(house: House) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Return the commands by name. Each runs on its client's thread and asks the desk by a fact."""
    index_path, log_path = house.layout.index, house.layout.journal
    clips_dir = house.layout.clips

    def ring(_: dict[str, Any]) -> dict[str, Any]:
        def press(reply: Reply) -> None:
            if isinstance(house.button, SimulatedButton):
                if not house.button.press("command", reply):
                    raise CommandError("the button was pressed this very moment; that was one press")
            else:
                name = house.config.button.name
                now_us = house.clock.mono_us()
                house.inbox(Pressed(mono_us=now_us, button=name, source="command", reply=reply))

        return _ask(press)

    def status(_: dict[str, Any]) -> dict[str, Any]:
        answer = _ask(lambda reply: house.inbox(StatusAsked(reply=reply)))
        return {"pid": os.getpid(), **answer, "camera_drops": house.watch.mailbox.dropped}

    def record(_: dict[str, Any]) -> dict[str, Any]:
        now_us = house.clock.mono_us()
        answer = _ask(lambda reply: house.inbox(ClipAsked(mono_us=now_us, reply=reply)))
        if answer["refused"]:
            raise CommandError(answer["refused"])
        return answer

    def clips(_: dict[str, Any]) -> list[dict[str, Any]]:
        return [row.public(clips_dir) for row in reversed(_read_index(lambda i: i.newest_first(MOST_ROWS)))]

    def clip(request: dict[str, Any]) -> dict[str, Any]:
        clip_id = _clip_id(request)
        row: ClipRow | None = _read_index(lambda index: index.find(clip_id))
        if row is None:
            raise CommandError(f"there is no clip {clip_id}; `doorbell clips list` shows them")
        return row.public(clips_dir)

    def _read_index(question: Callable[[Index], Any]) -> Any:
        try:
            index = Index(index_path, read_only=True)
            try:
                return question(index)
            finally:
                index.close()
        except sqlite3.Error as error:
            raise CommandError(f"the index cannot be read yet: {error}; try again") from error

    def star(request: dict[str, Any]) -> dict[str, Any]:
        on = bool(request.get("on", True))
        return _ask_keeper(lambda reply: StarClip(clip_id=_clip_id(request), on=on, reply=reply))

    def delete(request: dict[str, Any]) -> dict[str, Any]:
        return _ask_keeper(lambda reply: DeleteClip(clip_id=_clip_id(request), reply=reply))

    def _ask_keeper(order: Callable[[Reply], KeeperOrder]) -> dict[str, Any]:
        answer = _ask(lambda reply: house.keeper_orders.put(order(reply)))
        if "error" in answer:
            raise CommandError(answer["error"])
        return answer

    def log(_: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            reader = JournalReader(log_path)
            try:
                return [row.payload for row in reader.latest(MOST_ROWS)]
            finally:
                reader.close()
        except sqlite3.Error as error:
            raise CommandError(f"the log cannot be read yet: {error}; try again") from error

    return {
        "ring": ring,
        "status": status,
        "record": record,
        "clips": clips,
        "clip": clip,
        "star": star,
        "delete": delete,
        "log": log,
    }


def _clip_id(request: dict[str, Any]) -> str:
    return str(request.get("id")).encode(errors="replace").decode()  # JSON may bring half a letter


def _ask(question: Callable[[Reply], None]) -> dict[str, Any]:
    """Ask the desk and wait for its reply on this client's thread."""
    answered = threading.Event()
    answer: dict[str, Any] = {}

    def reply(values: dict[str, Any]) -> None:
        answer.update(values)
        answered.set()

    question(reply)
    if not answered.wait(ANSWER_S):
        raise CommandError("the house did not answer within 5 s; see its log")
    return answer
