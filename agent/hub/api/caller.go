package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Caller is who a request acts for and what it may do: a user or a service, by a token,
// a server's own token or a browser's session.
type Caller struct {
	User      ident.User // zero for a service
	Service   string     // "" for a user
	Admin     bool
	Groups    []string // of the user
	Scopes    scopes.Set
	SessionID string
	TokenID   string // JupyterHub's "a12"; "" for a browser's session or a server's own token

	groups func(ident.User) []string // of any user, asked only where a filter by group stands
}

// name is the caller as people and logs know it.
func (c Caller) name() string {
	if c.Service != "" {
		return c.Service
	}
	return c.User.String()
}

// kind is JupyterHub's word for what the caller is.
func (c Caller) kind() string {
	if c.Service != "" {
		return "service"
	}
	return "user"
}

// groupsFor returns a user's groups if the scope is granted by group at all.
func (c Caller) groupsFor(scope string, u ident.User) []string {
	if c.groups == nil || len(c.Scopes.Filters(scope).Groups) == 0 {
		return nil
	}
	return c.groups(u)
}

func (c Caller) allowsUser(scope string, u ident.User) bool {
	return c.Scopes.AllowsUser(scope, u, c.groupsFor(scope, u))
}

func (c Caller) allowsServer(scope string, k ident.Key) bool {
	return c.Scopes.AllowsServer(scope, k, c.groupsFor(scope, k.User))
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
		return a.serverCaller(r.Context(), key)
	}
	if name, ok := a.cfg.Services.ByToken(match[1]); ok {
		return a.serviceCaller(r.Context(), name)
	}
	return a.tokenCaller(r.Context(), match[1])
}

// userCaller returns a user with all that they may do. groups are what the session says,
// when it is a session.
func (a *API) userCaller(ctx context.Context, u ident.User, admin bool, groups []string) (Caller, error) {
	stored, err := a.cfg.Authority.Groups(ctx, u)
	if err != nil {
		return Caller{}, err
	}
	for _, g := range stored {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	c := Caller{User: u, Admin: admin, Groups: groups, groups: a.cfg.Authority.Membership(ctx)}
	c.Scopes, err = a.cfg.Authority.User(ctx, u, admin, groups)
	return c, err
}

// Caller returns who sent r, for surfaces beside the API that ask for a scope, or the
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
	if err := checkOrigin(r); err != nil {
		return Caller{}, err
	}
	c, err := a.userCaller(r.Context(), s.User, s.Admin, s.Groups)
	c.SessionID = s.SessionID
	return c, err
}

// checkOrigin refuses what another site's page makes a browser send. A form cannot send
// JSON, so a body of another type is refused as well, as JupyterHub does.
func checkOrigin(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return &httpx.Error{Status: http.StatusForbidden, Public: "this request came from another site", Cause: err}
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if r.Method == http.MethodPost && r.ContentLength != 0 && strings.TrimSpace(kind) != "application/json" {
		return httpx.Fail(http.StatusForbidden, "a request of a browser's session must be application/json")
	}
	return nil
}

// serverCaller is a running server with its own token.
func (a *API) serverCaller(ctx context.Context, key ident.Key) (Caller, error) {
	owner, err := a.cfg.Records.UserByName(ctx, key.User)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Caller{}, err // a hub that lost its database still knows its servers
	}
	c, err := a.userCaller(ctx, key.User, owner.Admin, nil)
	c.Scopes = a.cfg.Authority.Server(key, c.Scopes)
	return c, err
}

// serviceCaller is a service with the token of the settings.
func (a *API) serviceCaller(ctx context.Context, name string) (Caller, error) {
	s, ok := a.cfg.Services.Get(name)
	if !ok {
		return Caller{}, errCredentials()
	}
	return Caller{Service: name, Admin: s.Admin, groups: a.cfg.Authority.Membership(ctx),
		Scopes: a.cfg.Authority.Service(name, s.Admin, s.Scopes)}, nil
}

// tokenCaller takes a token of the store, narrowed to what its owner may do now.
func (a *API) tokenCaller(ctx context.Context, secret string) (Caller, error) {
	t, err := a.cfg.Records.TokenByHash(ctx, ident.HashToken(secret))
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, errCredentials()
	}
	if err != nil {
		return Caller{}, err
	}
	c, err := a.owner(ctx, t)
	if err != nil {
		return Caller{}, err
	}
	if err := a.cfg.Records.TouchToken(ctx, t.ID); err != nil {
		return Caller{}, err
	}
	c.TokenID = tokenID(t.ID)
	c.Scopes = a.cfg.Authority.Token(t.Scopes, a.tokenOwner(t), c.Scopes, c.groups)
	return c, nil
}

// tokenOwner says whom a token's "!user", "!server" and "!service" mean.
func (a *API) tokenOwner(t store.Token) scopes.Owner {
	o := scopes.Owner{User: t.User}
	if client, ok := a.cfg.Client(t.ClientID); ok {
		o.Server, o.Service = client.Server, client.Service
	}
	return o
}

// owner returns who a token acts for, as they stand now: a token of a browser's session
// ends with it, and with its person's right to be here.
func (a *API) owner(ctx context.Context, t store.Token) (Caller, error) {
	if t.SessionID != "" {
		s, err := a.cfg.CheckSession(ctx, t.SessionID)
		if err != nil || s.User != t.User {
			a.cfg.Log.Debug("token of an ended session", "event", "token-refused", "user", t.User.String(), "error",
				fmt.Sprint(err))
			return Caller{}, errCredentials()
		}
		c, err := a.userCaller(ctx, s.User, s.Admin, s.Groups)
		c.SessionID = s.SessionID
		return c, err
	}
	owner, err := a.cfg.Records.UserByName(ctx, t.User)
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, errCredentials()
	}
	if err != nil {
		return Caller{}, err
	}
	return a.userCaller(ctx, t.User, owner.Admin, nil)
}
