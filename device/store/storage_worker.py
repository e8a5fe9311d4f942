"""The storage worker: the one thread that owns the disk.

It muxes packets from the ring into clips, keeps their index and the log, holds the quota, and mends at
start what a power cut left. Orders reach it through a queue; nobody ever waits for it.
"""

import logging
import queue
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from device.config import StorageConfig
from device.errors import StoreError
from device.events import ClipDropped, ClipKept, Flushed, Inbox, StoreReport
from device.policy.episode import CloseClip, OpenClip, RaiseCause
from device.store.event_log_writer import EventLogWriter
from device.store.fault_latch import FaultLatch
from device.store.index import ClipRow
from device.store.index_recovery import IndexRecovery
from device.store.layout import Layout
from device.store.masked_export import forget_copies
from device.store.messages import (
    DeleteClip,
    Flush,
    HoldStorage,
    MakeThumbnail,
    MarkSent,
    NewFact,
    ReadLog,
    SettlePress,
    StarClip,
    StorageMessage,
    WriteFile,
)
from device.store.reconcile import Mended, adopt, delete, reconcile, row_for
from device.store.recording import Finished, Recording
from device.store.retention import Quota
from device.store.ring import RingBuffer
from device.store.thumbnails import Thumbnails
from device.system import board
from device.system.clock import Clock, ClockFlag, boot_id, wall_at_us
from device.system.durable_files import write_durably
from device.system.worker import Worker

log = logging.getLogger(__name__)

STEP_S = 0.5
CLOSING_STEP_S = 0.2
THUMBNAIL_STEP_S = 0.05
"""Orders are obeyed at once. Packets are taken some at a time: that costs a third less."""
REPORT_EVERY_US = 5_000_000
OPEN_AGAIN_US = 10_000_000
LAST_ROWS_US, LAST_ROWS_STEP_S = 300_000, 0.05
STORAGE_REMEDY = "see free space and the card's health (dmesg); the bell rings without it"


class StorageWorker:
    """Owns clips/, the index and the log below the state directory."""

    def __init__(
        self,
        *,
        layout: Layout,
        ring: RingBuffer,
        inbox: Inbox,
        clock: Clock,
        storage: StorageConfig,
        orders: "queue.SimpleQueue[StorageMessage]",
        log_grew: Callable[[], None],
        thumbnails: Thumbnails | None = None,
    ) -> None:
        """`orders` is where anybody may leave one; without `thumbnails` none are made.

        `log_grew` is called (on the storage worker's thread) when the log has rows to send.
        """
        self._layout = layout
        self._ring = ring
        self._inbox = inbox
        self._clock = clock
        self._storage = storage
        self._orders = orders
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
        self._index_recovery = IndexRecovery(layout, clock, replaced=self._forget_thumbnails)
        self._quota = Quota(storage, clock, layout.clips)
        self._deleting = False
        self._reported_us = 0

    def run(self, worker: Worker) -> None:
        """Mend, then serve orders until `worker.stopping`; close what is open before returning."""
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
        """Wait so long for an order, then do what there is to do."""
        self._take_orders(wait_s)
        self._guard(self._work)
        self._log.write()

    def close(self) -> None:
        """End in order: no `.part` stays."""
        self._take_orders(wait_s=0)
        self._guard(self._end_all)
        self._salvage_us = 0
        self._guard(self._salvage)
        if self._log.write():
            self._hand_out_last_rows()
        self._index.close()
        self._log.close()

    def _hand_out_last_rows(self) -> None:
        """Answer the link's questions about the rows of this moment; it asks as soon as it hears of them."""
        until_us = self._clock.mono_us() + LAST_ROWS_US
        while self._take_orders(wait_s=LAST_ROWS_STEP_S) and self._clock.mono_us() < until_us:
            self._log.write()

    def _work(self) -> None:
        self._record()
        self._save([])
        self._salvage()
        self._report(force=False)
        if self._thumbnails and not self._recordings:
            self._thumbnails.make_next(self._index)

    def open(self, beat: Callable[[], None]) -> bool:
        """Open and mend what is on the disk; return whether that could be done."""
        try:
            self._layout.make()
            self._log.open()
            self._index = self._index_recovery.open()
            try:
                self._mend(beat)
            except BaseException:
                self._index.close()
                raise
        except (OSError, sqlite3.Error) as error:
            self._faults.begin("storage_failed", f"nothing can be recorded: {error}", STORAGE_REMEDY)
            return False
        self._faults.end("storage_failed")
        self._opened = True
        return True

    def _mend(self, beat: Callable[[], None], growing: Sequence[Path] = ()) -> None:
        """Make rows and files agree, but for the files that are `growing`, and tell what was done."""
        layout = self._layout
        for mended in reconcile(self._index, layout.clips, layout.quarantine, growing=growing):
            beat()
            self._tell_mended(mended)
        self._index_recovery.restore_stars(self._index)
        self._report(force=True)

    def _wait_without_storage(self, worker: Worker) -> bool:
        """Take orders that cannot be carried out, for some seconds; return whether it is time to stop."""
        until_us = self._clock.mono_us() + OPEN_AGAIN_US
        while self._clock.mono_us() < until_us and not worker.stopping.is_set():
            worker.beat()
            self._take_orders(wait_s=STEP_S)
            for event_id in self._recordings:
                self._dropped(event_id, "the storage cannot be used")
            self._recordings.clear()
        return worker.stopping.is_set()

    # --- orders ---------------------------------------------------------------------------------

    def _take_orders(self, wait_s: float) -> bool:
        """Wait so long for an order, and obey all that are there; return whether there was one."""
        obeyed = False
        try:
            order = self._orders.get(timeout=wait_s) if wait_s else self._orders.get_nowait()
            while True:
                obeyed = True
                self._obey(order)
                order = self._orders.get_nowait()
        except queue.Empty:
            return obeyed

    def _obey(self, order: StorageMessage) -> None:
        match order:
            case OpenClip():
                recording = Recording(
                    event_id=order.event_id,
                    cause=order.cause,
                    from_us=order.from_us,
                    ring=self._ring,
                    folder=self._layout.clips,
                    stamp=self._stamp,
                )
                self._recordings.setdefault(order.event_id, []).append(recording)
            case RaiseCause():
                for recording in self._recordings.get(order.event_id, []):
                    recording.raise_cause(order.cause)
            case CloseClip():
                for recording in self._recordings.get(order.event_id, []):
                    if recording.until_us is None:
                        recording.until_us = order.until_us
            case NewFact() | SettlePress() | MarkSent() | ReadLog():
                self._log.obey(order)
            case Flush():
                self._guard(self._end_all)
                self._inbox(Flushed())
            case StarClip() | DeleteClip():
                order.reply(self._owner_asks(order))
            case HoldStorage():
                self._storage = order.storage
                self._quota = Quota(order.storage, self._clock, self._layout.clips)
                self._report(force=True)
            case MakeThumbnail():
                if self._thumbnails is not None:
                    self._thumbnails.wish(order.clip_id)
            case WriteFile():
                self._write_file(order)

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
            if not recordings:
                del self._recordings[event_id]
        self._hold_quota()

    def _end_all(self) -> None:
        for recording in [r for rs in self._recordings.values() for r in rs]:
            try:
                finished, _ = recording.take(self._clock.mono_us())
                self._save(finished + recording.finish())
            except StoreError as error:
                self._fail(recording, error)
        self._recordings.clear()

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
        # A row that cannot be written now is tried again at each turn, and its clip is told only then; after
        # a power cut in between the next start adopts the file.
        while self._unindexed:
            self._index.add(self._unindexed[0])
            row = self._unindexed.pop(0)
            if self._thumbnails is not None:
                self._thumbnails.wish(row.clip_id)
            self._tell_kept(row, adopted=False)
        if finished:
            self._report(force=True)

    def _salvage(self) -> None:
        """Save what failed clips left behind, once nothing has failed for some seconds."""
        if not self._cut or self._clock.mono_us() < self._salvage_us:
            return
        self._salvage_us = self._clock.mono_us() + OPEN_AGAIN_US  # for the next try, should this one raise
        while self._cut:
            if self._cut[0].exists():
                self._tell_mended(adopt(self._cut[0], self._index, self._layout.quarantine))
            self._cut.pop(0)
        self._report(force=True)

    def _tell_kept(self, row: ClipRow, *, adopted: bool) -> None:
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
        self._dropped(recording.event_id, str(error))
        self._faults.begin("storage_failed", str(error), STORAGE_REMEDY)

    def _missed(self, event_id: str, packets: int) -> None:
        self._dropped(event_id, f"the disk was too slow: {packets} packets are missing")

    def _dropped(self, event_id: str, reason: str, clip_id: str | None = None) -> None:
        log.warning("clip_dropped event_id=%s reason=%r", event_id, reason)
        self._inbox(
            ClipDropped(event_id=event_id, mono_us=self._clock.mono_us(), reason=reason, clip_id=clip_id)
        )

    # --- quota ----------------------------------------------------------------------------------

    def _hold_quota(self) -> None:
        """Delete a few; with more to go the next turn comes at once, and obeys the orders in between."""
        self._deleting = False
        growing_bytes = sum(r.open_bytes for rs in self._recordings.values() for r in rs)
        doomed, stuck_bytes = self._quota.look(self._index, growing_bytes)
        for row in doomed:
            self._deleting |= self._delete(row, "retention")
        if stuck_bytes:
            text = f"{stuck_bytes} bytes too many, and no clip that may be deleted"
            self._faults.begin(
                "storage_full", text, "see what else fills the disk, or raise storage.limit_bytes"
            )
        else:
            self._faults.end("storage_full")

    def _delete(self, row: ClipRow, reason: str) -> bool:
        try:
            delete(row, self._index, self._layout.clips)
        except OSError as error:
            self._faults.begin("storage_failed", f"{row.file_name}: {error.strerror}", STORAGE_REMEDY)
            return False
        forget_copies(self._layout.masked, row.file_name)
        if self._thumbnails is not None:
            self._thumbnails.forget(row)
        log.info("clip_deleted id=%s bytes=%d reason=%s", row.clip_id, row.disk_bytes, reason)
        return True

    def _owner_asks(self, order: StarClip | DeleteClip) -> dict[str, Any]:
        """Carry out what the owner wants of one clip; return {} or {"error"}."""
        if not self._opened:
            return {"error": f"the storage cannot be used; {STORAGE_REMEDY}"}
        try:
            row = self._index.find(order.clip_id)
            if row is None or row.doomed:
                return {"error": f"there is no clip {order.clip_id}; `doorbell clips list` shows them"}
            if isinstance(order, StarClip):
                self._index.protect(row.clip_id, on=order.on)
            elif row.protected:
                return {"error": f"{row.clip_id} has your star; take that away first (clips star ID --off)"}
            else:
                self._delete(row, "owner")
                self._dropped(row.event_id, "deleted by the owner", row.clip_id)
                self._report(force=True)
        except sqlite3.Error as error:
            return {"error": f"the index cannot be written: {error}; {STORAGE_REMEDY}"}
        return {}

    # --- damage -----------------------------------------------------------------------------------

    def _rebuild_index(self, error: sqlite3.Error) -> None:
        """Replace a damaged index and fill the new one from the files. Raises `error` if that cannot help."""
        self._index = self._index_recovery.rebuild(self._index, error)
        self._unindexed.clear()  # their files are there, and found like all others
        growing = [r.part_path for rs in self._recordings.values() for r in rs if r.part_path]
        self._mend(lambda: None, growing=[*growing, *self._cut])

    def _forget_thumbnails(self) -> None:
        if self._thumbnails is not None:
            self._thumbnails.clear()

    def _tell_mended(self, mended: Mended) -> None:
        log.warning("mended file=%s reason=%r", mended.path.name, mended.reason)
        if mended.row is not None:
            self._tell_kept(mended.row, adopted=True)
        elif mended.clip_id is not None:
            self._dropped("", f"{mended.path.name}: {mended.reason}", mended.clip_id)

    # --- telling --------------------------------------------------------------------------------

    def _guard(self, work: Callable[[], None]) -> None:
        """Do a turn's work; what the disk does wrong is told, and the next turn tries again."""
        try:
            try:
                work()
            except sqlite3.Error as error:
                self._rebuild_index(error)
        except (OSError, sqlite3.Error) as error:
            self._faults.begin("index_failed", f"the index cannot be written: {error}", STORAGE_REMEDY)
        else:
            self._faults.end("index_failed")

    def _write_file(self, order: WriteFile) -> None:
        answer = {}
        try:
            mode = 0o600 if order.private else 0o640
            write_durably(self._layout.state_dir / order.name, order.content, mode=mode)
        except OSError as error:
            self._faults.begin("settings_not_saved", f"{order.name}: {error.strerror}", STORAGE_REMEDY)
            answer = {"error": f"{order.name} cannot be written: {error.strerror}; {STORAGE_REMEDY}"}
        else:
            self._faults.end("settings_not_saved")
        if order.reply:
            order.reply(answer)

    def _report(self, *, force: bool) -> None:
        now_us = self._clock.mono_us()
        if not force and now_us - self._reported_us < REPORT_EVERY_US:
            return
        self._reported_us = now_us
        clips, used_bytes, oldest = self._index.totals()
        self._inbox(
            StoreReport(
                used_bytes=used_bytes,
                limit_bytes=self._storage.limit_bytes,
                clips=clips,
                oldest_wall_us=oldest,
                log_pending=self._log.pending_count(),
                temperature_c=board.temperature_c(),
                throttling=board.throttling(),
            )
        )
