package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Identity is the account of the provider to which a user's name belongs.
type Identity struct {
	User    ident.User
	Issuer  string
	Subject string    // the provider's own name for the person, unique there and never given to another (Core 1.0, 2)
	Bound   time.Time // of the first sign-in
}

const identityColumns = `user, issuer, subject, bound`

func (i *Identity) dest() []any {
	return []any{userCol{&i.User}, &i.Issuer, &i.Subject, timeCol{&i.Bound}}
}

// BindIdentity binds a user's name to an account of the provider, if neither is bound yet. It returns the identity that
// holds then: want itself, or another one, to which the name or the account belongs already.
func (s *Store) BindIdentity(ctx context.Context, want Identity) (Identity, error) {
	var have Identity
	err := s.tx(ctx, "bind a user's name to an account of the sign-in server", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO identities (`+identityColumns+`) VALUES (?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, want.User.String(), want.Issuer, want.Subject, micros(want.Bound)); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT `+identityColumns+` FROM identities
			WHERE user = ?1 OR issuer = ?2 AND subject = ?3 ORDER BY user <> ?1 LIMIT 1`,
			want.User.String(), want.Issuer, want.Subject).Scan(have.dest()...)
	})
	return have, err
}

// ForgetIdentity lets the next sign-in under a user's name bind it. ErrNotFound for a name that is not bound.
func (s *Store) ForgetIdentity(ctx context.Context, user ident.User) error {
	n, err := s.exec(ctx, "forget whose a user's name is", `DELETE FROM identities WHERE user = ?`, user.String())
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// IdentityOf returns to which account a user's name belongs, or ErrNotFound.
func (r *Reader) IdentityOf(ctx context.Context, user ident.User) (Identity, error) {
	var have Identity
	err := r.queryRow(ctx, "look up whose a user's name is", have.dest(),
		`SELECT `+identityColumns+` FROM identities WHERE user = ?`, user.String())
	return have, err
}

// Identities returns all bound names, sorted.
func (r *Reader) Identities(ctx context.Context) ([]Identity, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT `+identityColumns+` FROM identities ORDER BY user`)
	if err != nil {
		return nil, fmt.Errorf("cannot list whose the users' names are in the database: %w", err)
	}
	return collect(rows, (*Identity).dest)
}
