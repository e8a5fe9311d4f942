"""The visits of a time span with their clips and pictures, for the page, in one query over both databases.

Each ring is a row of its own, with its own time and the clip that shows it; a visit without a ring is one row. SQLite
makes the JSON itself: ten thousand rows take it some tens of milliseconds, in which no other thread waits for this
one. The text that is concatenated consists of our own numbers and ids (`clip_name.py`, `ulid.py`); zones, which
people name, are JSON already.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any, Literal

MAX_VISITS = 20_000
MAX_DAYS = 62

Kind = Literal["all", "rings", "motion", "starred"]

_CLIP = """
'["' || clip_id || '",' || (started_wall_us / 1000) || ',' || (duration_us / 1000) || ',' || protected || ']'
"""
_VISITS = f"""
WITH pressed AS MATERIALIZED (
    SELECT event_id, json_extract(fields, '$.press_number') AS number, occurred_wall_us AS at_us FROM fact
    WHERE occurred_wall_us >= :from_us - :reach_us AND occurred_wall_us < :until_us + :reach_us
      AND kind = 'press' AND event_id IS NOT NULL
    UNION ALL
    SELECT event_id, press_number, pressed_wall_us FROM store.press_picture
    WHERE pressed_wall_us >= :from_us - :reach_us AND pressed_wall_us < :until_us + :reach_us
), ring AS MATERIALIZED (
    SELECT event_id, number, max(at_us) AS at_us FROM pressed
    WHERE at_us >= :from_us AND at_us < :until_us AND :kind <> 'motion'
    GROUP BY event_id, number ORDER BY at_us DESC LIMIT iif(:kind = 'starred', -1, :most)
), part AS (
    SELECT event_id, occurred_wall_us AS told_us, NULL AS kept_us, 1 AS motion,
           json_extract(fields, '$.zones') AS zones, 0 AS pressed, 0 AS moved, NULL AS clip
    FROM fact
    WHERE occurred_wall_us >= :from_us - :reach_us AND occurred_wall_us < :until_us AND :kind <> 'rings'
      AND kind = 'motion_started' AND event_id NOT IN (SELECT event_id FROM pressed)
    UNION ALL
    SELECT event_id, NULL, started_wall_us, 0, NULL, cause = 'press', cause = 'motion', {_CLIP} FROM store.clip
    WHERE started_wall_us >= :from_us - :reach_us AND started_wall_us < :until_us + :reach_us AND doomed = 0
      AND (:kind <> 'starred' OR protected = 1) AND event_id NOT IN (SELECT event_id FROM pressed)
), entry AS (
    SELECT event_id, at_us, number AS press, 0 AS motions, NULL AS zones, (
        SELECT group_concat({_CLIP}) FROM store.clip
        WHERE clip.event_id = ring.event_id AND doomed = 0 AND (:kind <> 'starred' OR protected = 1)
          AND started_wall_us <= ring.at_us + :slack_us
          AND started_wall_us + duration_us >= ring.at_us - :slack_us
    ) AS clips
    FROM ring WHERE :kind <> 'starred' OR clips IS NOT NULL
    UNION ALL
    SELECT event_id, coalesce(min(told_us), min(kept_us)) AS at_us, max(pressed), max(sum(motion), max(moved)),
           max(zones), group_concat(clip)
    FROM part GROUP BY event_id
    HAVING at_us >= :from_us AND at_us < :until_us
       AND (:kind <> 'rings' OR max(pressed)) AND (:kind <> 'motion' OR NOT max(pressed))
       AND (:kind <> 'starred' OR max(clip) IS NOT NULL)
), shown AS (
    SELECT * FROM entry ORDER BY at_us DESC, event_id DESC LIMIT :most
)
SELECT '{{"columns":["id","at_ms","press","motions","zones","clips","no_clip","picture"],"rows":['
    || coalesce(group_concat('["' || shown.event_id || '",' || (at_us / 1000) || ',' || press || ',' || motions || ','
    || coalesce(zones, '[]') || ',[' || coalesce(clips, '') || '],' || iif(clips IS NULL, coalesce((
        SELECT json_quote(json_extract(fields, '$.reason')) FROM fact
        WHERE fact.event_id = shown.event_id AND kind IN ('clip_dropped', 'clip_deleted')
        ORDER BY seq DESC LIMIT 1), 'null'), 'null') || ','
    || (press > 0 AND EXISTS (SELECT 1 FROM store.press_picture AS picture
                              WHERE picture.event_id = shown.event_id AND picture.press_number = press)) || ']'),
    '') || ']}}'
FROM shown
"""  # noqa: S608  (no value, only a part of this very query)
_QUARTERS = """
SELECT quarter * 900, count(DISTINCT event_id), max(press) FROM (
    SELECT occurred_wall_us / 900000000 AS quarter, event_id, kind = 'press' AS press FROM fact
    WHERE occurred_wall_us >= :from_us AND occurred_wall_us < :until_us
      AND event_id IS NOT NULL AND kind IN ('press', 'motion_started')
    UNION ALL
    SELECT started_wall_us / 900000000, event_id, cause = 'press' FROM store.clip
    WHERE started_wall_us >= :from_us AND started_wall_us < :until_us AND doomed = 0
    UNION ALL
    SELECT pressed_wall_us / 900000000, event_id, 1 FROM store.press_picture
    WHERE pressed_wall_us >= :from_us AND pressed_wall_us < :until_us
) GROUP BY quarter ORDER BY quarter
"""
_VISIT = """
SELECT clip_id, started_wall_us / 1000, duration_us / 1000, protected FROM store.clip
WHERE event_id = :event_id AND doomed = 0 ORDER BY ordinal
"""
_PICTURES = """
SELECT press_number, max(pressed_wall_us) / 1000 FROM store.press_picture WHERE event_id = :event_id
GROUP BY press_number ORDER BY press_number
"""
REACH_US = 3_600_000_000
"""How far a visit may reach over the end of the span: over midnight it belongs to the day that it began on."""
SLACK_US = 1_000_000
"""A ring this much before or after a clip still belongs to it: the wall clock may have been adjusted in between."""


def visits_json(
    log: Path,
    index: Path,
    from_wall_us: int,
    until_wall_us: int,
    *,
    kind: Kind = "all",
    most: int = MAX_VISITS,
) -> str:
    """Return the newest rings and visits without a ring of [from, until), newest first. Raises sqlite3.Error.

    {"columns": names, "rows": [[id, Unix ms, press, motions, zones, clips, no_clip, picture], …]}, where `press` is
    the ring's number in its visit (0: no ring), a clip is [id, start in Unix ms, length in ms, starred], and
    `picture` is 1 if there is one of the ring's moment: a table, since ten thousand objects would be 50 % longer. Of
    a ring only the clip that shows it. `no_clip` is the reason of the newest clip_dropped or clip_deleted of a
    visit, where the row has no clip; null if the log has none. A visit whose log rows are gone is built from its
    clips and pictures.
    """
    values = {
        "from_us": from_wall_us,
        "until_us": until_wall_us,
        "reach_us": REACH_US,
        "slack_us": SLACK_US,
        "kind": kind,
        "most": min(most, MAX_VISITS),
    }
    return str(_ask(log, index, _VISITS, values)[0][0])


def visit_json(log: Path, index: Path, event_id: str) -> str:
    """Return the clips of one visit, as above, and the press pictures, as [number, Unix ms]. Raises sqlite3.Error."""
    values = {"event_id": event_id}
    clips, pictures = _ask(log, index, _VISIT, values), _ask(log, index, _PICTURES, values)
    return json.dumps({"clips": clips, "pictures": pictures})


def busy_quarters(
    log: Path, index: Path, from_wall_us: int, until_wall_us: int
) -> list[tuple[int, int, int]]:
    """Return (Unix s of its begin, visits, whether somebody rang) of each quarter of an hour that had a visit.

    Quarters, because every time zone's midnight lies on one. Raises sqlite3.Error.
    """
    return _ask(log, index, _QUARTERS, {"from_us": from_wall_us, "until_us": until_wall_us})


def _ask(log: Path, index: Path, question: str, values: dict[str, Any]) -> list[Any]:
    db = sqlite3.connect(f"file:{log}?mode=ro", uri=True, check_same_thread=False)
    try:
        db.execute("ATTACH ? AS store", [f"file:{index}?mode=ro"])
        return db.execute(question, values).fetchall()
    finally:
        db.close()
