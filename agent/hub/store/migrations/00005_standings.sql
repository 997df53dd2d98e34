-- +goose Up

-- Whether each person may enter, as last told. A person without a row has never been refused.
CREATE TABLE standings (
    user   TEXT PRIMARY KEY, -- also of a server whose owner never signed in
    groups TEXT NOT NULL,    -- the provider's, when it last told them; a JSON array
    told   INTEGER,          -- when it told them; NULL: never
    lost   INTEGER,          -- since when the person may not enter; NULL: they may
    reason TEXT NOT NULL,    -- why they may not
    detail TEXT NOT NULL     -- more of that reason, for people
) STRICT, WITHOUT ROWID;
CREATE INDEX standings_lost ON standings (lost) WHERE lost IS NOT NULL;

-- The groups of whoever is signed in: of several sign-ins the one that was confirmed last.
INSERT INTO standings (user, groups, told, reason, detail)
    SELECT user, groups, max(checked), '', '' FROM logins GROUP BY user;
