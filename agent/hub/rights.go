package hub

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/fetchmeta"
	"github.com/gifford-lab/gifford-hub/agent/hub/login"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/serviceproxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/hub/xsrf"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// rights is who may do what: roles, groups, services and sign-in; and the proxy, from which a service that is
// removed loses its connections.
type rights struct {
	proxy      *proxy.Proxy
	toServices *serviceproxy.Connections
	authority  *access.Authority
	services   *services.Registry
	login      *login.Service
	changes    *access.Changes // fires after each change of the above
	tokens     *xsrf.Tokens    // of the hub's own pages
	gateKey    []byte          // seals the cookies of servers
	requests   fetchmeta.Rules // what browsers' requests say
	standings  chan struct{}   // gets an entry when somebody has lost or regained the right to be here
}

func newRights(ctx context.Context, g given, d data) (r rights, err error) {
	table, err := g.cfg.Table()
	if err != nil {
		return rights{}, err
	}
	if err := d.store.DeclareGroups(ctx, declaredGroups(g.cfg)); err != nil {
		return rights{}, err
	}
	r.authority, err = access.New(access.Config{Table: table, Roles: declaredRoles(g.cfg), Records: d.store,
		Log: g.log})
	if err != nil {
		return rights{}, err
	}
	r.proxy, err = proxy.New(proxy.Config{BaseURL: g.cfg.HTTP.BaseURL, TrustedProxies: trustedProxies(g.cfg),
		Origins: g.cfg.Origins(), Log: g.log})
	if err != nil {
		return rights{}, err
	}
	limits := services.Limits{Ports: ownPorts(g.listeners)}
	r.toServices = serviceproxy.New(r.proxy, limits)
	r.services, err = services.New(ctx, services.Config{BaseURL: g.cfg.HTTP.BaseURL, Declared: DeclaredServices(g.cfg),
		Records: d.store, Limits: limits, Removed: r.toServices.Forget})
	if err != nil {
		return rights{}, err
	}
	r.changes = access.NewChanges()
	c := newLoginConfig(g, d)
	r.standings = make(chan struct{}, 1)
	c.Standing = announcing(r.standings)
	c.Changed, c.Confirmed = r.changes.Notify, noticing(c.Confirmed, d.store.GroupsOf, r.changes.Notify)
	if r.login, err = login.New(ctx, c); err != nil {
		return rights{}, err
	}
	r.requests = fetchmeta.Rules{Base: g.cfg.HTTP.BaseURL, Secure: r.login.Cookies().Secure(),
		Public: g.cfg.HTTP.PublicURL}
	key, err := d.store.SecretKey(ctx, "xsrf")
	if err != nil {
		return rights{}, err
	}
	r.tokens = xsrf.New(key, time.Now)
	r.gateKey, err = d.store.SecretKey(ctx, "server-cookie")
	return r, err
}

// announcing returns what puts an entry into a channel that holds one. It never waits.
func announcing(to chan<- struct{}) func(ident.User, bool) {
	return func(ident.User, bool) {
		select {
		case to <- struct{}{}:
		default: // there is one already
		}
	}
}

// ownPorts returns the TCP ports on which the hub listens.
func ownPorts(all map[string][]net.Listener) (ports []uint16) {
	for _, group := range all {
		for _, l := range group {
			if addr, ok := l.Addr().(*net.TCPAddr); ok {
				ports = append(ports, addr.AddrPort().Port())
			}
		}
	}
	return ports
}

// newLoginConfig adds the parts that sign-in needs to its settings.
func newLoginConfig(g given, d data) login.Config {
	c := loginSettings(g.cfg)
	c.Store, c.Accounts, c.Log, c.Now = d.store, g.unix, g.log, time.Now
	c.Access.MinUID = g.minUID
	c.Confirmed = confirmed(unixGroups(g.cfg.Access), g.unix, d.store)
	c.OnLogin = func(err error, took time.Duration) { d.metrics.Login(loginResult(err), took) }
	return c
}

// memberships reports who is in which Unix group.
type memberships interface {
	MemberOf(ctx context.Context, user ident.User, group string) (bool, error)
}

// confirmed returns what notes the groups of somebody who has signed in: the provider's, and those of the Unix groups
// named in asked of which they are members.
func confirmed(asked []string, unix memberships, records interface {
	SetMemberships(ctx context.Context, u ident.User, from store.Source, groups []string) error
}) func(ctx context.Context, u ident.User, groups []string) error {
	return func(ctx context.Context, u ident.User, groups []string) error {
		all := append([]string{}, groups...)
		for _, g := range asked {
			in, err := unix.MemberOf(ctx, u, g)
			if err != nil {
				return err
			}
			if in {
				all = append(all, g)
			}
		}
		return records.SetMemberships(ctx, u, store.FromLogin, all)
	}
}

// noticing returns confirmed with a call of changed where it has changed somebody's groups.
func noticing(confirmed func(ctx context.Context, u ident.User, groups []string) error,
	groupsOf func(ctx context.Context, u ident.User) ([]string, error),
	changed func()) func(ctx context.Context, u ident.User, groups []string) error {
	return func(ctx context.Context, u ident.User, groups []string) error {
		before, errBefore := groupsOf(ctx, u)
		err := confirmed(ctx, u, groups)
		after, errAfter := groupsOf(ctx, u)
		if errBefore != nil || errAfter != nil || !slices.Equal(before, after) {
			changed()
		}
		return err
	}
}
