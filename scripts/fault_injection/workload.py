"""Keep the real store busy for some simulated minutes: clips, stars, deletions, log, settings, kills.

    python -m scripts.fault_injection.workload STATE MARKS RUN [PLANT]

Does one of the runs; process_runs.py does all of them. Writes each promise of the store to MARKS (promises.py).
Time is a parameter, so nothing waits. PLANT breaks one rule of docs/storage.md, to show that a cut detects it
(planted_bugs.py).
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.policy.episode import OpenClip
from device.store import clip_file, event_log, index, mp4, storage_worker
from device.store.clip_name import ClipName
from scripts.fault_injection.planted_bugs import PLANTS
from scripts.fault_injection.promises import grown_sha256
from tests.support.storage import STEP_US, StorageRun, Time

CHECKPOINT_PAGES = 30
"""SQLite's own 1000 would be reached once in such a short run; the order of its writes is the same."""


def mark_promises(mark: Callable[..., None]) -> None:
    """Make the store's own steps write marks: before a change, and after a step that makes a promise."""

    def around(owner: Any, name: str, before: Callable[..., Any], after: Callable[..., Any]) -> None:
        step = getattr(owner, name)

        def wrapper(*args: Any, **named: Any) -> Any:
            if marks := before(*args, **named):
                mark(**marks)
            result = step(*args, **named)
            if marks := after(*args, **named):
                mark(**marks)
            return result

        setattr(owner, name, wrapper)

    def nothing(*_args: Any, **_named: Any) -> None:
        return None

    around(
        index.Index, "doom", lambda _, clip_id: {"may_go": clip_id}, lambda _, clip_id: {"doomed": clip_id}
    )
    around(
        index.Index, "protect",
        lambda _, clip_id, **_on: {"may_star": clip_id},
        lambda _, clip_id, on: {"starred" if on else "unstarred": clip_id},
    )  # fmt: skip
    around(clip_file.ClipFile, "sync", nothing, lambda file: _grown(file.part_path))
    around(
        event_log.EventLog, "write", nothing,
        lambda _, facts, *_rest: {"facts": facts[-1].fields["n"]} if facts else None,
    )  # fmt: skip
    around(
        storage_worker, "write_durably",
        lambda _, content, **_mode: {"may_set": json.loads(content)["quiet_until_us"]},
        lambda _, content, **_mode: {"set": json.loads(content)["quiet_until_us"]},
    )  # fmt: skip

    def checkpoints(store: Any, *_args: Any, **_named: Any) -> None:
        store._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")  # noqa: SLF001  (a tool of this store)

    around(event_log.EventLog, "__init__", nothing, checkpoints)
    around(index.Index, "__init__", nothing, checkpoints)


def _grown(part_path: Path) -> dict[str, Any] | None:
    name = ClipName.parse(part_path.name.removesuffix(".part"))
    fragments = mp4.whole_fragments(part_path)
    if name is None or not fragments:
        return None
    whole_bytes = fragments[-1][1]
    return {"grown": [name.clip_id, whole_bytes, grown_sha256(part_path.read_bytes()[:whole_bytes])]}


def killed(state_dir: Path, mark: Callable[..., None]) -> None:
    """The first run: it is killed in the middle of a clip."""
    store_run = StorageRun(state_dir, mark, Time(100_000_000), event=0)
    store_run.skip_to_now()
    store_run.pass_s(4)
    for number in range(3):
        store_run.visit(5, raised=True)
        store_run.settle(number + 1)
    store_run.star(store_run.clips[1])
    store_run.delete(store_run.clips[0])
    for number in range(40):
        store_run.visit(1, raised=number % 3 == 0)
        for _ in range(2):
            store_run.order(store_run.fact())
            store_run.pass_s(STEP_US / 1e6)
    store_run.star(store_run.clips[1], on=False)
    store_run.star(store_run.clips[-1])
    store_run.settle(4)
    event_id = store_run.event_id()
    store_run.order(OpenClip(event_id=event_id, cause="motion", from_us=store_run.time.now_us - 1_000_000))
    store_run.pass_s(6)


def repaired(state_dir: Path, mark: Callable[..., None]) -> None:
    """The second run: it repairs the store, records, and stops in order."""
    store_run = StorageRun(state_dir, mark, Time(400_000_000), event=1000)
    store_run.skip_to_now()
    store_run.pass_s(2)
    store_run.visit(4, raised=True)
    store_run.settle(5)
    store_run.delete(store_run.clips[-1])
    store_run.visit(2)
    store_run.order(OpenClip(event_id=store_run.event_id(), cause="press", from_us=store_run.time.now_us))
    store_run.pass_s(3)
    store_run.storage_worker.close()


def continued(state_dir: Path, mark: Callable[..., None]) -> None:
    """The third run: it continues with a store that was stopped in order."""
    store_run = StorageRun(state_dir, mark, Time(500_000_000), event=2000)
    store_run.skip_to_now()
    store_run.pass_s(2)
    for _ in range(6):
        store_run.visit(3, raised=True)
    store_run.storage_worker.close()


def main() -> None:
    """Do one run and exit without cleaning up, like a killed daemon; the kernel closes its files."""
    state_dir, marks_path, name, *plants = sys.argv[1:]
    marks_fd = os.open(marks_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def mark(**marks: Any) -> None:
        os.write(marks_fd, json.dumps(marks).encode() + b"\n")

    for plant in plants:
        PLANTS[plant].plant()
    mark_promises(mark)
    run = {run.__name__: run for run in (killed, repaired, continued)}[name]
    try:
        run(Path(state_dir), mark)
    except BaseException:  # noqa: BLE001  (whatever it is, nothing may be cleaned up)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
