-- +goose Up
-- Times are whole microseconds since 1970 UTC; NULL means never.

-- "GHub": tells this file from any other program's database (see checkFile).
PRAGMA application_id = 1195930978;

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    display_name  TEXT NOT NULL,
    admin         INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    last_activity INTEGER
) STRICT, WITHOUT ROWID;

-- Cookie sessions as package scs keeps them; token is a hash already.
CREATE TABLE sessions (
    token   TEXT PRIMARY KEY,
    data    BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_expires ON sessions (expires);

-- Who is signed in. A cookie session only points here, so that ending a row ends
-- the session at once, whatever a request that is under way writes back.
CREATE TABLE logins (
    session_id   TEXT PRIMARY KEY,
    user         TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    subject      TEXT NOT NULL,
    display_name TEXT NOT NULL,
    admin        INTEGER NOT NULL,
    groups       TEXT NOT NULL,
    secret       BLOB NOT NULL,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    seen         INTEGER NOT NULL,
    checked      INTEGER NOT NULL,
    attempted    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_user ON logins (user);
CREATE INDEX logins_expires ON logins (expires);

-- AUTOINCREMENT, so that the id of a revoked token never comes to name another.
CREATE TABLE tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL CHECK (kind IN ('oauth', 'api')),
    user       TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    session_id TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    note       TEXT NOT NULL,
    created    INTEGER NOT NULL,
    last_used  INTEGER,
    expires    INTEGER
) STRICT;
CREATE INDEX tokens_user ON tokens (user);
CREATE INDEX tokens_session ON tokens (session_id);
CREATE INDEX tokens_client ON tokens (client_id);
CREATE INDEX tokens_expires ON tokens (expires);

CREATE TABLE oauth_codes (
    hash                  TEXT PRIMARY KEY,
    user                  TEXT NOT NULL,
    client_id             TEXT NOT NULL,
    redirect_uri          TEXT NOT NULL,
    session_id            TEXT NOT NULL,
    scopes                TEXT NOT NULL,
    code_challenge        TEXT NOT NULL,
    code_challenge_method TEXT NOT NULL,
    expires               INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_codes_session ON oauth_codes (session_id);
CREATE INDEX oauth_codes_expires ON oauth_codes (expires);

CREATE TABLE servers (
    user          TEXT NOT NULL,
    server        TEXT NOT NULL,
    last_activity INTEGER,
    profile       TEXT NOT NULL,
    started       INTEGER,
    last_failure  TEXT NOT NULL,
    PRIMARY KEY (user, server)
) STRICT, WITHOUT ROWID;

-- Random keys that the hub makes once and that outlive a restart.
CREATE TABLE secret_keys (
    name TEXT PRIMARY KEY,
    key  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
