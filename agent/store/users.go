package store

import (
	"context"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// User is a person who has signed in at least once.
type User struct {
	Name         ident.User
	DisplayName  string
	Admin        bool
	Created      time.Time // first sign-in
	LastActivity time.Time // zero: none yet
}

// UpsertUser records a sign-in: it makes the user, or takes over the display name
// and the admin mark. Created and LastActivity of a known user stay.
func (s *Store) UpsertUser(ctx context.Context, u User) error {
	_, err := s.exec(ctx, "save the user", `
		INSERT INTO users (name, display_name, admin, created, last_activity) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, admin = excluded.admin`,
		u.Name.String(), u.DisplayName, u.Admin, micros(s.orNow(u.Created)), micros(u.LastActivity))
	return err
}

const userColumns = `name, display_name, admin, created, last_activity`

func (u *User) dest() []any {
	return []any{userCol{&u.Name}, &u.DisplayName, &u.Admin, timeCol{&u.Created}, timeCol{&u.LastActivity}}
}

// UserByName gives the user or ErrNotFound.
func (s *Store) UserByName(ctx context.Context, name ident.User) (User, error) {
	var u User
	err := s.queryRow(ctx, "look up the user", u.dest(), `SELECT `+userColumns+` FROM users WHERE name = ?`, name.String())
	return u, err
}

// Users gives all users in the order of their names.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+userColumns+` FROM users ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the users in the database: %w", err)
	}
	return collect(rows, (*User).dest)
}

// TouchUser records activity of a user at a time. It only moves forward; a user
// who never signed in is left out without an error.
func (s *Store) TouchUser(ctx context.Context, name ident.User, at time.Time) error {
	_, err := s.exec(ctx, "note the user's activity", `
		UPDATE users SET last_activity = ?1 WHERE name = ?2 AND (last_activity IS NULL OR last_activity < ?1)`,
		micros(at), name.String())
	return err
}

// SetAdmin changes the admin mark of a user.
func (s *Store) SetAdmin(ctx context.Context, name ident.User, admin bool) error {
	_, err := s.exec(ctx, "save the user", `UPDATE users SET admin = ? WHERE name = ?`, admin, name.String())
	return err
}

// orNow gives t, or the present when t is zero.
func (s *Store) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return s.now()
	}
	return t
}
