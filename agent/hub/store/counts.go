package store

import (
	"context"
	"time"
)

// CountUsers returns how many users there are.
func (r *Reader) CountUsers(ctx context.Context) (int, error) {
	var n int
	err := r.queryRow(ctx, "count the users", []any{&n}, `SELECT count(*) FROM users`)
	return n, err
}

// CountActive returns how many users were active at a time or later.
func (r *Reader) CountActive(ctx context.Context, since time.Time) (int, error) {
	var n int
	err := r.queryRow(ctx, "count the active users", []any{&n}, `SELECT count(*) FROM users WHERE last_activity >= ?`,
		micros(since))
	return n, err
}
