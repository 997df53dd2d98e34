package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Login is one sign-in of one person in one browser, until it ends.
type Login struct {
	SessionID   string // of the cookie jupyterhub-session-id; notebooks see it, so it opens nothing
	User        ident.User
	Subject     string // the provider's own name for the person
	DisplayName string
	Admin       bool
	Groups      []string  // the provider's, when last checked
	Secret      []byte    // the provider's tokens, as package login keeps them
	Created     time.Time // of the sign-in
	Expires     time.Time
	Seen        time.Time // last use
	Checked     time.Time // when the right to enter was last confirmed
	Attempted   time.Time // when that was last tried
}

// CreateLogin saves a sign-in. Its user must have been saved before. The same
// session id again is the same person signing in again in the same browser: the
// tokens given under it live on. For another person it is an error.
func (s *Store) CreateLogin(ctx context.Context, l Login) error {
	n, err := s.exec(ctx, "save the sign-in", `
		INSERT INTO logins (`+loginColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (session_id) DO UPDATE SET subject = excluded.subject, display_name = excluded.display_name,
			admin = excluded.admin, groups = excluded.groups, secret = excluded.secret, created = excluded.created,
			expires = excluded.expires, seen = excluded.seen, checked = excluded.checked, attempted = excluded.attempted
		WHERE user = excluded.user`,
		l.SessionID, l.User.String(), l.Subject, l.DisplayName, l.Admin, list(l.Groups), blob(l.Secret),
		micros(l.Created), micros(l.Expires), micros(l.Seen), micros(l.Checked), micros(l.Attempted))
	if err == nil && n == 0 {
		return fmt.Errorf("cannot save the sign-in of user %q: its session id belongs to another user", l.User)
	}
	return err
}

const loginColumns = `session_id, user, subject, display_name, admin, groups, secret, created, expires, seen,
	checked, attempted`

func (l *Login) dest() []any {
	return []any{&l.SessionID, userCol{&l.User}, &l.Subject, &l.DisplayName, &l.Admin, listCol{&l.Groups}, &l.Secret,
		timeCol{&l.Created}, timeCol{&l.Expires}, timeCol{&l.Seen}, timeCol{&l.Checked}, timeCol{&l.Attempted}}
}

// LoginByID returns the sign-in with that session id, ErrNotFound when it has ended.
func (r *Reader) LoginByID(ctx context.Context, sessionID string) (Login, error) {
	var l Login
	err := r.queryRow(ctx, "look up the sign-in", l.dest(),
		`SELECT `+loginColumns+` FROM logins WHERE session_id = ? AND expires > ?`, sessionID, micros(r.now()))
	return l, err
}

// LoginsOf returns a user's sign-ins that have not ended, the oldest first.
func (r *Reader) LoginsOf(ctx context.Context, user ident.User) ([]Login, error) {
	rows, err := r.db.QueryContext(ctx,
		`SELECT `+loginColumns+` FROM logins WHERE user = ? AND expires > ? ORDER BY created`, user.String(),
		micros(r.now()))
	if err != nil {
		return nil, fmt.Errorf("cannot list the sign-ins in the database: %w", err)
	}
	return collect(rows, (*Login).dest)
}

// ClaimCheck claims the right to check a sign-in again. It is true for the one caller, of all processes, that still
// sees the latest attempt in the database.
func (s *Store) ClaimCheck(ctx context.Context, sessionID string, lastAttempt, now time.Time) (bool, error) {
	n, err := s.exec(ctx, "claim the check of a sign-in",
		`UPDATE logins SET attempted = ? WHERE session_id = ? AND attempted = ?`, micros(now), sessionID,
		micros(lastAttempt))
	return n == 1, err
}

// SaveCheck records that a sign-in was confirmed: it saves Admin, Groups, Secret and Checked of l. It changes nothing
// when the sign-in has ended, or has been renewed since the attempt in l.
func (s *Store) SaveCheck(ctx context.Context, l Login) error {
	_, err := s.exec(ctx, "save the check of a sign-in",
		`UPDATE logins SET admin = ?, groups = ?, secret = ?, checked = ? WHERE session_id = ? AND attempted = ?`,
		l.Admin, list(l.Groups), blob(l.Secret), micros(l.Checked), l.SessionID, micros(l.Attempted))
	return err
}

// SaveSecret is SaveCheck for Secret alone: a provider that rotates refresh tokens has made the old one void, whatever
// the result of the check.
func (s *Store) SaveSecret(ctx context.Context, l Login) error {
	_, err := s.exec(ctx, "save the tokens of a sign-in",
		`UPDATE logins SET secret = ? WHERE session_id = ? AND attempted = ?`, blob(l.Secret), l.SessionID,
		micros(l.Attempted))
	return err
}

// TouchLogin records the use of a sign-in. It only moves forward.
func (s *Store) TouchLogin(ctx context.Context, sessionID string, at time.Time) error {
	_, err := s.exec(ctx, "note the use of a sign-in",
		`UPDATE logins SET seen = ?1 WHERE session_id = ?2 AND seen < ?1`, micros(at), sessionID)
	return err
}

// EndLogin ends a sign-in and, in the same step, every token and code that was issued under it. ended is false when it
// had ended already; its tokens are deleted in any case.
func (s *Store) EndLogin(ctx context.Context, sessionID string) (ended bool, err error) {
	if sessionID == "" {
		return false, nil // tokens without a session carry an empty id
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		for _, q := range []string{
			`DELETE FROM tokens WHERE session_id = ?`,
			`DELETE FROM oauth_codes WHERE session_id = ?`,
		} {
			if _, err := tx.ExecContext(ctx, q, sessionID); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM logins WHERE session_id = ?`, sessionID)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ended = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("cannot end the sign-in in the database: %w", err)
	}
	return ended, nil
}

// EndLoginsOf ends all sign-ins of a user with their tokens, and returns how many ended.
func (s *Store) EndLoginsOf(ctx context.Context, user ident.User) (n int, err error) {
	all, err := s.LoginsOf(ctx, user)
	if err != nil {
		return 0, err
	}
	for _, l := range all {
		ended, err := s.EndLogin(ctx, l.SessionID)
		if err != nil {
			return n, err
		}
		if ended {
			n++
		}
	}
	return n, nil
}

// blob prevents an empty value from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
