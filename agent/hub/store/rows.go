package store

import (
	"database/sql"
	"errors"
	"fmt"
)

// collect scans every row into a T through dest and closes rows.
func collect[T any](rows *sql.Rows, dest func(*T) []any) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v T
		if err := rows.Scan(dest(&v)...); err != nil {
			return nil, fmt.Errorf("cannot read a row of the database: %w", err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the rows of the database: %w", err)
	}
	return all, nil
}
