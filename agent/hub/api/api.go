// Package api is JupyterHub's REST API: what single-user servers, services, scripts and
// the hub's own pages call. Paths, status codes, models and
// error bodies are JupyterHub 5.5's (docs/source/_static/rest-api.yml and
// jupyterhub/apihandlers). It must never act without a caller whose scopes allow it.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/gifford-lab/gifford-hub/agent/hub/access"
	"github.com/gifford-lab/gifford-hub/agent/hub/actions"
	"github.com/gifford-lab/gifford-hub/agent/hub/cull"
	"github.com/gifford-lab/gifford-hub/agent/hub/httpx"
	"github.com/gifford-lab/gifford-hub/agent/hub/origins"
	"github.com/gifford-lab/gifford-hub/agent/hub/scopes"
	"github.com/gifford-lab/gifford-hub/agent/hub/servers"
	"github.com/gifford-lab/gifford-hub/agent/hub/services"
	"github.com/gifford-lab/gifford-hub/agent/hub/store"
	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// manager knows the servers.
type manager interface {
	Get(key ident.Key) servers.Server
	Of(user ident.User) []servers.Server
	List() []servers.Server
	Follow(ctx context.Context, key ident.Key, step func(servers.Progress) error) (bool, error)
	Queue(key ident.Key) (servers.Queue, bool)
}

// registry is the services of the settings and those that were added through the API.
type registry interface {
	List() []services.Service
	Get(name string) (services.Service, bool)
}

// Client is whose OAuth client a token was made for: one of both is set.
type Client struct {
	Server  *ident.Key
	Service string
}

// authenticator finds out who asks, as access.Authenticator does. The operator's rights are not in it.
type authenticator interface {
	// Request returns who sent a request.
	Request(r *http.Request) (access.Subject, error)
	// Token returns the owner of a token of the database, with the token's rights.
	Token(ctx context.Context, secret string) (access.Subject, error)
	// TokenScopes returns what a token may do now.
	TokenScopes(ctx context.Context, t store.Token) (scopes.Set, error)
	// Identified returns a Subject that may also read its own name.
	Identified(s access.Subject) access.Subject
}

// Config is what an API needs; all fields are required but where said.
type Config struct {
	BaseURL   string // "/" or "/x/"
	PublicURL string // of BaseURL, with a slash at the end; "" if not known
	Version   string // JupyterHub's version that we answer for, e.g. "5.5.1"
	Program   string // our own version, for GET /info
	Servers   manager
	Services  registry
	Records   *store.Reader
	// Origins says where browsers reach each member's servers.
	Origins origins.Origins
	// Actions does what callers ask for.
	Actions   *actions.Actions
	Authority *access.Authority
	// Access finds out who asks.
	Access authenticator
	// Client reports whose OAuth client that is; ok is false for none.
	Client func(id string) (Client, bool)
	// Routes returns the proxy's table, path to target, for GET /proxy.
	Routes func() map[string]Route
	// Resync reads back what runs, for POST /proxy.
	Resync func(ctx context.Context) error
	// Cull returns the announced end of a server that nobody uses. Optional.
	Cull func(key ident.Key) (cull.Notice, bool)
	// Devices returns the devices that a server holds, by their qualified CDI names. Optional.
	Devices func(ctx context.Context, key ident.Key) []string
	// Authorize and Token are the OAuth provider's end points.
	Authorize, Token httpx.Handler
	// Page answers an error of Authorize, which a person sees.
	Page func(w http.ResponseWriter, r *http.Request, err error)
	Log  *slog.Logger
}

// Route is a line of the proxy's table as JupyterHub's proxy shows it.
type Route struct {
	Spec   string         `json:"routespec"`
	Target string         `json:"target"`
	Data   map[string]any `json:"data"`
}

// API answers {base}hub/api/….
type API struct {
	cfg     Config
	started time.Time
}

// New makes an API.
func New(cfg Config) *API { return &API{cfg: cfg, started: time.Now()} }

// audience says who may call a route at all.
type audience int

const (
	nobody  audience = iota // the zero value, so that a route without a word is closed
	anyone                  // no credentials needed
	browser                 // answered by the OAuth provider, which asks for the session itself
	login                   // finds its caller itself: credentials may be in the body
	caller                  // valid credentials
	scoped                  // credentials with one of route.scopes on what the path names
)

// subject is what a path names, on which the scope must hold.
type subject int

const (
	onAny     subject = iota // nothing: the handler leaves out what a filter hides
	onAll                    // everything: a filtered scope is not enough
	onUser                   // {user}
	onServer                 // {user} and, where it is in the path, {server}
	onGroup                  // {group}
	onService                // {service}
)

// route is a line of the API's table.
type route struct {
	method, path string
	audience     audience
	on           subject
	scopes       string // any of these, separated by spaces
	handler      func(a *API, c access.Subject, w http.ResponseWriter, r *http.Request) error
}

// Handler returns the API with its errors, headers and protection against requests
// forged by other sites.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	prefix := a.cfg.BaseURL + "hub/api"
	for _, rt := range routes() {
		mux.Handle(rt.method+" "+prefix+rt.path, a.serve(rt))
	}
	mux.Handle(prefix+"/", a.serve(route{audience: anyone, handler: func(_ *API, _ access.Subject,
		w http.ResponseWriter,
		r *http.Request) error {
		return noRoute(mux, w, r)
	}}))
	mux.Handle("OPTIONS "+prefix+"/", a.serve(route{audience: anyone, handler: (*API).health}))
	return a.headers(mux)
}

// headers sets what JupyterHub sends with every answer of its API (reference:
// jupyterhub/apihandlers/base.py).
func (a *API) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-JupyterHub-Version", a.cfg.Version)
		h.Set("Content-Security-Policy", "frame-ancestors 'none'; report-uri "+a.cfg.BaseURL+
			"hub/security/csp-report; default-src 'none'")
		h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// serve resolves the caller, checks the scope, calls the handler and writes its error.
func (a *API) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetRoute(r, r.Pattern)
		err := inOurWords(a.call(rt, w, r))
		if err == nil {
			return
		}
		httpx.LogFailure(a.cfg.Log, r, err)
		if rt.audience == browser {
			a.cfg.Page(w, r, err)
			return
		}
		a.writeError(w, r, err)
	})
}

func (a *API) call(rt route, w http.ResponseWriter, r *http.Request) error {
	switch rt.audience {
	case anyone, browser, login:
		return rt.handler(a, access.Subject{}, w, r)
	case caller, scoped:
		c, err := a.cfg.Access.Request(r)
		if err != nil {
			return err
		}
		if rt.audience == scoped {
			if err := check(c, strings.Fields(rt.scopes), rt.on, r); err != nil {
				return err
			}
		}
		return rt.handler(a, c, w, r)
	}
	return httpx.Fail(http.StatusForbidden, "this route has no rule of who may call it")
}

// check asks for one of the scopes on what the path names: 403 where the caller has none
// of them on anything, 404 where their filters do not cover it (jupyterhub/scopes.py:
// needs_scope).
func check(c access.Subject, anyOf []string, on subject, r *http.Request) error {
	has := false
	for _, scope := range anyOf {
		if allows(c, scope, on, r) {
			return nil
		}
		has = has || c.Has(scope)
	}
	if !has || on == onAll {
		return errLacks(anyOf...)
	}
	return errHidden()
}

func allows(c access.Subject, scope string, on subject, r *http.Request) bool {
	switch on {
	case onAny:
		return c.Has(scope)
	case onAll:
		return c.Everywhere(scope)
	case onUser:
		if u, err := ident.ParseUser(r.PathValue("user")); err == nil {
			return c.MayUser(u, scope)
		}
	case onServer:
		if k, err := pathKey(r); err == nil {
			return c.MayServer(k, scope)
		}
		// No server can have this name; its user is told so.
		if u, err := ident.ParseUser(r.PathValue("user")); err == nil {
			return c.MayUser(u, scope)
		}
	case onGroup:
		return c.MayGroup(r.PathValue("group"), scope)
	case onService:
		return c.MayService(r.PathValue("service"), scope)
	}
	// A name that nobody can have: whoever may do it to everybody learns what is wrong with it.
	return c.Everywhere(scope)
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

// decode reads a JSON body into v; an empty body leaves v as it is, and so does null.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	return decodeBody(w, r, v, false)
}

// decodeStrict is decode for bodies whose keys are all known.
func decodeStrict(w http.ResponseWriter, r *http.Request, v any) error {
	return decodeBody(w, r, v, true)
}

func decodeBody(w http.ResponseWriter, r *http.Request, v any, strict bool) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return httpx.Fail(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	case err != nil:
		return &httpx.Error{Status: http.StatusBadRequest, Public: "cannot read the body", Cause: err}
	case len(bytes.TrimSpace(body)) == 0:
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if strict {
		d.DisallowUnknownFields()
	}
	err = d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("there is more than one value")
	}
	if err != nil {
		return httpx.Fail(http.StatusBadRequest, "%s", jsonTrouble(err))
	}
	return nil
}

// jsonTrouble says what is wrong with a body, without our own names of types.
func jsonTrouble(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		field := kind.Field
		if field == "" {
			return fmt.Sprintf("Invalid JSON data: the body must be %s, not %s", jsonKind(kind.Type), kind.Value)
		}
		return fmt.Sprintf("%s must be %s, not %s", field, jsonKind(kind.Type), kind.Value)
	}
	if key, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "Invalid JSON keys: " + key
	}
	return "Invalid JSON in body of request"
}

// jsonKind is a type as JSON has it.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return jsonKind(t.Elem())
	}
	return "a number"
}

// written answers without a body, as JupyterHub's handlers do that have nothing to say.
func (a *API) written(w http.ResponseWriter, status int) error {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
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

func (a *API) authorize(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	return a.cfg.Authorize(w, r)
}

func (a *API) token(_ access.Subject, w http.ResponseWriter, r *http.Request) error {
	return a.cfg.Token(w, r)
}
