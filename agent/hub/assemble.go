package hub

import (
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/accounts"
	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/api"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/oauth"
	"github.com/gifford-lab/gifford-hub/agent/hub/operator"
	"github.com/gifford-lab/gifford-hub/agent/hub/proxy"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/web"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/wire/control"
	"github.com/gifford-lab/gifford-hub/agent/wire/imagekeeper"
)

// assemble makes the HTTP surfaces: pages, API, OAuth provider, proxy and the operator's
// socket.
func (h *instance) assemble() (err error) {
	// The proxy answers with pages where it has no route, and the pages show servers whose
	// routes the proxy has; the pages are therefore found when they are needed.
	var pages *web.Web
	h.proxy, err = proxy.New(proxy.Config{
		BaseURL: h.cfg.HTTP.BaseURL, TrustedProxies: h.trustedProxies(), Log: h.log,
		Unrouted: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.Unrouted().ServeHTTP(w, r) }),
		Unavailable: func(w http.ResponseWriter, r *http.Request, key ident.Key, status int) {
			pages.Unavailable(w, r, key, status)
		},
	})
	if err != nil {
		return err
	}
	if err := h.accounting(); err != nil {
		return err
	}
	if err := h.manage(); err != nil {
		return err
	}
	if err := h.watchDisks(); err != nil {
		return err
	}
	if err := h.watchGPUs(); err != nil {
		return err
	}
	if h.culler, err = h.culling(accounts.Directory{}); err != nil {
		return err
	}
	h.access = h.authenticator()
	if err := h.act(); err != nil {
		return err
	}
	forPages := web.Config{
		BaseURL: h.cfg.HTTP.BaseURL, PublicURL: h.cfg.HTTP.PublicURL, Version: jupyterHubVersion,
		ProviderName: h.cfg.Login.ProviderName, AutoLogin: h.cfg.Login.AutoLogin,
		Contact: h.cfg.Web.Contact, Announcement: h.cfg.Web.Announcement, RedirectToServer: h.cfg.Web.RedirectToServer,
		Login: h.login, Servers: h.servers, Profiles: h.launcher.Profiles, Persistent: h.launcher.Persistent, Actions: h.actions,
		Records: h.store.Reader, Authority: h.authority, Access: h.access,
		Services: h.services.List, NamedServers: h.cfg.Servers.Named, Log: h.log,
		Images: h.launcher.Images, Keeper: imagekeeper.New(imagekeeper.DefaultSocket), Background: h.long.run,
	}
	if h.culler != nil {
		forPages.Cull = h.culler.Notice
	}
	forPages.Disk, forPages.GPUs = h.disk, h.gpus
	if pages, err = web.New(forPages); err != nil {
		return err
	}
	api, observe := h.api(pages), h.metrics.Middleware(httpx.Route)
	h.toServices.proxy, h.toServices.fail = h.proxy, pages.Error
	h.mount(observe(api.Handler()), observe(pages.Handler()), observe(h.metricsHandler(pages.Error)), h.toServices)
	return nil
}

// trustedProxies returns whose X-Forwarded-* headers count: nobody's when the hub is
// reached directly.
func (h *instance) trustedProxies() []prefix {
	if !h.cfg.HTTP.BehindProxy {
		return nil
	}
	return h.cfg.HTTP.TrustedProxies
}

// clients are whom people can be signed in to.
func (h *instance) clients() oauth.Clients {
	env, _ := h.env() // manage has asked for it before
	return oauth.Clients{Servers: h.servers, Services: h.services, Env: env}
}

// api makes JupyterHub's API with the OAuth provider in it.
func (h *instance) api(pages *web.Web) *api.API {
	clients := h.clients()
	provider := oauth.New(oauth.Config{Clients: clients, Records: h.store, Table: h.authority.Table(), Role: h.role,
		Person: h.access.Browser, Confirm: pages.Confirm,
		TokenLife: h.cfg.Session.Lifetime, Log: h.log})
	var ends func(ident.Key) (cull.Notice, bool)
	if h.culler != nil {
		ends = h.culler.Notice
	}
	return api.New(api.Config{
		BaseURL: h.cfg.HTTP.BaseURL, PublicURL: h.cfg.HTTP.PublicURL, Version: jupyterHubVersion, Program: h.version,
		Servers: h.servers, Services: h.services, Records: h.store.Reader, Actions: h.actions,
		Authority: h.authority, Access: h.access,
		Client: func(id string) (api.Client, bool) {
			c, ok := clients.Find(id)
			return api.Client{Server: c.Server, Service: c.Service}, ok
		},
		Routes: h.routes, Resync: h.servers.Sync,
		Authorize: provider.Authorize, Token: provider.Token, Page: pages.Error, Cull: ends, Devices: h.gpus.Held,
		Log: h.log,
	})
}

// role returns the scopes of a role by its name.
func (h *instance) role(name string) ([]string, bool) {
	r, ok := h.authority.Role(name)
	return r.Scopes, ok
}

// routes is the proxy's table as JupyterHub's API shows it.
func (h *instance) routes() map[string]api.Route {
	base := h.cfg.HTTP.BaseURL
	all := map[string]api.Route{base: {Spec: base, Target: "hub", Data: map[string]any{"hub": true}}}
	for _, s := range h.servers.List() {
		if s.State == servers.Ready {
			path := base + s.Key.Path()[1:]
			all[path] = api.Route{Spec: path, Target: s.Key.Unit(),
				Data: map[string]any{"user": s.Key.User, "server_name": s.Key.Server,
					"last_activity": s.LastActivity.UTC().Format(time.RFC3339Nano)}}
		}
	}
	for _, s := range h.services.List() {
		if s.Prefix != "" {
			all[s.Prefix] = api.Route{Spec: s.Prefix, Target: s.URL, Data: map[string]any{"service": s.Name}}
		}
	}
	return all
}

// authenticator finds out who asks, for the pages, the API and the OAuth provider alike.
func (h *instance) authenticator() *access.Authenticator {
	clients := h.clients()
	return access.NewAuthenticator(access.Sources{Authority: h.authority, Sessions: h.login, Servers: h.servers,
		Services: h.services, Records: h.store, Log: h.log,
		Client: func(id string) (scopes.Owner, bool) {
			c, ok := clients.Find(id)
			return scopes.Owner{Server: c.Server, Service: c.Service}, ok
		}})
}

// mount says which surface answers what.
func (h *instance) mount(api, pages, metrics, services http.Handler) {
	base, proxied := h.cfg.HTTP.BaseURL, h.metrics.Proxy(h.proxy)
	services = h.metrics.Proxy(services)
	isAPI := func(path string) bool { return path == base+"hub/api" || strings.HasPrefix(path, base+"hub/api/") }
	// No mux in front of the proxy: a mux would clean paths that are the servers' matter.
	public := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		switch {
		case strings.HasPrefix(path, base+"user/"):
			proxied.ServeHTTP(w, r)
		case strings.HasPrefix(path, base+"services/"):
			services.ServeHTTP(w, r)
		case path == base+metricsPath, path == base+metricsAPIPath:
			metrics.ServeHTTP(w, r)
		case isAPI(path):
			api.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
	private := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.EscapedPath(); {
		case path == base+metricsAPIPath:
			metrics.ServeHTTP(w, r)
		case isAPI(path):
			api.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	h.expose(h.wrap(public), h.wrap(private), h.wrap(h.operator().Handler()))
}

// wrap is the middleware that every request passes, outermost first.
func (h *instance) wrap(next http.Handler) http.Handler {
	return httpx.WithRequestID(httpx.WithRecover(h.log, next))
}

func (h *instance) operator() *operator.Operator {
	var all []control.Listener
	for name, group := range h.listeners {
		for _, l := range group {
			all = append(all, control.Listener{Name: name, Address: l.Addr().String()})
		}
	}
	return operator.New(operator.Config{Servers: h.servers, Actions: h.actions, Subject: h.access.Operator,
		Version: h.version, PublicURL: h.cfg.HTTP.PublicURL,
		Listeners: all,
		Know:      h.know, Persistent: h.launcher.Persistent, Reload: h.reload, Backup: h.store.BackupTo,
		Disk:  h.disk,
		Usage: h.store.Usage, GPUs: h.gpus, Draining: olderProcesses, Older: h.older, Log: h.log})
}
