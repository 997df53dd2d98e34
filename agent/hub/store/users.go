package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// User is a person who has signed in at least once.
type User struct {
	Name         ident.User
	DisplayName  string
	Admin        bool
	AdminByAPI   bool      // the API made them one, so that a sign-in does not undo it
	Created      time.Time // first sign-in
	LastActivity time.Time // zero: none yet
}

// UpsertUser records a sign-in: it makes the user, or takes over the display name
// and the admin mark. Created and LastActivity of a known user stay.
func (s *Store) UpsertUser(ctx context.Context, u User) error {
	_, err := s.exec(ctx, "save the user", `
		INSERT INTO users (name, display_name, admin, created, last_activity) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, admin = max(excluded.admin,
			admin_by_api)`,
		u.Name.String(), u.DisplayName, u.Admin, micros(s.orNow(u.Created)), micros(u.LastActivity))
	return err
}

const userColumns = `name, display_name, admin, admin_by_api, created, last_activity`

func (u *User) dest() []any {
	return []any{userCol{&u.Name}, &u.DisplayName, &u.Admin, &u.AdminByAPI, timeCol{&u.Created},
		timeCol{&u.LastActivity}}
}

// UserByName returns the user or ErrNotFound.
func (r *Reader) UserByName(ctx context.Context, name ident.User) (User, error) {
	var u User
	err := r.queryRow(ctx, "look up the user", u.dest(), `SELECT `+userColumns+` FROM users WHERE name = ?`,
		name.String())
	return u, err
}

// Users returns all users in the order of their names.
func (r *Reader) Users(ctx context.Context) ([]User, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT `+userColumns+` FROM users ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the users in the database: %w", err)
	}
	return collect(rows, (*User).dest)
}

// TouchUser records activity of a user at a time. It only moves forward. A user who never signed in is ignored without
// an error.
func (s *Store) TouchUser(ctx context.Context, name ident.User, at time.Time) error {
	_, err := s.exec(ctx, "note the user's activity", `
		UPDATE users SET last_activity = ?1 WHERE name = ?2 AND (last_activity IS NULL OR last_activity < ?1)`,
		micros(at), name.String())
	return err
}

// SetAdmin changes the admin mark of a user for the API. A removed mark returns at the next sign-in of a person whom
// the settings make an administrator.
func (s *Store) SetAdmin(ctx context.Context, name ident.User, admin bool) error {
	_, err := s.exec(ctx, "save the user", `UPDATE users SET admin = ?1, admin_by_api = ?1 WHERE name = ?2`, admin,
		name.String())
	return err
}

// SetAdminByRules records the result of the sign-in's rules for a user. A mark set through the API stays, and makes an
// administrator whatever the rules say. other reports whether the user is something else now than before.
func (s *Store) SetAdminByRules(ctx context.Context, name ident.User, admin bool) (other bool, err error) {
	n, err := s.exec(ctx, "save the user",
		`UPDATE users SET admin = max(?1, admin_by_api) WHERE name = ?2 AND admin <> max(?1, admin_by_api)`, admin,
		name.String())
	return n == 1, err
}

// CreateUser makes a user who has not signed in yet; ErrExists for one who is known.
func (s *Store) CreateUser(ctx context.Context, u User) error {
	n, err := s.exec(ctx, "save the user", `
		INSERT INTO users (name, display_name, admin, admin_by_api, created) VALUES (?1, ?2, ?3, ?3, ?4) ON CONFLICT
			DO NOTHING`,
		u.Name.String(), u.DisplayName, u.Admin, micros(s.orNow(u.Created)))
	if err == nil && n == 0 {
		return &ExistsError{u.Name.String()}
	}
	return err
}

// DeleteUser deletes a user with everything that belongs to them; ErrNotFound for an unknown user.
func (s *Store) DeleteUser(ctx context.Context, name ident.User) error {
	return s.tx(ctx, "delete the user", func(tx *sql.Tx) error {
		for _, q := range []string{
			`DELETE FROM tokens WHERE user = ?`,
			`DELETE FROM oauth_codes WHERE user = ?`,
			`DELETE FROM logins WHERE user = ?`,
			`DELETE FROM servers WHERE user = ?`,
			`DELETE FROM gpu_uses WHERE user = ?`,
			`DELETE FROM line WHERE user = ?`,
			`DELETE FROM memberships WHERE user = ?`,
			`DELETE FROM standings WHERE user = ?`,
			`DELETE FROM shares WHERE ?1 IN (owner, user)`,
			`DELETE FROM share_codes WHERE owner = ?`,
		} {
			if _, err := tx.ExecContext(ctx, q, name.String()); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM users WHERE name = ?`, name.String())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		return dropEmpty(ctx, tx)
	})
}

// UserQuery selects users.
type UserQuery struct {
	NameFilter    string       // a part of the name, in any case
	Sort          string       // "id" (the oldest first), "name" or "last_activity", with "-" the other way round
	Only          []ident.User // nil: all
	Except        []ident.User
	Offset, Limit int // Limit 0: no limit
}

// orders are the ways to sort. Users who were never active come first, and last in reverse order, as in JupyterHub.
var orders = map[string]string{
	"id": `created, name`, "-id": `created DESC, name DESC`,
	"name": `name`, "-name": `name DESC`,
	"last_activity":  `last_activity IS NOT NULL, last_activity, name`,
	"-last_activity": `last_activity IS NULL, last_activity DESC, name DESC`,
}

// FindUsers returns a page of the users that a query selects, and how many there are in all.
func (r *Reader) FindUsers(ctx context.Context, q UserQuery) (users []User, total int, err error) {
	order, ok := orders[q.Sort]
	if !ok {
		return nil, 0, fmt.Errorf("cannot sort users by %q", q.Sort)
	}
	only := any(nil)
	if q.Only != nil {
		only = userNames(q.Only)
	}
	if q.Limit <= 0 {
		q.Limit = -1
	}
	where := ` FROM users WHERE (?1 = '' OR instr(lower(name), lower(?1)) > 0)
		AND (?2 IS NULL OR name IN (SELECT value FROM json_each(?2))) AND name NOT IN (SELECT value FROM json_each(?3))`
	args := []any{q.NameFilter, only, userNames(q.Except)}
	if err := r.queryRow(ctx, "count the users", []any{&total}, `SELECT count(*)`+where, args...); err != nil {
		return nil, 0, err
	}
	rows, err := r.db.QueryContext(ctx, `SELECT `+userColumns+where+` ORDER BY `+order+` LIMIT ?4 OFFSET ?5`,
		append(args, q.Limit, q.Offset)...)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot list the users in the database: %w", err)
	}
	users, err = collect(rows, (*User).dest)
	return users, total, err
}

func userNames(users []ident.User) string {
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.String()
	}
	return list(names)
}

// orNow returns t, or the present when t is zero.
func (s *Store) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return s.now()
	}
	return t
}
