-- +goose Up

-- Whose servers somebody has agreed to open, in the browser in which they were asked.
CREATE TABLE agreed (
    session_id TEXT NOT NULL REFERENCES logins (session_id) ON DELETE CASCADE,
    owner      TEXT NOT NULL,
    server     TEXT NOT NULL,
    PRIMARY KEY (session_id, owner, server)
) STRICT, WITHOUT ROWID;
