package store

import (
	"context"
	"encoding/json"
	"fmt"
)

// ServiceRecord is a service that was added through the API. Package services defines its content.
type ServiceRecord struct {
	Name   string
	Record json.RawMessage
}

// SaveService saves a service; *ExistsError when its name is taken.
func (s *Store) SaveService(ctx context.Context, v ServiceRecord) error {
	n, err := s.exec(ctx, "save the service",
		`INSERT INTO services (name, record, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		v.Name, string(v.Record), micros(s.now()))
	if err == nil && n == 0 {
		return &ExistsError{v.Name}
	}
	return err
}

// ServiceRecords returns all of them in order.
func (r *Reader) ServiceRecords(ctx context.Context) ([]ServiceRecord, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT name, record FROM services ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the services in the database: %w", err)
	}
	return collect(rows, func(v *ServiceRecord) []any { return []any{&v.Name, (*[]byte)(&v.Record)} })
}

// ForgetService deletes a service; ErrNotFound when it does not exist.
func (s *Store) ForgetService(ctx context.Context, name string) error {
	n, err := s.exec(ctx, "delete the service", `DELETE FROM services WHERE name = ?`, name)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}
