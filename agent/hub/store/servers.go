package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Server is what the database holds of a server, running or not.
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

// UpsertServer saves a server. Its activity only moves forward. Without a display name or options, the saved ones stay.
func (s *Store) UpsertServer(ctx context.Context, v Server) error {
	return s.tx(ctx, "save the server", func(tx *sql.Tx) error { return s.upsertServer(ctx, tx, v) })
}

// ErrTooManyServers says that a user already has the largest number of named servers.
var ErrTooManyServers = errors.New("the user already has the largest number of named servers")

// UpsertServerWithin is UpsertServer for a user who may have at most so many named servers (below 0: any number). It
// counts and saves in one transaction, so that two starts at once cannot both take the last one. A server that is
// saved already is saved again whatever the number; a new one that is one too many is ErrTooManyServers.
func (s *Store) UpsertServerWithin(ctx context.Context, v Server, most int) error {
	return s.tx(ctx, "save the server", func(tx *sql.Tx) error {
		if most >= 0 && !v.Key.Server.IsDefault() {
			var others int
			var known bool
			if err := tx.QueryRowContext(ctx,
				`SELECT count(*), ifnull(max(server = ?2), 0) FROM servers WHERE user = ?1 AND server <> ''`,
				v.Key.User.String(), v.Key.Server.String()).Scan(&others, &known); err != nil {
				return err
			}
			if !known && others >= most {
				return ErrTooManyServers
			}
		}
		return s.upsertServer(ctx, tx, v)
	})
}

func (s *Store) upsertServer(ctx context.Context, tx *sql.Tx, v Server) error {
	options := any(nil)
	if v.UserOptions != nil {
		options = object(v.UserOptions)
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO servers (user, server, last_activity, profile, started, last_failure, display_name,
			user_options, created)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ifnull(?8, '{}'), ?9)
		ON CONFLICT (user, server) DO UPDATE SET
			last_activity = nullif(max(ifnull(last_activity, 0), ifnull(excluded.last_activity, 0)), 0),
			profile = excluded.profile, started = excluded.started, last_failure = excluded.last_failure,
			display_name = CASE WHEN ?7 = '' THEN display_name ELSE ?7 END, user_options = ifnull(?8, user_options)`,
		v.Key.User.String(), v.Key.Server.String(), micros(v.LastActivity), v.Profile, micros(v.Started), v.LastFailure,
		v.DisplayName, options, micros(s.orNow(v.Created)))
	return err
}

// RenameServer saves v, a server that has got another name, in place of the one with its old name; its shares and
// share codes go along, and so do its scopes with the old name in their filter. ErrNotFound says that there is no
// server of the old name, ErrExists that the new name is taken.
func (s *Store) RenameServer(ctx context.Context, old ident.Key, v Server) error {
	return s.tx(ctx, "rename the server", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE OR IGNORE servers SET server = ?3 WHERE user = ?1 AND server = ?2`,
			old.User.String(), old.Server.String(), v.Key.Server.String())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, s.whyNotRenamed(ctx, tx, old))
		}
		if err := s.upsertServer(ctx, tx, v); err != nil {
			return err
		}
		for _, q := range []string{
			`UPDATE OR REPLACE shares SET server = ?3, scopes = replace(scopes, ?4, ?5)
				WHERE owner = ?1 AND server = ?2`,
			`UPDATE share_codes SET server = ?3, scopes = replace(scopes, ?4, ?5) WHERE owner = ?1 AND server = ?2`,
		} {
			if _, err := tx.ExecContext(ctx, q, old.User.String(), old.Server.String(), v.Key.Server.String(),
				sharedFilter(old), sharedFilter(v.Key)); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM gpu_uses WHERE user = ? AND server = ?`, old.User.String(),
			old.Server.String())
		return err
	})
}

// sharedFilter is how the scopes of a share name their server, up to the end of the JSON string: a server whose name
// begins with another's is a different one.
func sharedFilter(k ident.Key) string {
	return "!server=" + k.User.String() + "/" + k.Server.String() + `"`
}

// whyNotRenamed returns the reason why an update of a server's name changed no row.
func (s *Store) whyNotRenamed(ctx context.Context, tx *sql.Tx, old ident.Key) error {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM servers WHERE user = ? AND server = ?`, old.User.String(),
		old.Server.String()).Scan(&n)
	if err == nil && n == 0 {
		err = ErrNotFound
	} else if err == nil {
		err = ErrExists
	}
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
func (r *Reader) ServerByKey(ctx context.Context, key ident.Key) (Server, error) {
	var v Server
	err := r.queryRow(ctx, "look up the server", v.dest(),
		`SELECT `+serverColumns+` FROM servers WHERE user = ? AND server = ?`, key.User.String(), key.Server.String())
	return v, err
}

// ServersOf returns a user's servers in the order of their names, the default first.
func (r *Reader) ServersOf(ctx context.Context, user ident.User) ([]Server, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT `+serverColumns+` FROM servers WHERE user = ? ORDER BY server`,
		user.String())
	if err != nil {
		return nil, fmt.Errorf("cannot list the servers in the database: %w", err)
	}
	return collect(rows, (*Server).dest)
}

// DeleteServer deletes a server with its shares and share codes; an unknown server is not an error.
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
