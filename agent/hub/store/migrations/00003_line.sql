-- +goose Up

-- Starts that wait for devices that others hold.
CREATE TABLE line (
    user    TEXT NOT NULL,
    server  TEXT NOT NULL,
    profile TEXT NOT NULL,
    asked   INTEGER NOT NULL,
    PRIMARY KEY (user, server)
) STRICT, WITHOUT ROWID;

-- How long devices were held, for guessing how long others will be: the newest of a kind.
CREATE TABLE leases (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind  TEXT NOT NULL, -- 'nvidia.com/gpu'
    held  INTEGER NOT NULL, -- microseconds
    ended INTEGER NOT NULL
) STRICT;
CREATE INDEX leases_kind ON leases (kind, id);
