-- The index of clips. It can be rebuilt from the files alone, so it is written with synchronous=NORMAL: a row
-- that a power cut loses is restored at the next start from its file (docs/storage.md).
--
-- Order of writes for a clip: .part grows, fsync at least every 2 s; close; fsync; rename; fsync of the folder; row.
-- Order of writes for a deletion: row doomed (FULL); unlink; fsync of the folder; delete the row. The next start
-- completes an interrupted deletion, and never adopts a doomed file as one that lost its row.

CREATE TABLE clip (
    ordinal          INTEGER PRIMARY KEY AUTOINCREMENT, -- order of recording; defines "oldest", because clocks may be wrong
    clip_id          TEXT NOT NULL UNIQUE,   -- start and the last four letters of the event; see clip_name.py
    event_id         TEXT NOT NULL,          -- ULID shared by press, motion and clips of one visit
    cause            TEXT NOT NULL CHECK (cause IN ('press', 'manual', 'motion')), -- the gravest trigger
    file_name        TEXT NOT NULL UNIQUE,   -- in clips/
    started_wall_us  INTEGER NOT NULL,       -- Unix time of the first picture, by the wall clock at that time
    duration_us      INTEGER NOT NULL,
    clock            TEXT NOT NULL CHECK (clock IN ('synchronised', 'unsynchronised')),
    boot_id          TEXT NOT NULL,          -- monotonic times compare only within one boot; '' if adopted
    started_mono_us  INTEGER NOT NULL,       -- CLOCK_MONOTONIC of the first picture; 0 if adopted
    size_bytes       INTEGER NOT NULL,       -- length of the file
    disk_bytes       INTEGER NOT NULL,       -- disk use with its thumbnail, in whole blocks
    sha256           TEXT NOT NULL,          -- of the whole file, hex
    lost_packets     INTEGER NOT NULL DEFAULT 0, -- pictures missing in it because the disk was too slow
    protected        INTEGER NOT NULL DEFAULT 0, -- the owner's star: retention skips it; written with FULL
    doomed           INTEGER NOT NULL DEFAULT 0  -- is being deleted; written with FULL before the file goes
) STRICT;

CREATE INDEX clip_by_start ON clip (started_wall_us);
CREATE INDEX clip_by_event ON clip (event_id);

-- Pictures of the moment of a press. Order of writes: the file (temporary name, fsync, rename, fsync of the folder),
-- then its row. Order of a deletion: unlink, fsync of the folder, then the row. So a row whose file is gone is removed
-- at the next start, and a file without a row gets one.

CREATE TABLE press_picture (
    ordinal          INTEGER PRIMARY KEY AUTOINCREMENT, -- order of the presses, as above
    file_name        TEXT NOT NULL UNIQUE,   -- in press_pictures/; see press_picture_name.py
    event_id         TEXT NOT NULL,          -- ULID of the visit
    press_number     INTEGER NOT NULL,       -- of the press in its visit, from 1
    pressed_wall_us  INTEGER NOT NULL,       -- Unix time of the press, by the wall clock at that time
    clock            TEXT NOT NULL CHECK (clock IN ('synchronised', 'unsynchronised')),
    disk_bytes       INTEGER NOT NULL        -- disk use in whole blocks
) STRICT;

CREATE INDEX press_picture_by_event ON press_picture (event_id, press_number);
CREATE INDEX press_picture_by_time ON press_picture (pressed_wall_us);

PRAGMA user_version = 3;
