package store

import (
	"context"
	"time"
)

// PurgeExpired deletes expired sessions, sign-ins, tokens and codes, with the tokens of each sign-in, and returns the
// number of deleted rows.
func (s *Store) PurgeExpired(ctx context.Context) (total int64, err error) {
	now := micros(s.now())
	for _, q := range []string{
		`DELETE FROM tokens WHERE expires <= ?1 OR session_id IN (SELECT session_id FROM logins WHERE expires <= ?1)`,
		`DELETE FROM oauth_codes WHERE expires <= ?`,
		`DELETE FROM logins WHERE expires <= ?`,
		`DELETE FROM sessions WHERE expires <= ?`,
		`DELETE FROM share_codes WHERE expires <= ?`,
	} {
		n, err := s.exec(ctx, "delete what has expired", q, now)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// KeepClean calls PurgeExpired now and then every interval until ctx ends. A failure
// is logged and tried again at the next turn.
func (s *Store) KeepClean(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		n, err := s.PurgeExpired(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("cannot clean up the database", "event", "database-purge", "error", err.Error())
		default:
			s.log.Debug("database cleaned up", "event", "database-purge", "rows", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
