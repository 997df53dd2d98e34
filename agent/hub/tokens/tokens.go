// Package tokens makes API tokens for people, at the wish of a page or of the API. It
// must never make one that may do more than its owner, and never keep a token itself.
package tokens

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// records keeps tokens by their hashes.
type records interface {
	CreateToken(ctx context.Context, t store.Token) (int64, error)
	UserByName(ctx context.Context, u ident.User) (store.User, error)
}

// Config is what an Issuer needs.
type Config struct {
	Records   records
	Authority *access.Authority
	// Life is how long a token lives that is asked for without a word; Max is the most that
	// may be asked for. 0 means without end, and without bound.
	Life, Max time.Duration
}

// Issuer makes tokens.
type Issuer struct{ cfg Config }

// New makes an Issuer.
func New(c Config) *Issuer { return &Issuer{c} }

// Request is a wish for a token.
type Request struct {
	Owner     ident.User
	Note      string
	ExpiresIn *int64   // seconds; nil: the settings' default
	Scopes    []string // nil: those of Roles
	Roles     []string // names; nil as well: what the role "token" says
}

// Max is the longest life that the settings allow; 0 is without bound.
func (i *Issuer) Max() time.Duration { return i.cfg.Max }

// Issue makes a token and gives it, this once, with its record. Its errors are for whoever
// asked.
func (i *Issuer) Issue(ctx context.Context, req Request) (secret string, t store.Token, err error) {
	t = store.Token{Kind: store.APIToken, User: req.Owner, Note: req.Note, Created: time.Now()}
	life, err := i.life(req.ExpiresIn)
	if err != nil {
		return "", t, err
	}
	if life > 0 {
		t.Expires = t.Created.Add(life)
	}
	if t.Scopes, err = i.scopes(ctx, req); err != nil {
		return "", t, err
	}
	secret = newSecret()
	t.Hash = ident.HashToken(secret)
	t.ID, err = i.cfg.Records.CreateToken(ctx, t)
	return secret, t, err
}

// newSecret makes 128 random bits, as JupyterHub writes them (utils.py: new_token).
func newSecret() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	return hex.EncodeToString(raw[:])
}

// longest is a century: beyond it times have no common form.
const longest = 100 * 365 * 24 * 3600

// life is how long a token shall live; 0 is without end.
func (i *Issuer) life(seconds *int64) (time.Duration, error) {
	if seconds == nil {
		if i.cfg.Life > 0 {
			return i.cfg.Life, nil
		}
		return i.cfg.Max, nil
	}
	life := time.Duration(min(max(*seconds, 0), longest)) * time.Second
	switch {
	case *seconds < 0:
		return 0, httpx.Fail(http.StatusBadRequest, "token expires_in: %d lies in the past", *seconds)
	case i.cfg.Max > 0 && (life > i.cfg.Max || life == 0):
		return 0, httpx.Fail(http.StatusBadRequest, "token expires_in: %d must not exceed %d", *seconds,
			int64(i.cfg.Max.Seconds()))
	}
	return life, nil
}

// scopes returns the scopes of a new token. None may exceed what its owner may do.
func (i *Issuer) scopes(ctx context.Context, req Request) ([]string, error) {
	if req.Scopes != nil && req.Roles != nil {
		return nil, httpx.Fail(http.StatusBadRequest, "Can only assign one of roles or scopes.")
	}
	wanted := req.Scopes
	roles := req.Roles
	if wanted == nil && roles == nil {
		roles = []string{scopes.TokenRole}
	}
	for _, name := range roles {
		role, ok := i.cfg.Authority.Role(name)
		if !ok {
			return nil, httpx.Fail(http.StatusBadRequest, "No such role: %s", name)
		}
		wanted = append(wanted, role.Scopes...)
	}
	return wanted, i.check(ctx, req.Owner, wanted)
}

// check refuses scopes that there are not, or that the user has not.
func (i *Issuer) check(ctx context.Context, u ident.User, wanted []string) error {
	table := i.cfg.Authority.Table()
	for _, text := range wanted {
		if _, err := table.Parse(text); err != nil {
			return httpx.Fail(http.StatusBadRequest, "%v", err)
		}
	}
	rec, err := i.cfg.Records.UserByName(ctx, u)
	if err != nil {
		return err
	}
	groups, err := i.cfg.Authority.Groups(ctx, u)
	if err != nil {
		return err
	}
	own, err := i.cfg.Authority.User(ctx, u, rec.Admin, groups)
	if err != nil {
		return err
	}
	excess := table.Excess(wanted, scopes.Owner{User: u}, own, i.cfg.Authority.Membership(ctx))
	if len(excess) > 0 {
		return httpx.Fail(http.StatusBadRequest, "Not assigning requested scopes %s because they exceed those of "+
			"user %s", strings.Join(excess, ", "), u)
	}
	return nil
}
