-- The ledger: what was heard, decided and sent. It cannot be rebuilt from anything, and an effect may follow only from
-- an entry that is durable: synchronous=FULL.

CREATE TABLE IF NOT EXISTS entry (
    seq   INTEGER PRIMARY KEY,  -- 1, 2, 3 … without a gap
    hash  TEXT NOT NULL,        -- SHA-256 of `text`, hex; the next entry's "prev"
    text  TEXT NOT NULL         -- canonical JSON: seq, at, clock, kind, body (a hash or null), data, prev
) STRICT;

CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry
BEGIN SELECT raise(ABORT, 'an entry of the ledger is never changed'); END;

CREATE TRIGGER IF NOT EXISTS entry_is_not_taken_away BEFORE DELETE ON entry
BEGIN SELECT raise(ABORT, 'an entry of the ledger is never taken away'); END;

-- What entries are about, byte for byte as it reached the device: envelopes, pinned records, CAP alerts.
CREATE TABLE IF NOT EXISTS body (
    sha256 TEXT PRIMARY KEY,    -- hex
    bytes  BLOB NOT NULL
) STRICT;

CREATE TRIGGER IF NOT EXISTS body_stays BEFORE UPDATE ON body
BEGIN SELECT raise(ABORT, 'what an entry is about is never changed'); END;

-- What was refused is no entry: strangers decide how much of it there is. Counted, and the first hundred kept.
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
