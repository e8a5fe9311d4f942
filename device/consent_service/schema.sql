-- The ledger: messages received, decisions, and what was sent. It cannot be rebuilt, and only a durable entry may have
-- an effect: synchronous=FULL.

CREATE TABLE IF NOT EXISTS entry (
    seq   INTEGER PRIMARY KEY,  -- 1, 2, 3 … without a gap
    hash  TEXT NOT NULL,        -- SHA-256 of `text`, hex; the next entry's "prev"
    text  TEXT NOT NULL         -- canonical JSON: seq, at, clock, kind, body (a hash or null), data, prev
) STRICT;

CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry
BEGIN SELECT raise(ABORT, 'an entry of the ledger is never changed'); END;

CREATE TRIGGER IF NOT EXISTS entry_is_never_deleted BEFORE DELETE ON entry
BEGIN SELECT raise(ABORT, 'an entry of the ledger is never deleted'); END;

-- The bodies of entries, byte for byte as received: envelopes, pinned records, CAP alerts.
CREATE TABLE IF NOT EXISTS body (
    sha256 TEXT PRIMARY KEY,    -- hex
    bytes  BLOB NOT NULL
) STRICT;

CREATE TRIGGER IF NOT EXISTS body_stays BEFORE UPDATE ON body
BEGIN SELECT raise(ABORT, 'the body of an entry is never changed'); END;

-- Refused messages are no entries, because strangers decide how many there are: counted, and the first hundred kept.
CREATE TABLE IF NOT EXISTS refused (
    reason        TEXT PRIMARY KEY,
    number        INTEGER NOT NULL,
    first_wall_us INTEGER NOT NULL,
    last_wall_us  INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS refused_body (
    number  INTEGER PRIMARY KEY,
    reason  TEXT NOT NULL,
    detail  TEXT NOT NULL,
    wall_us INTEGER NOT NULL,
    bytes   BLOB NOT NULL
) STRICT;

CREATE TRIGGER IF NOT EXISTS refused_body_is_full BEFORE INSERT ON refused_body
WHEN (SELECT count(*) FROM refused_body) >= 100
BEGIN SELECT raise(IGNORE); END;
