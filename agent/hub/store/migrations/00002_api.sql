-- +goose Up

-- An administrator whom the API made one stays one, whatever the next sign-in says.
ALTER TABLE users ADD COLUMN admin_by_api INTEGER NOT NULL DEFAULT 0;

ALTER TABLE servers ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN user_options TEXT NOT NULL DEFAULT '{}'; -- a JSON object
ALTER TABLE servers ADD COLUMN created INTEGER;

CREATE TABLE user_groups (
    name       TEXT PRIMARY KEY,
    properties TEXT NOT NULL, -- a JSON object
    kept       INTEGER NOT NULL, -- made on purpose; others go with their last member
    created    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- source tells who says so: "api", "settings", or "login" (the provider's claim and the
-- host's Unix groups). A user may be in a group by several at once.
CREATE TABLE memberships (
    user_group TEXT NOT NULL REFERENCES user_groups (name) ON DELETE CASCADE,
    user       TEXT NOT NULL,
    source     TEXT NOT NULL CHECK (source IN ('api', 'settings', 'login')),
    PRIMARY KEY (user_group, user, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_user ON memberships (user);

-- Shares: user or user_group is '' and the other is not.
CREATE TABLE shares (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    owner      TEXT NOT NULL,
    server     TEXT NOT NULL,
    user       TEXT NOT NULL,
    user_group TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    created    INTEGER NOT NULL,
    UNIQUE (owner, server, user, user_group),
    CHECK ((user = '') <> (user_group = ''))
) STRICT;
CREATE INDEX shares_user ON shares (user);
CREATE INDEX shares_group ON shares (user_group);

CREATE TABLE share_codes (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    hash           TEXT NOT NULL UNIQUE,
    owner          TEXT NOT NULL,
    server         TEXT NOT NULL,
    scopes         TEXT NOT NULL,
    created        INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    exchange_count INTEGER NOT NULL,
    last_exchanged INTEGER
) STRICT;
CREATE INDEX share_codes_owner ON share_codes (owner, server);
CREATE INDEX share_codes_expires ON share_codes (expires);

-- Services that were added through the API; those of the settings are not kept here.
CREATE TABLE services (
    name    TEXT PRIMARY KEY,
    record  TEXT NOT NULL, -- a JSON object
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
