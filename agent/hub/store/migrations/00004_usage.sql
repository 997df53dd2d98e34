-- +goose Up

-- What users used in a calendar month (UTC). It has no reference to users: it stays under
-- the name when a user is deleted.
CREATE TABLE usage (
    user                TEXT NOT NULL,
    month               TEXT NOT NULL, -- '2026-11'
    gpu_seconds         REAL NOT NULL,
    cpu_seconds         REAL NOT NULL,
    memory_byte_seconds REAL NOT NULL,
    server_seconds      REAL NOT NULL,
    PRIMARY KEY (month, user)
) STRICT, WITHOUT ROWID;

-- Until when each server that runs has been accounted for, and what its counters said then.
CREATE TABLE usage_readings (
    user        TEXT NOT NULL,
    server      TEXT NOT NULL,
    started     INTEGER NOT NULL, -- of its unit: another one is another run
    at          INTEGER NOT NULL,
    gpus        REAL NOT NULL,
    cpu_seconds REAL NOT NULL,
    memory      INTEGER NOT NULL,
    PRIMARY KEY (user, server)
) STRICT, WITHOUT ROWID;

-- When a run of a server last used the devices that it holds, and when a person kept them.
CREATE TABLE gpu_uses (
    user    TEXT NOT NULL,
    server  TEXT NOT NULL,
    started INTEGER NOT NULL,
    used    INTEGER,
    seen    INTEGER,
    kept    INTEGER,
    PRIMARY KEY (user, server)
) STRICT, WITHOUT ROWID;
