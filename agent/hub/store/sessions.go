package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Sessions is the session store of github.com/alexedwards/scs/v2, to be used with
// its HashTokenInStore, so that a copy of the file opens no session. It implements
// scs.CtxStore and scs.IterableCtxStore.
type Sessions struct{ s *Store }

// Sessions returns the part of s that package scs needs.
func (s *Store) Sessions() *Sessions { return &Sessions{s} }

// FindCtx returns the data of a session; found is false when it is unknown or expired.
func (t *Sessions) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = t.s.queryRow(ctx, "look up the session", []any{&data},
		`SELECT data FROM sessions WHERE token = ? AND expires > ?`, token, micros(t.s.now()))
	if errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// CommitCtx saves a session.
func (t *Sessions) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	_, err := t.s.exec(ctx, "save the session", `
		INSERT INTO sessions (token, data, expires) VALUES (?, ?, ?)
		ON CONFLICT (token) DO UPDATE SET data = excluded.data, expires = excluded.expires`,
		token, blob(data), micros(expires))
	return err
}

// DeleteCtx ends a session; an unknown one is not an error.
func (t *Sessions) DeleteCtx(ctx context.Context, token string) error {
	_, err := t.s.exec(ctx, "end the session", `DELETE FROM sessions WHERE token = ?`, token)
	return err
}

type sessionRow struct {
	token string
	data  []byte
}

// AllCtx returns the data of every session that has not expired, by hashed token.
func (t *Sessions) AllCtx(ctx context.Context) (map[string][]byte, error) {
	rows, err := t.s.db.QueryContext(ctx, `SELECT token, data FROM sessions WHERE expires > ?`, micros(t.s.now()))
	if err != nil {
		return nil, fmt.Errorf("cannot list the sessions in the database: %w", err)
	}
	all, err := collect(rows, func(r *sessionRow) []any { return []any{&r.token, &r.data} })
	if err != nil {
		return nil, err
	}
	m := make(map[string][]byte, len(all))
	for _, r := range all {
		m[r.token] = r.data
	}
	return m, nil
}

// Find is FindCtx without a context, as scs.Store asks.
func (t *Sessions) Find(token string) ([]byte, bool, error) {
	return t.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context, as scs.Store asks.
func (t *Sessions) Commit(token string, data []byte, expires time.Time) error {
	return t.CommitCtx(context.Background(), token, data, expires)
}

// Delete is DeleteCtx without a context, as scs.Store asks.
func (t *Sessions) Delete(token string) error { return t.DeleteCtx(context.Background(), token) }
