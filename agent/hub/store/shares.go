package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Share lets a user or a group do something with somebody's server.
type Share struct {
	Key     ident.Key  // the server
	User    ident.User // whom it is for; zero when it is for a group
	Group   string     // "" when it is for a user
	Scopes  []string   // with the server as their filter
	Created time.Time
}

const shareColumns = `owner, server, user, user_group, scopes, created`

func (v *Share) dest() []any {
	return []any{userCol{&v.Key.User}, serverCol{&v.Key.Server}, anyUserCol{&v.User}, &v.Group, listCol{&v.Scopes},
		timeCol{&v.Created}}
}

// ShareQuery selects shares. Every field that is set must match. With and WithGroups are one condition: either may
// match.
type ShareQuery struct {
	Owner      ident.User
	Server     *ident.Server
	With       ident.User
	WithGroups []string
}

// Shares returns the shares that a query selects, the oldest first.
func (r *Reader) Shares(ctx context.Context, q ShareQuery) ([]Share, error) {
	server := any(nil)
	if q.Server != nil {
		server = q.Server.String()
	}
	rows, err := r.db.QueryContext(ctx, `SELECT `+shareColumns+` FROM shares
		WHERE (?1 = '' OR owner = ?1) AND (?2 IS NULL OR server = ?2)
		  AND ((?3 = '' AND ?4 = '[]') OR (user <> '' AND user = ?3) OR (user_group <> '' AND user_group IN (SELECT
			value FROM json_each(?4))))
		ORDER BY id`, q.Owner.String(), server, q.With.String(), list(q.WithGroups))
	if err != nil {
		return nil, fmt.Errorf("cannot list the shares in the database: %w", err)
	}
	return collect(rows, (*Share).dest)
}

// SharesFor returns what was shared with a user, by name or through one of the groups.
func (r *Reader) SharesFor(ctx context.Context, u ident.User, groups []string) ([]Share, error) {
	return r.Shares(ctx, ShareQuery{With: u, WithGroups: groups})
}

// GrantShare makes a share or adds scopes to an existing one, and returns the whole share.
func (s *Store) GrantShare(ctx context.Context, v Share) (Share, error) {
	err := s.tx(ctx, "share the server", func(tx *sql.Tx) error { return s.grant(ctx, tx, &v) })
	return v, err
}

func (s *Store) grant(ctx context.Context, tx *sql.Tx, v *Share) error {
	have, err := oneShare(ctx, tx, *v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	v.Scopes = slices.Compact(slices.Sorted(slices.Values(append(have.Scopes, v.Scopes...))))
	if v.Created = have.Created; v.Created.IsZero() {
		v.Created = s.now().UTC().Truncate(time.Microsecond)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO shares (`+shareColumns+`) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (owner, server, user, user_group) DO UPDATE SET scopes = excluded.scopes`,
		v.Key.User.String(), v.Key.Server.String(), v.User.String(), v.Group, list(v.Scopes), micros(v.Created))
	return err
}

func oneShare(ctx context.Context, tx *sql.Tx, v Share) (Share, error) {
	err := tx.QueryRowContext(ctx,
		`SELECT `+shareColumns+` FROM shares WHERE owner = ? AND server = ? AND user = ? AND user_group = ?`,
		v.Key.User.String(), v.Key.Server.String(), v.User.String(), v.Group).Scan(v.dest()...)
	return v, err
}

// RevokeShare takes scopes from a share, or the share as a whole when scopes is nil or
// none is left, and returns what is left of it. ErrNotFound says that there was none.
func (s *Store) RevokeShare(ctx context.Context, v Share, scopes []string) (Share, error) {
	err := s.tx(ctx, "revoke the share", func(tx *sql.Tx) error {
		have, err := oneShare(ctx, tx, v)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		have.Scopes = slices.DeleteFunc(have.Scopes, func(scope string) bool {
			return scopes == nil ||
				slices.Contains(scopes, scope)
		})
		v = have
		query, args := `UPDATE shares SET scopes = ?5 WHERE owner = ?1 AND server = ?2 AND user = ?3 AND user_group
			= ?4`,
			[]any{v.Key.User.String(), v.Key.Server.String(), v.User.String(), v.Group, list(v.Scopes)}
		if len(v.Scopes) == 0 {
			query, args = `DELETE FROM shares WHERE owner = ?1 AND server = ?2 AND user = ?3 AND user_group = ?4`,
				args[:4]
		}
		_, err = tx.ExecContext(ctx, query, args...)
		return err
	})
	return v, err
}

// RevokeShares takes back all shares of a server.
func (s *Store) RevokeShares(ctx context.Context, k ident.Key) error {
	_, err := s.exec(ctx, "revoke the shares", `DELETE FROM shares WHERE owner = ? AND server = ?`, k.User.String(),
		k.Server.String())
	return err
}

// ShareCode can be exchanged for a share by whoever has it; the code itself is saved
// nowhere.
type ShareCode struct {
	ID            int64
	Hash          string // ident.HashToken of the code
	Key           ident.Key
	Scopes        []string
	Created       time.Time
	Expires       time.Time
	ExchangeCount int
	LastExchanged time.Time // zero: never
}

const codeRowColumns = `id, hash, owner, server, scopes, created, expires, exchange_count, last_exchanged`

func (c *ShareCode) dest() []any {
	return []any{&c.ID, &c.Hash, userCol{&c.Key.User}, serverCol{&c.Key.Server}, listCol{&c.Scopes},
		timeCol{&c.Created},
		timeCol{&c.Expires}, &c.ExchangeCount, timeCol{&c.LastExchanged}}
}

// CreateShareCode saves a code and returns its id.
func (s *Store) CreateShareCode(ctx context.Context, c ShareCode) (id int64, err error) {
	err = s.queryRow(ctx, "save the share code", []any{&id}, `
		INSERT INTO share_codes (hash, owner, server, scopes, created, expires, exchange_count) VALUES (?, ?, ?, ?,
			?, ?, 0) RETURNING id`,
		c.Hash, c.Key.User.String(), c.Key.Server.String(), list(c.Scopes), micros(c.Created), micros(c.Expires))
	return id, err
}

// ShareCodeByHash returns a code that has not expired, or ErrNotFound.
func (r *Reader) ShareCodeByHash(ctx context.Context, hash string) (ShareCode, error) {
	var c ShareCode
	err := r.queryRow(ctx, "look up the share code", c.dest(),
		`SELECT `+codeRowColumns+` FROM share_codes WHERE hash = ? AND expires > ?`, hash, micros(r.now()))
	return c, err
}

// ShareCodes returns the codes of an owner that have not expired, of one server or of all,
// the oldest first.
func (r *Reader) ShareCodes(ctx context.Context, owner ident.User, server *ident.Server) ([]ShareCode, error) {
	name := any(nil)
	if server != nil {
		name = server.String()
	}
	rows, err := r.db.QueryContext(ctx, `SELECT `+codeRowColumns+` FROM share_codes
		WHERE owner = ?1 AND (?2 IS NULL OR server = ?2) AND expires > ?3 ORDER BY id`, owner.String(), name,
		micros(r.now()))
	if err != nil {
		return nil, fmt.Errorf("cannot list the share codes in the database: %w", err)
	}
	return collect(rows, (*ShareCode).dest)
}

// ExchangeShareCode turns a code into a share for a user, in one step. ErrNotFound says
// that there is no such code or that it has expired.
func (s *Store) ExchangeShareCode(ctx context.Context, hash string, with ident.User) (Share, error) {
	v := Share{User: with}
	err := s.tx(ctx, "accept the share", func(tx *sql.Tx) error {
		now := micros(s.now())
		err := tx.QueryRowContext(ctx, `UPDATE share_codes SET exchange_count = exchange_count + 1, last_exchanged = ?1
			WHERE hash = ?2 AND expires > ?1 RETURNING owner, server, scopes`, now, hash).
			Scan(userCol{&v.Key.User}, serverCol{&v.Key.Server}, listCol{&v.Scopes})
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return s.grant(ctx, tx, &v)
	})
	return v, err
}

// DeleteShareCode revokes one code of a server by its id; ErrNotFound when it does not exist.
func (s *Store) DeleteShareCode(ctx context.Context, k ident.Key, id int64) error {
	return s.deleteCode(ctx, k, `id = ?`, id)
}

// DeleteShareCodeByHash revokes one code of a server by itself.
func (s *Store) DeleteShareCodeByHash(ctx context.Context, k ident.Key, hash string) error {
	return s.deleteCode(ctx, k, `hash = ?`, hash)
}

func (s *Store) deleteCode(ctx context.Context, k ident.Key, where string, arg any) error {
	n, err := s.exec(ctx, "revoke the share code", `DELETE FROM share_codes WHERE owner = ? AND server = ? AND `+where,
		k.User.String(), k.Server.String(), arg)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// DeleteShareCodes revokes all codes of a server.
func (s *Store) DeleteShareCodes(ctx context.Context, k ident.Key) error {
	_, err := s.exec(ctx, "revoke the share codes", `DELETE FROM share_codes WHERE owner = ? AND server = ?`,
		k.User.String(), k.Server.String())
	return err
}
