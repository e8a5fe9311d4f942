"""The storage worker: the one thread that owns the disk.

It writes packets from the ring buffer into clips, maintains index and event log, enforces the quota, and repairs at
start what a power cut left. It takes messages from a queue; the controller never waits for it.
"""

import logging
import queue
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from device.config import StorageConfig
from device.errors import StoreError
from device.events import (
    ClipDeleted,
    ClipDropped,
    ClipKept,
    ClockFlag,
    DeleteReason,
    DropReason,
    EarlierPress,
    Flushed,
    Inbox,
    RecordingNow,
    StoreReport,
)
from device.media.mask_history import MaskHistory
from device.policy.episode import CloseClip, OpenClip, RaiseCause
from device.store import press_picture_files
from device.store.event_log_writer import EventLogWriter
from device.store.index import ClipRow, PressPictureRow
from device.store.index_recovery import IndexRecovery
from device.store.layout import Layout
from device.store.limits_in_force import LIMITS_FILE, LimitsInForce
from device.store.masked_export import forget_copies
from device.store.messages import (
    DeleteClip,
    DeletePictures,
    Flush,
    HoldStorage,
    KeepPicture,
    MakeThumbnail,
    MarkSent,
    NewFact,
    ReadLog,
    SettlePress,
    StarClip,
    StorageMessage,
    WriteFile,
)
from device.store.reconcile import Repair, adopt, delete, reconcile, row_for
from device.store.recording import Finished, Recording
from device.store.retention import Quota, full_fault
from device.store.ring import RingBuffer
from device.store.thumbnails import Thumbnails
from device.system import board
from device.system.clock import Clock, boot_id, wall_at_us
from device.system.durable_files import write_durably
from device.system.fault_latch import FaultLatch
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 0.5
CLOSING_STEP_S = 0.2
THUMBNAIL_STEP_S = 0.05
"""Messages are handled at once. Packets are taken in batches, which costs a third less."""
REPORT_EVERY_US = 5_000_000
OPEN_AGAIN_US = 10_000_000
LAST_ROWS_US, LAST_ROWS_STEP_S = 300_000, 0.05
STORAGE_REMEDY = "check the free space and the card's health (dmesg); the bell works without it"


def cause(error: BaseException) -> str:
    """Return the system's own words for what went wrong."""
    return getattr(error, "strerror", None) or str(error)


class StorageWorker:
    """Owns clips, index and event log below the state directory."""

    def __init__(
        self,
        *,
        layout: Layout,
        ring: RingBuffer,
        inbox: Inbox,
        clock: Clock,
        storage: StorageConfig,
        messages: "queue.SimpleQueue[StorageMessage]",
        log_grew: Callable[[], None],
        thumbnails: Thumbnails | None = None,
        masks: MaskHistory | None = None,
        forget_picture: Callable[[str, int | None], None] = lambda _event_id, _press_number: None,
    ) -> None:
        """`messages` is the queue; without `thumbnails` none are made. `masks`: see `Recording`.

        `forget_picture` is called when a press picture (None: all of a visit) need not be in memory any more.

        `log_grew` is called (on the storage worker's thread) when the log has rows to send.
        """
        self._layout = layout
        self._ring = ring
        self._inbox = inbox
        self._clock = clock
        self._limits = LimitsInForce(layout.state_dir / LIMITS_FILE, storage, clock=clock, inbox=inbox)
        self._messages = messages
        self._recordings: dict[str, list[Recording]] = {}
        self._faults = FaultLatch(inbox)
        self._boot_id = boot_id()
        self._log = EventLogWriter(
            layout.event_log,
            boot_id=self._boot_id,
            keep_rows=storage.log_rows,
            clock=clock,
            faults=self._faults,
            grew=log_grew,
        )
        self._opened = False
        self._unindexed: list[ClipRow] = []
        self._cut: list[Path] = []
        self._salvage_us = 0
        self._thumbnails = thumbnails
        self._masks = masks
        self._forget_picture = forget_picture
        self._index_recovery = IndexRecovery(layout, clock, replaced=self._forget_thumbnails)
        self._quota = Quota(storage, clock, layout.clips)  # `open` finds what is in force
        self._deleting = False
        self._recording_now: tuple[str, ...] = ()
        self._reported_us = 0

    def run(self, worker: Worker) -> None:
        """Repair, then handle messages until `worker.stopping`; close everything before returning."""
        while not self.open(worker.beat):
            if self._wait_without_storage(worker):
                return
        while not worker.stopping.is_set():
            worker.beat()
            self.step(wait_s=self._rest_s())
        self.close()

    def _rest_s(self) -> float:
        if self._deleting:
            return 0
        if self._thumbnails and not self._recordings:
            return THUMBNAIL_STEP_S
        closing = any(r.until_us is not None for rs in self._recordings.values() for r in rs)
        return CLOSING_STEP_S if closing else STEP_S

    def step(self, *, wait_s: float) -> None:
        """Wait up to `wait_s` seconds for a message, then do the pending work."""
        self._take_messages(wait_s)
        self._guard(self._work)
        self._log.write()

    def close(self) -> None:
        """Close every clip, so that no `.part` stays, and the databases."""
        self._take_messages(wait_s=0)
        self._guard(self._end_all)
        self._salvage_us = 0
        self._guard(self._salvage)
        if self._log.write():
            self._hand_out_last_rows()
        self._limits.close()
        self._index.close()
        self._log.close()

    def _hand_out_last_rows(self) -> None:
        """Answer the publisher's requests for the last rows; it asks as soon as they are reported."""
        until_us = self._clock.mono_us() + LAST_ROWS_US
        while self._take_messages(wait_s=LAST_ROWS_STEP_S) and self._clock.mono_us() < until_us:
            self._log.write()

    def _work(self) -> None:
        self._record()
        self._save([])
        self._salvage()
        self._report(force=False)
        if self._thumbnails and not self._recordings:
            self._thumbnails.make_next(self._index)

    def open(self, beat: Callable[[], None]) -> bool:
        """Open and repair the storage; return whether that worked."""
        try:
            self._layout.make()
            self._limits.open()
            self._enforce_limits()
            self._log.open()
            self._index = self._index_recovery.open()
            try:
                self._repair(beat)
            except BaseException:
                self._index.close()
                raise
        except (OSError, sqlite3.Error) as error:
            text = f"nothing can be recorded: {error}"
            self._faults.begin("storage_failed", text, STORAGE_REMEDY, detail=cause(error))
            return False
        self._faults.end("storage_failed")
        if not self._opened and (pressed_us := self._log.last_press_wall_us()) is not None:
            self._inbox(EarlierPress(wall_us=pressed_us))
        self._opened = True
        return True

    def _repair(self, beat: Callable[[], None], growing: Sequence[Path] = ()) -> None:
        """Make rows and files agree, except for the `growing` files, and report what was done."""
        layout = self._layout
        for repair in reconcile(self._index, layout.clips, layout.quarantine, growing=growing):
            beat()
            self._report_repair(repair)
        for repair in press_picture_files.reconcile_pictures(
            self._index, layout.press_pictures, layout.quarantine
        ):
            self._report_repair(repair)
        self._index_recovery.restore_stars(self._index)
        self._report(force=True)

    def _wait_without_storage(self, worker: Worker) -> bool:
        """Take messages that cannot be carried out, for some seconds; return whether to stop."""
        until_us = self._clock.mono_us() + OPEN_AGAIN_US
        while self._clock.mono_us() < until_us and not worker.stopping.is_set():
            worker.beat()
            self._take_messages(wait_s=STEP_S)
            for event_id in self._recordings:
                self._dropped(event_id, "storage_failed", "the storage cannot be used")
            self._recordings.clear()
        return worker.stopping.is_set()

    # --- messages ---------------------------------------------------------------------------------

    def _take_messages(self, wait_s: float) -> bool:
        """Wait up to `wait_s` seconds for a message, handle all that are there, return whether there was one."""
        handled = False
        try:
            message = self._messages.get(timeout=wait_s) if wait_s else self._messages.get_nowait()
            while True:
                handled = True
                self._handle(message)
                message = self._messages.get_nowait()
        except queue.Empty:
            return handled

    def _handle(self, message: StorageMessage) -> None:
        match message:
            case OpenClip():
                recording = Recording(
                    event_id=message.event_id,
                    cause=message.cause,
                    from_us=message.from_us,
                    ring=self._ring,
                    folder=self._layout.clips,
                    stamp=self._stamp,
                    masks=self._masks,
                )
                self._recordings.setdefault(message.event_id, []).append(recording)
            case RaiseCause():
                for recording in self._recordings.get(message.event_id, []):
                    recording.raise_cause(message.cause)
            case CloseClip():
                for recording in self._recordings.get(message.event_id, []):
                    if recording.until_us is None:
                        recording.until_us = message.until_us
            case NewFact() | SettlePress() | MarkSent() | ReadLog():
                self._log.handle(message)
            case Flush():
                self._guard(self._end_all)
                self._inbox(Flushed())
            case StarClip() | DeleteClip():
                message.reply(self._star_or_delete(message))
            case DeletePictures():
                message.reply(self._delete_pictures_of(message.event_id))
            case KeepPicture():
                self._guard(lambda: self._keep_picture(message))
            case HoldStorage():
                self._limits.configure(message.storage)
                if self._opened:
                    self._enforce_limits()
                    self._report(force=True)
                message.reply({})
            case MakeThumbnail():
                if self._thumbnails is not None:
                    self._thumbnails.wish(message.clip_id)
            case WriteFile():
                self._write_file(message)

    def _stamp(self, mono_us: int) -> tuple[int, ClockFlag]:
        return wall_at_us(self._clock, mono_us), self._clock.flag()

    # --- clips ----------------------------------------------------------------------------------

    def _record(self) -> None:
        now_us = self._clock.mono_us()
        for event_id, recordings in list(self._recordings.items()):
            for recording in list(recordings):
                missed = recording.missed_packets
                try:
                    finished, over = recording.take(now_us)
                except StoreError as error:
                    self._fail(recording, error)
                    finished, over = [], False
                self._save(finished)
                if recording.missed_packets > missed:
                    self._missed(event_id, recording.missed_packets - missed)
                if over:
                    recordings.remove(recording)
                    self._ended(recording)
            if not recordings:
                del self._recordings[event_id]
        self._report_recording()
        self._hold_quota()

    def _report_recording(self) -> None:
        """Report which visits have a growing clip, if that has changed."""
        now = tuple(event for event, found in self._recordings.items() if any(r.part_path for r in found))
        if now != self._recording_now:
            self._recording_now = now
            self._inbox(RecordingNow(event_ids=now))

    def _end_all(self) -> None:
        for recording in [r for rs in self._recordings.values() for r in rs]:
            try:
                finished, _ = recording.take(self._clock.mono_us())
                self._save(finished + recording.finish())
                self._ended(recording)
            except StoreError as error:
                self._fail(recording, error)
        self._recordings.clear()
        self._report_recording()

    def _save(self, finished: list[Finished]) -> None:
        for clip in finished:
            row = row_for(
                clip.name,
                clip.path,
                duration_us=clip.duration_us,
                sha256=clip.sha256,
                boot_id=self._boot_id,
                started_mono_us=clip.started_us,
                lost_packets=clip.lost_packets,
            )
            log.info(
                "clip_kept id=%s cause=%s seconds=%.1f bytes=%d written_bytes=%d",
                row.clip_id, row.cause, row.duration_us / 1e6, row.size_bytes, clip.written_bytes,
            )  # fmt: skip
            self._unindexed.append(row)
            self._faults.end("storage_failed")
        # A row that cannot be written is tried again at each step, and its clip is reported only then; after a
        # power cut in between the next start adopts the file.
        while self._unindexed:
            self._index.add(self._unindexed[0])
            row = self._unindexed.pop(0)
            if self._thumbnails is not None:
                self._thumbnails.wish(row.clip_id)
            self._report_kept(row, adopted=False)
        if finished:
            self._report(force=True)

    def _salvage(self) -> None:
        """Adopt what failed recordings left, once nothing has failed for some seconds."""
        if not self._cut or self._clock.mono_us() < self._salvage_us:
            return
        self._salvage_us = (
            self._clock.mono_us() + OPEN_AGAIN_US
        )  # for the next attempt, should this one raise
        while self._cut:
            if self._cut[0].exists():
                self._report_repair(adopt(self._cut[0], self._index, self._layout.quarantine))
            self._cut.pop(0)
        self._report(force=True)

    def _report_kept(self, row: ClipRow, *, adopted: bool) -> None:
        self._inbox(
            ClipKept(
                clip_id=row.clip_id,
                event_id=row.event_id,
                cause=row.cause,
                started_us=row.started_mono_us,
                duration_us=row.duration_us,
                size_bytes=row.size_bytes,
                sha256=row.sha256,
                adopted=adopted,
            )
        )

    def _fail(self, recording: Recording, error: StoreError) -> None:
        now_us = self._clock.mono_us()
        part_path = recording.fail(now_us)
        if part_path:
            self._cut.append(part_path)
        self._salvage_us = now_us + OPEN_AGAIN_US
        self._dropped(recording.event_id, "disk_full" if error.full else "disk_failed", str(error))
        self._faults.begin(
            "storage_failed", str(error), STORAGE_REMEDY, detail=cause(error.__cause__ or error)
        )

    def _missed(self, event_id: str, packets: int) -> None:
        text = f"the disk was too slow: {packets} packets are missing"
        self._dropped(event_id, "disk_slow", text, params={"packets": packets})

    def _ended(self, recording: Recording) -> None:
        """Report a recording that ends without a clip, unless an error was reported as its reason."""
        if recording.has_clip or recording.failed:
            return
        if recording.private:
            self._dropped(recording.event_id, "privacy", "privacy was turned on before there was a picture")
        else:
            self._dropped(recording.event_id, "no_pictures", "the camera sent no pictures")

    def _dropped(
        self,
        event_id: str,
        reason: DropReason,
        text: str,
        *,
        params: Mapping[str, str | float] | None = None,
        clip_id: str | None = None,
    ) -> None:
        log.warning("clip_dropped event_id=%s reason=%s text=%r", event_id, reason, text)
        self._inbox(
            ClipDropped(
                event_id=event_id,
                mono_us=self._clock.mono_us(),
                reason=reason,
                text=text,
                params=params or {},
                clip_id=clip_id,
            )
        )

    # --- quota ----------------------------------------------------------------------------------

    def _enforce_limits(self) -> None:
        storage = self._limits.storage
        self._quota = Quota(storage, self._clock, self._layout.clips)
        self._log.keep(storage.log_rows)

    def _hold_quota(self) -> None:
        """Delete a few clips; with more to delete the next step follows at once, with messages in between."""
        if self._limits.step():
            self._enforce_limits()
            self._report(force=True)
        self._deleting = False
        growing_bytes = sum(r.open_bytes for rs in self._recordings.values() for r in rs)
        selected = self._quota.look(self._index, growing_bytes)
        for row in selected.clips:
            self._deleting |= self._delete(row, self._quota.cause)
        for picture in selected.pictures:
            self._deleting |= self._delete_picture(picture, self._quota.cause)
        if selected.stuck_bytes:
            self._faults.report(full_fault(self._quota.cause, selected.stuck_bytes))
        else:
            self._faults.end("storage_full")

    def _delete(self, row: ClipRow, reason: DeleteReason) -> bool:
        try:
            delete(row, self._index, self._layout.clips)
        except OSError as error:
            text = f"{row.file_name}: {error.strerror}"
            self._faults.begin("storage_failed", text, STORAGE_REMEDY, detail=cause(error))
            return False
        forget_copies(self._layout.masked, row.file_name)
        if self._thumbnails is not None:
            self._thumbnails.forget(row)
        log.info("clip_deleted id=%s bytes=%d reason=%s", row.clip_id, row.disk_bytes, reason)
        self._inbox(
            ClipDeleted(
                clip_id=row.clip_id, event_id=row.event_id, mono_us=self._clock.mono_us(), reason=reason
            )
        )
        return True

    def _delete_picture(self, row: PressPictureRow, reason: str) -> bool:
        try:
            press_picture_files.delete(row, self._index, self._layout.press_pictures)
        except OSError as error:
            text = f"{row.file_name}: {error.strerror}"
            self._faults.begin("storage_failed", text, STORAGE_REMEDY, detail=cause(error))
            return False
        log.info("press_picture_deleted file=%s bytes=%d reason=%s", row.file_name, row.disk_bytes, reason)
        return True

    def _keep_picture(self, message: KeepPicture) -> None:
        """Write a press picture; one that cannot be written stays in memory for a while."""
        if not self._opened:
            return
        try:
            press_picture_files.keep(message.name, message.jpeg, self._index, self._layout.press_pictures)
        except OSError as error:
            text = f"{message.name.file_name}: {error.strerror}"
            self._faults.begin("storage_failed", text, STORAGE_REMEDY, detail=cause(error))
        else:
            self._forget_picture(message.name.event_id, message.name.press_number)

    def _delete_pictures_of(self, event_id: str) -> dict[str, Any]:
        """Delete the press pictures of a visit for the owner; return {} or {"error"}."""
        if not self._opened:
            return _refusal(f"the storage cannot be used; {STORAGE_REMEDY}", code="storage_closed")
        try:
            rows = self._index.pictures_of(event_id)
            if not rows:
                return _refusal(f"there is no press picture of {event_id}", code="no_press_picture")
            kept = [row for row in rows if not self._delete_picture(row, "owner")]
        except sqlite3.Error as error:
            return _index_refusal(error)
        self._forget_picture(event_id, None)
        self._report(force=True)
        if kept:
            return _refusal(f"{kept[0].file_name} cannot be deleted; {STORAGE_REMEDY}", code="not_deleted")
        return {}

    def _star_or_delete(self, message: StarClip | DeleteClip) -> dict[str, Any]:
        """Star or delete a clip for the owner; return {} or {"error"}."""
        if not self._opened:
            return _refusal(f"the storage cannot be used; {STORAGE_REMEDY}", code="storage_closed")
        try:
            row = self._index.find(message.clip_id)
            if row is None or row.doomed:
                text = f"there is no clip {message.clip_id}; `doorbell clips list` shows them"
                return _refusal(text, code="no_clip")
            if isinstance(message, StarClip):
                self._index.protect(row.clip_id, on=message.on)
            elif row.protected:
                text = f"{row.clip_id} has your star; remove it first (clips star ID --off)"
                return _refusal(text, code="clip_starred")
            else:
                growing = row.event_id in self._recordings
                for picture in press_picture_files.of_clip(row, self._index, growing=growing):
                    self._delete_picture(picture, "owner")
                    self._forget_picture(picture.event_id, picture.press_number)
                self._delete(row, "owner")
                self._report(force=True)
        except sqlite3.Error as error:
            return _index_refusal(error)
        return {}

    # --- damage -----------------------------------------------------------------------------------

    def _rebuild_index(self, error: sqlite3.Error) -> None:
        """Replace a damaged index and fill the new one from the files. Raises `error` if that cannot help."""
        self._index = self._index_recovery.rebuild(self._index, error)
        self._unindexed.clear()  # their files are found like all others
        growing = [r.part_path for rs in self._recordings.values() for r in rs if r.part_path]
        self._repair(lambda: None, growing=[*growing, *self._cut])

    def _forget_thumbnails(self) -> None:
        if self._thumbnails is not None:
            self._thumbnails.clear()

    def _report_repair(self, repair: Repair) -> None:
        log.warning("repaired file=%s reason=%r", repair.path.name, repair.reason)
        if repair.row is not None:
            self._report_kept(repair.row, adopted=True)
        elif repair.clip_id is not None:
            text = f"{repair.path.name}: {repair.reason}"
            self._dropped("", "file_damaged", text, clip_id=repair.clip_id)

    # --- reports --------------------------------------------------------------------------------

    def _guard(self, work: Callable[[], None]) -> None:
        """Do a step's work; an error of the disk becomes a fault, and the next step tries again."""
        try:
            try:
                work()
            except sqlite3.Error as error:
                self._rebuild_index(error)
        except (OSError, sqlite3.Error) as error:
            text = f"the index cannot be written: {error}"
            self._faults.begin("index_failed", text, STORAGE_REMEDY, detail=cause(error))
        else:
            self._faults.end("index_failed")

    def _write_file(self, message: WriteFile) -> None:
        answer: dict[str, Any] = {}
        try:
            mode = 0o600 if message.private else 0o640
            write_durably(self._layout.state_dir / message.name, message.content, mode=mode)
        except OSError as error:
            text = f"{message.name}: {error.strerror}"
            self._faults.begin("settings_not_saved", text, STORAGE_REMEDY, detail=cause(error))
            answer = _refusal(
                f"{message.name} cannot be written: {error.strerror}; {STORAGE_REMEDY}",
                code="not_saved",
                detail=cause(error),
            )
        else:
            self._faults.end("settings_not_saved")
        if message.reply:
            message.reply(answer)

    def _report(self, *, force: bool) -> None:
        now_us = self._clock.mono_us()
        if not force and now_us - self._reported_us < REPORT_EVERY_US:
            return
        self._reported_us = now_us
        clips, used_bytes, oldest = self._index.totals()
        self._inbox(
            StoreReport(
                used_bytes=used_bytes,
                limit_bytes=self._limits.storage.limit_bytes,
                clips=clips,
                oldest_wall_us=oldest,
                log_pending=self._log.pending_count(),
                temperature_c=board.temperature_c(),
                wifi_signal_dbm=board.wifi_signal_dbm(),
                throttling=board.throttling(),
                waiting=self._limits.waiting,
            )
        )


def _refusal(text: str, *, code: str, **params: str | float) -> dict[str, Any]:
    """Return the answer to somebody who asked in vain; it becomes a CommandError."""
    return {"error": text, "code": code, "params": params}


def _index_refusal(error: sqlite3.Error) -> dict[str, Any]:
    return _refusal(
        f"the index cannot be written: {error}; {STORAGE_REMEDY}", code="not_saved", detail=str(error)
    )
