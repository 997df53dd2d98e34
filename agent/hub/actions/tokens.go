package actions

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// TokenRequest is a request for an API token.
type TokenRequest struct {
	Owner     ident.User
	Note      string
	ExpiresIn *int64   // seconds, 0: never; nil: what the settings say
	Scopes    []string // nil: those of Roles
	Roles     []string // names; nil as well: what the role "token" says
}

// MaxTokenLife returns the longest life of a token that the settings allow; 0 is without bound.
func (a *Actions) MaxTokenLife() time.Duration { return a.cfg.MaxTokenLife }

// CreateToken makes a token that may never do more than its owner, and returns it, this once, with its record. It takes
// the scope "tokens" on the owner.
//
// Refusals: LacksScope; TooLong, Unshowable (the note); NoUser; BadLife; RolesOrScopes, NoRole, BadScope; ExceedsRights
// with the scopes that the owner lacks as its Name, or with Config.TokensBounded the token that asks. Their messages
// are JupyterHub's.
func (a *Actions) CreateToken(ctx context.Context, s access.Subject, req TokenRequest) (secret string, t store.Token,
	err error) {
	if err := needUser(s, req.Owner, scopes.Tokens); err != nil {
		return "", t, err
	}
	if err := checkText("note", req.Note); err != nil {
		return "", t, err
	}
	owner, err := a.user(ctx, req.Owner)
	if err != nil {
		return "", t, err
	}
	t = store.Token{Kind: store.APIToken, User: req.Owner, Note: req.Note, Created: a.cfg.Now()}
	life, err := a.tokenLife(req.ExpiresIn)
	if err != nil {
		return "", t, err
	}
	if life > 0 {
		t.Expires = t.Created.Add(life)
	}
	if t.Scopes, err = a.tokenScopes(ctx, s, owner, req); err != nil {
		return "", t, err
	}
	secret = newSecret()
	t.Hash = ident.HashToken(secret)
	t.ID, err = a.cfg.Records.CreateToken(ctx, t)
	err = a.record(ctx, TokenCreated, s, ident.Key{User: t.User}, err, Detail{keyToken, number(t.ID)},
		Detail{keyScopes, strings.Join(t.Scopes, " ")})
	if err != nil {
		return "", t, err
	}
	return secret, t, nil
}

// number is the number of a token in a Record, "" for none.
func number(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

// newSecret returns 128 random bits, as JupyterHub writes them (utils.py: new_token).
func newSecret() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
	return hex.EncodeToString(raw[:])
}

// longestLife is a century, in seconds: beyond it times have no common form.
const longestLife = 100 * 365 * 24 * 3600

// tokenLife returns how long a token lives; 0 is without end.
func (a *Actions) tokenLife(seconds *int64) (time.Duration, error) {
	if seconds == nil {
		if a.cfg.TokenLife > 0 {
			return a.cfg.TokenLife, nil
		}
		return a.cfg.MaxTokenLife, nil
	}
	life := time.Duration(min(max(*seconds, 0), longestLife)) * time.Second
	most := int64(a.cfg.MaxTokenLife / time.Second)
	switch {
	case *seconds < 0:
		return 0, invalid("expires_in", BadLife, "", "token expires_in: %d lies in the past", *seconds)
	case a.cfg.MaxTokenLife > 0 && (life > a.cfg.MaxTokenLife || life == 0):
		return 0, invalid("expires_in", BadLife, "", "token expires_in: %d must not exceed %d", *seconds, most).
			bounded(most)
	}
	return life, nil
}

// tokenScopes returns the scopes of a new token.
func (a *Actions) tokenScopes(ctx context.Context, s access.Subject, owner store.User, req TokenRequest) ([]string,
	error) {
	if req.Scopes != nil && req.Roles != nil {
		return nil, invalid("roles", RolesOrScopes, "", "Can only assign one of roles or scopes.")
	}
	wanted, roles := req.Scopes, req.Roles
	if wanted == nil && roles == nil {
		roles = []string{scopes.TokenRole}
	}
	for _, name := range roles {
		role, ok := a.cfg.Authority.Role(name)
		if !ok {
			return nil, invalid("roles", NoRole, name, "No such role: %s", name)
		}
		wanted = append(wanted, role.Scopes...)
	}
	return wanted, a.holds(ctx, s, owner, wanted)
}

// holds refuses scopes that do not exist, or that the owner of a token lacks.
func (a *Actions) holds(ctx context.Context, s access.Subject, owner store.User, wanted []string) error {
	table := a.cfg.Authority.Table()
	for _, text := range wanted {
		if _, err := table.Parse(text); err != nil {
			return invalid("scopes", BadScope, text, "%v", err).because(err)
		}
	}
	groups, err := a.cfg.Authority.Groups(ctx, owner.Name)
	if err != nil {
		return err
	}
	own, err := a.cfg.Authority.User(ctx, owner.Name, owner.Admin, groups)
	if err != nil {
		return err
	}
	m := a.cfg.Authority.Membership(ctx)
	if excess := table.Excess(wanted, scopes.Owner{User: owner.Name}, own, m); len(excess) > 0 {
		return exceeds(excess, "user "+owner.Name.String())
	}
	if !a.cfg.TokensBounded || s.TokenID == "" && s.Service == "" {
		return nil
	}
	if slices.Contains(wanted, scopes.Inherit) {
		wanted = own.Sorted()
	}
	if excess := table.Excess(wanted, scopes.Owner{User: owner.Name}, s.Scopes(), m); len(excess) > 0 {
		return exceeds(excess, "the token that asks")
	}
	return nil
}

// exceeds refuses scopes that somebody lacks.
func exceeds(excess []string, whose string) error {
	list := strings.Join(excess, ", ")
	return invalid("scopes", ExceedsRights, list, "Not assigning requested scopes %s because they exceed those of %s",
		list, whose)
}

// RevokeToken revokes a token of a user; one of an OAuth client takes all that the user gave this client along. It
// takes the scope "tokens" on the owner.
//
// Refusals: LacksScope; NoToken.
func (a *Actions) RevokeToken(ctx context.Context, s access.Subject, owner ident.User, id int64) error {
	if err := needUser(s, owner, scopes.Tokens); err != nil {
		return err
	}
	t, err := a.cfg.Records.Token(ctx, owner, id)
	if err == nil && t.ClientID != "" {
		_, err = a.cfg.Records.DeleteTokensOfClient(ctx, owner, t.ClientID)
	} else if err == nil {
		err = a.cfg.Records.DeleteToken(ctx, owner, id)
	}
	if errors.Is(err, store.ErrNotFound) {
		return refuse(NotFound, NoToken, number(id), "%s has no such token", owner)
	}
	return a.record(ctx, TokenRevoked, s, ident.Key{User: owner}, err, Detail{keyToken, number(id)},
		Detail{keyClient, t.ClientID})
}

// RevokeClient revokes all tokens that a user gave an OAuth client. It takes the scope "tokens" on the owner.
//
// Refusals: LacksScope; NoToken where there is none.
func (a *Actions) RevokeClient(ctx context.Context, s access.Subject, owner ident.User, client string) error {
	if err := needUser(s, owner, scopes.Tokens); err != nil {
		return err
	}
	n, err := a.cfg.Records.DeleteTokensOfClient(ctx, owner, client)
	if err == nil && n == 0 {
		return refuse(NotFound, NoToken, client, "%s has given %q no token", owner, client)
	}
	return a.record(ctx, TokenRevoked, s, ident.Key{User: owner}, err, Detail{keyClient, client})
}
