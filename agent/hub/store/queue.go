package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// QueuedStart is a queued start that waits for devices that others hold.
type QueuedStart struct {
	Key     ident.Key
	Profile string // as it was asked for
	Asked   time.Time
}

// SaveQueue replaces the whole queue.
func (s *Store) SaveQueue(ctx context.Context, queue []QueuedStart) error {
	return s.tx(ctx, "save the queue for devices", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM line`); err != nil {
			return err
		}
		for _, p := range queue {
			if _, err := tx.ExecContext(ctx, `INSERT INTO line (user, server, profile, asked) VALUES (?, ?, ?, ?)`,
				p.Key.User.String(), p.Key.Server.String(), p.Profile, micros(p.Asked)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Queue returns the queued starts, in the order in which they were requested.
func (r *Reader) Queue(ctx context.Context) ([]QueuedStart, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT user, server, profile, asked FROM line ORDER BY asked, user, server`)
	if err != nil {
		return nil, fmt.Errorf("cannot read the queue for devices from the database: %w", err)
	}
	return collect(rows, func(p *QueuedStart) []any {
		return []any{userCol{&p.Key.User}, serverCol{&p.Key.Server}, &p.Profile, timeCol{&p.Asked}}
	})
}

// retainedLeases is how many ended leases of a kind are on record. With fewLeases or fewer the median would say too
// little.
const (
	retainedLeases = 50
	fewLeases      = 3
)

// AddLease records how long a device of a kind was held.
func (s *Store) AddLease(ctx context.Context, kind string, held time.Duration, ended time.Time) error {
	return s.tx(ctx, "record how long a device was held", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO leases (kind, held, ended) VALUES (?, ?, ?)`, kind,
			held.Microseconds(), micros(ended)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM leases WHERE kind = ?1 AND id NOT IN
			(SELECT id FROM leases WHERE kind = ?1 ORDER BY id DESC LIMIT ?2)`, kind, retainedLeases)
		return err
	})
}

// TypicalLease returns the median of the last leases of a kind; 0 when there were too few.
func (r *Reader) TypicalLease(ctx context.Context, kind string) (time.Duration, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT held FROM leases WHERE kind = ?`, kind)
	if err != nil {
		return 0, fmt.Errorf("cannot list in the database how long devices were held: %w", err)
	}
	held, err := collect(rows, func(v *int64) []any { return []any{v} })
	if err != nil || len(held) < fewLeases {
		return 0, err
	}
	slices.Sort(held)
	return time.Duration(held[len(held)/2]) * time.Microsecond, nil
}
