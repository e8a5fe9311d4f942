"""Answers the web API (`device.web.backend.Backend`), which the page and `doorbell` use.

Every method runs on a thread of the web server that may wait, and raises CommandError.
"""

import os
import queue
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from device.daemon.clip_access import ClipAccess
from device.daemon.isolation_check import IsolationCheck
from device.daemon.settings_api import SettingsApi, read_log
from device.daemon.wiring import Daemon
from device.errors import CameraError, CommandError
from device.events import ClipAsked, Pressed, SettingAsked, StatusAsked
from device.hw.button import SimulatedButton
from device.media.mask_history import digest_of
from device.store.event_log import EventLogReader, LogRow
from device.store.files import is_whole_jpeg
from device.store.index import ClipRow
from device.store.messages import (
    DeleteClip,
    DeletePictures,
    MakeThumbnail,
    StarClip,
    StorageMessage,
    WriteFile,
)
from device.store.timeline_query import MAX_DAYS, Kind, busy_quarters, visit_json, visits_json
from device.system.clock import stamp
from device.web.models import (
    ClipResponse,
    ClipSummary,
    IsolationResponse,
    LinkStatus,
    LogEntry,
    QueueStatus,
    RecordResponse,
    RingResponse,
    StatusResponse,
    UndoResponse,
)
from device.web.zip_stream import zipped

if TYPE_CHECKING:
    from device.consent.offer import Corners
    from device.consent_service.readers import Readers
    from device.consent_service.service import ConsentService

ANSWER_S = 5.0
MAX_ROWS = 1000
SMALL_PX = 240

T = TypeVar("T")
Reply = Callable[[Any], None]
"""Takes the answer of another thread, which a model checks."""


class ApiBackend:
    """Asks the controller by a fact, the storage worker by a message; reads the disk through its own connections."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._layout = daemon.layout
        self._storage_messages = daemon.storage_messages
        self.footage = ClipAccess(daemon)
        self.settings = SettingsApi(daemon, self.footage, self.save)

    # --- the controller -----------------------------------------------------------------------------------

    def ring(self) -> RingResponse:
        """Ring as if the button had been pressed."""
        daemon = self._daemon

        def press(reply: Reply) -> None:
            if isinstance(daemon.button, SimulatedButton):
                if not daemon.button.press("command", reply):
                    raise CommandError(
                        "the button was pressed this very moment; that was one press", code="press_repeated"
                    )
            else:
                name = daemon.config.button.name
                at = stamp(daemon.clock)
                daemon.inbox(Pressed(at=at, button=name, source="command", reply=reply))

        return RingResponse.model_validate(_ask(press))

    def status(self) -> StatusResponse:
        """Return the state of the doorbell."""
        answer = _ask(lambda reply: self._daemon.inbox(StatusAsked(reply=reply)))
        daemon = self._daemon
        waiting = QueueStatus(
            controller=daemon.controller.inbox.qsize(), storage=daemon.storage_messages.qsize()
        )
        drops = daemon.motion_worker.latest_frame.dropped
        links = [LinkStatus(name=link.name, url=link.url) for link in daemon.config.doorbells]
        return StatusResponse(pid=os.getpid(), **answer, camera_drops=drops, waiting=waiting, doorbells=links)

    def record(self) -> RecordResponse:
        """Record a clip now."""
        now_us = self._daemon.clock.mono_us()
        answer = _ask(lambda reply: self._daemon.inbox(ClipAsked(mono_us=now_us, reply=reply)))
        if answer["refused"]:
            reason, text = answer["refused"]
            raise CommandError(text, code="private" if reason == "privacy" else reason)
        return RecordResponse(joined=answer["joined"], event_id=answer["event_id"])

    def switch(self, name: str, payload: str) -> None:
        """Change a switch."""
        clock = self._daemon.clock
        answer = _ask(
            lambda reply: self._daemon.inbox(
                SettingAsked(
                    mono_us=clock.mono_us(), name=name, payload=payload, origin="command", reply=reply
                )
            )
        )
        _check(answer)

    # --- clips and log ----------------------------------------------------------------------------------

    def clips(self, from_wall_us: int | None, until_wall_us: int | None) -> list[ClipSummary]:
        """Return the clips of a span of Unix microseconds, or the newest thousand."""
        if from_wall_us is not None and until_wall_us is not None:
            rows = self.footage.ask(lambda index: index.between(from_wall_us, until_wall_us))
        else:
            rows = self.footage.ask(lambda index: index.newest_first(MAX_ROWS))[::-1]
        return [ClipSummary.model_validate(row.public(self._layout.clips)) for row in rows]

    def clip(self, clip_id: str) -> ClipResponse:
        """Return one clip, and its masks."""
        row = self._row(clip_id)
        recorded = self.footage.recorded_masks(row)
        return ClipResponse(
            **row.public(self._layout.clips),
            masks=self.footage.missing_masks(row),
            masks_recorded=recorded.held,
            masks_in_picture=recorded.drawn,
        )

    def star(self, clip_id: str, *, on: bool) -> None:
        """Set or remove the owner's star."""
        self._ask_storage_worker(lambda reply: StarClip(clip_id=clip_id, on=on, reply=reply))

    def delete(self, clip_id: str) -> None:
        """Delete a clip."""
        self._ask_storage_worker(lambda reply: DeleteClip(clip_id=clip_id, reply=reply))

    def log(self) -> list[LogEntry]:
        """Return the newest rows of the log."""
        return _entries(self._read_log(lambda reader: reader.latest(MAX_ROWS)))

    def event(self, part: str) -> list[LogEntry]:
        """Return the log of one visit, by the beginning or the end of its event id; `last`: with motion."""
        if part == "last":
            latest = self._read_log(lambda reader: reader.latest(MAX_ROWS))
            part = next(
                (str(r.payload["event_id"]) for r in reversed(latest) if r.payload["kind"] == "motion_ended"),
                "",
            )
            if not part:
                raise CommandError("there was no motion yet, or the first visit goes on", code="no_motion")
        rows = self._read_log(lambda reader: reader.of_event(part, MAX_ROWS))
        found = sorted({row.payload["event_id"] for row in rows})
        if len(found) != 1:
            count = f"{len(found)} events begin or end with {part}" if found else f"there is no event {part}"
            raise CommandError(f"{count}; `doorbell log` shows them", code="no_event", id=part)
        return _entries(rows)

    # --- pictures -------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return what the camera sees now, masked."""
        try:
            return self._daemon.pictures.snapshot()
        except CameraError as error:
            raise CommandError(str(error), code="no_picture") from error

    def thumbnail(self, clip_id: str) -> Path | None:
        """Return a clip's thumbnail; if there is none, have it made and return None."""
        row = self._row(clip_id)
        path = self._layout.thumbnail(row.clip_id)
        if is_whole_jpeg(path, digest_of(self.footage.all_masks(row))):
            return path
        self._storage_messages.put(MakeThumbnail(clip_id=row.clip_id))
        return None

    def press_picture(self, event_id: str, press_number: int, *, small: bool = False) -> bytes | None:
        """Return the picture of the moment of a press, masked, or None."""
        from device.media.jpeg import smaller  # loads OpenCV

        jpeg = self.footage.press_picture(event_id, press_number)
        return smaller(jpeg, SMALL_PX) if small and jpeg else jpeg

    def delete_press_pictures(self, event_id: str) -> None:
        """Delete the press pictures of a visit."""
        self._ask_storage_worker(lambda reply: DeletePictures(event_id=event_id, reply=reply))

    def video(self, clip_id: str) -> Path:
        """Return a clip's file; if it needs masks, a masked copy, which is made now."""
        return self.footage.to_leave(self._row(clip_id))

    def picture(self, clip_id: str, at_us: int, blurs: "Sequence[Corners]" = ()) -> bytes:
        """Return what a clip shows at a time, masked and blurred, as JPEG."""
        return self.footage.picture(self._row(clip_id), at_us, blurs)

    # --- consent --------------------------------------------------------------------------------------

    @property
    def consent(self) -> "ConsentService":
        """Requests, notices, senders, backups and the ledger."""
        consent_service = self._daemon.consent_service
        if consent_service is None:
            raise CommandError("the doorbell is starting; try again", code="starting")
        return consent_service

    @property
    def readers(self) -> "Readers":
        """Clients of the home network that may read pictures."""
        return self.consent.readers

    def check_isolation(self) -> IsolationResponse:
        """Try to cross the isolation between the two processes, from both sides."""
        return IsolationResponse.model_validate(IsolationCheck(self._daemon).tried())

    def home_position(self) -> tuple[float, float] | None:
        """Return the home's longitude and latitude, if they are configured."""
        neighbourhood = self._daemon.config.neighbourhood
        return (neighbourhood.longitude, neighbourhood.latitude) if neighbourhood.enabled else None

    # --- visits ---------------------------------------------------------------------------------------

    def visits(self, from_wall_us: int, until_wall_us: int, kind: Kind, most: int) -> str:
        """Return the rings and visits of a span of Unix microseconds, as a VisitTable in JSON."""
        return self._ask_both(
            lambda log, index: visits_json(log, index, from_wall_us, until_wall_us, kind=kind, most=most)
        )

    def visit(self, event_id: str) -> str:
        """Return the clips and pictures of a visit, as a VisitResponse in JSON."""
        return self._ask_both(lambda log, index: visit_json(log, index, event_id))

    def archive(self, from_wall_us: int, until_wall_us: int) -> Iterator[bytes]:
        """Return a ZIP archive of the clips and press pictures of a span, made while it is read."""
        return zipped(self.footage.members(from_wall_us, until_wall_us))

    def busy_quarters(self, from_wall_us: int, until_wall_us: int) -> list[tuple[int, int, int]]:
        """Return (Unix s of its begin, visits, 1 with a ring) of each quarter of an hour that had a visit."""
        until_us = min(until_wall_us, from_wall_us + MAX_DAYS * 86_400_000_000)
        return self._ask_both(lambda log, index: busy_quarters(log, index, from_wall_us, until_us))

    def _ask_both(self, question: Callable[[Path, Path], T]) -> T:
        try:
            return question(self._layout.event_log, self._layout.index)
        except sqlite3.Error as error:
            raise CommandError(
                f"the log and the index cannot be read yet: {error}; try again", code="not_readable_yet"
            ) from error

    # --- settings -------------------------------------------------------------------------------------

    def keep_limits(self) -> UndoResponse:
        """Keep the storage limits in force instead of those that wait for their hour."""
        waiting = self.status().storage.waiting
        if not waiting:
            raise CommandError(
                "no limit waits; those that are configured hold already", code="no_limit_waits"
            )
        return self.settings.keep_limits({limit.key: limit.in_force for limit in waiting})

    def save(self, name: str, content: bytes) -> None:
        """Write a small file of the state directory durably; only the daemon may read it."""
        self._ask_storage_worker(
            lambda reply: WriteFile(name=name, content=content, private=True, reply=reply)
        )

    def _row(self, clip_id: str) -> ClipRow:
        row: ClipRow | None = self.footage.ask(lambda index: index.find(clip_id))
        if row is None:
            raise CommandError(
                f"there is no clip {clip_id}; `doorbell clips list` shows them", code="no_clip", id=clip_id
            )
        return row

    def _read_log(self, question: Callable[[EventLogReader], list[LogRow]]) -> list[LogRow]:
        return read_log(self._layout.event_log, question)

    def _ask_storage_worker(self, message: Callable[[Reply], StorageMessage]) -> None:
        _check(_ask(lambda reply: self._storage_messages.put(message(reply))))


def _entries(rows: Sequence[LogRow]) -> list[LogEntry]:
    return [LogEntry.model_validate(row.payload) for row in rows]


def _check(answer: Mapping[str, Any]) -> None:
    if "error" in answer:
        raise CommandError(answer["error"], code=answer["code"], **answer.get("params", {}))


def _ask(question: Callable[[Reply], None]) -> Any:
    """Ask another thread, and wait for its reply on this one."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    question(answers.put)
    try:
        return answers.get(timeout=ANSWER_S)
    except queue.Empty:
        raise CommandError(
            f"the doorbell did not answer within {ANSWER_S:g} s; see its log",
            code="no_answer",
            wait_s=ANSWER_S,
        ) from None
