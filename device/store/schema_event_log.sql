-- The log: every fact that the daemon stores, in order. It cannot be rebuilt, so it is written with
-- synchronous=FULL: a row is durable before its first PUBLISH, and a power cut never reuses a seq.

CREATE TABLE IF NOT EXISTS fact (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT, -- increases by one, never reused
    kind             TEXT NOT NULL,          -- press, motion_started, …; docs/mqtt.md lists them
    event_id         TEXT,                   -- ULID of the visit, where there is one
    occurred_wall_us INTEGER NOT NULL,       -- Unix time by the wall clock when the row was written
    clock            TEXT NOT NULL,          -- synchronised or unsynchronised
    boot_id          TEXT NOT NULL,
    mono_us          INTEGER NOT NULL,       -- CLOCK_MONOTONIC of the fact
    late             INTEGER,                -- 1: the MQTT connection was down; NULL: a press whose PUBACK is awaited
    press_id         INTEGER,                -- of this run of the daemon, for presses
    fields           TEXT NOT NULL           -- JSON object with the members of this kind
) STRICT;

CREATE INDEX IF NOT EXISTS fact_by_time ON fact (occurred_wall_us);
CREATE INDEX IF NOT EXISTS fact_no_clip ON fact (event_id) WHERE kind IN ('clip_dropped', 'clip_deleted');
CREATE INDEX IF NOT EXISTS fact_undecided ON fact (seq) WHERE late IS NULL;

CREATE TABLE IF NOT EXISTS sent (
    only             INTEGER PRIMARY KEY CHECK (only = 1),
    acked_seq        INTEGER NOT NULL        -- every row up to here has its PUBACK; may lag, then rows go twice
) STRICT;

INSERT OR IGNORE INTO sent VALUES (1, 0);
