// Package web is the hub's pages: sign-in, home, starting, not running and errors, at
// JupyterHub's addresses (jupyterhub/handlers, version 5.5). They work without JavaScript,
// but for the live progress of a start. It must never start or stop anything on a GET, and
// never tell a stranger whether a user exists.
package web

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/launcherbus"
	"github.com/gifford-lab/gifford-hub/agent/login"
	"github.com/gifford-lab/gifford-hub/agent/servers"
)

// manager is what the pages need of the servers.
type manager interface {
	Get(key ident.Key) servers.Server
	List() []servers.Server
	Start(key ident.Key, profile string) error
	Stop(ctx context.Context, key ident.Key) error
}

// Config is what the pages need; all fields are required but where said.
type Config struct {
	BaseURL      string // the hub's base URL, with a slash at both ends
	Version      string // JupyterHub's version that is answered for
	ProviderName string // who people sign in with, in words
	AutoLogin    bool   // send people on to the provider without a sign-in page
	// Member gives who sent a request: login.ErrNoSession for nobody, a *login.Denied for
	// somebody who may no longer be here.
	Member func(r *http.Request) (login.Member, error)
	// Start, Callback and Logout are the sign-in's own handlers; CallbackPath is where the
	// provider sends people back to.
	Start, Callback, Logout httpx.Handler
	CallbackPath            string
	// Ready says why nobody can sign in now; nil when they can.
	Ready func(ctx context.Context) error
	// Wrap is the sessions' middleware.
	Wrap     func(http.Handler) http.Handler
	Servers  manager
	Profiles func(ctx context.Context) ([]launcherbus.Profile, error)
	Log      *slog.Logger
}

// Web serves the pages.
type Web struct {
	cfg       Config
	templates *template.Template
	assets    assets
}

// New makes the pages.
func New(cfg Config) (*Web, error) {
	w := &Web{cfg: cfg}
	var err error
	if w.assets, err = loadAssets(cfg.BaseURL + "hub/static/"); err != nil {
		return nil, err
	}
	w.templates, err = parseTemplates(w.functions())
	return w, err
}

// access says who may see a route.
type access int

const (
	nobody access = iota // the zero value, so that a route without a word is closed
	anyone
	signedIn
)

// route is a line of the table.
type route struct {
	pattern string // method and path below the base URL
	access  access
	handler func(*Web, http.ResponseWriter, *http.Request, login.Member) error
}

// routes is every page. A member acts on their own server; administrators on everybody's.
func routes() []route {
	return []route{
		{"GET /hub/{$}", signedIn, (*Web).front},
		{"GET /hub/login", anyone, (*Web).signIn},
		{"GET /hub/oauth_login", anyone, (*Web).begin},
		{"POST /hub/oauth_login", anyone, (*Web).begin},
		{"GET /hub/logout", anyone, (*Web).logout},
		{"POST /hub/logout", anyone, (*Web).logout},
		{"GET /hub/home", signedIn, (*Web).home},
		{"GET /hub/spawn", signedIn, (*Web).spawnPage},
		{"GET /hub/spawn/{user}", signedIn, (*Web).spawnPage},
		{"POST /hub/spawn", signedIn, (*Web).spawn},
		{"POST /hub/spawn/{user}", signedIn, (*Web).spawn},
		{"GET /hub/spawn-pending/{user}", signedIn, (*Web).pending},
		{"POST /hub/stop", signedIn, (*Web).stop},
		{"POST /hub/stop/{user}", signedIn, (*Web).stop},
		{"GET /hub/user/{user}", signedIn, (*Web).toServer},
		{"/hub/user/{user}/{rest...}", signedIn, (*Web).toServer},
		{"GET /hub/user-redirect/{rest...}", signedIn, (*Web).userRedirect},
		{"GET /hub/error/{code}", anyone, (*Web).errorPage},
		{"GET /hub/health", anyone, (*Web).health},
		{"GET /hub/static/{file}", anyone, (*Web).static},
		{"GET /hub/logo", anyone, (*Web).logo},
		{"POST /hub/security/csp-report", anyone, (*Web).cspReport},
		{"/hub/", anyone, (*Web).notFound},
		{"/hub", anyone, (*Web).addSlash},
		{"/", anyone, (*Web).prefixRedirect},
	}
}

// Handler gives the pages with their headers and their protection against requests forged
// by other sites.
func (w *Web) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes() {
		method, path, ok := strings.Cut(rt.pattern, " ")
		if !ok {
			method, path = "", rt.pattern
		}
		mux.Handle(strings.TrimSpace(method+" "+w.path(strings.TrimPrefix(path, "/"))), w.serve(rt.access, rt.handler))
	}
	if p := w.cfg.CallbackPath; p != "" {
		mux.Handle("GET "+p, w.serve(anyone, func(w *Web, rw http.ResponseWriter, r *http.Request, _ login.Member) error {
			return w.cfg.Callback(rw, r)
		}))
	}
	if w.cfg.BaseURL != "/" {
		mux.Handle("/", http.NotFoundHandler())
	}
	forged := http.NewCrossOriginProtection()
	forged.SetDenyHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.RenderError(rw, r, httpx.Fail(http.StatusForbidden, "this request came from another site, and was not carried out"))
	}))
	return w.cfg.Wrap(w.headers(forged.Handler(mux)))
}

// path gives a path below the base URL.
func (w *Web) path(rest string) string { return w.cfg.BaseURL + rest }

// headers sets what every page has (JupyterHub's own, and stricter where nothing needs
// more: the pages have no inline script or style).
func (w *Web) headers(next http.Handler) http.Handler {
	csp := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
		"frame-ancestors 'none'; report-uri " + w.path("hub/security/csp-report")
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-JupyterHub-Version", w.cfg.Version)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(rw, r)
	})
}

// serve checks who asks, runs the handler and renders its error.
func (w *Web) serve(who access, handler func(*Web, http.ResponseWriter, *http.Request, login.Member) error) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var m login.Member
		var err error
		switch who {
		case anyone:
		case signedIn:
			m, err = w.cfg.Member(r)
		default:
			err = errors.New("this route has no rule of who may see it")
		}
		if err == nil {
			err = handler(w, rw, r, m)
		}
		if err != nil {
			w.RenderError(rw, r, err)
		}
	})
}

// key gives the server that a request is about: the member's own, or the one of the user
// in the path for its owner and for administrators. To anybody else a user's server looks
// as one that does not exist.
func (w *Web) key(r *http.Request, m login.Member) (ident.Key, error) {
	name := r.PathValue("user")
	if name == "" || name == m.User.String() {
		return ident.Key{User: m.User}, nil
	}
	user, err := ident.ParseUser(name)
	if err != nil || !m.Admin {
		return ident.Key{}, notFoundError()
	}
	if r.Method != http.MethodGet {
		w.cfg.Log.Warn("administrator acts for somebody", "event", "admin-action", "user", m.User.String(), "owner", user.String(),
			"path", r.URL.Path, "request", httpx.RequestID(r))
	}
	return ident.Key{User: user}, nil
}

func notFoundError() error {
	return httpx.Fail(http.StatusNotFound, "there is nothing at this address")
}

// loginURL gives the sign-in page that leads back to what was asked for.
func (w *Web) loginURL(r *http.Request) string {
	return w.path("hub/login") + "?next=" + url.QueryEscape(r.URL.RequestURI())
}
