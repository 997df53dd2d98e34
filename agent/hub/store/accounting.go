package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Reading is a reading of a running server's counters, up to which it has been accounted for.
type Reading struct {
	Key     ident.Key
	Started time.Time // of its run: another one is another run
	At      time.Time
	GPUs    float64 // devices that it holds; parts of those that several hold
	CPU     float64 // seconds of processor time since its start
	Memory  int64   // bytes
}

// Spent is what a user used in a month.
type Spent struct {
	User   ident.User
	Month  string // UTC: "2026-11"
	GPU    float64
	CPU    float64
	Memory float64 // bytes times seconds
	Server float64 // seconds
}

// Account adds what a server used since its last reading and saves the next one, in one transaction: two processes of
// the hub never count the same time. next receives the last reading; ok is false when there is none. A nil reading from
// next changes nothing.
func (s *Store) Account(ctx context.Context, key ident.Key, next func(last Reading, ok bool) (*Reading,
	[]Spent)) error {
	return s.tx(ctx, "account for a server", func(tx *sql.Tx) error {
		last, err := scanReading(tx.QueryRowContext(ctx, `SELECT `+readingColumns+
			` FROM usage_readings WHERE user = ? AND server = ?`,
			key.User.String(), key.Server.String()))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		reading, spent := next(last, err == nil)
		if reading == nil {
			return nil
		}
		for _, v := range spent {
			if err := addSpent(ctx, tx, v); err != nil {
				return err
			}
		}
		return saveReading(ctx, tx, *reading)
	})
}

const readingColumns = `user, server, started, at, gpus, cpu_seconds, memory`

func (r *Reading) dest() []any {
	return []any{userCol{&r.Key.User}, serverCol{&r.Key.Server}, timeCol{&r.Started}, timeCol{&r.At}, &r.GPUs, &r.CPU,
		&r.Memory}
}

func scanReading(row *sql.Row) (r Reading, err error) { return r, row.Scan(r.dest()...) }

func saveReading(ctx context.Context, tx *sql.Tx, r Reading) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO usage_readings (`+readingColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (user, server) DO UPDATE SET started = excluded.started, at = excluded.at, gpus = excluded.gpus,
			cpu_seconds = excluded.cpu_seconds, memory = excluded.memory`,
		r.Key.User.String(), r.Key.Server.String(), micros(r.Started), micros(r.At), r.GPUs, r.CPU, r.Memory)
	return err
}

func addSpent(ctx context.Context, tx *sql.Tx, v Spent) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO usage (user, month, gpu_seconds, cpu_seconds, memory_byte_seconds, server_seconds) VALUES (?, ?,
			?, ?, ?, ?)
		ON CONFLICT (month, user) DO UPDATE SET gpu_seconds = gpu_seconds + excluded.gpu_seconds, cpu_seconds =
			cpu_seconds + excluded.cpu_seconds,
			memory_byte_seconds = memory_byte_seconds + excluded.memory_byte_seconds, server_seconds =
				server_seconds + excluded.server_seconds`,
		v.User.String(), v.Month, v.GPU, v.CPU, v.Memory, v.Server)
	return err
}

// Readings returns the last reading of each server that runs, or whose end was not seen.
func (r *Reader) Readings(ctx context.Context) ([]Reading, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT `+readingColumns+` FROM usage_readings ORDER BY user, server`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the readings in the database: %w", err)
	}
	return collect(rows, (*Reading).dest)
}

// DropReading deletes the reading of a run that has ended; another run's reading stays.
func (s *Store) DropReading(ctx context.Context, key ident.Key, started time.Time) error {
	_, err := s.exec(ctx, "end a server's account",
		`DELETE FROM usage_readings WHERE user = ? AND server = ? AND started = ?`,
		key.User.String(), key.Server.String(), micros(started))
	return err
}

// AccountingQuery selects accounting rows. Its zero value selects everybody and all months.
type AccountingQuery struct {
	Month string     // "2026-11"; "" is every month
	User  ident.User // zero: everybody
}

// Accounting returns what was used, the latest month first and users by name.
func (r *Reader) Accounting(ctx context.Context, q AccountingQuery) ([]Spent, error) {
	rows, err := r.db.QueryContext(ctx,
		`SELECT user, month, gpu_seconds, cpu_seconds, memory_byte_seconds, server_seconds FROM usage
		WHERE (?1 = '' OR month = ?1) AND (?2 = '' OR user = ?2) ORDER BY month DESC, user`, q.Month, q.User.String())
	if err != nil {
		return nil, fmt.Errorf("cannot list the accounting in the database: %w", err)
	}
	return collect(rows, func(v *Spent) []any {
		return []any{userCol{&v.User}, &v.Month, &v.GPU, &v.CPU, &v.Memory, &v.Server}
	})
}

// AccountingMonths returns the months in which something was used, the latest first.
func (r *Reader) AccountingMonths(ctx context.Context) ([]string, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT DISTINCT month FROM usage ORDER BY month DESC`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the months in the database: %w", err)
	}
	months, err := collect(rows, func(m *struct{ name string }) []any { return []any{&m.name} })
	var names []string
	for _, m := range months {
		names = append(names, m.name)
	}
	return names, err
}
