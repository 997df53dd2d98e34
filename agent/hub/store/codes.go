package store

import (
	"context"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Code is an OAuth authorization code; the code itself is saved nowhere.
type Code struct {
	Hash                string // ident.HashToken of the code
	User                ident.User
	ClientID            string
	RedirectURI         string
	SessionID           string // the sign-in under which it was given
	Scopes              []string
	CodeChallenge       string // RFC 7636, "" for a client without PKCE
	CodeChallengeMethod string
	Expires             time.Time
}

// CreateCode saves a code.
func (s *Store) CreateCode(ctx context.Context, c Code) error {
	_, err := s.exec(ctx, "save the authorization code", `
		INSERT INTO oauth_codes (`+codeColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Hash, c.User.String(), c.ClientID, c.RedirectURI, c.SessionID, list(c.Scopes),
		c.CodeChallenge, c.CodeChallengeMethod, micros(c.Expires))
	return err
}

const codeColumns = `hash, user, client_id, redirect_uri, session_id, scopes, code_challenge, code_challenge_method,
	expires`

func (c *Code) dest() []any {
	return []any{&c.Hash, userCol{&c.User}, &c.ClientID, &c.RedirectURI, &c.SessionID, listCol{&c.Scopes},
		&c.CodeChallenge, &c.CodeChallengeMethod, timeCol{&c.Expires}}
}

// TakeCode deletes the code with that hash and returns it, in one step, so that it
// works once for one caller. ErrNotFound says unknown, used or expired.
func (s *Store) TakeCode(ctx context.Context, hash string) (Code, error) {
	var c Code
	err := s.queryRow(ctx, "take the authorization code", c.dest(),
		`DELETE FROM oauth_codes WHERE hash = ? RETURNING `+codeColumns, hash)
	if err != nil {
		return Code{}, err
	}
	if !c.Expires.After(s.now()) {
		return Code{}, ErrNotFound
	}
	return c, nil
}
