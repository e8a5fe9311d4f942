"""The real store, worked hard for some simulated minutes: clips, stars, deletions, log, settings, kills.

    python -m scripts.fault_injection.workload STATE MARKS LIFE [PLANT]

Lives one of its lives; process_runs.py lives them all. Writes what the store has promised to MARKS (promises.py).
Time is handed in, so nothing waits. PLANT breaks one rule of docs/storage.md, to show that a cut finds it
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
"""SQLite's own 1000 would come once in this short life; the order of its writes is the same."""
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def tell_promises(mark: Callable[..., None]) -> None:
    """Make the store's own steps leave marks: before a change, and behind what is promised."""

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
    """The first life: it is killed in mid-clip."""
    life = StorageRun(state_dir, mark, Time(100_000_000), event=0)
    life.skip_to_now()
    life.pass_s(4)
    for number in range(3):
        life.visit(5, raised=True)
        life.settle(number + 1)
    life.star(life.clips[1])
    life.delete(life.clips[0])
    for number in range(40):
        life.visit(1, raised=number % 3 == 0)
        for _ in range(2):
            life.order(life.fact())
            life.pass_s(STEP_US / 1e6)
    life.star(life.clips[1], on=False)
    life.star(life.clips[-1])
    life.settle(4)
    event_id = life.event_id()
    life.order(OpenClip(event_id=event_id, cause="motion", from_us=life.time.now_us - 1_000_000))
    life.pass_s(6)


def mended(state_dir: Path, mark: Callable[..., None]) -> None:
    """The second: it mends, and stops in order."""
    life = StorageRun(state_dir, mark, Time(400_000_000), event=1000)
    life.skip_to_now()
    life.pass_s(2)
    life.visit(4, raised=True)
    life.settle(5)
    life.delete(life.clips[-1])
    life.visit(2)
    life.order(OpenClip(event_id=life.event_id(), cause="press", from_us=life.time.now_us))
    life.pass_s(3)
    life.storage_worker.close()


def again(state_dir: Path, mark: Callable[..., None]) -> None:
    """The third: one more."""
    life = StorageRun(state_dir, mark, Time(500_000_000), event=2000)
    life.skip_to_now()
    life.pass_s(2)
    for _ in range(6):
        life.visit(3, raised=True)
    life.storage_worker.close()


def main() -> None:
    """Live one life, and end without cleaning up, like a killed daemon; the end closes its files."""
    state_dir, marks_path, name, *plants = sys.argv[1:]
    marks_fd = os.open(marks_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def mark(**marks: Any) -> None:
        os.write(marks_fd, json.dumps(marks).encode() + b"\n")

    for plant in plants:
        PLANTS[plant].plant()
    tell_promises(mark)
    life = {life.__name__: life for life in (killed, mended, again)}[name]
    try:
        life(Path(state_dir), mark)
    except BaseException:  # noqa: BLE001  (whatever it is, nothing may be cleaned up)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
