package hub

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/api"
	"github.com/gifford-lab/gifford-hub/agent/hub/backend"
	"github.com/gifford-lab/gifford-hub/agent/hub/gate"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/oauth"
	"github.com/gifford-lab/gifford-hub/agent/hub/operator"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/visitors"
	"github.com/gifford-lab/gifford-hub/agent/hub/web"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// newSurfaces makes all that answers requests: pages, API, OAuth provider, proxy, metrics and the operator's socket.
func newSurfaces(g given, d data, r rights, m machine, p *process, long longWork) ([]*surface, *gate.Gate, error) {
	clients := oauth.Clients{Servers: m.servers, Services: r.services, Env: m.env}
	who := newAuthenticator(g, d, r, m, clients)
	doors, err := newGate(g, d, r, m, who)
	if err != nil {
		return nil, nil, err
	}
	deeds, err := newActions(g, d, r, m, p, long)
	if err != nil {
		return nil, nil, err
	}
	pages, err := newPages(g, d, r, m, who, doors, deeds, long)
	if err != nil {
		return nil, nil, err
	}
	scrapes, err := d.metrics.Handler(newSources(g, d, r, m))
	if err != nil {
		return nil, nil, err
	}
	observed := d.metrics.Middleware(httpx.Route)
	handlers := routing{
		base:    g.cfg.HTTP.BaseURL,
		origins: m.env.Origins,
		pages:   observed(pages.InFront(pages.Handler())),
		api:     observed(pages.InFront(newAPI(g, d, r, m, who, deeds, clients, pages).Handler())),
		metrics: observed(pages.InFront(guardMetrics(scrapes,
			metricsReader(g.cfg.Metrics.Authenticate, who, r.requests), g.log, pages.Error))),
		servers: d.metrics.Proxy(pages.WithinCookies(r.proxy.Handler(shownAtGate{doors},
			proxy.Answers{Unrouted: pages.Unrouted(), Unavailable: pages.Unavailable}))),
		services: d.metrics.Proxy(pages.WithinCookies(r.toServices.Handler(g.cfg.HTTP.BaseURL, r.services,
			pages.Error))),
		operator: newOperator(g, d, m, p, who, deeds).Handler(),
	}
	v, err := visitors.New(visitors.Config{Max: g.cfg.HTTP.MaxAnonymous, Trusted: trustedProxies(g.cfg),
		Client: r.proxy.Client, Known: known(who, doors, r.proxy), Log: g.log})
	if err != nil {
		return nil, nil, err
	}
	return expose(g, d.cert, handlers, v), doors, nil
}

// known returns what reports whether a request shows a session or token that is good. To servers at origins of their
// own, and without TLS, browsers do not send the session: there it is the server's cookie that shows it.
func known(who *access.Authenticator, doors *gate.Gate, to *proxy.Proxy) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if _, err := who.Browser(r); err == nil {
			return true
		}
		if t, ok := to.Target(r); ok && doors.Opens(r, ident.Key{User: t.User},
			ident.Key{User: t.User, Server: t.Server}) {
			return true
		}
		if r.Header.Get("Authorization") == "" {
			return false
		}
		_, err := who.Request(r)
		return err == nil
	}
}

// newGate makes what decides who reaches a server.
func newGate(g given, d data, r rights, m machine, who *access.Authenticator) (*gate.Gate, error) {
	return gate.New(gate.Config{BaseURL: g.cfg.HTTP.BaseURL, Origins: m.env.Origins, Cookies: r.login.Cookies(),
		Key: r.gateKey, CookieLife: g.cfg.Session.Lifetime, People: who, Changes: r.changes, Log: g.log,
		Known: func(ctx context.Context, u ident.User) error {
			_, err := d.store.GroupsOf(ctx, u)
			return err
		},
		Public: (&publicPaths{ask: m.backend.Public, servers: m.servers, log: g.log}).of,
	})
}

// newAuthenticator makes what finds out who asks, for the pages, the API and the OAuth provider alike.
func newAuthenticator(g given, d data, r rights, m machine, clients oauth.Clients) *access.Authenticator {
	return access.NewAuthenticator(access.Sources{Authority: r.authority, Sessions: r.login, Standings: r.login,
		Servers: m.servers, Services: r.services, Records: d.store, Log: g.log, Tokens: r.tokens, Requests: r.requests,
		Client: func(id string) (scopes.Owner, bool) {
			c, ok := clients.Find(id)
			return scopes.Owner{Server: c.Server, Service: c.Service}, ok
		}})
}

// newActions makes what pages, API and commands do.
func newActions(g given, d data, r rights, m machine, p *process, long longWork) (*actions.Actions, error) {
	c := actions.Config{
		Records: d.store, Authority: r.authority, Servers: m.servers, Services: r.services,
		NamedServers: g.cfg.Servers.Named, TokenLife: g.cfg.Tokens.DefaultLife, MaxTokenLife: g.cfg.Tokens.MaxLife,
		TokensBounded: g.cfg.Tokens.Bounded,
		HasPersistent: hasPersistent(m.backend.Persistent), Background: long.run, Shutdown: p.ending.fire,
		MayEnter: r.login.MayEnter,
		EndSessions: func(ctx context.Context, u ident.User) error {
			_, err := r.login.EndSessionsOf(ctx, u, "deleted")
			return err
		},
		Changed:   r.changes.Notify,
		RequestID: httpx.ContextRequestID, Log: g.log,
	}
	if g.cfg.Cull.Enabled {
		c.Postpone = m.culler.Postpone
	}
	return actions.New(c)
}

// hasPersistent returns what reports whether a persistent container of a server exists.
func hasPersistent(all func(context.Context) ([]backend.PersistentContainer, error)) func(context.Context, ident.Key) (
	bool, error) {
	return func(ctx context.Context, key ident.Key) (bool, error) {
		known, err := all(ctx)
		return slices.ContainsFunc(known, func(c backend.PersistentContainer) bool { return c.Key == key }), err
	}
}

func newPages(g given, d data, r rights, m machine, who *access.Authenticator, doors *gate.Gate,
	deeds *actions.Actions, long longWork) (*web.Web, error) {
	c := web.Config{
		BaseURL: g.cfg.HTTP.BaseURL, PublicURL: g.cfg.HTTP.PublicURL, Version: jupyterHubVersion,
		ProviderName: g.cfg.Login.ProviderName, AutoLogin: g.cfg.Login.AutoLogin,
		Contact: g.cfg.Web.Contact, Announcement: g.cfg.Web.Announcement, RedirectToServer: g.cfg.Web.RedirectToServer,
		HSTS: g.cfg.HTTP.HSTS, Tokens: r.tokens, Gate: doors, Origins: m.env.Origins,
		Login: r.login, Servers: m.servers, Profiles: m.backend.Profiles, Persistent: m.backend.Persistent,
		Actions: deeds, Records: d.store.Reader, Authority: r.authority, Access: who,
		Services: r.services.List, NamedServers: g.cfg.Servers.Named, Log: g.log,
		Images: m.backend.Images, Keeper: imagekeeper.New(imagekeeper.DefaultSocket), Background: long.run,
		Disk: m.disk, GPUs: m.gpus, Cull: m.culler.Notice,
	}
	return web.New(c)
}

// newAPI makes JupyterHub's API with the OAuth provider in it.
func newAPI(g given, d data, r rights, m machine, who *access.Authenticator, deeds *actions.Actions,
	clients oauth.Clients, pages *web.Web) *api.API {
	provider := oauth.New(oauth.Config{Clients: clients, Records: d.store, Table: r.authority.Table(),
		Role: func(name string) ([]string, bool) {
			role, ok := r.authority.Role(name)
			return role.Scopes, ok
		},
		Person: who.Browser, Confirm: pages.Confirm, Agreed: deeds.Agreed, Agree: deeds.Agree,
		TokenLife: g.cfg.Session.Lifetime, Log: g.log})
	c := api.Config{
		BaseURL: g.cfg.HTTP.BaseURL, PublicURL: g.cfg.HTTP.PublicURL, Version: jupyterHubVersion, Program: g.version,
		Servers: m.servers, Services: r.services, Records: d.store.Reader, Actions: deeds, Origins: m.env.Origins,
		Authority: r.authority, Access: who,
		Client: func(id string) (api.Client, bool) {
			c, ok := clients.Find(id)
			return api.Client{Server: c.Server, Service: c.Service}, ok
		},
		Routes: func() map[string]api.Route {
			return routes(g.cfg.HTTP.BaseURL, m.env.Origins, m.servers.List(), r.services.List())
		},
		Resync: m.servers.Sync, Authorize: pages.ForDocuments(provider.Authorize), Token: provider.Token,
		Page: pages.Error, Devices: m.gpus.Held, Cull: m.culler.Notice, Log: g.log,
	}
	return api.New(c)
}

// routes is the proxy's table as JupyterHub's API shows it.
func routes(base string, at origins.Origins, running []servers.Server,
	declared []services.Service) map[string]api.Route {
	host := func(origin string) string { // JupyterHub's routes begin with a host where each member has one
		if !at.Separate() {
			return ""
		}
		_, host, _ := strings.Cut(origin, "://")
		return host
	}
	all := map[string]api.Route{base: {Spec: base, Target: "hub", Data: map[string]any{"hub": true}}}
	for _, s := range running {
		if s.State != servers.Ready {
			continue
		}
		path := host(at.Server(s.Key.User)) + base + s.Key.Path()[1:]
		all[path] = api.Route{Spec: path, Target: s.Name, Data: map[string]any{"user": s.Key.User,
			"server_name": s.Key.Server, "last_activity": s.LastActivity.UTC().Format(time.RFC3339Nano)}}
	}
	for _, s := range declared {
		if s.Prefix != "" {
			path := host(at.Service(s.Name)) + s.Prefix
			all[path] = api.Route{Spec: path, Target: s.URL, Data: map[string]any{"service": s.Name}}
		}
	}
	return all
}

func newOperator(g given, d data, m machine, p *process, who *access.Authenticator,
	deeds *actions.Actions) *operator.Operator {
	return operator.New(operator.Config{Servers: m.servers, Actions: deeds, Subject: who.Operator,
		Version: g.version, PublicURL: g.cfg.HTTP.PublicURL, URL: m.env.PublicServerURL,
		Listeners: listenersFor(g.listeners), Know: know(d.store), Persistent: m.backend.Persistent,
		Reload: p.reload, Backup: d.store.BackupTo, Disk: m.disk, Accounting: d.store.Accounting,
		Identities: d.store.Identities, GPUs: m.gpus, Draining: olderProcesses, Older: older(m.backend, g.log),
		Log: g.log})
}
