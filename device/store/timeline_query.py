"""The visits of a time span with their clips, for the page, in one query over both databases.

SQLite makes the JSON itself: ten thousand visits take it some tens of milliseconds, in which no other thread
waits for this one. The text that is concatenated consists of our own numbers and ids (`clip_name.py`, `ulid.py`);
zones, which people name, are JSON already.
"""

import sqlite3
from pathlib import Path
from typing import Any

MAX_VISITS = 20_000
MAX_DAYS = 62

_VISITS = """
WITH part AS (
    SELECT event_id, occurred_wall_us AS told_us, NULL AS kept_us,
           kind = 'press' AS press, kind <> 'press' AS motion,
           iif(kind = 'press', NULL, json_extract(fields, '$.zones')) AS zones,
           0 AS pressed, 0 AS moved, NULL AS clip
    FROM fact
    WHERE occurred_wall_us >= :from_us - :reach_us AND occurred_wall_us < :until_us
      AND kind IN ('press', 'motion_started') AND event_id IS NOT NULL
    UNION ALL
    SELECT event_id, NULL, started_wall_us, 0, 0, NULL, cause = 'press', cause = 'motion',
           '["' || clip_id || '",' || (started_wall_us / 1000) || ',' || (duration_us / 1000) || ','
               || protected || ']'
    FROM store.clip
    WHERE started_wall_us >= :from_us - :reach_us AND started_wall_us < :until_us + :reach_us AND doomed = 0
), visit AS (
    SELECT event_id, coalesce(min(told_us), min(kept_us)) AS at_us,
           max(sum(press), max(pressed)) AS presses, max(sum(motion), max(moved)) AS motions,
           max(zones) AS zones, group_concat(clip) AS clips
    FROM part GROUP BY event_id
    HAVING at_us >= :from_us AND at_us < :until_us ORDER BY event_id DESC LIMIT :most
)
SELECT '{"columns":["id","at_ms","presses","motions","zones","clips","no_clip"],"rows":[' || coalesce(group_concat(
    '["' || event_id || '",' || (at_us / 1000) || ',' || presses || ',' || motions
    || ',' || coalesce(zones, '[]') || ',[' || coalesce(clips, '') || '],' || iif(clips IS NULL, coalesce((
        SELECT json_quote(json_extract(fields, '$.reason')) FROM fact
        WHERE fact.event_id = visit.event_id AND kind IN ('clip_dropped', 'clip_deleted')
        ORDER BY seq DESC LIMIT 1), 'null'), 'null') || ']'), '') || ']}'
FROM visit
"""
_HOURS = """
SELECT hour, count(DISTINCT event_id) FROM (
    SELECT occurred_wall_us / 3600000000 AS hour, event_id FROM fact
    WHERE occurred_wall_us >= :from_us AND event_id IS NOT NULL AND kind IN ('press', 'motion_started')
    UNION
    SELECT started_wall_us / 3600000000, event_id FROM store.clip
    WHERE started_wall_us >= :from_us AND doomed = 0
) GROUP BY hour ORDER BY hour
"""
REACH_US = 3_600_000_000
"""How far a visit may reach over the end of the span: over midnight it belongs to the day that it began on."""


def visits_json(log: Path, index: Path, from_wall_us: int, until_wall_us: int) -> str:
    """Return the visits that began in [from, until), newest first, as JSON. Raises sqlite3.Error.

    {"columns": names, "rows": [[id, Unix ms, presses, motions, zones, clips, no_clip], …]}, where a clip is [id,
    start in Unix ms, length in ms, starred], and `no_clip` the reason of the newest clip_dropped or clip_deleted of
    a visit without clips, null if the log has none: a table, since ten thousand objects would be 50 % longer. A visit
    whose log rows are gone is built from its clips.
    """
    values = {"from_us": from_wall_us, "until_us": until_wall_us, "reach_us": REACH_US, "most": MAX_VISITS}
    return str(_ask(log, index, _VISITS, values)[0][0])


def visit_hours(log: Path, index: Path, from_wall_us: int) -> list[tuple[int, int]]:
    """Return (hours since 1970, visits in that hour) for each hour that had one. Raises sqlite3.Error."""
    return _ask(log, index, _HOURS, {"from_us": from_wall_us})


def _ask(log: Path, index: Path, question: str, values: dict[str, int]) -> list[Any]:
    db = sqlite3.connect(f"file:{log}?mode=ro", uri=True, check_same_thread=False)
    try:
        db.execute("ATTACH ? AS store", [f"file:{index}?mode=ro"])
        return db.execute(question, values).fetchall()
    finally:
        db.close()
