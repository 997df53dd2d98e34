package main

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/api"
	"github.com/gifford-lab/gifford-hub/agent/control"
	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/oauth"
	"github.com/gifford-lab/gifford-hub/agent/operator"
	"github.com/gifford-lab/gifford-hub/agent/proxy"
	"github.com/gifford-lab/gifford-hub/agent/scopes"
	"github.com/gifford-lab/gifford-hub/agent/web"
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
	if err := h.manage(); err != nil {
		return err
	}
	pages, err = web.New(web.Config{
		BaseURL: h.cfg.HTTP.BaseURL, Version: jupyterHubVersion, ProviderName: h.cfg.Login.ProviderName, AutoLogin: h.cfg.Login.AutoLogin,
		Contact: h.cfg.Web.Contact, Announcement: h.cfg.Web.Announcement, RedirectToServer: h.cfg.Web.RedirectToServer,
		Login: h.login, Servers: h.servers, Profiles: h.launcher.Profiles, Audit: h.audit, Log: h.log,
	})
	if err != nil {
		return err
	}
	h.mount(h.api(pages).Handler(), pages.Handler())
	return nil
}

// trustedProxies gives whose X-Forwarded-* headers count: nobody's when the hub is
// reached directly.
func (h *instance) trustedProxies() []prefix {
	if !h.cfg.HTTP.BehindProxy {
		return nil
	}
	return h.cfg.HTTP.TrustedProxies
}

// api makes JupyterHub's API with the OAuth provider in it.
func (h *instance) api(pages *web.Web) *api.API {
	env, _ := h.env() // manage has asked for it before
	provider := oauth.New(oauth.Config{Servers: h.servers, Records: h.store, Env: env, Person: h.person, Confirm: pages.Confirm,
		TokenLife: h.cfg.Session.Lifetime, Log: h.log})
	return api.New(api.Config{
		BaseURL: h.cfg.HTTP.BaseURL, Version: jupyterHubVersion, Servers: h.servers, Records: h.store,
		Session: func(r *http.Request) (api.Session, error) {
			m, err := h.login.Member(r)
			return session(m), noSession(err)
		},
		CheckSession: func(ctx context.Context, id string) (api.Session, error) {
			m, err := h.login.CheckSession(ctx, id)
			return session(m), err
		},
		Authorize: provider.Authorize, Token: provider.Token, Page: pages.Error, Log: h.log,
	})
}

func session(m login.Member) api.Session {
	return api.Session{User: m.User, Admin: m.Admin, Groups: m.Groups, SessionID: m.SessionID}
}

// noSession gives the API's word for a browser that is not, or no longer, signed in.
func noSession(err error) error {
	var denied *login.Denied
	if errors.Is(err, login.ErrNoSession) || errors.As(err, &denied) {
		return api.ErrNoSession
	}
	return err
}

// person gives who is in the browser that a server sent to be signed in.
func (h *instance) person(r *http.Request) (oauth.Person, error) {
	m, err := h.login.Member(r)
	if err != nil {
		return oauth.Person{}, err
	}
	return oauth.Person{User: m.User, Scopes: scopes.ForUser(m.User, m.Admin), SessionID: m.SessionID}, nil
}

// mount says which surface answers what.
func (h *instance) mount(api, pages http.Handler) {
	base := h.cfg.HTTP.BaseURL
	isAPI := func(path string) bool { return path == base+"hub/api" || strings.HasPrefix(path, base+"hub/api/") }
	// No mux in front of the proxy: a mux would clean paths that are the servers' matter.
	public := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		switch {
		case strings.HasPrefix(path, base+"user/"):
			h.proxy.ServeHTTP(w, r)
		case isAPI(path):
			api.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
	private := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isAPI(r.URL.EscapedPath()) {
			http.NotFound(w, r)
			return
		}
		api.ServeHTTP(w, r)
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
	return operator.New(operator.Config{Servers: h.servers, Version: version, PublicURL: h.cfg.HTTP.PublicURL, Listeners: all,
		Reload: h.reload, Draining: olderProcesses, Log: h.log})
}

// audit writes down what an administrator does with somebody else's server.
func (h *instance) audit(r *http.Request, d web.Deed) {
	outcome := "done"
	if d.Err != nil {
		outcome = d.Err.Error()
	}
	h.log.Warn("administrator acts on somebody's server", "event", "admin-"+string(d.Action), "user", d.Admin.String(),
		"owner", d.On.User.String(), "unit", d.On.Unit(), "outcome", outcome, "request", httpx.RequestID(r))
}
