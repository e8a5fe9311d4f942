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
from device.store.journal import JournalReader, LogRow
from device.store.orders import DeleteClip, KeeperOrder, StarClip

ANSWER_S = 5.0
MOST_ROWS = 1000

Request = dict[str, Any]
Reply = Callable[[dict[str, Any]], None]


def commands(house: House) -> dict[str, Callable[[Request], Any]]:
    """Return the commands by name. Each runs on its client's thread, and raises CommandError."""
    asked, kept = _AskedOfTheDesk(house), _Kept(house)
    return {
        "ring": asked.ring,
        "status": asked.status,
        "record": asked.record,
        "clips": kept.clips,
        "clip": kept.clip,
        "star": kept.star,
        "delete": kept.delete,
        "log": kept.log,
        "event": kept.event,
    }


class _AskedOfTheDesk:
    """The desk answers these; it is told by a fact in its inbox."""

    def __init__(self, house: House) -> None:
        self._house = house

    def ring(self, _: Request) -> dict[str, Any]:
        house = self._house

        def press(reply: Reply) -> None:
            if isinstance(house.button, SimulatedButton):
                if not house.button.press("command", reply):
                    raise CommandError("the button was pressed this very moment; that was one press")
            else:
                name = house.config.button.name
                now_us = house.clock.mono_us()
                house.inbox(Pressed(mono_us=now_us, button=name, source="command", reply=reply))

        return _ask(press)

    def status(self, _: Request) -> dict[str, Any]:
        answer = _ask(lambda reply: self._house.inbox(StatusAsked(reply=reply)))
        house = self._house
        waiting = {"desk": house.desk.inbox.qsize(), "keeper": house.keeper_orders.qsize()}
        return {
            "pid": os.getpid(),
            **answer,
            "camera_drops": house.watch.mailbox.dropped,
            "waiting": waiting,
        }

    def record(self, _: Request) -> dict[str, Any]:
        now_us = self._house.clock.mono_us()
        answer = _ask(lambda reply: self._house.inbox(ClipAsked(mono_us=now_us, reply=reply)))
        if answer["refused"]:
            raise CommandError(answer["refused"])
        return answer


class _Kept:
    """What is on the disk: read here through connections of our own, changed by the keeper alone."""

    def __init__(self, house: House) -> None:
        self._config = house.config
        self._layout = house.layout
        self._orders = house.keeper_orders

    def clips(self, request: Request) -> list[dict[str, Any]]:
        from_us, until_us = request.get("from_wall_us"), request.get("until_wall_us")
        if isinstance(from_us, int) and isinstance(until_us, int):
            rows = self._read(lambda index: index.between(from_us, until_us))
        else:
            rows = reversed(self._read(lambda index: index.newest_first(MOST_ROWS)))
        return [row.public(self._layout.clips) for row in rows]

    def clip(self, request: Request) -> dict[str, Any]:
        clip_id = _asked_id(request)
        row: ClipRow | None = self._read(lambda index: index.find(clip_id))
        if row is None:
            raise CommandError(f"there is no clip {clip_id}; `doorbell clips list` shows them")
        covered = self._config.camera.kind == "scene" or self._config.clips.masked_by == "camera"
        masks = [] if covered else [mask.points for mask in self._config.masks]
        return {**row.public(self._layout.clips), "masks": masks}

    def star(self, request: Request) -> dict[str, Any]:
        on = bool(request.get("on", True))
        return self._ask_keeper(lambda reply: StarClip(clip_id=_asked_id(request), on=on, reply=reply))

    def delete(self, request: Request) -> dict[str, Any]:
        return self._ask_keeper(lambda reply: DeleteClip(clip_id=_asked_id(request), reply=reply))

    def log(self, _: Request) -> list[dict[str, Any]]:
        return [row.payload for row in self._read_log(lambda reader: reader.latest(MOST_ROWS))]

    def event(self, request: Request) -> list[dict[str, Any]]:
        part = _asked_id(request)
        if part == "last":
            latest = self._read_log(lambda reader: reader.latest(MOST_ROWS))
            part = next(
                (str(r.payload["event_id"]) for r in reversed(latest) if r.payload["kind"] == "motion_ended"),
                "",
            )
            if not part:
                raise CommandError("there was no motion yet, or the first visit goes on")
        rows = self._read_log(lambda reader: reader.of_event(part, MOST_ROWS))
        found = sorted({row.payload["event_id"] for row in rows})
        if len(found) != 1:
            told = f"{len(found)} events begin or end with {part}" if found else f"there is no event {part}"
            raise CommandError(f"{told}; `doorbell log` shows them")
        return [row.payload for row in rows]

    def _read_log(self, question: Callable[[JournalReader], list[LogRow]]) -> list[LogRow]:
        try:
            reader = JournalReader(self._layout.journal)
            try:
                return question(reader)
            finally:
                reader.close()
        except sqlite3.Error as error:
            raise CommandError(f"the log cannot be read yet: {error}; try again") from error

    def _ask_keeper(self, order: Callable[[Reply], KeeperOrder]) -> dict[str, Any]:
        answer = _ask(lambda reply: self._orders.put(order(reply)))
        if "error" in answer:
            raise CommandError(answer["error"])
        return answer

    def _read(self, question: Callable[[Index], Any]) -> Any:
        try:
            index = Index(self._layout.index, read_only=True)
            try:
                return question(index)
            finally:
                index.close()
        except (sqlite3.Error, OverflowError) as error:
            raise CommandError(f"the index cannot be read yet: {error}; try again") from error


def _asked_id(request: Request) -> str:
    return str(request.get("id")).encode(errors="replace").decode()  # JSON may bring half a letter


def _ask(question: Callable[[Reply], None]) -> dict[str, Any]:
    """Ask and wait for the reply on this client's thread."""
    answered = threading.Event()
    answer: dict[str, Any] = {}

    def reply(values: dict[str, Any]) -> None:
        answer.update(values)
        answered.set()

    question(reply)
    if not answered.wait(ANSWER_S):
        raise CommandError("the house did not answer within 5 s; see its log")
    return answer
