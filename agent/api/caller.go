package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/scopes"
	"github.com/gifford-lab/gifford-hub/agent/store"
)

// Caller is who a request acts for and what it may do.
type Caller struct {
	User      ident.User
	Admin     bool
	Groups    []string
	Scopes    scopes.Set
	SessionID string
	TokenID   string // JupyterHub's "a12"; "" for a browser's session or a server
}

// authorization is what JupyterHub takes in the header (services/auth.py: auth_header_pat).
var authorization = regexp.MustCompile(`(?i)^(?:token|bearer)\s+([^\s]+)$`)

// errCredentials is JupyterHub's answer to missing and to wrong credentials alike: 403,
// never 401.
func errCredentials() error {
	return httpx.Fail(http.StatusForbidden, "Missing or invalid credentials.")
}

// caller finds out who calls, by the Authorization header or else the browser's
// session.
func (a *API) caller(r *http.Request) (Caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return a.sessionCaller(r)
	}
	match := authorization.FindStringSubmatch(header)
	if match == nil {
		return Caller{}, errCredentials()
	}
	if key, ok := a.cfg.Servers.TokenOwner(match[1]); ok {
		return Caller{User: key.User, Scopes: scopes.ForServer(key)}, nil
	}
	return a.tokenCaller(r, match[1])
}

// Caller gives who sent r, for surfaces beside the API that ask for a scope, or the
// error to answer with.
func (a *API) Caller(r *http.Request) (Caller, error) { return a.caller(r) }

// sessionCaller takes the browser's cookie. A request that changes something must not
// come from another site.
func (a *API) sessionCaller(r *http.Request) (Caller, error) {
	s, err := a.cfg.Session(r)
	if errors.Is(err, ErrNoSession) {
		return Caller{}, errCredentials()
	}
	if err != nil {
		return Caller{}, err
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return Caller{}, &httpx.Error{Status: http.StatusForbidden, Public: "this request came from another site", Cause: err}
	}
	return Caller{User: s.User, Admin: s.Admin, Groups: s.Groups, SessionID: s.SessionID, Scopes: scopes.ForUser(s.User, s.Admin)}, nil
}

// tokenCaller takes a token of the store, narrowed to what its owner may do now.
func (a *API) tokenCaller(r *http.Request, secret string) (Caller, error) {
	t, err := a.cfg.Records.TokenByHash(r.Context(), ident.HashToken(secret))
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, errCredentials()
	}
	if err != nil {
		return Caller{}, err
	}
	c, err := a.owner(r.Context(), t)
	if err != nil {
		return Caller{}, err
	}
	if err := a.cfg.Records.TouchToken(r.Context(), t.ID); err != nil {
		return Caller{}, err
	}
	c.TokenID, c.Scopes = tokenID(t.ID), scopes.Set(t.Scopes).Narrow(scopes.ForUser(c.User, c.Admin))
	return c, nil
}

// owner gives who a token acts for, as that person stands now: a token of a browser's
// session ends with it, and with its person's right to be here.
func (a *API) owner(ctx context.Context, t store.Token) (Caller, error) {
	if t.SessionID != "" {
		s, err := a.cfg.CheckSession(ctx, t.SessionID)
		if err != nil || s.User != t.User {
			a.cfg.Log.Debug("token of an ended session", "event", "token-refused", "user", t.User.String(), "error", fmt.Sprint(err))
			return Caller{}, errCredentials()
		}
		return Caller{User: s.User, Admin: s.Admin, Groups: s.Groups, SessionID: s.SessionID}, nil
	}
	owner, err := a.cfg.Records.UserByName(ctx, t.User)
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, errCredentials()
	}
	return Caller{User: t.User, Admin: owner.Admin}, err
}

// check asks for a scope on the user named in the path: 403 where the caller has the
// scope on nobody, 404 where a filter hides this user.
func (c Caller) check(scope, name string) error {
	u, err := ident.ParseUser(name)
	if err == nil && c.Scopes.AllowsUser(scope, u) {
		return nil
	}
	if !c.Scopes.Has(scope) {
		return httpx.Fail(http.StatusForbidden, "Action is not authorized with current scopes; requires any of [%s]", scope)
	}
	return httpx.Fail(http.StatusNotFound, "No access to resources or resources not found")
}
