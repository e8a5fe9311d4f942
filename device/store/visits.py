"""What a day was, for the page: its visits with their clips, in one question to both databases.

SQLite makes the JSON itself: ten thousand visits take it some tens of milliseconds, in which no other thread
has to wait for this one.
"""

import sqlite3
from pathlib import Path
from typing import Any

MOST_VISITS = 20_000
LONGEST_DAYS = 62

_VISITS = """
WITH told AS (
    SELECT event_id, min(occurred_wall_us) AS at_us, sum(kind = 'press') AS presses,
           sum(kind = 'motion_started') AS motions,
           max(CASE WHEN kind = 'motion_started' THEN json_extract(fields, '$.zones') END) AS zones
    FROM fact
    WHERE occurred_wall_us >= :from_us AND occurred_wall_us < :until_us
      AND event_id IS NOT NULL AND kind IN ('press', 'motion_started')
    GROUP BY event_id
), kept AS (
    SELECT event_id, min(started_wall_us) AS at_us, max(protected) AS starred,
           max(cause = 'press') AS pressed, max(cause = 'motion') AS moved, json_group_array(
               json_array(clip_id, started_wall_us / 1000, duration_us / 1000, protected)) AS clips
    FROM (SELECT * FROM store.clip WHERE doomed = 0
          AND started_wall_us >= :from_us - :reach_us AND started_wall_us < :until_us ORDER BY ordinal)
    GROUP BY event_id
), visit AS (
    SELECT t.event_id, t.at_us, t.presses, t.motions, t.zones, k.clips, k.starred
    FROM told AS t LEFT JOIN kept AS k ON k.event_id = t.event_id
    UNION ALL
    SELECT k.event_id, k.at_us, k.pressed, k.moved, NULL, k.clips, k.starred
    FROM kept AS k LEFT JOIN told AS t ON t.event_id = k.event_id
    WHERE t.event_id IS NULL AND k.at_us >= :from_us
    ORDER BY 2 DESC LIMIT :most
)
SELECT json_group_array(json_object(
    'id', event_id, 'at_ms', at_us / 1000, 'presses', presses, 'motions', motions,
    'zones', json(coalesce(zones, '[]')), 'starred', json(iif(starred, 'true', 'false')),
    'clips', json(coalesce(clips, '[]')))) FROM visit
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
REACH_US = 60_000_000
"""A visit of the first minute may have a clip that began before midnight."""


def visits_json(log: Path, index: Path, from_wall_us: int, until_wall_us: int) -> str:
    """Return the visits that began in [from, until), newest first, as a JSON array. Raises sqlite3.Error.

    Each: {"id", "at_ms", "presses", "motions", "zones", "starred", "clips": [[id, start in Unix ms, length in
    ms, starred], …]}. A visit whose rows the log has let go is told by its clips.
    """
    values = {"from_us": from_wall_us, "until_us": until_wall_us, "reach_us": REACH_US, "most": MOST_VISITS}
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
