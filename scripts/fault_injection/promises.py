"""Collect the store's promises so far, and check a disk after a power cut against them.

The workload writes a mark, one JSON object a line, when the store makes a promise. A mark whose name begins with
`may_` means that a change is in progress, so that both outcomes are correct.
"""

import hashlib
import json
import queue
import sqlite3
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from device.events import Fact, Fault
from device.store.event_log import EventLogReader
from device.store.index import ClipRow, Index
from device.store.layout import Layout
from device.store.messages import StorageMessage
from device.store.mp4 import whole_fragments
from device.store.reconcile import PART, findings
from tests.support.storage import Time
from tests.support.storage import storage_worker as storage_worker_at

PATCHED_BYTES = 64
"""Closing a clip overwrites only bytes before this offset: the box header behind `ftyp`."""
NEVER_FULL = 1 << 50


def grown_sha256(content: bytes) -> str:
    """Return the SHA-256 of what was synced of a growing clip, without what closing it overwrites."""
    return hashlib.sha256(content[PATCHED_BYTES:]).hexdigest()


@dataclass(slots=True)
class Promises:
    """The promises up to one moment."""

    kept: dict[str, str] = field(default_factory=dict)
    """Clip id → SHA-256, as in the `clip_kept` event."""
    may_go: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    stars: dict[str, bool | None] = field(default_factory=dict)
    """None while a change is in progress."""
    grown: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Clip id → bytes of whole fragments that were synced, and their SHA-256."""
    facts: int = 0
    """Every row of the log up to here may have been published."""
    settings: set[int] = field(default_factory=lambda: {0})
    """Permitted values of `quiet_until_us`."""

    def hear(self, line: str) -> None:
        """Take one mark."""
        for name, value in json.loads(line).items():
            match name:
                case "kept":
                    self.kept[value[0]] = value[1]
                    self.grown.pop(value[0], None)
                case "may_go":
                    self.may_go.add(value)
                case "doomed":
                    self.doomed.add(value)
                case "may_star":
                    self.stars[value] = None
                case "starred" | "unstarred":
                    self.stars[value] = name == "starred"
                case "grown":
                    self.grown[value[0]] = (value[1], value[2])
                case "facts":
                    self.facts = value
                case "may_set":
                    self.settings.add(value)
                case "set":
                    self.settings = {value}
                case _:
                    raise ValueError(f"no mark is called {name}")


def verdict(state_dir: Path, promises: Promises) -> list[str]:
    """Run the real storage worker on the disk after a power cut; return a sentence for each broken promise."""
    layout = Layout(state_dir)
    state_dir.mkdir(exist_ok=True)
    facts: list[Fact] = []
    settings, trouble = layout.load_settings()
    wrong = [trouble] if trouble else []
    if settings.quiet_until_us not in promises.settings:
        wrong.append(f"the settings say {settings.quiet_until_us}, not {sorted(promises.settings)}")
    orders: queue.SimpleQueue[StorageMessage] = queue.SimpleQueue()
    # Power cuts do not depend on time. No limit: a clip that was reported must be there afterwards.
    storage_worker = storage_worker_at(
        state_dir, Time(), orders, inbox=facts.append, limit_bytes=NEVER_FULL, log_rows=NEVER_FULL
    )
    try:
        if storage_worker.open(lambda: None):
            storage_worker.close()
        wrong += [f"fault {fact.code}: {fact.text}" for fact in facts if isinstance(fact, Fault)]
        if not wrong:
            wrong += _clips(layout, promises) + _facts(layout.event_log, promises.facts)
    except (OSError, sqlite3.Error, StopIteration) as error:
        wrong.append(f"the start failed: {error!r}")
    return wrong


def _clips(layout: Layout, promises: Promises) -> list[str]:
    index = Index(layout.index, read_only=True)
    try:
        wrong = list(findings(index, layout.clips, running=False, deep=True))
        rows = {row.clip_id: row for row in index.oldest_first()}
    finally:
        index.close()
    wrong += [f"after an orderly stop there is {path.name}" for path in layout.clips.glob(f"*{PART}")]
    for row in rows.values():
        # What has its final name is finished, or was cut to its last whole fragment.
        if [end for _, end in whole_fragments(layout.clips / row.file_name)][-1:] != [row.size_bytes]:
            wrong.append(f"{row.clip_id} has its final name and is incomplete")
    # An index that lost an acknowledged clip is rebuilt, but the cut must not have damaged it.
    wrong += [f"{path.name} was put aside" for path in layout.state_dir.glob("*.corrupt-*")]
    for clip_id, sha256 in promises.kept.items():
        if clip_id in promises.doomed:
            if clip_id in rows:
                wrong.append(f"{clip_id} was deleted and is back")
        elif clip_id not in promises.may_go:
            if clip_id not in rows:
                wrong.append(f"{clip_id} was reported as stored and is missing")
            elif rows[clip_id].sha256 != sha256:
                wrong.append(f"{clip_id} differs from the clip that was reported")
    for clip_id, on in promises.stars.items():
        if on is not None and clip_id in rows and bool(rows[clip_id].protected) != on:
            wrong.append(f"{clip_id}: its star was {'set' if on else 'taken'}, and that is lost")
    for clip_id, (size_bytes, sha256) in promises.grown.items():
        wrong += _grown(layout.clips, clip_id, rows.get(clip_id), size_bytes, sha256)
    return wrong


def _grown(folder: Path, clip_id: str, row: ClipRow | None, size_bytes: int, sha256: str) -> list[str]:
    if row is None:
        return [f"{clip_id}: {size_bytes} bytes of it were synced, and it is missing"]
    if grown_sha256((folder / row.file_name).read_bytes()[:size_bytes]) != sha256:
        return [f"{clip_id}: the first {size_bytes} bytes of it were synced, and are not the same now"]
    return []


def _facts(path: Path, last_seq: int) -> list[str]:
    if not last_seq:
        return []
    reader = EventLogReader(path)
    try:
        rows: list[Any] = reader.latest(1 << 30)
    finally:
        reader.close()
    newest = rows[-1].seq if rows else 0
    wrong = []
    if newest < last_seq:
        wrong.append(
            f"the log was published up to {last_seq} and ends at {newest}: numbers will be used twice"
        )
    # The workload numbers its facts by itself.
    wrong += [f"row {row.seq} of the log has changed" for row in rows if row.payload["n"] != row.seq]
    wrong += [f"row {seq} of the log is missing" for seq in _gaps([row.seq for row in rows])]
    return wrong


def _gaps(seqs: list[int]) -> list[int]:
    return [seq for seq, following in pairwise(seqs) if following != seq + 1]
