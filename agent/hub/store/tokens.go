package store

import (
	"context"
	"fmt"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TokenKind reports for whom a token was made.
type TokenKind string

const (
	// OAuthToken was given to a single-user server for a person's browser.
	OAuthToken TokenKind = "oauth"
	// APIToken was made for a script or for a server itself.
	APIToken TokenKind = "api"
)

// Token is a row of a token; the token itself is saved nowhere.
type Token struct {
	ID        int64
	Hash      string // ident.HashToken of the token: no salt, since tokens are at least 128 random bits
	Kind      TokenKind
	User      ident.User
	ClientID  string // OAuth client, "" for none
	SessionID string // the sign-in that it ends with, "" for none
	Scopes    []string
	Note      string
	Created   time.Time
	LastUsed  time.Time // zero: never; exact to a minute
	Expires   time.Time // zero: never
}

// CreateToken saves a token and returns its id. A zero Created means now.
func (s *Store) CreateToken(ctx context.Context, t Token) (int64, error) {
	var id int64
	err := s.queryRow(ctx, "save the token", []any{&id}, `
		INSERT INTO tokens (hash, kind, user, client_id, session_id, scopes, note, created, last_used, expires)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		t.Hash, string(t.Kind), t.User.String(), t.ClientID, t.SessionID, list(t.Scopes), t.Note,
		micros(s.orNow(t.Created)), micros(t.LastUsed), micros(t.Expires))
	return id, err
}

const tokenColumns = `id, hash, kind, user, client_id, session_id, scopes, note, created, last_used, expires`

func (t *Token) dest() []any {
	return []any{&t.ID, &t.Hash, &t.Kind, userCol{&t.User}, &t.ClientID, &t.SessionID, listCol{&t.Scopes}, &t.Note,
		timeCol{&t.Created}, timeCol{&t.LastUsed}, timeCol{&t.Expires}}
}

// TokenByHash returns the token with that hash. An expired one is ErrNotFound.
func (r *Reader) TokenByHash(ctx context.Context, hash string) (Token, error) {
	var t Token
	err := r.queryRow(ctx, "look up the token", t.dest(),
		`SELECT `+tokenColumns+` FROM tokens WHERE hash = ? AND (expires IS NULL OR expires > ?)`, hash,
		micros(r.now()))
	return t, err
}

// TokensOf returns a user's tokens that have not expired, the oldest first.
func (r *Reader) TokensOf(ctx context.Context, user ident.User) ([]Token, error) {
	rows, err := r.db.QueryContext(ctx,
		`SELECT `+tokenColumns+` FROM tokens WHERE user = ? AND (expires IS NULL OR expires > ?) ORDER BY id`,
		user.String(), micros(r.now()))
	if err != nil {
		return nil, fmt.Errorf("cannot list the tokens in the database: %w", err)
	}
	return collect(rows, (*Token).dest)
}

// Token returns one of a user's tokens by its id, or ErrNotFound.
func (r *Reader) Token(ctx context.Context, user ident.User, id int64) (Token, error) {
	var t Token
	err := r.queryRow(ctx, "look up the token", t.dest(),
		`SELECT `+tokenColumns+` FROM tokens WHERE id = ? AND user = ? AND (expires IS NULL OR expires > ?)`, id,
		user.String(), micros(r.now()))
	return t, err
}

// DeleteTokensOfClient revokes what a user granted to an OAuth client, and returns how many tokens it deleted. The
// empty id names no client.
func (s *Store) DeleteTokensOfClient(ctx context.Context, user ident.User, clientID string) (int64, error) {
	if clientID == "" {
		return 0, nil
	}
	return s.exec(ctx, "revoke the client's tokens", `DELETE FROM tokens WHERE user = ? AND client_id = ?`,
		user.String(), clientID)
}

// DeleteToken revokes a token of a user; ErrNotFound when the user has none with that id.
func (s *Store) DeleteToken(ctx context.Context, user ident.User, id int64) error {
	n, err := s.exec(ctx, "revoke the token", `DELETE FROM tokens WHERE id = ? AND user = ?`, id, user.String())
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// TouchToken records the use of a token now, at most once a minute, so that a busy notebook does not cause a write at
// each request.
func (s *Store) TouchToken(ctx context.Context, id int64) error {
	now := s.now()
	_, err := s.exec(ctx, "note the token's use",
		`UPDATE tokens SET last_used = ? WHERE id = ? AND (last_used IS NULL OR last_used <= ?)`,
		micros(now), id, micros(now.Add(-time.Minute)))
	return err
}
