-- +goose Up

-- Which account of the provider a user's name belongs to: that of the first sign-in. It stays when the user is deleted,
-- so that nobody takes the name over by signing in under it; root forgets it.
CREATE TABLE identities (
    user    TEXT PRIMARY KEY,
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    bound   INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT, WITHOUT ROWID;
