package store

import (
	"context"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// GPUUse is how one run of a server uses its devices.
type GPUUse struct {
	Key       ident.Key
	Started   time.Time // of the run
	Used      time.Time // when they were last used, or may have been; zero: never
	Seen      time.Time // when that was last read
	Postponed time.Time // when a person postponed their return; zero: never
}

// SaveGPUUse replaces the row of the server's earlier runs.
func (s *Store) SaveGPUUse(ctx context.Context, u GPUUse) error {
	_, err := s.exec(ctx, "note the use of GPUs", `
		INSERT INTO gpu_uses (user, server, started, used, seen, kept) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (user, server) DO UPDATE SET started = excluded.started, used = excluded.used, seen =
			excluded.seen, kept = excluded.kept`,
		u.Key.User.String(), u.Key.Server.String(), micros(u.Started), micros(u.Used), micros(u.Seen),
		micros(u.Postponed))
	return err
}

// GPUUses returns the last of each server.
func (r *Reader) GPUUses(ctx context.Context) ([]GPUUse, error) {
	rows, err := r.db.QueryContext(ctx,
		`SELECT user, server, started, used, seen, kept FROM gpu_uses ORDER BY user, server`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the use of GPUs in the database: %w", err)
	}
	return collect(rows, func(u *GPUUse) []any {
		return []any{userCol{&u.Key.User}, serverCol{&u.Key.Server}, timeCol{&u.Started}, timeCol{&u.Used},
			timeCol{&u.Seen}, timeCol{&u.Postponed}}
	})
}
