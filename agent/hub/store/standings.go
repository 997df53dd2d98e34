package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Standing is whether somebody may enter, as the rules last said. The tokens of somebody who may not are suspended:
// they stay, and work again when Lost is zero again.
type Standing struct {
	User   ident.User
	Groups []string  // the provider's, when it last told them
	Told   time.Time // when it told them; zero: never
	Lost   time.Time // since when they may not enter; zero: they may
	Reason string    // why they may not: a login.Reason
	Detail string    // more of that reason, for people
}

const standingColumns = `user, groups, told, lost, reason, detail`

func (v *Standing) dest() []any {
	return []any{userCol{&v.User}, listCol{&v.Groups}, timeCol{&v.Told}, timeCol{&v.Lost}, &v.Reason, &v.Detail}
}

// StandingOf returns a person's standing; of one who was never refused it is the zero value with their name.
func (r *Reader) StandingOf(ctx context.Context, u ident.User) (Standing, error) {
	v := Standing{User: u}
	err := r.queryRow(ctx, "look up whether the user may enter", v.dest(),
		`SELECT `+standingColumns+` FROM standings WHERE user = ?`, u.String())
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return v, err
}

// Departed returns everybody who may not enter any more, the first to lose that right first.
func (r *Reader) Departed(ctx context.Context) ([]Standing, error) {
	rows, err := r.db.QueryContext(ctx,
		`SELECT `+standingColumns+` FROM standings WHERE lost IS NOT NULL ORDER BY lost, user`)
	if err != nil {
		return nil, fmt.Errorf("cannot list who may not enter any more in the database: %w", err)
	}
	return collect(rows, (*Standing).dest)
}

// SaveToldGroups saves the groups that the provider told of a person.
func (s *Store) SaveToldGroups(ctx context.Context, u ident.User, groups []string, told time.Time) error {
	_, err := s.exec(ctx, "save the user's groups at the provider", `
		INSERT INTO standings (user, groups, told, reason, detail) VALUES (?, ?, ?, '', '')
		ON CONFLICT (user) DO UPDATE SET groups = excluded.groups, told = excluded.told`,
		u.String(), list(groups), micros(told))
	return err
}

// LoseAccess records from when and why somebody may not enter, and ends the administrator's mark that the rules gave.
// first reports whether they could enter before; otherwise the time and the reason from before stay.
func (s *Store) LoseAccess(ctx context.Context, v Standing) (first bool, err error) {
	err = s.tx(ctx, "save that the user may not enter", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE users SET admin = admin_by_api WHERE name = ?`,
			v.User.String()); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `
			INSERT INTO standings (user, groups, lost, reason, detail) VALUES (?, '[]', ?, ?, ?)
			ON CONFLICT (user) DO UPDATE SET lost = excluded.lost, reason = excluded.reason, detail = excluded.detail
			WHERE lost IS NULL`, v.User.String(), micros(v.Lost), v.Reason, v.Detail)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		first = n == 1
		return err
	})
	return first, err
}

// RegainAccess records that somebody may enter again. back reports whether they could not before.
func (s *Store) RegainAccess(ctx context.Context, u ident.User) (back bool, err error) {
	n, err := s.exec(ctx, "save that the user may enter",
		`UPDATE standings SET lost = NULL, reason = '', detail = '' WHERE user = ? AND lost IS NOT NULL`, u.String())
	return n == 1, err
}
