package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Reader is the half of the database that changes nothing. The surfaces (packages api, web and operator) get a Reader,
// so that whatever they write goes through package actions. Take it from Store.Reader. It is safe for concurrent use.
type Reader struct {
	db  *sql.DB
	now func() time.Time // the time by which rows expire
}

// Ping reports whether the database answers.
func (r *Reader) Ping(ctx context.Context) error {
	if err := r.db.PingContext(ctx); err != nil {
		return fmt.Errorf("cannot reach the database: %w", err)
	}
	return nil
}

// queryRow runs a statement that returns one row. No row is ErrNotFound. Methods of Reader pass a SELECT.
func (r *Reader) queryRow(ctx context.Context, what string, dest []any, query string, args ...any) error {
	err := r.db.QueryRowContext(ctx, query, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("cannot %s in the database: %w", what, err)
	}
	return nil
}
