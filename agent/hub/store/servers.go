package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Server is what systemd does not know of a server, running or not.
type Server struct {
	Key          ident.Key
	LastActivity time.Time // zero: none reported
	Profile      string    // chosen at the last start
	Started      time.Time // last start; zero: never
	DisplayName  string    // for people; "" for none
	UserOptions  map[string]any
	Created      time.Time // when it was first heard of
	LastFailure  string    // why the last start or run failed, for people; "" when it did not
}

// UpsertServer saves all of a server but its activity, which only moves forward. Without a
// display name or options, those that are there stay.
func (s *Store) UpsertServer(ctx context.Context, v Server) error {
	options := any(nil)
	if v.UserOptions != nil {
		options = object(v.UserOptions)
	}
	_, err := s.exec(ctx, "save the server", `
		INSERT INTO servers (user, server, last_activity, profile, started, last_failure, display_name, user_options, created)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ifnull(?8, '{}'), ?9)
		ON CONFLICT (user, server) DO UPDATE SET
			last_activity = nullif(max(ifnull(last_activity, 0), ifnull(excluded.last_activity, 0)), 0),
			profile = excluded.profile, started = excluded.started, last_failure = excluded.last_failure,
			display_name = CASE WHEN ?7 = '' THEN display_name ELSE ?7 END, user_options = ifnull(?8, user_options)`,
		v.Key.User.String(), v.Key.Server.String(), micros(v.LastActivity), v.Profile, micros(v.Started), v.LastFailure,
		v.DisplayName, options, micros(s.orNow(v.Created)))
	return err
}

// TouchServer records activity of a server at a time. It only moves forward; an
// unknown server is ErrNotFound.
func (s *Store) TouchServer(ctx context.Context, key ident.Key, at time.Time) error {
	n, err := s.exec(ctx, "note the server's activity", `
		UPDATE servers SET last_activity = max(ifnull(last_activity, 0), ?) WHERE user = ? AND server = ?`,
		micros(at), key.User.String(), key.Server.String())
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

const serverColumns = `user, server, last_activity, profile, started, last_failure, display_name, user_options, created`

func (v *Server) dest() []any {
	return []any{userCol{&v.Key.User}, serverCol{&v.Key.Server}, timeCol{&v.LastActivity}, &v.Profile,
		timeCol{&v.Started}, &v.LastFailure, &v.DisplayName, objectCol{&v.UserOptions}, timeCol{&v.Created}}
}

// ServerByKey returns the server or ErrNotFound.
func (s *Store) ServerByKey(ctx context.Context, key ident.Key) (Server, error) {
	var v Server
	err := s.queryRow(ctx, "look up the server", v.dest(),
		`SELECT `+serverColumns+` FROM servers WHERE user = ? AND server = ?`, key.User.String(), key.Server.String())
	return v, err
}

// ServersOf returns a user's servers in the order of their names, the default first.
func (s *Store) ServersOf(ctx context.Context, user ident.User) ([]Server, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+serverColumns+` FROM servers WHERE user = ? ORDER BY server`,
		user.String())
	if err != nil {
		return nil, fmt.Errorf("cannot list the servers in the database: %w", err)
	}
	return collect(rows, (*Server).dest)
}

// DeleteServer forgets a server with its shares and share codes; an unknown one is not an
// error.
func (s *Store) DeleteServer(ctx context.Context, key ident.Key) error {
	return s.tx(ctx, "forget the server", func(tx *sql.Tx) error {
		for _, q := range []string{
			`DELETE FROM servers WHERE user = ? AND server = ?`,
			`DELETE FROM shares WHERE owner = ? AND server = ?`,
			`DELETE FROM share_codes WHERE owner = ? AND server = ?`,
			`DELETE FROM gpu_uses WHERE user = ? AND server = ?`,
		} {
			if _, err := tx.ExecContext(ctx, q, key.User.String(), key.Server.String()); err != nil {
				return err
			}
		}
		return nil
	})
}
