package store

import (
	"context"
	"errors"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Agree records that somebody agreed, in a session, to open a server of another's. first is false where they had
// before. It ends with the session.
func (s *Store) Agree(ctx context.Context, sessionID string, key ident.Key) (first bool, err error) {
	n, err := s.exec(ctx, "save that a server was opened",
		`INSERT INTO agreed (session_id, owner, server) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, sessionID,
		key.User.String(), key.Server.String())
	return n == 1, err
}

// Agreed reports whether somebody agreed, in a session, to open a server of another's.
func (r *Reader) Agreed(ctx context.Context, sessionID string, key ident.Key) (bool, error) {
	var one int
	err := r.queryRow(ctx, "look up whether a server was opened", []any{&one},
		`SELECT 1 FROM agreed WHERE session_id = ? AND owner = ? AND server = ?`, sessionID, key.User.String(),
		key.Server.String())
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
