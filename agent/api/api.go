// Package api is JupyterHub's REST API as far as the hub has it: what single-user
// servers, the hub's own pages and simple scripts call. Paths, status codes, models and
// error bodies are JupyterHub 5.5's (docs/source/_static/rest-api.yml and
// jupyterhub/apihandlers). It must never act without a caller whose scopes allow it.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/cull"
	"github.com/gifford-lab/gifford-hub/agent/httpx"
	"github.com/gifford-lab/gifford-hub/agent/ident"
	"github.com/gifford-lab/gifford-hub/agent/scopes"
	"github.com/gifford-lab/gifford-hub/agent/servers"
	"github.com/gifford-lab/gifford-hub/agent/store"
)

// manager is what the API needs of the servers.
type manager interface {
	Get(key ident.Key) servers.Server
	Of(user ident.User) []servers.Server
	Start(key ident.Key, profile string) error
	Stop(ctx context.Context, key ident.Key) error
	Follow(ctx context.Context, key ident.Key, step func(servers.Progress) error) (bool, error)
	TokenOwner(token string) (ident.Key, bool)
	Touch(key ident.Key, t time.Time)
}

// records keeps tokens and what is known of users.
type records interface {
	TokenByHash(ctx context.Context, hash string) (store.Token, error)
	TouchToken(ctx context.Context, id int64) error
	UserByName(ctx context.Context, u ident.User) (store.User, error)
	TouchUser(ctx context.Context, u ident.User, t time.Time) error
	TouchServer(ctx context.Context, key ident.Key, t time.Time) error
	UpsertServer(ctx context.Context, s store.Server) error
}

// Session is a person in a browser.
type Session struct {
	User      ident.User
	Admin     bool
	Groups    []string
	SessionID string
}

// Config is what an API needs; all fields are required but where said.
type Config struct {
	BaseURL string // "/" or "/x/"
	Version string // JupyterHub's version that we answer for, e.g. "5.5.1"
	Servers manager
	Records records
	// Session gives the person whose browser asks, or ErrNoSession.
	Session func(r *http.Request) (Session, error)
	// CheckSession looks at a session again by its id, as at every request of its browser.
	// Its error means that the session has ended.
	CheckSession func(ctx context.Context, sessionID string) (Session, error)
	// Cull gives the announced end of a server that nobody uses. Optional.
	Cull func(key ident.Key) (cull.Notice, bool)
	// Authorize and Token are the OAuth provider's end points.
	Authorize, Token httpx.Handler
	// Page answers an error of Authorize, which a person sees.
	Page func(w http.ResponseWriter, r *http.Request, err error)
	Log  *slog.Logger
}

// ErrNoSession says that a request carries no session of a browser.
var ErrNoSession = errors.New("no session")

// API answers {base}hub/api/….
type API struct {
	cfg     Config
	started time.Time
}

// New makes an API.
func New(cfg Config) *API { return &API{cfg: cfg, started: time.Now()} }

// access says who may call a route at all; what a caller may do on which user is the
// scope's matter.
type access int

const (
	nobody  access = iota // the zero value, so that a route without a word is closed
	anyone                // no credentials needed
	browser               // answered by the OAuth provider, which asks for the session itself
	caller                // valid credentials
	scoped                // credentials with route.scope on the user in the path
)

// route is a line of the API's table.
type route struct {
	method, path string
	access       access
	scope        string
	handler      func(a *API, c Caller, w http.ResponseWriter, r *http.Request) error
}

// routes is the whole API. {user} in a path is the user that a scope is asked for.
func routes() []route {
	return []route{
		{"GET", "", anyone, "", (*API).root},
		{"GET", "/{$}", anyone, "", (*API).root},
		{"GET", "/health", anyone, "", (*API).health},
		{"GET", "/oauth2/authorize", browser, "", (*API).authorize},
		{"POST", "/oauth2/authorize", browser, "", (*API).authorize},
		{"POST", "/oauth2/token", browser, "", (*API).token},
		{"GET", "/user", caller, "", (*API).whoami},
		{"GET", "/users/{user}", scoped, scopes.ReadUsersName, (*API).user},
		{"POST", "/users/{user}/activity", scoped, scopes.UsersActivity, (*API).activity},
		{"POST", "/users/{user}/server", scoped, scopes.Servers, (*API).start},
		{"DELETE", "/users/{user}/server", scoped, scopes.DeleteServers, (*API).stop},
		{"GET", "/users/{user}/server/progress", scoped, scopes.ReadServers, (*API).progress},
	}
}

// Handler gives the API with its errors, headers and protection against requests
// forged by other sites.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	prefix := a.cfg.BaseURL + "hub/api"
	for _, rt := range routes() {
		mux.Handle(rt.method+" "+prefix+rt.path, a.serve(rt))
	}
	mux.Handle(prefix+"/", a.serve(route{access: anyone, handler: func(_ *API, _ Caller, w http.ResponseWriter, r *http.Request) error {
		return noRoute(mux, w, r)
	}}))
	mux.Handle("OPTIONS "+prefix+"/", a.serve(route{access: anyone, handler: (*API).health}))
	return a.headers(mux)
}

// headers sets what JupyterHub sends with every answer of its API (reference:
// jupyterhub/apihandlers/base.py).
func (a *API) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-JupyterHub-Version", a.cfg.Version)
		h.Set("Content-Security-Policy", "frame-ancestors 'none'; report-uri "+a.cfg.BaseURL+"hub/security/csp-report; default-src 'none'")
		h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// serve resolves the caller, checks the scope, calls the handler and writes its error.
func (a *API) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := a.call(rt, w, r)
		if err == nil {
			return
		}
		httpx.LogFailure(a.cfg.Log, r, err)
		if rt.access == browser {
			a.cfg.Page(w, r, err)
			return
		}
		a.writeError(w, r, err)
	})
}

func (a *API) call(rt route, w http.ResponseWriter, r *http.Request) error {
	switch rt.access {
	case anyone, browser:
		return rt.handler(a, Caller{}, w, r)
	case caller, scoped:
		c, err := a.caller(r)
		if err != nil {
			return err
		}
		if rt.access == scoped {
			if err := c.check(rt.scope, r.PathValue("user")); err != nil {
				return err
			}
		}
		return rt.handler(a, c, w, r)
	}
	return httpx.Fail(http.StatusForbidden, "this route has no rule of who may call it")
}

// errorBody is JupyterHub's form of an error.
type errorBody struct {
	Status    int    `json:"status"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

func (a *API) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := httpx.Public(err)
	_ = a.json(w, e.Status, errorBody{e.Status, e.Public, e.Hint, httpx.RequestID(r)})
}

func (a *API) json(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the client is gone; the status is sent
	return nil
}

// maxBody bounds a request's JSON.
const maxBody = 1 << 20

// decode reads a JSON body into v; an empty body leaves v as it is.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return httpx.Fail(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	case err != nil:
		return &httpx.Error{Status: http.StatusBadRequest, Public: "cannot read the body", Cause: err}
	case len(body) == 0:
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return &httpx.Error{Status: http.StatusBadRequest, Public: fmt.Sprintf("invalid JSON in body of request: %v", err)}
	}
	return nil
}

func (a *API) root(_ Caller, w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	return a.json(w, http.StatusOK, map[string]string{"version": a.cfg.Version})
}

func (a *API) health(_ Caller, w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

// noRoute answers a path that has no route, or none for the request's method.
func noRoute(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	_, own := mux.Handler(r)
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := mux.Handler(probe); pattern != own && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return httpx.Fail(http.StatusNotFound, "no such path in the API: %s", r.URL.Path)
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return httpx.Fail(http.StatusMethodNotAllowed, "%s does not take %s", r.URL.Path, r.Method)
}

func (a *API) authorize(_ Caller, w http.ResponseWriter, r *http.Request) error {
	return a.cfg.Authorize(w, r)
}

func (a *API) token(_ Caller, w http.ResponseWriter, r *http.Request) error {
	return a.cfg.Token(w, r)
}
