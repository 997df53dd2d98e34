// Package actions is everything that somebody can do to a server, a user, a group, a share, a token or a service of the
// hub: one method an act, which checks whether the subject may, does it and writes it to the journal. A refusal is
// a *Refusal. It must never act for a subject whose scopes do not cover the act, never leave an act out of the journal,
// and never know HTTP: packages api, web and operator put its answers into their words.
package actions

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// states knows the servers.
type states interface {
	Get(key ident.Key) servers.Server
	Of(user ident.User) []servers.Server
}

// manager starts and stops servers.
type manager interface {
	states
	Start(key ident.Key, profile string, o servers.Options) error
	Stop(ctx context.Context, key ident.Key) error
	Reset(ctx context.Context, key ident.Key) error
	Touch(key ident.Key, t time.Time)
}

// registry is the services of the settings and those that were added through the API.
type registry interface {
	Get(name string) (services.Service, bool)
	Add(s services.Service) error
	Remove(name string) error
}

// Config is what Actions need. All fields are required but where said.
type Config struct {
	Records   *store.Store
	Authority *access.Authority
	Servers   manager
	Services  registry
	// NamedServers is how many named servers a user may have beside the default one: 0 none, below 0 any number.
	NamedServers int
	// TokenLife is how long a token lives that is asked for without a time; MaxTokenLife is the most that may be asked
	// for. 0 means without end, and without bound.
	TokenLife, MaxTokenLife time.Duration
	// TokensBounded refuses a token, or a service, that makes a token with more scopes than it has itself. JupyterHub
	// lets the scope "tokens" make one with all that its owner may do.
	TokensBounded bool
	// HasPersistent reports whether a persistent container of a server exists.
	HasPersistent func(ctx context.Context, key ident.Key) (bool, error)
	// Postpone puts off the announced end of a server that nobody uses; it fails with cull.ErrPostponedBefore where
	// that cannot be done again. Optional: nothing is ended by itself.
	Postpone func(key ident.Key) error
	// MayEnter reports, as a *login.Denied, that somebody may not use the hub any more: no server is started for them.
	MayEnter func(ctx context.Context, u ident.User) error
	// EndSessions signs a user out everywhere.
	EndSessions func(ctx context.Context, u ident.User) error
	// Background runs what outlasts its request, in a goroutine of its own. The context ends with the hub, which waits.
	Background func(work func(ctx context.Context))
	// Changed is called after each act that may have changed what somebody may do. Optional.
	Changed func()
	// Shutdown ends the hub's process. Optional: nobody can then ask for it.
	Shutdown func()
	// RequestID returns the id under which the journal keeps the request that ctx belongs to. Optional.
	RequestID func(ctx context.Context) string
	Log       *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Actions does what subjects ask for. It is safe for concurrent use.
type Actions struct {
	cfg   Config
	locks locks
}

// New makes Actions.
func New(c Config) (*Actions, error) {
	if c.Records == nil || c.Authority == nil || c.Servers == nil || c.Services == nil || c.HasPersistent == nil ||
		c.MayEnter == nil || c.EndSessions == nil || c.Background == nil || c.Log == nil {
		return nil, errors.New("cannot make the actions: records, authority, servers, services, persistent " +
			"containers, standings, sessions, background and log are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Actions{cfg: c, locks: locks{held: map[ident.Key]*hold{}}}, nil
}

// isOperator reports whether the subject is root on this host, who may act on servers of users whom the hub does not
// know yet.
func isOperator(s access.Subject) bool { return s.Kind() == "operator" }

// lacks returns the refusal of an act for which any of the scopes would do: Forbidden where the subject has none of
// them on anything, else Hidden (jupyterhub/scopes.py: needs_scope).
func lacks(s access.Subject, anyOf ...string) *Refusal {
	for _, scope := range anyOf {
		if s.Has(scope) {
			return refuse(Hidden, LacksScope, "", "no access to it, or it does not exist")
		}
	}
	r := refuse(Forbidden, LacksScope, "", "this takes the scope %s", anyOf[0])
	r.Scope = anyOf[0]
	return r
}

func needServer(s access.Subject, k ident.Key, scope string) error {
	if !s.MayServer(k, scope) {
		return lacks(s, scope)
	}
	return nil
}

func needUser(s access.Subject, u ident.User, scope string) error {
	if !s.MayUser(u, scope) {
		return lacks(s, scope)
	}
	return nil
}

func needGroup(s access.Subject, name, scope string) error {
	if !s.MayGroup(name, scope) {
		return lacks(s, scope)
	}
	return nil
}

// user returns a user whom the hub must know.
func (a *Actions) user(ctx context.Context, u ident.User) (store.User, error) {
	rec, err := a.cfg.Records.UserByName(ctx, u)
	if errors.Is(err, store.ErrNotFound) {
		return rec, refuse(NotFound, NoUser, u.String(), "no such user: %s", u)
	}
	return rec, err
}

// group returns a group that must exist.
func (a *Actions) group(ctx context.Context, name string) (store.Group, error) {
	g, err := a.cfg.Records.GroupByName(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return g, refuse(NotFound, NoGroup, name, "no such group: %s", name)
	}
	return g, err
}

// saved returns what is saved of a server; known is false where nothing is.
func (a *Actions) saved(ctx context.Context, k ident.Key) (rec store.Server, known bool, err error) {
	rec, err = a.cfg.Records.ServerByKey(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return store.Server{Key: k}, false, nil
	}
	return rec, err == nil, err
}

// server refuses a server that does not exist: a user has the default one, those that run and those that are saved.
func (a *Actions) server(ctx context.Context, k ident.Key) error {
	if k.Server.IsDefault() || a.cfg.Servers.Get(k).State.Active() {
		return nil
	}
	_, known, err := a.saved(ctx, k)
	if err == nil && !known {
		err = a.noServer(k)
	}
	return err
}

// noServer refuses a named server that does not exist, and says so where none can.
func (a *Actions) noServer(k ident.Key) *Refusal {
	if a.cfg.NamedServers == 0 {
		return refuse(NotFound, NamedServersOff, k.String(), "this hub has one server a user, and none with a name")
	}
	return refuse(NotFound, NoServer, k.String(), "%s has no server named %q", k.User, k.Server)
}
